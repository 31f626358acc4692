"""Pictures whole, odd and damaged; what is refused in any format; and the reader inside MONAI."""

import gzip

import numpy as np
import pytest
import torch
from monai.transforms import Compose, EnsureChannelFirstd, LoadImaged, Resized
from PIL import Image

from common.data import CaseError, ImageReader2D, case_error_in
from tests.data.reading import RAMP, UNIT, read, refused

# ---------------------------------------------------------------- pictures


@pytest.mark.parametrize("suffix", ["png", "bmp", "tif"])
def test_grey_pictures_keep_rows_and_columns(tmp_path, suffix):
    Image.fromarray(RAMP).save(tmp_path / f"x.{suffix}")
    pixels, meta = read(tmp_path / f"x.{suffix}")
    assert pixels.dtype == np.float32
    np.testing.assert_allclose(pixels, UNIT, atol=1e-7)
    assert meta["spatial_shape"].tolist() == [2, 3]
    assert np.isnan(meta["original_channel_dim"])
    assert meta["filename_or_obj"] == str(tmp_path / f"x.{suffix}")
    np.testing.assert_array_equal(meta["affine"], np.eye(4))


def test_content_decides_not_the_name(tmp_path):
    Image.fromarray(RAMP).save(tmp_path / "x.png")
    (tmp_path / "x.png").rename(tmp_path / "x.dcm")
    np.testing.assert_allclose(read(tmp_path / "x.dcm")[0], UNIT, atol=1e-7)


def test_colour_is_channel_last_with_its_axis_named(tmp_path):
    colour = np.stack([RAMP, RAMP[::-1], np.zeros_like(RAMP)], -1)
    Image.fromarray(colour).save(tmp_path / "x.png")
    pixels, meta = read(tmp_path / "x.png")
    np.testing.assert_allclose(pixels, colour / 255, atol=1e-7)
    assert meta["original_channel_dim"] == -1


def test_jpeg_within_its_losses(tmp_path):
    smooth = np.add.outer(np.arange(16), np.arange(24)).astype(np.uint8) * 6
    Image.fromarray(smooth).save(tmp_path / "x.jpg", quality=95)
    np.testing.assert_allclose(read(tmp_path / "x.jpg")[0], smooth / 255, atol=0.02)


def test_sixteen_bits(tmp_path):
    Image.fromarray(np.array([[0, 257, 65535]], dtype=np.uint16)).save(tmp_path / "x.png")
    np.testing.assert_allclose(read(tmp_path / "x.png")[0], [[0, 257 / 65535, 1]], atol=1e-7)


def test_one_bit_is_nought_and_one(tmp_path):
    Image.fromarray(RAMP > 120).save(tmp_path / "x.png")
    np.testing.assert_array_equal(read(tmp_path / "x.png")[0], (RAMP > 120).astype(float))


def test_float_tiff_is_scaled_by_its_own_range(tmp_path):
    Image.fromarray(RAMP.astype(np.float32) * 10 - 300).save(tmp_path / "x.tif")
    np.testing.assert_allclose(read(tmp_path / "x.tif")[0], UNIT, atol=1e-6)


def test_palette_becomes_colour_and_alpha_is_dropped(tmp_path):
    palette = Image.fromarray(np.array([[0, 1]], dtype=np.uint8), mode="P")
    palette.putpalette([255, 0, 0, 0, 0, 255])
    palette.save(tmp_path / "p.png")
    np.testing.assert_array_equal(read(tmp_path / "p.png")[0], [[[1, 0, 0], [0, 0, 1]]])
    Image.fromarray(np.dstack([RAMP, RAMP, RAMP, np.zeros_like(RAMP)]), mode="RGBA").save(tmp_path / "a.png")
    np.testing.assert_allclose(read(tmp_path / "a.png")[0], np.dstack([UNIT] * 3), atol=1e-7)
    Image.fromarray(np.dstack([RAMP, np.zeros_like(RAMP)]), mode="LA").save(tmp_path / "la.png")
    np.testing.assert_allclose(read(tmp_path / "la.png")[0], UNIT, atol=1e-7)


def test_exif_orientation_is_applied(tmp_path):
    image = Image.fromarray(RAMP)
    exif = image.getexif()
    exif[0x0112] = 6  # stored lying on its side: turn clockwise to show
    image.save(tmp_path / "x.png", exif=exif)
    pixels, meta = read(tmp_path / "x.png")
    np.testing.assert_allclose(pixels, np.rot90(UNIT, -1), atol=1e-7)
    assert meta["spatial_shape"].tolist() == [3, 2]


