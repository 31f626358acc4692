"""The pictures: what is in them, what their masks and boxes say, and that each depends on its own number only."""

import dataclasses
from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from common.data.phantoms.polygons import CIRCLE, StarPolygon
from common.data.phantoms.shapes import draw_scene, label_of, make_sample, sample_scene
from common.data.phantoms.shapes_settings import PRESETS, ShapesSettings

TRIANGLE, SQUARE = StarPolygon(3), StarPolygon(4)
SMALL = {"size": 64, "radius": (6, 9), "shapes": (3, 5)}
# The inside of the smallest circle has to hold a target, so these are larger.
ENCIRCLED = {"size": 96, "target": "4/1", "outside": "circle", "radius": (12, 18), "shapes": 3, "stroke": 1}


def options(**changes):
    return ShapesSettings.from_options({**SMALL, **changes})


SETTINGS = {
    "default": options(),
    "several targets": options(shapes=(4, 6), targets=(1, 3)),
    "star target, grey, white on black": options(target="5/2", channels=1, background=0),
    "circle target": options(target="circle"),
    "simplified": options(simplified=True),
    "without circles": options(circles=False),
    "overlapping, filled, coloured": options(overlap=True, filled=True, target_colour=(0, 128, 0)),
    "beyond the border, not square": options(keep_inside=False, size=(48, 80)),
    "without rotation, noisy": options(rotation=False, noise=30),
    "encircled": ShapesSettings.from_options(ENCIRCLED),
    "in a hexagon": ShapesSettings.from_options({**ENCIRCLED, "outside": "6/1", "target": "3/1"}),
}
CASES = pytest.mark.parametrize("choice", SETTINGS.values(), ids=SETTINGS.keys())


@CASES
def test_image_masks_boxes_and_label_agree(choice):
    height, width = choice.size
    for index in range(12):
        sample = make_sample(choice, index)
        assert sample.image.shape == (height, width, choice.channels)
        assert sample.image.dtype == sample.mask_box.dtype == sample.mask_shape.dtype == np.uint8
        for mask in (sample.mask_box, sample.mask_shape):
            assert mask.shape == (height, width)
            assert set(np.unique(mask)) <= {0, 255}
            assert mask.any() == bool(sample.label), "masks are empty in negative images and only there"
        assert not (sample.mask_shape.astype(bool) & ~sample.mask_box.astype(bool)).any(), "the shape lies in its box"
        assert bool(sample.boxes) == bool(sample.label) == bool(sample.scene.regions)
        painted = np.zeros((height, width), np.uint8)
        for x0, y0, x1, y1 in sample.boxes:
            assert 0 <= x0 < x1 <= width
            assert 0 <= y0 < y1 <= height
            painted[y0:y1, x0:x1] = 255
        np.testing.assert_array_equal(painted, sample.mask_box)


@CASES
def test_numbers_of_shapes_and_targets(choice):
    for index in range(12):
        sample = make_sample(choice, index)
        centres = {(shape.x, shape.y) for shape in sample.scene.shapes}
        assert choice.shapes[0] <= len(centres) <= choice.shapes[1]
        if sample.label:
            assert choice.targets[0] <= len(sample.boxes) <= choice.targets[1]


@pytest.mark.parametrize("name", [name for name in SETTINGS if SETTINGS[name].outside is None])
def test_negatives_hold_no_target_nor_copies_of_it(name):
    choice = SETTINGS[name]
    for index in range(40):
        sample = make_sample(choice, index)
        targets = [shape for shape in sample.scene.shapes if shape.kind.is_made_of(choice.target)]
        assert len(targets) == len(sample.scene.regions)
        assert tuple(targets) == sample.scene.regions


def encircled(scene, choice):
    """Find targets that share their centre with an outside polygon, from the list of drawn shapes alone."""
    inner = [shape for shape in scene.shapes if shape.kind == choice.target]
    outer = [shape for shape in scene.shapes if shape.kind == choice.outside]
    return [
        (a, b) for a in inner for b in outer if (a.x, a.y, a.rotation) == (b.x, b.y, b.rotation) and a.radius < b.radius
    ]


