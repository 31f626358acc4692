"""The fundus phantom: what decides the label, what does not, and what an eye looks like."""

import dataclasses

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from common.data.phantoms import FUNDUS_PRESETS, Ellipse, FundusSettings, fundus_label, make_fundus

SMALL = {"count": 40, "size": 96, "disc": (0.36, 0.48)}


def choice(**changes):
    return FundusSettings.from_options({**SMALL, **changes})


def measured_ratio(mask):
    """Return the heights' ratio as read from the mask."""
    cup, disc = (np.flatnonzero((mask <= value).any(1)) for value in (0, 128))
    return (cup[-1] - cup[0] + 1) / (disc[-1] - disc[0] + 1)


@pytest.mark.parametrize("subset", [0, 1, 2])
def test_the_ratio_of_the_heights_decides_the_label(subset):
    chosen = choice(healthy=(0.3, 0.45), glaucoma=(0.65, 0.8))
    for index in range(30):
        sample = make_fundus(chosen, subset, index)
        low, high = chosen.glaucoma if sample.label else chosen.healthy
        assert low <= sample.scene.ratio <= high
        assert (measured_ratio(sample.mask) > 0.55) == bool(sample.label)
        assert sample.label == fundus_label(chosen, subset, index)


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 5000), st.integers(0, 2), st.integers(0, 10_000))
def test_cups_lie_inside_discs_inside_the_picture(seed, subset, index):
    mask = make_fundus(choice(seed=seed, vessels=False, lesions=False), subset, index).mask
    assert set(np.unique(mask)) == {0, 128, 255}
    padded = np.pad(mask, 1, constant_values=255)
    beside = [np.roll(padded, shift, axis)[1:-1, 1:-1] for axis in (0, 1) for shift in (1, -1)]
    touches_background = np.logical_or.reduce([neighbour == 255 for neighbour in beside])
    assert (touches_background & (mask == 0)).sum() <= 4  # a rim thinner than a pixel may vanish at a few places
    border = np.concatenate([mask[0], mask[-1], mask[:, 0], mask[:, -1]])
    assert (border == 255).all()


def test_an_ellipse_knows_its_height():
    assert Ellipse(0, 0, 3, 5, 0).height == pytest.approx(10)
    assert Ellipse(0, 0, 3, 5, np.pi / 2).height == pytest.approx(6)
    tilted = Ellipse(50.0, 40.0, 12, 20, 0.4)
    y = np.arange(0, 80, 0.02)
    inside = (tilted.radius(np.arange(0, 100, 0.1)[None], y[:, None]) <= 1).any(1)
    assert np.ptp(y[inside]) == pytest.approx(tilted.height, abs=0.1)


@pytest.mark.parametrize("fraction", [0.5, 0.1, 0.25])
def test_the_balance_is_exact(fraction):
    chosen = choice(positive_fraction=fraction)
    for subset in range(3):
        for count in (20, 40):
            assert sum(fundus_label(chosen, subset, index) for index in range(count)) == round(count * fraction)


def test_the_order_does_not_tell_the_label():
    labels = [fundus_label(choice(), 0, index) for index in range(400)]
    assert 70 < sum(labels[::2]) < 130


def test_an_image_depends_on_its_own_number_only():
    few, many = choice(count=4), choice(count=400)
    np.testing.assert_array_equal(make_fundus(few, 1, 3).image, make_fundus(many, 1, 3).image)
    assert (make_fundus(many, 1, 3).image != make_fundus(many, 2, 3).image).any()
    assert (make_fundus(many, 1, 3).image != make_fundus(choice(seed=1), 1, 3).image).any()


@pytest.mark.parametrize(
    "change",
    [{"vessels": False}, {"lesions": False}, {"camera_difference": 0.0}, {"hazy_fraction": 0.0}, {"noise": 0.0}],
    ids=lambda change: next(iter(change)),
)
def test_distractors_change_pictures_and_never_eyes(change):
    before, after = choice(hazy_fraction=1.0), choice(**{"hazy_fraction": 1.0, **change})
    changed = []
    for index in range(8):
        one, other = make_fundus(before, 2, index), make_fundus(after, 2, index)
        np.testing.assert_array_equal(one.mask, other.mask)
        assert one.label == other.label
        changed.append((one.image != other.image).any())
    assert any(changed)