def test_several_frames_need_a_choice(tmp_path):
    path = tmp_path / "x.tif"
    Image.fromarray(RAMP).save(path, save_all=True, append_images=[Image.fromarray(RAMP[::-1])])
    assert "the file holds 2 frames and none was chosen" in refused(path)
    assert "frame 2 was asked for" in refused(path, frame=2)
    np.testing.assert_allclose(read(path, frame=1)[0], UNIT[::-1], atol=1e-7)


# ---------------------------------------------------------------- bad input


@pytest.mark.parametrize("name", ["x.png", "x.jpg", "x.tif"])
def test_truncated_pictures(picture, name):
    path = picture(name, size=(64, 64))
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])
    assert "damaged" in refused(path)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "the file is empty"),
        (b"hello, I am a text", "no image that can be recognised"),
        (b"\x1f\x8b\x08broken", "it cannot be read"),
        (gzip.compress(b"text, but compressed"), "no image that can be recognised"),
    ],
    ids=["empty", "text", "bad gzip", "gzipped text"],
)
def test_files_that_are_no_images(tmp_path, content, words):
    (tmp_path / "x.png").write_bytes(content)
    assert words in refused(tmp_path / "x.png")


def test_missing_file_folder_and_several_files(tmp_path):
    assert "the file does not exist. Correct the path" in refused(tmp_path / "gone.png")
    assert "it is a folder, expected one image file" in refused(tmp_path)
    with pytest.raises(CaseError, match="2 files were given for one image"):
        ImageReader2D().read(["a.png", "b.png"])


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"frame": -1}, "frame is -1"),
        ({"percentiles": (5,)}, "percentiles is"),
        ({"percentiles": (90, 10)}, "two rising numbers"),
    ],
)
def test_impossible_options(options, words):
    with pytest.raises(ValueError, match=words):
        ImageReader2D(**options)


# ---------------------------------------------------------------- inside MONAI


@pytest.mark.parametrize(
    "reader", ["common.data.ImageReader2D", ImageReader2D, ImageReader2D()], ids=["name", "class", "instance"]
)
def test_in_loadimaged(tmp_path, reader, write_dicom):
    Image.fromarray(np.dstack([RAMP] * 3)).save(tmp_path / "x.png")
    load = Compose([LoadImaged("image", reader=reader, image_only=True), EnsureChannelFirstd("image")])
    for path, channels in ((tmp_path / "x.png", 3), (write_dicom(RAMP), 1)):
        image = load({"image": str(path)})["image"]
        assert image.shape == (channels, 2, 3)
        assert image.dtype == torch.float32
        np.testing.assert_allclose(image[0], UNIT, atol=1e-6)
        assert image.meta["filename_or_obj"] == str(path)


def test_options_reach_the_reader_from_a_configuration(tmp_path):
    from monai.bundle import ConfigParser

    path = tmp_path / "x.tif"
    Image.fromarray(RAMP).save(path, save_all=True, append_images=[Image.fromarray(RAMP[::-1])])
    config = {
        "load": {
            "_target_": "LoadImaged",
            "keys": "image",
            "reader": {"_target_": "common.data.ImageReader2D", "frame": 1},
        }
    }
    image = ConfigParser(config).get_parsed_content("load")({"image": str(path)})["image"]
    np.testing.assert_allclose(image, UNIT[::-1], atol=1e-6)


def test_no_other_reader_steps_in_for_a_damaged_file(write_dicom):
    """MONAI's own readers would swap the axes of a file that ours refuses."""
    path = write_dicom(np.stack([RAMP, RAMP]), frames=2)
    with pytest.raises(RuntimeError) as caught:
        Compose(LoadImaged("image", reader="common.data.ImageReader2D"))({"image": str(path)})
    ours = case_error_in(caught.value)
    assert ours is not None
    assert "holds 2 frames" in ours.what


def test_resizing_keeps_the_sources_affine(write_dicom):
    path = write_dicom(np.arange(64, dtype=np.uint8).reshape(8, 8), PixelSpacing=[0.5, 0.25])
    steps = [
        LoadImaged("image", reader=ImageReader2D),
        EnsureChannelFirstd("image"),
        Resized("image", (4, 4), mode="area"),
    ]
    image = Compose(steps)({"image": str(path)})["image"]
    assert np.diag(image.affine)[:2] == pytest.approx([1.0, 0.5])