@pytest.mark.parametrize("name", ["encircled", "in a hexagon"])
def test_only_encircled_targets_count(name):
    choice = SETTINGS[name]
    seen: Counter[str] = Counter()
    for index in range(60):
        sample = make_sample(choice, index)
        pairs = encircled(sample.scene, choice)
        assert len(pairs) == sample.label
        assert tuple(outer for _, outer in pairs) == sample.scene.regions, "the box is that of the outside polygon"
        for inner, outer in pairs:
            assert inner.radius + choice.stroke < outer.kind.inradius(outer.radius), "the outlines do not touch"
        if not sample.label:
            by_centre = Counter((shape.x, shape.y) for shape in sample.scene.shapes)
            alone = [shape for shape in sample.scene.shapes if by_centre[shape.x, shape.y] == 1]
            seen["bare target"] += any(shape.kind == choice.target for shape in alone)
            seen["empty outside"] += any(shape.kind == choice.outside for shape in alone)
            seen["outside round another shape"] += max(by_centre.values()) == 2
    # Otherwise a target, an outside polygon, or anything nested would give the class away.
    assert all(seen[miss] >= 5 for miss in ("bare target", "empty outside", "outside round another shape")), seen


@given(st.integers(0, 2**31), st.integers(1, 200), st.sampled_from([0.5, 0.25, 0.3, 0.9]))
def test_the_balance_is_exact(seed, pairs, fraction):
    choice = options(seed=seed, positive_fraction=fraction)
    labels = [label_of(choice, index) for index in range(2 * pairs)]
    assert set(labels) <= {0, 1}
    assert abs(sum(labels) - 2 * pairs * fraction) <= 0.5
    assert abs(sum(labels[:-1]) - (2 * pairs - 1) * fraction) <= 1.5


def test_the_class_does_not_follow_from_the_number_being_odd():
    labels = np.array([label_of(options(), index) for index in range(400)])
    assert labels.sum() == 200
    assert 70 < labels[1::2].sum() < 130


def test_an_image_depends_on_the_seed_and_its_number_only():
    choice = options(noise=10)
    more = dataclasses.replace(choice, count=5000, test_fraction=0.5)
    backwards = {index: make_sample(more, index) for index in reversed(range(6))}
    for index in range(6):
        np.testing.assert_array_equal(make_sample(choice, index).image, backwards[index].image)
        assert make_sample(choice, index).scene == backwards[index].scene
    other = dataclasses.replace(choice, seed=1)
    assert all(make_sample(other, index).scene != backwards[index].scene for index in range(6))


def test_no_two_images_are_alike():
    images = {make_sample(options(), index).image.tobytes() for index in range(50)}
    assert len(images) == 50


@CASES
def test_shapes_keep_off_the_border_and_each_other(choice):
    height, width = choice.size
    outer_shapes = []
    for index in range(10):
        shapes = make_sample(choice, index).scene.shapes
        outer = list({(shape.x, shape.y): shape for shape in sorted(shapes, key=lambda shape: shape.radius)}.values())
        outer_shapes += outer
        reach = [shape.radius + choice.stroke / 2 for shape in outer]
        if choice.keep_inside:
            for shape, r in zip(outer, reach, strict=True):
                assert r - 1e-9 <= shape.x <= width - r + 1e-9
                assert r - 1e-9 <= shape.y <= height - r + 1e-9
        if not choice.overlap:
            for i, a in enumerate(outer):
                for j, b in enumerate(outer[:i]):
                    assert np.hypot(a.x - b.x, a.y - b.y) >= reach[i] + reach[j] + 1 - 1e-9
    if not choice.keep_inside:
        assert any(shape.x < shape.radius or shape.y < shape.radius for shape in outer_shapes)
    if not choice.rotation:
        assert {shape.rotation for shape in outer_shapes} == {0.0}
    low, high = choice.radius
    assert all(low <= shape.radius <= high for shape in outer_shapes)


@settings(max_examples=25)
@given(st.integers(0, 2**31), st.booleans())
def test_a_scene_never_depends_on_anything_but_its_generator(seed, positive):
    first, second = (sample_scene(options(), positive, np.random.default_rng(seed)) for _ in range(2))
    assert first == second
    assert len(first.regions) == positive


