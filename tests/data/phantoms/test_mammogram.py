"""The mammography phantom: what decides the label, what does not, and what a breast looks like."""

import dataclasses

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from common.data.phantoms import MAMMOGRAM_PRESETS, MammogramSettings, breast_facts, make_mammogram
from common.data.phantoms.mammogram_lesions import paint_mass, sample_mass
from common.data.phantoms.mammogram_tissue import draw_lines, sample_breast, smooth_noise

SMALL = {"count": 40, "size": (96, 48), "radius": (0.05, 0.07), "spicules": 12}


def choice(**changes):
    return MammogramSettings.from_options({**SMALL, **changes})


# ---------------------------------------------------------------- labels


@pytest.mark.parametrize("fraction", [0.5, 0.1, 0.25])
def test_the_balance_is_exact(fraction):
    facts = [breast_facts(choice(positive_fraction=fraction), number) for number in range(80)]
    assert sum(breast.label for breast in facts) == 80 * fraction


def test_side_and_calcifications_tell_nothing():
    facts = [breast_facts(choice(seed=4), number) for number in range(2000)]
    for label in (0, 1):
        breasts = [breast for breast in facts if breast.label == label]
        assert sum(breast.laterality == "L" for breast in breasts) == 500
        assert np.mean([breast.calcifications for breast in breasts]) == pytest.approx(0.55, abs=0.04)
        assert np.mean([breast.radius for breast in breasts]) == pytest.approx(0.06 * 96, abs=0.1)
        assert np.mean([breast.density for breast in breasts]) == pytest.approx(0.3, abs=0.02)


def test_women_have_one_or_two_breasts_with_two_views():
    facts = [breast_facts(choice(), number) for number in range(400)]
    by_woman = {}
    for breast in facts:
        by_woman.setdefault(breast.patient, []).append(breast)
    assert sorted({len(breasts) for breasts in by_woman.values()}) == [1, 2]
    assert len(by_woman) == 300
    for breasts in by_woman.values():
        assert len({breast.laterality for breast in breasts}) == len(breasts)
        assert len({breast.age for breast in breasts}) == 1
    for number in range(6):
        views = [make_mammogram(choice(), 2 * number + view) for view in (0, 1)]
        assert [sample.view for sample in views] == ["CC", "MLO"]
        assert views[0].facts == views[1].facts == breast_facts(choice(), number)


def test_masses_are_where_the_facts_say():
    for index in range(40):
        sample = make_mammogram(choice(seed=1), index)
        assert sample.mask.any() == sample.facts.mass == (sample.box is not None)
        assert sample.facts.mass or not sample.facts.label
        if sample.box:
            x0, y0, x1, y1 = sample.box
            inside = np.zeros_like(sample.mask)
            inside[y0:y1, x0:x1] = True
            assert not (sample.mask & ~inside).any()
            assert sample.mask[y0].any()
            assert sample.mask[:, x1 - 1].any()
            # seen as brighter than what is round it
            around = inside & ~sample.mask & (sample.image > 0)
            assert sample.image[sample.mask].mean() > sample.image[around].mean()


def test_only_malignant_masses_have_rays():
    """Far from the core a spiculated mass alternates between rays and gaps; a smooth one has ended."""
    for seed in range(12):
        for malignant in (False, True):
            mass = sample_mass(8.0, malignant, (12, 12), (1.7, 2.5), np.random.default_rng(seed))
            assert mass.malignant is malignant
            shape, visible = paint_mass(mass, (30, 30), (60, 60))
            angles = np.linspace(0, 2 * np.pi, 360, endpoint=False)
            ring = shape[np.rint(30 + 12 * np.sin(angles)).astype(int), np.rint(30 + 12 * np.cos(angles)).astype(int)]
            rays = np.count_nonzero(np.diff((ring > 0.25).astype(int)) == 1)
            assert (rays >= 5) == malignant
            assert visible[30, 30]
            assert 0.7 < shape[30, 30] <= 1


def test_both_kinds_of_mass_are_equally_large():
    areas = {}
    for malignant in (False, True):
        masses = [sample_mass(8.0, malignant, (12, 12), (1.7, 2.5), np.random.default_rng(seed)) for seed in range(60)]
        cores = [dataclasses.replace(mass, spicules=()) for mass in masses]
        areas[malignant] = np.mean([paint_mass(core, (30, 30), (60, 60))[0].sum() for core in cores])
    assert areas[True] == pytest.approx(areas[False], rel=0.05)


# ---------------------------------------------------------------- one image, one seed


