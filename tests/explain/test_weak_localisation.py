"""Boxes and a segmentation from small maps, by pencil; Otsu's level against scikit-image's."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from skimage.filters import threshold_otsu

from common.explain.weak_localisation import boxes_of_map, level_at, otsu_level, segmentation_of_map

# a ring with a hole (mean less than the spot's), a spot, a faint pixel
MAP = np.array(
    [
        [0.2, 0.2, 0.2, 0.2, 0.2, 0.2],
        [0.6, 0.6, 0.6, 0.2, 0.2, 1.0],
        [0.6, 0.2, 0.7, 0.2, 0.2, 0.9],
        [0.6, 0.6, 0.6, 0.2, 0.2, 0.2],
        [0.2, 0.2, 0.2, 0.3, 0.2, 0.2],
    ],
    dtype=np.float32,
)
FLAT = np.full((3, 4), 0.5, dtype=np.float32)


@pytest.mark.parametrize(("share", "level"), [(0.5, 0.6), (1.0, 1.0), (0.125, 0.3)])
def test_a_level_is_a_share_of_the_maps_own_range(share, level):
    assert level_at(MAP, share) == pytest.approx(level)
    assert level_at(MAP / 10 + 5, share) == pytest.approx(level / 10 + 5, rel=1e-6)


def test_boxes_around_parts_with_their_peaks():
    boxes, peaks, values = boxes_of_map(MAP, 0.5)
    found = sorted(zip(boxes.tolist(), peaks.tolist(), values.tolist(), strict=True))
    assert [entry[0] for entry in found] == [[0, 1, 3, 4], [5, 1, 6, 3]]
    assert [entry[1] for entry in found] == [[2, 2], [5, 1]]
    assert [entry[2] for entry in found] == pytest.approx([0.7, 1.0])


def test_small_parts_get_no_box():
    """The spot has 2 of 30 pixels."""
    assert boxes_of_map(MAP, 0.5, smallest=2 / 30)[0].tolist() != [[0, 1, 3, 4]]
    assert boxes_of_map(MAP, 0.5, smallest=3 / 30)[0].tolist() == [[0, 1, 3, 4]]


def test_neighbours_across_a_corner_are_one_part():
    assert boxes_of_map(np.eye(3, dtype=np.float32), 0.5)[0].tolist() == [[0, 0, 3, 3]]


def test_the_largest_part_without_its_hole():
    inside = segmentation_of_map(MAP, 0.5)
    assert inside.sum() == 9, "the ring's hole is filled, the spot is left out"
    assert inside[1:4, 0:3].all()
    assert segmentation_of_map(MAP, 0.5, parts=2).sum() == 11
    assert segmentation_of_map(MAP, 0.5, parts=None).sum() == 11
    assert segmentation_of_map(MAP, 0.25, parts=2).sum() == 10 + 2, "the faint pixel touches the ring"


@pytest.mark.parametrize("level", [0.5, 0.4, np.inf])
def test_a_map_without_preference_points_nowhere(level):
    boxes, peaks, values = boxes_of_map(FLAT, level)
    assert (boxes.shape, peaks.shape, values.shape) == ((0, 4), (0, 2), (0,))
    assert not segmentation_of_map(FLAT, level).any()


def test_above_the_maximum_there_is_nothing():
    assert len(boxes_of_map(MAP, 1.5)[0]) == 0
    assert not segmentation_of_map(MAP, 1.5).any()


def test_otsu_parts_two_groups():
    level = otsu_level(np.array([[0.1, 0.1, 0.12], [0.9, 0.88, 0.1]], dtype=np.float32))
    assert 0.12 < level <= 0.88
    assert otsu_level(FLAT) == 0.5


@settings(deadline=None, max_examples=30)
@given(seed=st.integers(0, 10_000))
def test_otsu_is_scikit_images(seed):
    """Its threshold is the middle of the last bin of the dark group, half a bin below this one's edge."""
    generator = np.random.default_rng(seed)
    values = generator.beta(2, 5, (12, 10)).astype(np.float32) + (generator.random((12, 10)) > 0.7)
    bin_width = float(values.max() - values.min()) / 256
    assert otsu_level(values) == pytest.approx(threshold_otsu(values) + bin_width / 2, abs=1e-5)


@pytest.mark.parametrize("share", [0, 1.2])
def test_a_share_out_of_range_is_refused(share):
    with pytest.raises(ValueError, match=f"the threshold is {share}, expected a share"):
        level_at(MAP, share)


def test_no_part_is_too_few():
    with pytest.raises(ValueError, match="parts is 0, expected 1 or more"):
        segmentation_of_map(MAP, 0.5, parts=0)
