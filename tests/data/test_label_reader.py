"""Masks are read as the numbers they store, whatever the format."""

import numpy as np
import pytest
from PIL import Image

from common.data import CaseError, LabelReader2D

VALUES = np.array([[0, 128, 255], [3, 3, 0]], dtype=np.uint8)


def read(path):
    reader = LabelReader2D()
    return reader.get_data(reader.read(str(path)))[0]


@pytest.mark.parametrize("suffix", ["png", "bmp", "tif"])
def test_grey_files_keep_their_values(tmp_path, suffix):
    Image.fromarray(VALUES).save(tmp_path / f"m.{suffix}")
    np.testing.assert_array_equal(read(tmp_path / f"m.{suffix}"), VALUES)


def test_sixteen_bits(tmp_path):
    Image.fromarray(VALUES.astype(np.uint16) * 257).save(tmp_path / "m.png")
    np.testing.assert_array_equal(read(tmp_path / "m.png"), VALUES.astype(int) * 257)


def test_one_bit_is_black_and_white(tmp_path):
    Image.fromarray(VALUES > 100).save(tmp_path / "m.png")
    np.testing.assert_array_equal(read(tmp_path / "m.png"), (VALUES > 100) * 255)


@pytest.mark.parametrize(
    ("palette", "expected"),
    [
        ([0, 0, 0, 255, 0, 0, 0, 255, 0], [[0, 1, 2]]),  # black, red, green: the index is meant
        ([0, 0, 0, 128, 128, 128, 255, 255, 255], [[0, 128, 255]]),  # greys: what is shown is meant
    ],
)
def test_palettes(tmp_path, palette, expected):
    image = Image.fromarray(np.array([[0, 1, 2]], dtype=np.uint8), mode="L").convert("P")
    image.putdata([0, 1, 2])
    image.putpalette(palette)
    image.save(tmp_path / "m.png")
    assert read(tmp_path / "m.png").tolist() == expected


def test_colour_files_of_greys(tmp_path):
    Image.fromarray(np.dstack([VALUES] * 3)).save(tmp_path / "m.bmp")
    np.testing.assert_array_equal(read(tmp_path / "m.bmp"), VALUES)
    Image.fromarray(np.dstack([VALUES, VALUES, VALUES // 2])).save(tmp_path / "c.bmp")
    with pytest.raises(CaseError, match="the mask is a colour picture, expected one number a pixel"):
        read(tmp_path / "c.bmp")


def test_dicom_keeps_stored_values(write_dicom):
    path = write_dicom(VALUES, WindowCenter=10, WindowWidth=2, RescaleSlope=2, RescaleIntercept=-100)
    np.testing.assert_array_equal(read(path), VALUES)


def test_nifti_is_turned_like_its_image(tmp_path):
    import nibabel

    from common.data import ImageReader2D

    for affine in (np.eye(4), np.diag([-1, -1, 1, 1])):
        nibabel.Nifti1Image(VALUES[..., None], affine).to_filename(tmp_path / "m.nii")
        image = ImageReader2D()
        shown = image.get_data(image.read(tmp_path / "m.nii"))[0]
        np.testing.assert_allclose(read(tmp_path / "m.nii"), shown * 255, atol=1e-4)


def test_damaged_files(tmp_path):
    (tmp_path / "m.png").write_bytes(b"no image")
    with pytest.raises(CaseError, match="it is no image that can be recognised"):
        read(tmp_path / "m.png")
    Image.fromarray(np.tile(VALUES, (90, 90))).save(tmp_path / "cut.png")
    (tmp_path / "cut.png").write_bytes((tmp_path / "cut.png").read_bytes()[:60])
    with pytest.raises(CaseError, match="damaged, cut short"):
        read(tmp_path / "cut.png")
