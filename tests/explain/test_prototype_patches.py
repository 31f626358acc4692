import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from common.data.placement import Placement
from common.explain.activation import FINER, active_part, enlarged, place_of
from common.explain.prototype_patches import Part, SourceImages, cut_patch, network_view, part_in, patch_side


@pytest.mark.parametrize(
    ("percentile", "peak", "expected"),
    [
        (75, None, (0, 0, 2, 2)),  # from 0.3 on: the upper left part holds the maximum
        (75, (3, 3), (3, 2, 4, 4)),
        (95, None, (1, 1, 2, 2)),
        (95, (3, 3), (1, 1, 4, 4)),  # the threshold falls to the peak that is given; corners touch
    ],
)
def test_the_active_part_by_pencil(percentile, peak, expected):
    values = np.array([[0.3, 0.3, 0, 0], [0.3, 0.9, 0, 0], [0.1, 0.1, 0.2, 0.4], [0, 0, 0.2, 0.5]], np.float32)
    if percentile == 95 and peak is not None:
        values[2, 2] = 0.7
    assert active_part(values, percentile, peak) == expected


def test_a_map_without_preference_is_active_all_over():
    assert active_part(np.full((3, 5), 0.7, np.float32)) == (0, 0, 5, 3)


@given(st.integers(0, 10_000), st.integers(1, 6), st.integers(1, 6))
def test_enlarging_keeps_the_middle_of_every_cell(seed, rows, columns):
    values = np.random.default_rng(seed).random((rows, columns)).astype(np.float32)
    fine = enlarged(values)
    middle = slice(FINER // 2, None, FINER)
    np.testing.assert_allclose(fine[middle, middle], values, atol=1e-6)
    row, column = np.unravel_index(values.argmax(), values.shape)
    (x0, y0, x1, y1), (x, y), size = place_of(values, int(row), int(column))
    assert (x // FINER, y // FINER) == (column, row)
    assert 0 <= x0 <= x < x1 <= size[1] == FINER * columns
    assert 0 <= y0 <= y < y1 <= size[0] == FINER * rows


def test_a_part_in_the_pixels_of_an_image():
    values = np.zeros((4, 2), np.float32)
    values[2, 1] = 1
    part = part_in(values, 2, 1, (80, 40))
    assert part.peak == pytest.approx((30, 50))
    x0, y0, x1, y1 = part.box
    assert 20 < x0 < 30 < x1 <= 40
    assert 40 < y0 < 50 < y1 < 60


@given(st.integers(0, 10_000), st.booleans())
def test_the_view_of_the_network_is_what_placement_puts_back(seed, flipped):
    """Cutting out and mirroring, then back into the source, gives the source where the network has seen it."""
    import torch

    generator = np.random.default_rng(seed)
    rows, columns = generator.integers(4, 9, 2)
    x0, y0 = generator.integers(-3, 3, 2)
    x1, y1 = x0 + generator.integers(4, 9), y0 + generator.integers(4, 9)
    placement = Placement((int(rows), int(columns)), (int(x0), int(y0), int(x1), int(y1)), flipped)
    image = generator.random((2, rows, columns)).astype(np.float32)
    view = network_view(image, placement, (int(y1 - y0), int(x1 - x0)))
    back = placement.to_source(torch.from_numpy(view), "nearest-exact").numpy()
    inside = np.zeros((rows, columns), bool)
    inside[max(y0, 0) : y1, max(x0, 0) : x1] = True
    np.testing.assert_allclose(back[:, inside], image[:, inside], atol=1e-6)


@given(
    st.tuples(st.floats(0, 60), st.floats(0, 90), st.floats(1, 60), st.floats(1, 90)),
    st.tuples(st.floats(0, 1), st.floats(0, 1)),
)
def test_a_patch_lies_in_the_image_and_shows_the_peak(box, peak):
    x0, y0, wide, high = box
    x1, y1 = min(x0 + wide, 64), min(y0 + high, 96)
    part = Part((x0, y0, x1, y1), (x0 + peak[0] * (x1 - x0), y0 + peak[1] * (y1 - y0)))
    image = np.zeros((1, 96, 64), np.float32)
    image[0, min(int(part.peak[1]), 95), min(int(part.peak[0]), 63)] = 1
    side = patch_side([part.box], (96, 64))
    patch = cut_patch(image, part, side)
    assert patch.picture.shape == (1, side, side)
    assert 8 <= side <= 64
    assert patch.picture.max() == 1, "the peak is in the picture"
    assert patch.box[2] - patch.box[0] == pytest.approx(x1 - x0)


def test_images_that_are_not_at_hand_are_none(tmp_path):
    (tmp_path / "a").mkdir()
    Image.fromarray(np.full((3, 4), 51, np.uint8)).save(tmp_path / "a" / "grey.png")
    (tmp_path / "a" / "broken.png").write_bytes(b"no image")
    images = SourceImages([tmp_path / "b", tmp_path / "a"])
    grey = images.read("grey.png", (3, 4))
    assert grey is not None
    assert grey.shape == (1, 3, 4)
    assert grey.max() == pytest.approx(0.2)
    assert images.read(str(tmp_path / "a" / "grey.png"), (3, 4)) is grey, "absolute paths, read only once"
    assert images.read("grey.png", (4, 3)) is None, "another image of the same name"
    assert images.read("broken.png", (3, 4)) is None
    assert images.read("missing.png", (3, 4)) is None
