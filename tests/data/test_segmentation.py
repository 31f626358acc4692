"""The mask of several structures: values, sizes, missing masks, and its alignment with the image."""

import numpy as np
import pytest
import torch
from monai.data import Dataset, MetaTensor
from monai.transforms import CastToTyped, Compose, EnsureChannelFirstd, LoadImaged, Resized, SelectItemsd
from PIL import Image

from common.data import CaseError, CaseLoader, SegmentationMaskd

STRUCTURES = [
    {"name": "background", "values": [255]},
    {"name": "rim", "values": [128]},
    {"name": "cup", "values": [0]},
]


def image(rows, columns, channels=3):
    return MetaTensor(torch.rand(channels, rows, columns), meta={"filename_or_obj": "some/eye.jpg"})


def save(path, array, **options):
    Image.fromarray(np.asarray(array, dtype=np.uint8)).save(path, **options)
    return str(path)


def refused(transform, **item):
    with pytest.raises(CaseError) as caught:
        transform({"case_id": "g0007", **item})
    assert caught.value.case_id == "g0007"
    return str(caught.value)


@pytest.fixture
def eye(tmp_path):
    """A mask file of 40 x 50 pixels with a disc of 20 x 12 and a cup of 8 x 4 in it."""
    values = np.full((40, 50), 255)
    values[6:26, 30:42] = 128
    values[10:18, 34:38] = 0
    return save(tmp_path / "mask.bmp", values)


def test_every_pixel_gets_its_structure(eye):
    item = SegmentationMaskd("segmentation", STRUCTURES)({"image": image(40, 50), "mask": eye, "label": 1})
    found = item["segmentation"]
    assert (found.dtype, tuple(found.shape)) == (torch.int64, (1, 40, 50))
    assert torch.bincount(found.flatten().as_tensor()).tolist() == [2000 - 240, 240 - 32, 32]
    assert found[0, 6, 30] == 1
    assert found[0, 10, 34] == 2
    assert item["segmentation_given"].item() is True
    assert item["mask"] == eye


def test_arrays_instead_of_files():
    values = np.array([[0, 255], [128, 128]])
    for mask in (values, values[None], torch.as_tensor(values)):
        item = SegmentationMaskd("segmentation", STRUCTURES)({"image": image(2, 2), "mask": mask})
        assert item["segmentation"].tolist() == [[[2, 0], [1, 1]]]


def test_an_absent_structure_is_no_mistake():
    item = SegmentationMaskd("segmentation", STRUCTURES)({"image": image(2, 2), "mask": np.full((2, 2), 255)})
    assert not item["segmentation"].any()
    assert item["segmentation_given"].item() is True


def test_values_outside_the_label_map_are_named(tmp_path):
    path = save(tmp_path / "m.png", [[0, 127], [129, 255]])
    message = refused(SegmentationMaskd("segmentation", STRUCTURES), image=image(2, 2), mask=path)
    assert message.startswith(
        f"case 'g0007' ({path}): the mask holds values outside the label map: 127, 129; "
        "expected 255 background, 128 rim, 0 cup. Correct the mask (blended borders"
    )


def test_a_jpeg_mask_gets_its_own_hint(tmp_path):
    values = np.full((32, 32), 255)
    values[8:20, 9:23] = 128
    path = save(tmp_path / "m.jpg", values, quality=60)
    message = refused(SegmentationMaskd("segmentation", STRUCTURES), image=image(32, 32), mask=path)
    assert " more; expected" in message
    assert message.endswith("JPEG changes pixel values, so it cannot store a mask; export it again as PNG or BMP")


def test_another_size_than_the_image(eye):
    message = refused(SegmentationMaskd("segmentation", STRUCTURES), image=image(50, 40), mask=eye)
    assert f"({eye}): the mask has 40 x 50 pixels, its image 50 x 40. Export both in the same size" in message


@pytest.mark.parametrize("more", [{}, {"mask": None}])
def test_a_missing_mask_is_refused_or_marked(more):
    message = refused(SegmentationMaskd("segmentation", STRUCTURES), image=image(4, 5), **more)
    assert "(some/eye.jpg): it has no 'mask'" in message
    assert "set allow_missing_masks to learn only the class from such cases" in message
    transform = SegmentationMaskd("segmentation", STRUCTURES, allow_missing_masks=True)
    item = transform({"image": image(4, 5), **more})
    assert torch.equal(item["segmentation"].as_tensor(), torch.zeros(1, 4, 5, dtype=torch.int64))
    assert item["segmentation_given"].item() is False


def test_a_bad_label_map_is_refused_at_once():
    with pytest.raises(ValueError, match="structures: the pixel value 0 belongs to 'a' and to 'b'"):
        SegmentationMaskd("segmentation", [{"name": "a", "values": [0]}, {"name": "b", "values": [0]}])


def test_the_input_is_left_alone(eye):
    item = {"image": image(40, 50), "mask": eye}
    SegmentationMaskd("segmentation", STRUCTURES)(item)
    assert set(item) == {"image", "mask"}


def chain(size, **options):
    return Compose(
        [
            LoadImaged("image", reader="common.data.ImageReader2D"),
            EnsureChannelFirstd("image"),
            SegmentationMaskd("segmentation", STRUCTURES, **options),
            Resized("image", (size, size), mode="bilinear", anti_aliasing=True),
            Resized("segmentation", (size, size), mode="nearest-exact"),
            CastToTyped("segmentation", dtype=torch.int64),
        ]
    )


def test_the_resized_mask_stays_where_the_image_is(tmp_path):
    """The cup's centre stays to a fifth of a pixel; mode "nearest" would move it by more than a third, both ways."""
    x, y = np.arange(320) + 0.5, np.arange(320)[:, None] + 0.5
    cup = np.hypot(x - 151.3, y - 187.9) <= 60
    item = {
        "image": save(tmp_path / "i.png", np.where(cup, 255, 0)),
        "mask": save(tmp_path / "m.png", np.where(cup, 0, 255)),
    }
    done = chain(40)(item)
    assert done["segmentation"].dtype == torch.int64
    grid = torch.arange(40.0) + 0.5
    for weight in (done["image"][0].as_tensor(), (done["segmentation"][0] == 2).float().as_tensor()):
        centre = [(weight.sum(axis) * grid).sum() / weight.sum() for axis in (0, 1)]
        assert centre == pytest.approx([151.3 / 8, 187.9 / 8], abs=0.2)
    area = (done["segmentation"] == 2).sum().item() * 64
    assert area == pytest.approx(np.pi * 60**2, rel=0.03)


def test_cases_with_and_without_masks_share_a_batch(tmp_path, eye):
    path = save(tmp_path / "i.png", np.random.default_rng(0).integers(0, 255, (40, 50)))
    data = [{"image": path, "mask": eye, "case_id": "a"}, {"image": path, "case_id": "b"}]
    keys = ["image", "segmentation", "segmentation_given"]
    transform = Compose([chain(16, allow_missing_masks=True), SelectItemsd(keys)])
    (batch,) = CaseLoader(Dataset(data, transform), batch_size=2)
    assert tuple(batch["segmentation"].shape) == (2, 1, 16, 16)
    assert batch["segmentation_given"].tolist() == [True, False]
    assert [bool(part.any()) for part in batch["segmentation"]] == [True, False]
