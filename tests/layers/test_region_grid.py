"""Where regions lie, what they cover, and what a text attends to."""

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st

from common.layers.region_grid import attend_regions, region_mean, upsample_regions


@given(
    st.integers(1, 5),
    st.integers(1, 5),
    st.sampled_from([(8, 0), (16, 6), (4, 1)]),
    st.integers(0, 7),
    st.integers(0, 7),
)
def test_the_pixel_at_a_regions_centre_has_its_value(rows, columns, grid, more_rows, more_columns):
    stride, offset = grid
    feature = torch.rand(2, 3, rows, columns)
    size = ((rows - 1) * stride + offset + 1 + more_rows, (columns - 1) * stride + offset + 1 + more_columns)
    full = upsample_regions(feature, size, stride, offset)
    assert full.shape == (2, 3, *size)
    torch.testing.assert_close(full[..., offset::stride, offset::stride][..., :rows, :columns], feature)


def test_between_centres_linear_beyond_them_constant():
    full = upsample_regions(torch.tensor([[0.0, 4.0]]), (1, 8), 4, 1)
    assert full.tolist() == [[0.0, 0.0, 1.0, 2.0, 3.0, 4.0, 4.0, 4.0]]


def test_a_cell_lies_around_its_centre():
    image = torch.arange(12.0).expand(12, 12)
    assert region_mean(image, (3, 3), 4)[0].tolist() == [0.5, 3.5, 7.5]  # pixels 0-1, 2-5, 6-9
    assert region_mean(image, (3, 3), 4, offset=1)[0].tolist() == [1.0, 4.5, 8.5]  # pixels 0-2, 3-6, 7-10
    assert region_mean(image.expand(2, 5, 12, 12), (3, 2), 4).shape == (2, 5, 3, 2)


@given(st.integers(1, 40), st.sampled_from([2, 8, 16]))
def test_every_region_covers_pixels(size, stride):
    """Also the last one of a network that rounds up."""
    mean = region_mean(torch.ones(1, size, size), (-(-size // stride),) * 2, stride)
    assert mean.shape == (1, -(-size // stride), -(-size // stride))
    assert (mean == 1).all()


def test_attention_against_a_loop():
    torch.manual_seed(0)
    region, text = F.normalize(torch.randn(2, 6, 4), dim=2), F.normalize(torch.randn(3, 4), dim=1)
    mask = torch.rand(2, 3, 6) > 0.4
    mask[1, 2] = False
    score, attention = attend_regions(region, mask, text, torch.tensor(10.0))
    for e in range(2):
        for p in range(3):
            kept = region[e][mask[e, p]]
            cosine = kept @ text[p]
            weight = torch.softmax(10 * cosine, 0)
            torch.testing.assert_close(attention[e, p][mask[e, p]], weight)
            torch.testing.assert_close(score[e, p], (weight * cosine).sum())
    assert (attention[~mask] == 0).all()
    assert score[1, 2] == 0


@pytest.mark.parametrize("sharpness", [1.0, 30.0])
def test_attention_in_full_precision_under_autocast(sharpness):
    region, text = F.normalize(torch.randn(2, 6, 64), dim=2), F.normalize(torch.randn(3, 64), dim=1)
    arguments = (region, torch.ones(1, 1, 6, dtype=torch.bool), text, torch.tensor(sharpness))
    expected = attend_regions(*arguments)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        outputs = attend_regions(*arguments)
    assert all(torch.equal(value, wanted) for value, wanted in zip(outputs, expected, strict=True))
