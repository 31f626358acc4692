"""The chest phantom: which findings come together, where they are, and what a chest looks like."""

from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from common.data.phantoms import CHEST_FINDINGS, CHEST_PRESETS, ChestSettings, chest_facts, make_chest
from common.data.phantoms.chest import COMPANIONS
from common.data.phantoms.chest_anatomy import grid, sample_chest
from common.data.phantoms.chest_findings import find_room, lung_edge, paint_cloud, paint_round, pleural_air

SMALL = {"count": 16, "size": 96, "nodule": (0.025, 0.035)}


def choice(**changes):
    return ChestSettings.from_options({**SMALL, **changes})


def images_with(finding, number=6, **changes):
    chosen = choice(**changes)
    indices = (index for index in range(2000) if finding in chest_facts(chosen, index).findings)
    return [make_chest(chosen, next(indices)) for _ in range(number)]


# ---------------------------------------------------------------- who has what


def test_people_have_one_to_three_images_and_stay_the_same():
    facts = [chest_facts(choice(), index) for index in range(400)]
    by_person = {}
    for one in facts:
        by_person.setdefault(one.patient, []).append(one)
    assert len(by_person) == 250
    assert Counter(map(len, by_person.values())) == {1: 150, 2: 50, 3: 50}
    for images in by_person.values():
        assert [one.follow_up for one in images] == list(range(len(images)))
        assert len({one.sex for one in images}) == 1
        assert [one.age - images[0].age for one in images] == list(range(len(images)))
        assert all(set(one.findings) <= set(images[0].findings) for one in images), "findings only resolve"


@pytest.mark.parametrize("healthy", [0.0, 0.3, 0.8])
def test_the_share_of_healthy_people(healthy):
    facts = [chest_facts(choice(healthy_fraction=healthy), index) for index in range(3200)]
    first = [one for one in facts if one.follow_up == 0]
    assert np.mean([not one.findings for one in first]) == pytest.approx(healthy, abs=0.03)


def test_findings_come_together_as_the_table_says_and_each_also_alone():
    facts = [set(chest_facts(choice(), index).findings) for index in range(3200)]
    together = Counter((a, b) for found in facts for a in found for b in found if a != b)
    for name in CHEST_FINDINGS:
        with_it = [found for found in facts if name in found]
        assert len(with_it) > 0.08 * len(facts)
        assert sum(found == {name} for found in with_it) > 0.15 * len(with_it)
        companion = max(COMPANIONS[name], key=COMPANIONS[name].__getitem__)
        share = np.mean([companion in found for found in facts])
        assert together[name, companion] > 1.05 * share * len(with_it), f"{companion} is likelier with {name}"
    assert max(map(len, facts)) == 3
    alone = [chest_facts(choice(co_occurrence=0), index).findings for index in range(400)]
    assert max(map(len, alone)) == 1
    assert all(abs(sum(COMPANIONS[name].values()) - 1) < 1e-9 for name in CHEST_FINDINGS)


# ---------------------------------------------------------------- where it is


def test_masks_and_boxes_belong_to_the_findings():
    for index in range(24):
        sample = make_chest(choice(seed=1), index)
        assert tuple(sample.masks) == sample.facts.findings
        for name, (x0, y0, x1, y1) in sample.boxes.items():
            mask = sample.masks[name]
            assert mask[y0:y1, x0:x1].sum() == mask.sum() > 0
            assert all(side.any() for side in (mask[y0], mask[y1 - 1], mask[:, x0], mask[:, x1 - 1]))


@pytest.mark.parametrize("finding", ["Effusion", "Mass", "Nodule", "Infiltration"])
def test_shadows_are_brighter_than_what_is_round_them(finding):
    brighter = []
    for sample in images_with(finding):
        mask = sample.masks[finding]
        grown = np.zeros_like(mask)
        x0, y0, x1, y1 = sample.boxes[finding]
        grown[max(y0 - 6, 0) : y1 + 6, max(x0 - 6, 0) : x1 + 6] = True
        ring = grown & ~mask & ~np.logical_or.reduce(list(sample.masks.values()))
        brighter.append(sample.image[mask].mean() - np.percentile(sample.image[ring], 25))
    assert min(brighter) > 8


def test_air_is_darker_than_lung_and_has_no_vessels():
    for sample in images_with("Pneumothorax"):
        mask = sample.masks["Pneumothorax"]
        mirrored = mask[:, ::-1]  # about the same place of the other lung
        assert sample.image[mask].mean() < 0.75 * sample.image[mirrored].mean()
        assert mask.any(1).argmax() < 0.3 * len(mask), "it begins at the upper end of the lung"


def test_round_and_cloudy_shadows_keep_out_of_the_boxes_of_others():
    overlaps = 0
    for index in range(50):
        sample = make_chest(choice(seed=2, co_occurrence=1.0, healthy_fraction=0.0), index)
        boxes = sample.boxes
        for name in {"Mass", "Nodule", "Infiltration"} & set(boxes):
            for other in set(boxes) - {name}:
                (a0, b0, a1, b1), (c0, d0, c1, d1) = boxes[name], boxes[other]
                overlaps += max(min(a1, c1) - max(a0, c0), 0) * max(min(b1, d1) - max(b0, d0), 0) > 0
    assert overlaps <= 10, "a few where there is no room"


