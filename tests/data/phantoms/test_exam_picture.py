"""The views of an exam: findings are where the description says, in both views, and seen in the image."""

import dataclasses

import numpy as np
import pytest

from common.data.phantoms import ExamSettings, describe_exam, make_views
from common.data.phantoms.exam_tissue import GLAND_SHARE, frame_of, height_in, paint_gland, sample_layout

SETTINGS = ExamSettings.from_options({"asymmetry_fraction": 0.15, "seed": 1})
EXAMS = [describe_exam(SETTINGS, "test", number) for number in range(30)]
VIEWS = {exam.number: {view.view: view for view in make_views(SETTINGS, exam)} for exam in EXAMS}


def lesions():
    for exam in EXAMS:
        for breast in exam.breasts:
            for lesion in breast.lesions:
                yield exam, breast.side, lesion


def test_images_are_as_their_files_show_them():
    for views in VIEWS.values():
        assert list(views) == ["left_cc", "left_mlo", "right_cc", "right_mlo"]
        for name, view in views.items():
            assert (view.image.shape, view.image.dtype) == ((96, 96), np.uint8)
            wall = view.breast[:, 0 if name.startswith("left") else -1]
            assert wall.mean() > 0.5, "the chest wall is on the left of a left breast"
            assert not view.breast[:, -1 if name.startswith("left") else 0].any()
            assert (view.image[view.breast] > 0).all()
            assert view.muscle.any() == name.endswith("mlo")
            air = view.image[~view.breast]
            assert (air == 0).mean() > 0.85, "nothing but the soft skin and the letters"


def test_every_finding_has_a_mask_round_its_place_in_both_views():
    count = 0
    for exam, side, lesion in lesions():
        for name in ("cc", "mlo"):
            view = VIEWS[exam.number][f"{side}_{name}"]
            mask, (x, y) = view.masks[lesion.finding.type], view.centres[lesion.finding.type]
            rows, columns = np.nonzero(mask)
            away = np.hypot(columns.mean() + 0.5 - x, rows.mean() + 0.5 - y)
            # Grouped specks scatter round their centre; findings at the chest wall are cut off.
            assert away < (3 if lesion.finding.type != "calcification" else 9)
            assert not (mask & ~view.breast).any()
            count += 1
    assert count > 50


def test_what_is_masked_is_brighter_than_without_the_finding():
    for exam, side, lesion in lesions():
        breasts = tuple(dataclasses.replace(one, lesions=()) if one.side == side else one for one in exam.breasts)
        without = {view.view: view for view in make_views(SETTINGS, dataclasses.replace(exam, breasts=breasts))}
        for name in ("cc", "mlo"):
            view, plain = VIEWS[exam.number][f"{side}_{name}"], without[f"{side}_{name}"]
            added = view.image.astype(int) - plain.image
            mask = view.masks[lesion.finding.type]
            assert added[mask].mean() > 5, lesion
            everywhere = np.any(list(view.masks.values()), axis=0)
            # Soft borders aside, nothing else changes: what hides findings is the same with and without them.
            assert np.abs(added[~everywhere & view.breast]).mean() < 3
        if len(exam.breasts[0].lesions) + len(exam.breasts[1].lesions) == 1:
            other = "right_cc" if side == "left" else "left_cc"
            np.testing.assert_array_equal(VIEWS[exam.number][other].image, without[other].image)


def test_both_views_show_one_place():
    """Depth is common; CC shows what is outer on top, MLO what is upper and outer."""
    assert height_in(False, 0.4, -0.3) == 0.4
    assert height_in(True, 0.4, -0.3) == pytest.approx(0.1 / 2**0.5)
    for exam, side, lesion in lesions():
        depths, heights = [], []
        for name in ("cc", "mlo"):
            x, y = VIEWS[exam.number][f"{side}_{name}"].centres[lesion.finding.type]
            depths.append(x if side == "left" else 96 - x)
            heights.append(96 / 2 - y)
        assert depths[0] == pytest.approx(depths[1], rel=0.1)
        if abs(lesion.outer) > 0.3:
            assert (heights[0] > 0) == (lesion.outer > 0)


@pytest.mark.parametrize("oblique", [False, True])
def test_dense_breasts_have_more_gland(oblique):
    rng = np.random.default_rng(0)
    frame, layout = frame_of(96, oblique, rng, rng), sample_layout(rng)
    inside = frame.inside()
    shares = [
        (paint_gland(frame, layout, density, inside, np.random.default_rng(1)) > 0.45)[inside > 0.5].mean()
        for density in GLAND_SHARE
    ]
    np.testing.assert_allclose(shares, list(GLAND_SHARE.values()), atol=0.08)


def test_the_layout_is_shared_by_the_views():
    """The mean over rows depends on depth alone, which both views show: it goes together in the views of a breast."""
    size, together, apart = 96, [], []
    for number in range(40):
        rng = np.random.default_rng(number)
        layouts = sample_layout(rng), sample_layout(rng)
        profiles = []
        for oblique, layout in ((False, layouts[0]), (True, layouts[0]), (True, layouts[1])):
            frame = frame_of(size, oblique, np.random.default_rng(7), np.random.default_rng(8))
            inside = frame.inside()
            gland = paint_gland(frame, layout, "b", inside, np.random.default_rng([number, oblique]))
            rows = slice(int(frame.level - 0.2 * size), int(frame.level + 0.2 * size))
            profiles.append(gland[rows, : int(0.8 * frame.deep)].mean(0)[:50])
        together.append(np.corrcoef(profiles[0], profiles[1])[0, 1])
        apart.append(np.corrcoef(profiles[0], profiles[2])[0, 1])
    assert np.mean(together) > np.mean(apart) + 0.15


def test_images_repeat_and_scale():
    again = make_views(SETTINGS, EXAMS[3])
    np.testing.assert_array_equal(again[1].image, VIEWS[3]["left_mlo"].image)
    large = ExamSettings.from_options({**SETTINGS.to_options(), "size": 192})
    views = {view.view: view for view in make_views(large, describe_exam(large, "test", 3))}
    for name, view in views.items():
        assert set(view.masks) == set(VIEWS[3][name].masks)
        for kind, place in view.centres.items():
            np.testing.assert_allclose(place, 2 * np.array(VIEWS[3][name].centres[kind]), atol=1e-6)
