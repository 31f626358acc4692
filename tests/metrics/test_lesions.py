"""Lesions one by one, on small images by hand."""

import numpy as np
import pytest

from common.metrics import image_dice, lesion_overlaps, match_lesions


def image(*boxes, size=16):
    values = np.zeros((size, size))
    for value, x0, y0, x1, y1 in boxes:
        values[y0:y1, x0:x1] = value
    return values


TRUTH = image((1, 0, 0, 4, 4), (1, 10, 10, 14, 12)) > 0  # 16 and 8 pixels


@pytest.mark.parametrize(
    ("drawn", "expected"),
    [
        (image(), [0, 0]),
        (image((1, 0, 0, 4, 4)), [1, 0]),
        (image((1, 0, 0, 4, 2), (1, 10, 10, 14, 14)), [0.5, 0.5]),
        (image((1, 0, 0, 1, 1), (1, 2, 2, 4, 4)), [4 / 16, 0]),  # of two parts the one that overlaps more
        (image((1, 0, 0, 16, 16)), [16 / 256, 8 / 256]),  # one part may lie on both
        (image((1, 3, 3, 10, 10)), [1 / (16 + 49 - 1), 0]),
    ],
)
def test_overlap_of_every_lesion(drawn, expected):
    np.testing.assert_allclose(lesion_overlaps(drawn > 0, TRUTH), expected)


def test_parts_that_touch_at_a_corner_are_one_lesion():
    truth = image((1, 0, 0, 2, 2), (1, 2, 2, 4, 4)) > 0
    np.testing.assert_allclose(lesion_overlaps(truth, truth), [1.0])
    assert lesion_overlaps(truth, image() > 0).shape == (0,)


@pytest.mark.parametrize(
    ("drawn", "truth", "expected"),
    [
        (image(), image(), 1.0),
        (image((1, 0, 0, 1, 1)), image(), 0.0),
        (image(), TRUTH, 0.0),
        (image((1, 0, 0, 4, 4)), TRUTH, 2 * 16 / (16 + 24)),
    ],
)
def test_dice_of_an_image_with_and_without_a_lesion(drawn, truth, expected):
    assert image_dice(drawn > 0, truth > 0) == pytest.approx(expected)


def test_peaks_are_marks_and_only_the_strongest_nearby_counts():
    values = image((0.9, 1, 1, 2, 2), (0.8, 3, 3, 4, 4), (0.6, 12, 11, 13, 12), (0.3, 2, 12, 3, 13))
    found = match_lesions(values, TRUTH, distance=4)
    assert found.targets == 2
    assert sorted(found.score[found.hit]) == [0.6, 0.9]  # 0.8 is near 0.9
    assert found.score[~found.hit].tolist() == [0.3]
    close = match_lesions(values, TRUTH, distance=1)
    assert close.score[close.hit].max() == 0.9  # a second mark in a lesion counts as nothing
    assert len(close.score) == 3


def test_a_flat_part_has_one_mark_in_its_middle():
    found = match_lesions(image((0.7, 9, 9, 15, 13)), TRUTH, distance=8)
    assert (found.score.tolist(), found.hit.tolist()) == ([0.7], [True])


def test_what_lies_below_the_floor_is_never_marked():
    found = match_lesions(np.full((16, 16), 0.005), TRUTH, floor=0.01)
    assert (len(found.score), found.targets) == (0, 2)


def test_what_does_not_fit_is_refused():
    with pytest.raises(ValueError, match=r"map of shape \(16, 16\) and a truth of \(8, 8\)"):
        image_dice(image() > 0, image(size=8) > 0)
    with pytest.raises(ValueError, match="distance is 0"):
        match_lesions(image(), TRUTH, distance=0)