def test_simplified_scenes_are_targets_and_circles():
    kinds = {shape.kind for index in range(20) for shape in make_sample(SETTINGS["simplified"], index).scene.shapes}
    assert kinds == {TRIANGLE, CIRCLE}


def test_other_shapes_cover_all_that_was_asked_for():
    """Vertices 3 to 6 without the target {3/1} and without {6/2}, which is two of them; both ends are included."""
    choice = options(vertices=(3, 6))
    assert choice.distractors == {
        -1: [CIRCLE],
        4: [SQUARE],
        5: [StarPolygon(5), StarPolygon(5, 2)],
        6: [StarPolygon(6)],
    }
    drawn = Counter(shape.kind for i in range(100) for shape in make_sample(choice, i).scene.shapes)
    assert set(drawn) == {TRIANGLE, CIRCLE, SQUARE, StarPolygon(5), StarPolygon(5, 2), StarPolygon(6)}


def test_targets_take_no_special_place():
    """Neither size nor distance from the middle may tell a target: early shapes find room more easily."""
    choice = ShapesSettings()
    radius: dict[bool, list[float]] = {True: [], False: []}
    offset: dict[bool, list[float]] = {True: [], False: []}
    for index in range(400):
        for shape in make_sample(choice, index).scene.shapes:
            is_target = shape.kind == choice.target
            radius[is_target].append(shape.radius)
            offset[is_target].append(np.hypot(shape.x - 48, shape.y - 48))
    for values in (radius, offset):
        error = np.hypot(*(np.std(values[key]) / np.sqrt(len(values[key])) for key in (True, False)))
        assert abs(np.mean(values[True]) - np.mean(values[False])) < 4 * error


def test_noise_is_clipped_and_changes_nothing_else():
    """The reference casts without clipping, so that on white the strokes vanish and the background gets black dots."""
    clean, noisy = (make_sample(options(noise=noise), 0) for noise in (0, 8))
    assert clean.scene == noisy.scene
    np.testing.assert_array_equal(clean.mask_shape, noisy.mask_shape)
    difference = noisy.image.astype(int) - clean.image
    assert np.abs(difference).max() < 60, "nothing wrapped around"
    assert noisy.image[clean.image == 255].min() > 200
    assert noisy.image[clean.image == 0].max() < 55
    # Half of the noise on white is cut off; what is left has the standard deviation's half-normal mean.
    assert 255 - noisy.image[clean.image == 255].mean() == pytest.approx(8 / np.sqrt(2 * np.pi), abs=0.2)


@pytest.mark.parametrize(
    ("choice", "background", "ink"),
    [
        (options(), (255, 255, 255), (0, 0, 0)),
        (options(background=0), (0, 0, 0), (255, 255, 255)),  # the reference paints only the blue channel here
        (options(background=(200, 100, 0), colour=(0, 0, 255)), (200, 100, 0), (0, 0, 255)),
        (options(background=40, channels=1), (40,), (215,)),
    ],
    ids=["white", "black", "colours", "grey"],
)
def test_colours(choice, background, ink):
    image = make_sample(choice, 0).image.reshape(-1, choice.channels)
    colours = Counter(map(tuple, image.tolist()))
    assert [colour for colour, _ in colours.most_common(2)] == [background, ink]


@pytest.mark.parametrize("target", ["3/1", "circle"])
def test_only_targets_take_their_colour(target):
    choice = options(target=target, target_colour=(0, 200, 0))
    for index in range(8):
        sample = make_sample(choice, index)
        green = (sample.image == (0, 200, 0)).all(axis=2)
        assert green.any() == bool(sample.label)
        assert not (green & (sample.mask_box == 0)).any()


def test_thicker_strokes_and_filling_paint_more():
    scene = make_sample(options(), 0).scene
    thin, thick, full = (
        (draw_scene(scene, options(stroke=stroke, filled=filled)) < 128).sum()
        for stroke, filled in ((1, False), (3, False), (1, True))
    )
    assert thin < thick < full


