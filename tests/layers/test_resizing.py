"""Sizes: padding reaches the next multiple and is undone by a crop, resizing aligns corners."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from common.layers import pad_to_multiple, resize


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 40), st.integers(1, 40), st.sampled_from([1, 8, 16]))
def test_padding_is_the_least_and_a_crop_undoes_it(height, width, multiple):
    image = torch.rand(1, 2, height, width)
    padded = pad_to_multiple(image, multiple)
    assert padded.shape[2] % multiple == padded.shape[3] % multiple == 0
    assert padded.shape[2] - height < multiple > padded.shape[3] - width
    assert torch.equal(padded[:, :, :height, :width], image)
    assert set(padded.unique().tolist()) <= set(image.unique().tolist())


def test_a_multiple_is_left_alone():
    image = torch.rand(1, 3, 16, 24)
    assert pad_to_multiple(image, 8) is image


@pytest.mark.parametrize(
    ("row", "expected"),
    [
        ([1.0, 2, 3, 4, 5], [1, 2, 3, 4, 5, 4, 3, 2]),  # reflected: the border pixel is not repeated
        ([1.0, 2, 3], [1, 2, 3, 3, 3, 3, 3, 3]),  # too few pixels to reflect
    ],
)
def test_how_the_border_goes_on(row, expected):
    image = torch.tensor(row).expand(1, 1, 8, len(row))
    assert pad_to_multiple(image, 8)[0, 0, 0].tolist() == expected


def test_corners_stay_where_they_are():
    feature = torch.tensor([[[[0.0, 1.0]]]])
    assert resize(feature, 1, 5)[0, 0, 0].tolist() == [0.0, 0.25, 0.5, 0.75, 1.0]
    wide = torch.arange(9.0).view(1, 1, 1, 9)
    assert resize(wide, 1, 3)[0, 0, 0].tolist() == [0.0, 4.0, 8.0]  # sampled, not averaged


def test_the_same_size_is_the_same_map():
    feature = torch.rand(1, 2, 5, 6)
    assert resize(feature, 5, 6) is feature
