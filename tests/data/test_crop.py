"""The crop box: what it cuts out, and what it refuses."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from monai.data import MetaTensor

from common.data import CaseError, CropBoxd, square_around


def ramp(rows, columns):
    """Every pixel holds 100 * row + column."""
    values = 100.0 * torch.arange(rows)[:, None] + torch.arange(columns)
    return MetaTensor(values[None], meta={"filename_or_obj": "some/eye.jpg"})


def test_image_and_mask_are_cut_alike():
    item = CropBoxd(["image", "segmentation"])(
        {"image": ramp(20, 30), "segmentation": ramp(20, 30).long(), "crop": [7, 3, 11, 8], "case_id": "a"}
    )
    assert item["image"].shape == (1, 5, 4)
    assert item["image"][0, 0].tolist() == [307, 308, 309, 310]
    assert item["segmentation"][0, :, 0].tolist() == [307, 407, 507, 607, 707]
    assert item["crop"].tolist() == [7, 3, 11, 8]


def test_boxes_are_rounded_outwards_and_cut_off():
    item = CropBoxd("image")({"image": ramp(20, 30), "crop": [25.5, -4, 40, 2.2]})
    assert item["crop"].tolist() == [25, 0, 30, 3]
    assert item["image"].shape == (1, 3, 5)


@pytest.mark.parametrize("crop", [[1, 2, 3], [5, 5, 5, 9], [9, 5, 5, 9], [40, 1, 50, 9], [float("nan"), 0, 5, 5]])
def test_boxes_without_content_are_refused(crop):
    with pytest.raises(CaseError, match=r"case 'c' \(some/eye.jpg\): its 'crop' box is .*within 30 x 20 pixels"):
        CropBoxd("image")({"image": ramp(20, 30), "crop": crop, "case_id": "c"})


def test_a_missing_box_is_refused():
    with pytest.raises(CaseError, match=r"it has no 'crop' box. Make the datalist with crop boxes"):
        CropBoxd("image")({"image": ramp(20, 30), "case_id": "c"})


def test_the_input_is_left_alone():
    item = {"image": ramp(20, 30), "crop": [1, 2, 8, 9]}
    CropBoxd("image")(item)
    assert item["crop"] == [1, 2, 8, 9]
    assert item["image"].shape == (1, 20, 30)


@pytest.mark.parametrize(
    ("box", "scale", "expected"),
    [
        ((40, 40, 60, 60), 2.0, (30, 30, 70, 70)),
        ((40, 45, 60, 55), 2.0, (30, 30, 70, 70)),  # the longer side counts
        ((0, 40, 20, 60), 2.0, (0, 30, 40, 70)),  # moved in from the left
        ((90, 90, 100, 100), 3.0, (70, 70, 100, 100)),
        ((40, 40, 60, 60), 9.0, (0, 0, 100, 100)),  # larger than the image
    ],
)
def test_squares_around_a_box(box, scale, expected):
    assert square_around(box, scale, 100, 100) == expected


@given(st.integers(0, 80), st.integers(0, 50), st.integers(2, 20), st.integers(2, 10), st.floats(1, 4))
def test_a_square_holds_its_box_and_stays_inside(x, y, width, height, scale):
    x0, y0, x1, y1 = square_around((x, y, x + width, y + height), scale, 60, 100)
    assert 0 <= x0 <= x < x + width <= x1 <= 100
    assert 0 <= y0 <= y < y + height <= y1 <= 60
    assert (x1 - x0 == y1 - y0) or y1 - y0 == 60