def test_nothing_but_the_cup_tells_the_classes_apart():
    """Disc size and place, and the brightness far from the disc, are those of both classes alike."""
    samples = [make_fundus(choice(vessels=False, hazy_fraction=0.0), 0, index) for index in range(120)]
    labels = np.array([sample.label for sample in samples])

    def difference(values):
        values = np.array(values)
        spread = values.std() * np.sqrt(1 / labels.sum() + 1 / (1 - labels).sum())
        return abs(values[labels == 1].mean() - values[labels == 0].mean()) / spread

    assert difference([sample.scene.disc.b for sample in samples]) < 3
    assert difference([sample.scene.disc.x * sample.scene.temporal for sample in samples]) < 3
    assert difference([sample.image[(sample.mask == 255)].mean() for sample in samples]) < 3
    assert difference([sample.scene.cup.b for sample in samples]) > 8


def test_it_looks_like_a_fundus():
    sample = make_fundus(choice(size=160, disc=(0.25, 0.3), hazy_fraction=0.0, noise=0.0), 0, 0)
    image, mask = sample.image.astype(int), sample.mask
    height, width = mask.shape
    assert (height, width) == (155, 160)
    assert image[[0, 0, -1, -1], [0, -1, 0, -1]].max() < 20, "dark corners"
    y, x = np.mgrid[:height, :width]
    retina = (mask == 255) & (np.hypot(x - width / 2, y - height / 2) < 0.4 * width)
    red, green, blue = (np.median(image[retina][:, channel]) for channel in range(3))
    assert red > 1.5 * green > 1.5 * blue, "a reddish ground"
    without = make_fundus(choice(size=160, disc=(0.25, 0.3), hazy_fraction=0.0, noise=0.0, vessels=False), 0, 0)
    brightness = without.image.astype(int).sum(-1)
    medians = [np.median(brightness[mask == value]) for value in (0, 128, 255)]
    assert medians[0] > medians[1] > medians[2], "the cup is palest, the rim paler than the ground"
    darker = brightness - image.sum(-1) > 60
    assert 0.02 < darker[retina].mean() < 0.4, "vessels, but not only vessels"
    assert make_fundus(choice(), 1, 0).image.shape == (96, 96, 3)


def test_haze_hides_the_cup():
    clear, hazy = choice(hazy_fraction=0.0, noise=0.0), choice(hazy_fraction=1.0, noise=0.0)

    def contrast(chosen):
        found = []
        for index in range(10):
            sample = make_fundus(chosen, 0, index)
            assert sample.hazy == (chosen is hazy)
            grey = sample.image.mean(-1)
            found.append(np.median(grey[sample.mask == 0]) - np.median(grey[sample.mask == 128]))
        return np.mean(found)

    assert contrast(hazy) < 0.6 * contrast(clear)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"cuont": 3}, "no setting 'cuont'; did you mean 'count'"),
        ({"count": (10, 10)}, "count=(10, 10): expected one number, or three"),
        ({"count": 1}, "expected at least 2"),
        ({"count": "lots"}, "expected a whole number"),
        ({"size": 20}, "size=20: expected at least 32"),
        ({"healthy": (0.3, 0.65)}, "healthy=0.3,0.65 reaches glaucoma=0.6,0.8: leave a gap"),
        ({"glaucoma": (0.8, 0.7)}, "glaucoma=0.8,0.7: expected two rising numbers"),
        ({"glaucoma": (0.8, 0.95)}, "above 0, up to 0.9"),
        ({"disc": 0.1}, "the smallest cup would be 2.9 pixels high, expected at least 4: raise size"),
        ({"disc": 0.7}, "leaves no room; lower disc"),
        ({"hazy_fraction": 1.5}, "hazy_fraction=1.5: expected a number from 0 to 1"),
        ({"positive_fraction": 1.0}, "positive_fraction=1: expected a number between 0 and 1"),
        ({"table": "ods"}, "table='ods': expected csv or xlsx"),
        ({"vessels": 1}, "vessels=1: expected True or False"),
    ],
)
def test_impossible_settings(options, words):
    with pytest.raises(ValueError) as caught:  # noqa: PT011  # the words are checked, with their brackets
        FundusSettings.from_options({**SMALL, **options})
    assert words in str(caught.value)


def test_settings_survive_the_way_through_json():
    for preset in FUNDUS_PRESETS:
        chosen = FundusSettings.from_options({"seed": 3}, preset)
        assert FundusSettings.from_options(chosen.to_options()) == chosen
    with pytest.raises(ValueError, match="no preset 'demmo'; did you mean 'demo'"):
        FundusSettings.from_options({}, "demmo")
    with pytest.raises(dataclasses.FrozenInstanceError):
        chosen.seed = 4
