"""Transforms: channels, checks of the image, the region of interest, the source's size."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from monai.data import MetaTensor
from monai.transforms import Compose, EnsureChannelFirstd, LoadImaged, Resized
from PIL import Image

from common.data import CaseError, CheckImaged, RecordSized, RoiMaskd, ToChannelsd, mask_from_boxes


def tensor(*shape):
    return MetaTensor(torch.rand(*shape), meta={"filename_or_obj": "some/file.png"})


def refused(transform, **item):
    with pytest.raises(CaseError) as caught:
        transform({"case_id": "c7", **item})
    assert caught.value.case_id == "c7"
    assert caught.value.remedy
    return str(caught.value)


# ---------------------------------------------------------------- channels


def test_grey_is_repeated_and_colour_becomes_luminance():
    grey = torch.tensor([[[0.25, 0.5]]])
    assert torch.equal(ToChannelsd("image", 3)({"image": grey})["image"], grey.expand(3, 1, 2))
    colour = torch.tensor([1.0, 0.5, 0.25]).view(3, 1, 1)
    assert ToChannelsd("image", 1)({"image": colour})["image"].item() == pytest.approx(0.299 + 0.587 / 2 + 0.114 / 4)


@pytest.mark.parametrize("channels", [1, 3])
def test_the_right_number_of_channels_passes_untouched(channels):
    item = {"image": tensor(channels, 4, 5)}
    assert torch.equal(ToChannelsd("image", channels)(item)["image"], item["image"])


def test_grey_to_colour_and_back_is_the_identity():
    grey = torch.rand(1, 4, 5)
    there = ToChannelsd("image", 3)({"image": grey})
    assert torch.allclose(ToChannelsd("image", 1)(there)["image"], grey, atol=1e-6)


@pytest.mark.parametrize("shape", [(2, 4, 4), (4, 4, 4), (4, 4), (1, 3, 4, 4)])
def test_other_channels_are_refused(shape):
    message = refused(ToChannelsd("image", 3), image=tensor(*shape))
    assert message.startswith(f"case 'c7' (some/file.png): its shape is {shape}, expected (1, H, W) or (3, H, W)")


# ---------------------------------------------------------------- checks


def with_value(value):
    image = tensor(1, 40, 40)
    image[0, 3, 4] = value
    return image


@pytest.mark.parametrize(
    ("image", "words"),
    [
        (tensor(1, 31, 40), "it has 31 x 40 pixels, expected at least 32 each way"),
        (tensor(3, 40, 8), "it has 40 x 8 pixels"),
        (with_value(float("nan")), "1 of 1600 pixels are NaN or infinite"),
        (with_value(float("inf")), "1 of 1600 pixels are NaN or infinite"),
        (tensor(1, 40, 40) * 0 + 0.5, "every pixel has the same value (0.5)"),
    ],
    ids=["rows", "columns", "nan", "inf", "constant"],
)
def test_unusable_images_are_refused_with_their_file(image, words):
    message = refused(CheckImaged("image"), image=image)
    assert words in message
    assert "some/file.png" in message


def test_good_images_pass_and_the_limit_is_an_option():
    item = {"image": tensor(1, 32, 32)}
    assert CheckImaged("image")(item)["image"] is item["image"]
    CheckImaged("image", minimum_size=4)({"image": tensor(1, 4, 4)})
    assert "at least 64" in refused(CheckImaged("image", minimum_size=64), **item)


def test_missing_keys():
    with pytest.raises(KeyError, match="image"):
        CheckImaged("image")({})
    assert CheckImaged("image", allow_missing_keys=True)({}) == {}


def test_the_sources_size_survives_resizing():
    item = Compose([RecordSized("image"), Resized("image", (8, 8))])({"image": tensor(1, 40, 50)})
    assert item["source_size"].tolist() == [40, 50]
    assert item["image"].shape == (1, 8, 8)


# ---------------------------------------------------------------- region of interest


def save(path, array):
    Image.fromarray(array).save(path)
    return str(path)


@pytest.fixture
def disc(tmp_path):
    """A mask file with 255 inside and its 0/1 array, 40 x 50, not symmetric."""
    inside = np.zeros((40, 50), dtype=np.uint8)
    inside[5:20, 30:33] = 1
    return save(tmp_path / "mask.png", inside * 255), inside


def test_mask_file_is_thresholded_at_a_half(tmp_path):
    path = save(tmp_path / "m.png", np.array([[0, 127, 128, 254, 255]], dtype=np.uint8))
    item = RoiMaskd("mask")({"image": tensor(3, 1, 5), "mask": path})
    assert item["mask"].dtype == torch.float32
    assert item["mask"].tolist() == [[[0, 0, 1, 1, 1]]]
    assert item["mask_given"].item() is True


def test_mask_of_any_colour_and_arrays(tmp_path, disc):
    _, inside = disc
    colour = save(tmp_path / "c.png", np.dstack([inside * 0, inside * 255, inside * 0]))
    one_bit = save(tmp_path / "b.png", inside > 0)
    for mask in (colour, one_bit, inside.astype(np.float32), torch.as_tensor(inside)[None], MetaTensor(inside[None])):
        result = RoiMaskd("mask")({"image": tensor(1, 40, 50), "mask": mask})["mask"]
        np.testing.assert_array_equal(result, inside[None])


def test_boxes_stand_in_for_a_missing_mask():
    item = RoiMaskd("mask")({"image": tensor(1, 4, 5), "boxes": [[1, 0, 3, 2], [4, 3, 5, 4]]})
    assert item["mask"].int().tolist() == [[[0, 1, 1, 0, 0], [0, 1, 1, 0, 0], [0, 0, 0, 0, 0], [0, 0, 0, 0, 1]]]
    assert item["mask_given"].item() is True


def test_a_mask_wins_over_boxes(disc):
    path, inside = disc
    item = RoiMaskd("mask")({"image": tensor(1, 40, 50), "mask": path, "boxes": [[0, 0, 1, 1]]})
    np.testing.assert_array_equal(item["mask"], inside[None])


@pytest.mark.parametrize("more", [{}, {"boxes": []}, {"mask": None}])
def test_without_either_the_whole_image_counts_and_is_not_given(more):
    item = RoiMaskd("mask")({"image": tensor(3, 4, 5), **more})
    assert torch.equal(item["mask"].as_tensor(), torch.ones(1, 4, 5))
    assert item["mask_given"].item() is False
    message = refused(RoiMaskd("mask", required=True), image=tensor(3, 4, 5), **more)
    assert "it has neither 'mask' nor 'boxes', but the region is required. Add one" in message


def test_mask_of_another_size_is_refused(disc):
    message = refused(RoiMaskd("mask"), image=tensor(1, 50, 40), mask=disc[0])
    assert message.startswith(f"case 'c7' ({disc[0]}): the mask has 40 x 50 pixels, its image 50 x 40")


def test_empty_regions_are_refused_unless_allowed(tmp_path):
    path = save(tmp_path / "m.png", np.zeros((4, 5), dtype=np.uint8))
    assert "the mask is empty: its largest value is 0" in refused(RoiMaskd("mask"), image=tensor(1, 4, 5), mask=path)
    outside = [[10, 10, 20, 20]]
    assert "enclose no pixel of its 4 x 5" in refused(RoiMaskd("mask"), image=tensor(1, 4, 5), boxes=outside)
    for item in ({"mask": path}, {"boxes": outside}):
        assert RoiMaskd("mask", allow_empty=True)({"image": tensor(1, 4, 5), **item})["mask"].sum() == 0


def test_masks_of_noughts_and_ones_say_what_to_do(tmp_path, disc):
    path = save(tmp_path / "m.png", disc[1])
    message = refused(RoiMaskd("mask"), image=tensor(1, 40, 50), mask=path)
    assert "set RoiMaskd's threshold below 0.00392" in message
    item = RoiMaskd("mask", threshold=0.001)({"image": tensor(1, 40, 50), "mask": path})
    np.testing.assert_array_equal(item["mask"], disc[1][None])


def test_unreadable_mask_names_its_file(tmp_path):
    (tmp_path / "m.png").write_bytes(b"no image")
    with pytest.raises(CaseError, match=r"m.png: it is no image"):
        RoiMaskd("mask")({"image": tensor(1, 4, 5), "mask": str(tmp_path / "m.png")})


def test_image_and_mask_stay_aligned_through_loading_and_resizing(tmp_path, disc):
    path, inside = disc
    image = save(tmp_path / "i.png", inside * 200 + 10)
    steps = [
        LoadImaged("image", reader="common.data.ImageReader2D"),
        EnsureChannelFirstd("image"),
        CheckImaged("image"),
        RoiMaskd("mask"),
        Resized("image", (80, 100), mode="nearest"),
        Resized("mask", (80, 100), mode="nearest"),
    ]
    item = Compose(steps)({"image": image, "mask": path})
    np.testing.assert_array_equal(item["image"] > 0.5, item["mask"] > 0.5)
    assert item["mask"].sum() == 4 * inside.sum()


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 9), st.integers(0, 9), st.integers(1, 6), st.integers(1, 6))
def test_whole_pixel_boxes_cover_their_area_and_nothing_else(x, y, width, height):
    mask = mask_from_boxes([[x, y, x + width, y + height]], rows=16, columns=20)
    assert mask.shape == (1, 16, 20)
    assert mask.sum() == width * height
    assert mask[0, y : y + height, x : x + width].all()


def test_fractional_boxes_take_pixels_whose_centre_is_inside():
    assert mask_from_boxes([[0.6, 0, 2.4, 1]], 1, 4).tolist() == [[[0, 1, 0, 0]]]
    assert mask_from_boxes([[0.5, 0, 2.6, 1]], 1, 4).tolist() == [[[1, 1, 1, 0]]]


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: ToChannelsd("image", 2), "channels is 2, expected 1"),
        (lambda: CheckImaged("image", 0), "minimum_size is 0"),
        (lambda: RoiMaskd("mask", threshold=1), "threshold is 1"),
    ],
)
def test_impossible_options(make, words):
    with pytest.raises(ValueError, match=words):
        make()


def test_transforms_leave_their_input_alone(disc):
    item = {"image": tensor(3, 40, 50), "mask": disc[0], "case_id": "a"}
    before, image = dict(item), item["image"].clone()
    for transform in (ToChannelsd("image", 1), CheckImaged("image"), RecordSized("image"), RoiMaskd("mask")):
        transform(item)
    assert {key: value for key, value in item.items() if key != "image"} == {
        k: v for k, v in before.items() if k != "image"
    }
    assert torch.equal(item["image"], image)