@settings(max_examples=10, deadline=None)
@given(st.integers(0, 10_000), st.integers(0, 5000))
def test_an_image_depends_on_settings_seed_and_number_alone(seed, index):
    one, two = (make_mammogram(choice(seed=seed, count=count), index) for count in (8, 4000))
    np.testing.assert_array_equal(one.image, two.image)
    assert one.facts == two.facts
    assert (make_mammogram(choice(seed=seed + 1), index).image != one.image).any()


def test_noise_markers_and_storage_change_nothing_else():
    plain = make_mammogram(choice(noise=0, markers=False, monochrome1_fraction=0), 3)
    for change in ({"noise": 0.05}, {"markers": True}, {"monochrome1_fraction": 1}, {"validation_fraction": 0.3}):
        other = make_mammogram(choice(**{"noise": 0, "markers": False, "monochrome1_fraction": 0, **change}), 3)
        np.testing.assert_array_equal(other.mask, plain.mask)
        different = (other.image != plain.image).mean()
        assert different == 0 if "noise" not in change and "markers" not in change else 0 < different < 0.9


@pytest.mark.parametrize("preset", MAMMOGRAM_PRESETS)
def test_presets_look_like_mammograms(preset):
    chosen = MammogramSettings.from_options({}, preset)
    for index in range(4):
        sample = make_mammogram(chosen, index)
        image = sample.image if sample.facts.laterality == "L" else sample.image[:, ::-1]
        assert image.shape == chosen.size
        assert image.max() <= 4095
        assert 0.2 < (image > 0).mean() < 0.85, "breast and air"
        assert (image[len(image) // 2, :4] > 0).all(), "the breast begins at the chest wall"
        assert (image[:, -2:] > 0).mean() < 0.1, "and does not reach the other side"


def test_the_muscle_is_seen_from_the_side_only():
    shape, position = np.random.default_rng(0), np.random.default_rng(1)
    side, above = (sample_breast((192, 96), oblique, shape, position) for oblique in (True, False))
    assert side.beyond_muscle(1.0)[2, 2] == 0
    assert side.beyond_muscle(1.0)[-1, 2] == 1
    assert above.beyond_muscle(1.0).min() == 1
    assert side.inside[0, 0]
    assert not above.inside[0, 0]


def test_parts_of_the_painter():
    line = (np.array([[2.0, 5.0], [18.0, 5.0]]), np.array([2.0, 2.0]), 0.8)
    drawn = draw_lines((10, 20), [line])
    assert drawn.max() == pytest.approx(0.8, abs=0.01)
    assert drawn[4:6, 4:16].min() > 0.3
    assert drawn[8:].max() == 0
    noise = smooth_noise((64, 32), 1.5, np.random.default_rng(0))
    assert noise.mean() == pytest.approx(0, abs=1e-9)
    assert noise.std() == pytest.approx(1)
    assert np.abs(np.diff(noise, axis=0)).mean() < 0.5, "neighbours are alike"


# ---------------------------------------------------------------- settings


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"count": 4}, "count=4: expected at least 8"),
        ({"count": "many"}, "count='many': expected a whole number"),
        ({"coutn": 40}, "there is no setting 'coutn'; did you mean 'count'"),
        ({"size": 96}, "size=96: expected two numbers, height and width, such as 192,96"),
        ({"size": (96, 96)}, "size=96,96: expected a height of about twice the width"),
        ({"radius": (0.01, 0.02)}, "the smallest mass would have a radius of 1.0 pixels, expected at least 3"),
        ({"radius": (0.05, 0.2)}, "a mass above 0.09 fits into no breast; lower radius"),
        ({"islands": (3, 1)}, "islands=3,1: the first number is the smaller one; write islands=1,3"),
        ({"density": (0.2, 1.2)}, "density=0.2,1.2: expected numbers from 0 to 1"),
        ({"round_fraction": 1.2}, "round_fraction=1.2: expected a number from 0 to 1"),
        ({"positive_fraction": 1.0}, "positive_fraction=1: expected a number between 0 and 1"),
        ({"contrast": 0}, "contrast=0: expected a number above 0, up to 1.5"),
        ({"validation_fraction": 0.5, "test_fraction": 0.5}, "together they must be below 1"),
        ({"noise": -1}, "noise=-1.0: expected at least 0"),
    ],
)
def test_mistakes_in_the_settings(changes, words):
    with pytest.raises(ValueError, match=words):
        choice(**changes)


def test_settings_survive_the_way_through_plain_values():
    chosen = choice(radius=0.06, islands=(1, 2), markers=False)
    assert chosen.radius == (0.06, 0.06)
    assert MammogramSettings.from_options(chosen.to_options()) == chosen
    with pytest.raises(ValueError, match="there is no preset 'dmeo'; did you mean 'demo'"):
        MammogramSettings.from_options({}, "dmeo")
