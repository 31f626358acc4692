import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.aopc import settled_network, slow_curve
from common.explain.perturbation import PerturbationCurve, patch_ranks, rank_map
from common.metrics.explanation import aopc_curve

sizes = st.integers(1, 20)


def _relevance(seed, height, width, levels=3):
    """Few levels, so that ties abound."""
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(levels, (1, 1, height, width), generator=generator).float() / levels


@settings(deadline=None)
@given(seed=st.integers(0, 999), height=sizes, width=sizes, patch=st.integers(1, 9))
def test_ranks_are_a_stable_descending_permutation_of_the_padded_grid(seed, height, width, patch):
    relevance = _relevance(seed, height, width)
    ranks = patch_ranks(relevance, patch)[0]
    rows, columns = -(-height // patch), -(-width // patch)
    assert ranks.shape == (rows, columns)
    cells = [(row, column) for row in range(rows) for column in range(columns)]
    means = {
        (row, column): relevance[0, 0, row * patch : (row + 1) * patch, column * patch : (column + 1) * patch]
        .double()
        .mean()
        .item()
        for row, column in cells
    }
    expected = sorted(cells, key=lambda cell: (-round(means[cell], 12), cell))
    found = sorted(cells, key=lambda cell: int(ranks[cell]))
    assert [round(means[cell], 12) for cell in found] == [round(means[cell], 12) for cell in expected]
    assert sorted(ranks.flatten().tolist()) == list(range(rows * columns))


@settings(deadline=None)
@given(height=sizes, width=sizes, patch=st.integers(1, 9), value=st.floats(0, 1, width=32))
def test_ties_are_row_major_also_at_incomplete_patches(height, width, patch, value):
    ranks = patch_ranks(torch.full((1, 1, height, width), value), patch)
    assert ranks.flatten().tolist() == list(range(ranks.numel()))


@settings(deadline=None)
@given(seed=st.integers(0, 999), height=sizes, width=sizes, patch=st.integers(1, 9))
def test_removed_area_grows_by_one_patch_a_step_until_nothing_is_left(seed, height, width, patch):
    ranks = patch_ranks(_relevance(seed, height, width), patch)
    pixels = rank_map(ranks, patch, height, width)
    assert pixels.shape == (1, 1, height, width)
    assert pixels.min() == 0
    assert pixels.max() == ranks.numel() - 1
    for rank in range(ranks.numel()):
        row, column = (ranks[0] == rank).nonzero()[0].tolist()
        rows, columns = (pixels[0, 0] == rank).nonzero().T
        assert rows.min() == row * patch
        assert columns.min() == column * patch
        assert len(rows) == (min(height, (row + 1) * patch) - row * patch) * (
            min(width, (column + 1) * patch) - column * patch
        )


def _analytic():
    """The toy model of icrto/xML's golden values: f(x) = sigmoid(sum(W x)) on seeded inputs."""
    image = torch.tensor(np.random.RandomState(20).rand(1, 3, 32, 32))
    relevance = torch.tensor(np.random.RandomState(21).rand(1, 1, 32, 32))
    weight = torch.tensor(0.05 * np.random.RandomState(22).randn(3, 32, 32))

    def model(batch):
        score = (batch * weight).sum(dim=(1, 2, 3))
        return torch.stack([torch.zeros_like(score), score], dim=1)

    return model, image, relevance


def test_order_and_scores_of_icrto_xml():
    model, image, relevance = _analytic()
    order = patch_ranks(relevance, 8)[0].flatten().argsort()
    corners = [[int(cell) // 4 * 8, int(cell) % 4 * 8] for cell in order]
    assert corners[:8] == [[8, 0], [0, 16], [8, 8], [24, 8], [0, 24], [8, 16], [24, 0], [8, 24]]
    curve = PerturbationCurve(4, 100, ["black", "white", "gray"], target="true")
    scores = curve(model, image, relevance, label=torch.tensor([1]))[0]
    assert scores.shape == (3, 65)
    assert scores[:, 0].tolist() == pytest.approx([0.50435861] * 3, abs=1e-8)
    assert scores[0, 1:4].tolist() == pytest.approx([0.51299685, 0.55929606, 0.58715984], abs=1e-8)
    assert scores[1, 1:4].tolist() == pytest.approx([0.54093878, 0.56318681, 0.53830335], abs=1e-8)
    assert scores[2, 1:4].tolist() == pytest.approx([0.52698895, 0.56124237, 0.5628841], abs=1e-8)


@pytest.mark.parametrize(("patch", "step", "aopc"), [(8, 16, 0.137132), (8, 5, 0.016726), (4, 50, 0.00052361)])
def test_aopc_of_icrto_xml(patch, step, aopc):
    model, image, relevance = _analytic()
    scores = PerturbationCurve(patch, 100, ["black"], target="true")(model, image, relevance, torch.tensor([1]))
    assert aopc_curve(scores)[0, 0, 0] == 0
    assert aopc_curve(scores)[0, 0, step].item() == pytest.approx(aopc, abs=5e-7)


def test_a_constant_score_gives_zero():
    def model(batch):
        return torch.tensor([[1.0, 2.0]]).expand(len(batch), -1)

    scores = PerturbationCurve(4, 5, ["white"])(model, torch.rand(2, 3, 9, 10), torch.rand(2, 1, 9, 10))
    assert aopc_curve(scores).abs().max() == 0


def test_a_brightness_model_by_pencil():
    # logits (0, mean brightness): two of four patches are white, most relevant first, black fill
    image = torch.zeros(1, 1, 2, 2)
    image[0, 0, 0] = 1
    relevance = torch.tensor([[0.2, 0.9], [0.1, 0.0]]).view(1, 1, 2, 2)

    def model(batch):
        brightness = batch.mean(dim=(1, 2, 3))
        return torch.stack([torch.zeros_like(brightness), brightness], dim=1)

    scores = PerturbationCurve(1, 9, ["black", "white"])(model, image, relevance)
    expected = torch.sigmoid(torch.tensor([[0.5, 0.25, 0.0, 0.0, 0.0], [0.5, 0.5, 0.5, 0.75, 1.0]]))
    torch.testing.assert_close(scores[0], expected)


@pytest.mark.parametrize("semantics", ["recompute", "fixed"])
@pytest.mark.parametrize(
    ("height", "width", "patch", "options"),
    [(75, 101, 16, {}), (64, 48, 32, {"in_channels": 1, "mean": 0.4, "std": 0.2}), (33, 40, 7, {"classifier": "vgg"})],
)
def test_fast_equals_slow_loop(semantics, height, width, patch, options):
    model = settled_network(**options)
    image = torch.rand(2, model.in_channels, height, width)
    with torch.no_grad():
        relevance = model.explanation(image)
    relevance[:, :, -3:, -3:] += 1  # the bottom right corner, whose change also changes the padding, comes first
    curve = PerturbationCurve(patch, 4, ["black", "blur", "uniform"], semantics, batch_size=5)
    fast = curve(model, image, relevance)
    slow = slow_curve(model, image, relevance, curve)
    assert fast.shape == (2, 3, 5)
    torch.testing.assert_close(fast, slow, atol=1e-5, rtol=0)
    assert (slow - slow[..., :1]).abs().max() > 1e-4  # well above the tolerance, something happens


def test_local_and_full_recomputation_agree():
    model = settled_network()
    image, relevance = torch.rand(1, 3, 48, 56), torch.rand(1, 1, 48, 56)
    curve = PerturbationCurve(8, 6, ["black", "uniform"])
    torch.testing.assert_close(
        curve(model, image, relevance), curve(lambda x: model(x), image, relevance), atol=1e-5, rtol=0
    )


def test_both_semantics_differ_where_the_map_follows_the_image():
    model = settled_network()
    image, relevance = torch.rand(1, 3, 40, 40), torch.rand(1, 1, 40, 40)
    recompute, fixed = (PerturbationCurve(8, 5, ["black"], s)(model, image, relevance) for s in ("recompute", "fixed"))
    assert recompute[0, 0, 0] == fixed[0, 0, 0]
    assert (recompute - fixed).abs().max() > 1e-3


@pytest.mark.parametrize("batch_size", [1, 7, 64])
def test_batch_size_changes_nothing(batch_size):
    model, image, relevance = _analytic()
    reference = PerturbationCurve(8, 16, ["black", "blur"])(model, image, relevance)
    torch.testing.assert_close(
        PerturbationCurve(8, 16, ["black", "blur"], batch_size=batch_size)(model, image, relevance), reference
    )


def test_each_image_of_a_batch_is_measured_alone():
    model = settled_network()
    image, relevance = torch.rand(3, 3, 32, 40), torch.rand(3, 1, 32, 40)
    curve = PerturbationCurve(8, 3, ["uniform", "blur"], "fixed")
    together = curve(model, image, relevance)
    alone = torch.cat([curve(model, x, r) for x, r in zip(image.split(1), relevance.split(1), strict=True)])
    torch.testing.assert_close(together, alone, atol=1e-5, rtol=0)


def test_inputs_and_network_are_left_as_they_were():
    model = settled_network()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    image, relevance = torch.rand(1, 3, 32, 32), torch.rand(1, 1, 32, 32)
    copies = image.clone(), relevance.clone()
    PerturbationCurve(8, 3)(model, image, relevance)
    assert torch.equal(image, copies[0])
    assert torch.equal(relevance, copies[1])
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


def test_the_true_class_can_be_followed_instead_of_the_predicted_one():
    model, image, relevance = _analytic()
    of_true = PerturbationCurve(8, 3, ["gray"], target="true")(model, image, relevance, torch.tensor([0]))
    of_predicted = PerturbationCurve(8, 3, ["gray"])(model, image, relevance)
    torch.testing.assert_close(of_true, 1 - of_predicted)


def test_where_several_classes_may_be_present_the_most_probable_one_is_followed_by_its_own_probability():
    """Logits 4 m and -1 for an image of mean m: sigmoid(2) at one half, then sigmoid of what is not yet black."""

    def both(image):
        mean = image.mean(dim=(1, 2, 3))
        return torch.stack([4 * mean, torch.full_like(mean, -1)], dim=1)

    image, relevance = torch.full((1, 1, 2, 2), 0.5), torch.ones(1, 1, 2, 2)
    scores = PerturbationCurve(patch=1, steps=4, kinds=("black",), task="multilabel")(both, image, relevance)
    expected = torch.sigmoid(torch.tensor([2, 1.5, 1, 0.5, 0]))
    assert scores[0, 0].tolist() == pytest.approx(expected.tolist())


def test_curves_are_named_as_in_curves_json():
    assert PerturbationCurve(16, 3, ["black", "blur"], "fixed").names == ["black/16/fixed", "blur/16/fixed"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"patch": 0}, "patch is 0"),
        ({"steps": 0}, "steps is 0"),
        ({"batch_size": -1}, "batch_size is -1"),
        ({"semantics": "explainer"}, "expected one of recompute, fixed"),
        ({"target": "best"}, "expected one of predicted, true"),
        ({"kinds": ["blak"]}, "did you mean 'black'"),
        ({"task": "multi"}, "expected one of multiclass, multilabel"),
        ({"task": "multilabel", "target": "true"}, "target is 'true' in a multilabel task"),
    ],
)
def test_bad_options_are_named(options, message):
    with pytest.raises(ValueError, match=message):
        PerturbationCurve(**options)


def test_bad_calls_are_named():
    model, image, relevance = _analytic()
    with pytest.raises(ValueError, match=r"relevance has shape \(1, 1, 32, 31\), expected \(1, 1, 32, 32\)"):
        PerturbationCurve()(model, image, relevance[..., 1:])
    with pytest.raises(ValueError, match="NaN or infinite"):
        PerturbationCurve()(model, image, relevance * torch.nan)
    with pytest.raises(ValueError, match="function has none"):
        PerturbationCurve(semantics="fixed")(model, image, relevance)
    with pytest.raises(ValueError, match="no label was given"):
        PerturbationCurve(target="true")(model, image, relevance)
    with pytest.raises(ValueError, match="training mode"):
        PerturbationCurve()(settled_network().train(), image.float(), relevance.float())