def test_a_preset_is_a_start_that_options_change():
    choice = ShapesSettings.from_options({"size": 80, "noise": 5}, preset="demo")
    assert (choice.size, choice.noise, choice.count, choice.radius) == ((80, 80), 5.0, 1200, (8.0, 12.0))
    with pytest.raises(ValueError, match="no preset 'dmeo'; did you mean 'demo'"):
        ShapesSettings.from_options({}, preset="dmeo")


@pytest.mark.parametrize("preset", PRESETS)
def test_presets_give_images(preset):
    choice = ShapesSettings.from_options({}, preset)
    samples = [make_sample(choice, index) for index in (0, 1)]
    assert sum(sample.label for sample in samples) == 1
    assert all(sample.image.shape == (*choice.size, 3) for sample in samples)


def test_shapes_that_find_no_place_are_explained():
    crowded = options(shapes=40, tries=10)
    with pytest.raises(
        ValueError, match=r"40 shapes .* found no place .* lower shapes or radius, raise size, or set overlap"
    ):
        make_sample(crowded, 0)
    assert len(make_sample(dataclasses.replace(crowded, overlap=True), 0).scene.shapes) == 40


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"cuont": 3}, "no setting 'cuont'; did you mean 'count'"),
        ({"zzz": 3}, "no setting 'zzz'; there are: count, size"),
        ({"count": 0}, "count=0: expected at least 1"),
        ({"count": 2.5}, "count=2.5: expected a whole number"),
        ({"count": True}, "count=True: expected a whole number"),
        ({"seed": -1}, "seed=-1: expected at least 0"),
        ({"seed": "one"}, "seed='one': expected a whole number"),
        ({"rotation": "no"}, "rotation='no': expected True or False"),
        ({"stroke": 0.5}, "stroke=0.5: expected at least 1"),
        ({"noise": float("nan")}, "noise=nan: expected a number"),
        ({"noise": -1}, "noise=-1.0: expected at least 0"),
        ({"shapes": (3, 4, 5)}, "shapes=.*: expected one number, or two"),
        ({"shapes": (5, 3)}, "write shapes=3,5"),
        ({"targets": 4}, "targets=4 do not fit among shapes=3"),
        ({"vertices": (2, 5)}, "vertices=2: expected at least 3"),
        ({"radius": 1}, "radius=1.0: expected at least 2"),
        (
            {"radius": (6, 32)},
            "does not fit inside a canvas of 64 x 64: lower radius, raise size, or set keep_inside=False",
        ),
        ({"positive_fraction": 1.0}, "positive_fraction=1.0: expected a number between 0 and 1"),
        ({"test_fraction": 0.9}, "together they must be below 1"),
        ({"validation_fraction": -0.1}, "neither may be negative"),
        ({"mask": "outline"}, "mask='outline': expected 'box' or 'shape'"),
        ({"channels": 2}, "channels=2: expected 1"),
        ({"channels": 1, "background": (1, 2, 3)}, "give a single grey level, or channels=3"),
        ({"background": 300}, "grey levels go from 0 to 255"),
        ({"background": 120}, "colour .* cannot be seen on background"),
        ({"target_colour": 250}, "target_colour .* cannot be seen on background"),
        ({"filled": True, "overlap": True}, "a target vanishes among shapes of its own colour"),
        ({"filled": True, "outside": "circle"}, "filled=True hides what is inside"),
        ({"simplified": True, "target": "circle"}, "the target must be a polygon"),
        ({"simplified": True, "circles": False}, "the target must be a polygon and circles=True"),
        ({"circles": False, "vertices": 3}, "no shape is left to draw beside the target 3/1"),
        ({"outside": "5/2"}, "an outside polygon 5/2 of radius 6 may hold targets of radius 0.0"),
    ],
    ids=lambda value: str(value)[:40] if isinstance(value, dict) else "",
)
def test_impossible_settings_say_what_to_change(change, message):
    with pytest.raises(ValueError, match=message):
        options(**change)


@CASES
def test_settings_survive_being_written_as_plain_values(choice):
    assert ShapesSettings.from_options(choice.to_options()) == choice


def test_inner_radius_needs_an_outside_polygon():
    assert ShapesSettings.from_options(ENCIRCLED).inner_radius(12.0) == (5.0, 10.0)
    with pytest.raises(ValueError, match="no outside polygon"):
        ShapesSettings().inner_radius(12.0)
