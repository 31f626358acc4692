import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from common.metrics.explanation import (
    aopc_curve,
    aopc_from_scores,
    energy_in_roi,
    localisation_scores,
    pointing_game,
    pompom,
    roi_area,
)


def _mask(height, width, inside):
    mask = torch.zeros(1, 1, height, width)
    mask[..., :inside] = 1
    return mask


def _touched(mask, pixels, value=0.5):
    """Return a map with so many non-zero pixels outside the mask, and all of the inside."""
    outside = (mask.flatten() == 0).nonzero().flatten()[:pixels]
    explanation = mask.flatten().clone()
    explanation[outside] = value
    return explanation.view_as(mask)


def _three_cases():
    """44 of 60 outside pixels touched, 31 of 40, and no outside at all, in maps of 80 pixels."""
    mask = torch.zeros(3, 1, 8, 10)
    mask[0].view(-1)[60:] = 1
    mask[1].view(-1)[40:] = 1
    mask[2] = 1
    return torch.cat([_touched(mask[:1], 44), _touched(mask[1:2], 31), mask[2:]]), mask


def test_pompom_by_the_formula_of_icrto_xml():
    explanation, mask = _three_cases()
    values = pompom(explanation, mask)
    assert values.tolist() == pytest.approx([0.7333333211111114, 0.7749999806250005, 0.0], abs=1e-12)
    assert values.mean().item() == pytest.approx(0.5027777672453707, abs=1e-12)


def test_pompom_by_the_text_of_icrto_xml_divides_by_all_pixels():
    values = pompom(*_three_cases(), denominator="total")
    assert values.tolist() == pytest.approx([0.55, 0.3875, 0.0], abs=1e-12)
    assert values.mean().item() == pytest.approx(0.3125, abs=1e-12)


def test_pompom_counts_pixels_above_the_threshold_only():
    mask = _mask(4, 4, 1)  # 12 pixels outside
    explanation = torch.zeros(1, 1, 4, 4)
    explanation[0, 0, 0, 1] = 1e-6
    explanation[0, 0, 1, 1] = 0.999e-6
    explanation[0, 0, 2, 1] = 1e-3
    assert pompom(explanation.double(), mask).item() == pytest.approx(1 / 12, abs=1e-7)


def test_energy_and_area_by_pencil():
    mask = _mask(2, 4, 1)
    explanation = torch.tensor([[0.6, 0.1, 0.1, 0.2], [0.0, 0.0, 1.0, 0.0]]).view(1, 1, 2, 4)
    assert energy_in_roi(explanation, mask).item() == pytest.approx(0.3)
    assert roi_area(mask).item() == 0.25
    assert energy_in_roi(torch.full_like(mask, 0.3), mask).item() == pytest.approx(0.25)
    assert energy_in_roi(torch.zeros_like(mask), mask).item() == 0.0


def test_pointing_game_shares_ties():
    mask = _mask(1, 4, 2)
    maps = torch.tensor([[0.9, 0.1, 0.2, 0.3], [0.1, 0.1, 0.2, 0.1], [0.0, 0.5, 0.5, 0.5], [0.4, 0.4, 0.4, 0.4]])
    hits = pointing_game(maps.view(4, 1, 1, 4), mask.expand(4, -1, -1, -1))
    assert hits.tolist() == pytest.approx([1, 0, 1 / 3, 0.5])


@settings(deadline=None)
@given(seed=st.integers(0, 1000), factor=st.floats(0.25, 4.0))
def test_shares_do_not_depend_on_the_maps_scale_or_on_flips(seed, factor):
    generator = torch.Generator().manual_seed(seed)
    explanation = torch.rand(2, 1, 5, 6, generator=generator)
    mask = (torch.rand(2, 1, 5, 6, generator=generator) > 0.6).float()
    mask[..., 0, 0] = 1
    for metric in (energy_in_roi, pointing_game):
        value = metric(explanation, mask)
        torch.testing.assert_close(metric(explanation * factor, mask), value)
        torch.testing.assert_close(metric(explanation.flip(3), mask.flip(3)), value)
        torch.testing.assert_close(value + metric(explanation, 1 - mask), torch.ones(2, dtype=torch.double))


def test_cases_without_a_region_are_undefined_in_every_score():
    mask = torch.stack([torch.zeros(1, 4, 4), _mask(4, 4, 2)[0]])
    scores = localisation_scores(torch.rand(2, 1, 4, 4), mask)
    assert set(scores) == {"pompom", "energy_in_roi", "roi_area", "pointing_game", "pointing_chance"}
    for score in scores.values():
        assert score.isnan().tolist() == [True, False]
    assert scores["roi_area"][1] == scores["pointing_chance"][1] == 0.5


def test_aopc_by_pencil():
    scores = torch.tensor([0.9, 0.6, 0.8, 0.1])
    assert aopc_curve(scores).tolist() == pytest.approx([0, 0.15, (0.3 + 0.1) / 3, (0.3 + 0.1 + 0.8) / 4])
    assert aopc_from_scores(scores).item() == pytest.approx(0.3)


@settings(deadline=None)
@given(st.lists(st.floats(0, 1), min_size=1, max_size=30))
def test_aopc_starts_at_zero_and_ends_at_its_value(values):
    scores = torch.tensor(values, dtype=torch.double)
    curve = aopc_curve(scores)
    assert curve[0] == 0
    torch.testing.assert_close(curve[-1], aopc_from_scores(scores))


def test_aopc_of_a_constant_score_is_zero():
    assert aopc_curve(torch.full((2, 3, 9), 0.7)).abs().max() == 0


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: pompom(torch.zeros(1, 1, 2, 2), torch.zeros(1, 1, 2, 2), "inside"), "expected one of outside, total"),
        (lambda: energy_in_roi(torch.zeros(1, 1, 2, 2), torch.zeros(1, 1, 4, 4)), "resample the mask"),
        (lambda: pointing_game(torch.zeros(1, 3, 2, 2), torch.zeros(1, 3, 2, 2)), r"expected \(B,1,H,W\)"),
        (lambda: pompom(-torch.ones(1, 1, 2, 2), torch.zeros(1, 1, 2, 2)), "values of 0 or more"),
    ],
)
def test_bad_input_is_named(call, message):
    with pytest.raises(ValueError, match=message):
        call()