def test_an_enlarged_heart_is_wide():
    ratios = {}
    for enlarged in (False, True):
        drawn = [sample_chest(enlarged, *(np.random.default_rng([seed, k]) for k in (0, 1))) for seed in range(40)]
        x, y = grid(300)
        widths = [(chest.heart_radius(x, y) < 1).any(0).mean() for chest in drawn]
        ratios[enlarged] = [width / (2 * chest.half) for width, chest in zip(widths, drawn, strict=True)]
    assert 0.37 < min(ratios[False]) < max(ratios[False]) < 0.5
    assert 0.54 < min(ratios[True]) < max(ratios[True]) < 0.68


def test_parts_of_the_painter():
    rng = np.random.default_rng(0)
    shape, mask = paint_round((30.5, 20.5), 8, 0.0, 64, rng)
    assert shape.max() == shape[20, 30] == 1
    assert mask.sum() == pytest.approx(np.pi * 8.2**2, rel=0.1)
    free = np.zeros((64, 64), dtype=bool)
    free[10:40, 5:50] = True
    x, y = find_room(free, 10, rng)
    assert 15 <= x <= 40
    assert 20 <= y <= 30
    assert find_room(free, 1000, rng)[1] == pytest.approx(25, abs=4), "the roomiest place there is"
    cloud, covered = paint_cloud(free, (25, 25), 8, rng)
    assert not (covered & ~free).any()
    assert 0.2 < cloud[covered].mean() < 1
    chest = sample_chest(False, rng, rng)
    lung, air = chest.lung(128, 1), pleural_air(chest, 1, 128, rng)
    assert not (air & ~lung).any()
    edge = lung_edge(air, lung)
    assert edge[air].max() == 0
    assert edge.max() > 0.8


# ---------------------------------------------------------------- one image, one seed


@settings(max_examples=6, deadline=None)
@given(st.integers(0, 10_000), st.integers(0, 5000))
def test_an_image_depends_on_settings_seed_and_number_alone(seed, index):
    one, two = (make_chest(choice(seed=seed, count=count), index) for count in (8, 4000))
    np.testing.assert_array_equal(one.image, two.image)
    assert one.facts == two.facts
    assert (make_chest(choice(seed=seed + 1), index).image != one.image).any()


@pytest.mark.parametrize(
    "change", [{"noise": 0.05}, {"leads_fraction": 1.0}, {"contrast": 0.7}, {"test_fraction": 0.4}]
)
def test_looks_change_neither_findings_nor_their_places(change):
    different = False
    for index in range(6):
        plain, other = (make_chest(choice(**{"noise": 0, "leads_fraction": 0, **more}), index) for more in ({}, change))
        assert plain.facts == other.facts
        for name, mask in plain.masks.items():
            np.testing.assert_array_equal(other.masks[name], mask)
        different |= bool((plain.image != other.image).any())
    assert different == ("test_fraction" not in change)


@pytest.mark.parametrize("preset", CHEST_PRESETS)
def test_presets_look_like_chests(preset):
    chosen = ChestSettings.from_options({}, preset)
    for index in (4, 11):
        image = make_chest(chosen, index).image.astype(float) / 255
        assert image.shape == (chosen.size,) * 2
        side = chosen.size
        lungs, middle = (
            image[side // 4 : side // 2, side // 5 : side // 3],
            image[side // 4 : side // 2, side * 47 // 100 : side * 53 // 100],
        )
        belly, corner = image[-side // 8 :, side // 4 : 3 * side // 4], image[: side // 25, : side // 12]
        assert corner.mean() < 0.1 < lungs.mean() + 0.2 < middle.mean() < belly.mean() + 0.15


# ---------------------------------------------------------------- settings


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"count": 4}, "count=4: expected at least 8"),
        ({"count": "many"}, "count='many': expected a whole number"),
        ({"coutn": 40}, "there is no setting 'coutn'; did you mean 'count'"),
        ({"size": 32}, "size=32: expected at least 64"),
        ({"nodule": (0.01, 0.02)}, "the smallest nodule would have a radius of 1.0 pixels, expected at least 1.5"),
        ({"mass": (0.05, 0.2)}, "a mass above 0.11 fits into no lung; lower mass"),
        ({"mass": 0.03}, "nodule=0.025,0.035 reaches mass=0.03,0.03: leave a gap between them"),
        ({"mass": (0.09, 0.05)}, "mass=0.09,0.05: the first number is the smaller one; write mass=0.05,0.09"),
        ({"co_occurrence": 1.2}, "co_occurrence=1.2: expected a number from 0 to 1"),
        ({"healthy_fraction": 1}, "healthy_fraction=1: nobody would have a finding; lower it"),
        ({"contrast": 0}, "contrast=0: expected a number above 0, up to 1.5"),
        ({"validation_fraction": 0.5, "test_fraction": 0.5}, "together they must be below 1"),
        ({"noise": -1}, "noise=-1.0: expected at least 0"),
    ],
)
def test_mistakes_in_the_settings(changes, words):
    with pytest.raises(ValueError, match=words):
        choice(**changes)


def test_settings_survive_the_way_through_plain_values():
    chosen = choice(mass=0.06, leads_fraction=0)
    assert chosen.mass == (0.06, 0.06)
    assert ChestSettings.from_options(chosen.to_options()) == chosen
    with pytest.raises(ValueError, match="there is no preset 'dmeo'; did you mean 'demo'"):
        ChestSettings.from_options({}, "dmeo")
