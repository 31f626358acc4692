"""Maps and boxes find their way back into the source image."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional as F

from common.data import Placement


@st.composite
def placements(draw):
    rows, columns = draw(st.integers(4, 12)), draw(st.integers(4, 12))
    x0, y0 = draw(st.integers(-5, columns - 1)), draw(st.integers(-5, rows - 1))
    x1 = draw(st.integers(max(x0, 0) + 1, columns + 5))
    y1 = draw(st.integers(max(y0, 0) + 1, rows + 5))
    return Placement((rows, columns), (x0, y0, x1, y1), draw(st.booleans()))


def cut(image, placement):
    """Crop, pad and mirror the slow way: pixel by pixel."""
    (rows, columns), (x0, y0, x1, y1) = placement.source_size, placement.crop
    part = torch.zeros(image.shape[0], y1 - y0, x1 - x0)
    for y in range(max(y0, 0), min(y1, rows)):
        for x in range(max(x0, 0), min(x1, columns)):
            column = x1 - 1 - x if placement.flipped else x - x0
            part[:, y - y0, column] = image[:, y, x]
    return part


@given(placements())
@settings(deadline=None)
def test_what_was_cut_comes_back_where_it_was(placement):
    rows, columns = placement.source_size
    image = torch.arange(1.0, 2 * rows * columns + 1).view(2, rows, columns)
    back = placement.to_source(cut(image, placement), mode="nearest-exact", fill=-1)
    seen = back != -1
    assert torch.equal(back[seen], image[seen])
    x0, y0, x1, y1 = placement.crop
    inside = torch.zeros(rows, columns, dtype=torch.bool)
    inside[max(y0, 0) : y1, max(x0, 0) : x1] = True
    assert torch.equal(seen[0], inside)


@given(placements(), st.integers(1, 4), st.data())
@settings(deadline=None)
def test_a_box_of_the_input_covers_the_same_pixels_as_its_mask(placement, scale, data):
    """Two ways to the same place: the box in source pixels, and the source pixels of the box's mask."""
    x0, y0, x1, y1 = placement.crop
    height, width = y1 - y0, x1 - x0
    left, top = data.draw(st.integers(0, width - 1)), data.draw(st.integers(0, height - 1))
    right, bottom = data.draw(st.integers(left + 1, width)), data.draw(st.integers(top + 1, height))
    mask = torch.zeros(1, height, width)
    mask[:, top:bottom, left:right] = 1
    source = placement.to_source(mask, mode="nearest-exact")[0]
    box = [scale * value for value in (left, top, right, bottom)]
    a, b, c, d = (round(value) for value in placement.box_to_source(box, (scale * height, scale * width)))
    expected = torch.zeros(placement.source_size)
    expected[b:d, a:c] = 1
    assert torch.equal(source, expected)


def test_a_coarse_map_is_enlarged_over_the_whole_crop():
    placement = Placement((6, 8), (2, 1, 10, 5))  # two columns of padding
    values = torch.tensor([[[0.0, 1.0, 2.0, 3.0], [4.0, 5.0, 6.0, 7.0]]])
    source = placement.to_source(values)
    enlarged = F.interpolate(values[None], size=(4, 8), mode="bilinear", align_corners=False)[0]
    assert torch.equal(source[:, 1:5, 2:8], enlarged[..., :6])
    assert source.shape == (1, 6, 8)
    assert source.sum() == source[:, 1:5, 2:8].sum()


def test_batches_and_defaults():
    batch = {
        "source_size": torch.tensor([[6, 8], [4, 4]]),
        "crop": torch.tensor([[0, 0, 8, 6], [-2, 1, 4, 4]]),
        "flipped": torch.tensor([False, True]),
    }
    assert Placement.of(batch, 1) == Placement((4, 4), (-2, 1, 4, 4), True)
    item = {"source_size": torch.tensor([6, 8])}
    assert Placement.of(item) == Placement((6, 8), (0, 0, 8, 6), False)
    with pytest.raises(KeyError, match="source_size"):
        Placement.of({"crop": torch.tensor([0, 0, 1, 1])})


def test_a_box_in_the_padding_has_no_area():
    x0, _, x1, _ = Placement((10, 10), (0, 0, 20, 10)).box_to_source((15, 2, 18, 4), (10, 20))
    assert (x0, x1) == (10, 10)


@pytest.mark.parametrize("crop", [(5, 0, 5, 4), (9, 0, 12, 4), (0, -4, 4, 0)])
def test_a_crop_beside_the_image_is_refused(crop):
    with pytest.raises(ValueError, match="a part of the image of 8 x 8 pixels"):
        Placement((8, 8), crop)
