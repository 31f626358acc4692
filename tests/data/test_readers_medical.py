"""DICOM and NIfTI files as scanners and their software write them; whole, odd and damaged."""

import nibabel
import numpy as np
import pydicom
import pytest
from pydicom.dataset import Dataset

from tests.data.reading import RAMP, UNIT, read, refused

# ---------------------------------------------------------------- DICOM


def test_dicom_without_window_uses_its_own_range(write_dicom):
    path = write_dicom(np.array([[100, 200], [300, 500]], dtype=np.uint16), PixelSpacing=[0.5, 0.25])
    pixels, meta = read(path)
    np.testing.assert_allclose(pixels, [[0, 0.25], [0.5, 1]], atol=1e-6)
    assert meta["source_format"] == "DICOM"
    np.testing.assert_array_equal(meta["affine"], np.diag([0.5, 0.25, 1, 1]))


def test_dicom_percentiles_cut_outliers(write_dicom):
    pixels = np.arange(101, dtype=np.uint16).reshape(1, 101)
    result = read(write_dicom(pixels), percentiles=(10, 90))[0][0]
    assert result[[0, 10, 50, 90, 100]] == pytest.approx([0, 0, 0.5, 1, 1])


# PS3.3 C.11.2.1.2.1 and C.11.2.1.3, centre 40, width 401: below -160 all black, above 240 all white
@pytest.mark.parametrize(
    ("function", "expected"),
    [
        ("LINEAR", [0, 0, (-60 - 39.5) / 400 + 0.5, (40 - 39.5) / 400 + 0.5, 1, 1]),
        ("LINEAR_EXACT", [0, 0, 0.5 - 100 / 401, 0.5, 1, 1]),
        ("SIGMOID", [1 / (1 + np.exp(-4 * (value - 40) / 401)) for value in (-1000, -161, -60, 40, 241, 1000)]),
    ],
)
def test_dicom_window_after_rescaling(write_dicom, function, expected):
    values = np.array([[-1000, -161, -60, 40, 241, 1000]])
    stored = (values + 1024).astype(np.uint16)
    path = write_dicom(
        stored,
        bits=12,
        RescaleSlope=1,
        RescaleIntercept=-1024,
        WindowCenter=40,
        WindowWidth=401,
        VOILUTFunction=function,
    )
    np.testing.assert_allclose(read(path)[0], [expected], atol=1e-6)


def test_dicom_takes_the_first_of_several_windows(write_dicom):
    stored = np.array([[0, 50, 100, 200]], dtype=np.uint16)
    path = write_dicom(stored, WindowCenter=[50.5, 100], WindowWidth=[101, 2])
    np.testing.assert_allclose(read(path)[0], [[0, 0.5, 1, 1]], atol=1e-6)


def test_signed_dicom(write_dicom):
    np.testing.assert_allclose(read(write_dicom(np.array([[-50, 0, 50]], dtype=np.int16)))[0], [[0, 0.5, 1]], atol=1e-6)


@pytest.mark.parametrize("window", [{}, {"WindowCenter": 128, "WindowWidth": 256}])
def test_monochrome1_is_inverted(write_dicom, window):
    normal = read(write_dicom(RAMP, "n.dcm", **window))[0]
    inverted = read(write_dicom(RAMP, "i.dcm", PhotometricInterpretation="MONOCHROME1", **window))[0]
    np.testing.assert_allclose(normal, UNIT, atol=0.003)
    np.testing.assert_allclose(inverted, 1 - normal, atol=1e-6)


def test_voi_lut_wins_over_the_window(write_dicom):
    lut = Dataset()
    lut.LUTDescriptor, lut.LUTData = [4, 10, 8], [0, 255, 51, 102]  # values 10..13; beyond the ends the end values
    lut["LUTDescriptor"].VR = lut["LUTData"].VR = "US"
    path = write_dicom(
        np.array([[0, 10, 11, 12, 13, 99]], dtype=np.uint8), VOILUTSequence=[lut], WindowCenter=5, WindowWidth=2
    )
    np.testing.assert_allclose(read(path)[0], [[0, 0, 1, 0.2, 0.4, 0.4]], atol=1e-6)


def test_modality_lut(write_dicom):
    lut = Dataset()
    lut.LUTDescriptor, lut.LUTData, lut.ModalityLUTType = [3, 0, 8], [20, 0, 10], "US"
    lut["LUTDescriptor"].VR = lut["LUTData"].VR = "US"
    path = write_dicom(np.array([[0, 1, 2]], dtype=np.uint8), ModalityLUTSequence=[lut])
    np.testing.assert_allclose(read(path)[0], [[1, 0, 0.5]], atol=1e-6)


def test_rgb_and_ybr_dicom(write_dicom):
    red = np.zeros((4, 4, 3), dtype=np.uint8)
    red[..., 0] = 255
    np.testing.assert_allclose(read(write_dicom(red, "rgb.dcm"))[0], red / 255, atol=1e-6)
    ybr = np.full((4, 4, 3), [76, 85, 255], dtype=np.uint8)  # the same red: Y .299, Cb .5 - .169, Cr .5 + .5
    path = write_dicom(ybr, "ybr.dcm", PhotometricInterpretation="YBR_FULL")
    np.testing.assert_allclose(read(path)[0], red / 255, atol=0.01)


def test_palette_dicom(write_dicom):
    tags = {"PhotometricInterpretation": "PALETTE COLOR"}
    for colour, data in (("Red", [0, 65535]), ("Green", [0, 0]), ("Blue", [65535, 0])):
        tags[f"{colour}PaletteColorLookupTableDescriptor"] = [2, 0, 16]
        tags[f"{colour}PaletteColorLookupTableData"] = np.array(data, dtype="<u2").tobytes()
    pixels, _ = read(write_dicom(np.array([[0, 1]], dtype=np.uint8), **tags))
    np.testing.assert_array_equal(pixels, [[[0, 0, 1], [1, 0, 0]]])


def test_multi_frame_dicom_needs_a_choice(write_dicom):
    path = write_dicom(np.stack([RAMP, RAMP[::-1]]), frames=2)
    assert "the file holds 2 frames and none was chosen; expected a single image" in refused(path)
    np.testing.assert_allclose(read(path, frame=1)[0], UNIT[::-1], atol=1e-6)


def test_bare_dicom_without_preamble(write_dicom):
    path = write_dicom(RAMP)
    content = path.read_bytes()
    start = content.index(b"\x08\x00\x16\x00")  # the first element after the meta information: SOP class
    path.write_bytes(content[start:])
    assert read(path)[1]["source_format"] == "DICOM"


def test_dicom_without_pixels(write_dicom):
    path = write_dicom(RAMP, Modality="SR")
    dataset = pydicom.dcmread(path)
    del dataset.PixelData
    dataset.save_as(path)
    assert "this DICOM file (SR) holds no pixels" in refused(path)


@pytest.mark.parametrize("kept", [200, 0.5, 0.9, -1])
def test_truncated_dicom(write_dicom, kept):
    path = write_dicom(np.random.default_rng(0).integers(0, 4000, (64, 64), dtype=np.uint16))
    content = path.read_bytes()
    path.write_bytes(content[: int(kept * len(content)) if 0 < kept < 1 else kept])
    assert "cut short" in refused(path)


def test_damaged_compressed_dicom(write_dicom):
    path = write_dicom(RAMP)
    dataset = pydicom.dcmread(path)
    dataset.file_meta.TransferSyntaxUID = pydicom.uid.JPEGBaseline8Bit
    dataset.PixelData = pydicom.encaps.encapsulate([b"\0" * 64])
    dataset["PixelData"].is_undefined_length = True
    dataset.save_as(path)
    assert "the DICOM file is damaged, cut short or of an unsupported kind" in refused(path)


def test_missing_decoder_is_named(write_dicom, monkeypatch):
    def no_decoder(*_, **__):
        raise RuntimeError("Unable to decompress: all plugins are missing dependencies: pylibjpeg")

    monkeypatch.setattr("pydicom.pixels.pixel_array", no_decoder)
    assert "pip install pylibjpeg pylibjpeg-libjpeg" in refused(write_dicom(RAMP))


# ---------------------------------------------------------------- NIfTI

# Voxels that tell every direction: value = 4 right + 2 front + head, in a 2 x 2 x 2 volume in canonical axes.
CANONICAL = np.array([[[0, 1], [2, 3]], [[4, 5], [6, 7]]], dtype=np.float32)


def nifti(path, volume, affine=None):
    nibabel.save(nibabel.Nifti1Image(volume, np.eye(4) if affine is None else affine), path)
    return path


def test_nifti_axial_slice_is_shown_from_below_with_the_front_up(tmp_path):
    pixels, meta = read(nifti(tmp_path / "x.nii.gz", CANONICAL), frame=0)
    # top row is the front (2), left column is the patient's right (4)
    np.testing.assert_allclose(pixels, np.array([[6, 2], [4, 0]]) / 6, atol=1e-6)
    assert meta["source_format"] == "NIfTI"


@pytest.mark.parametrize(
    ("plane", "expected"),
    [
        ((slice(0, 1), slice(None), slice(None)), [[3, 1], [2, 0]]),  # sagittal: head up, front at the left
        ((slice(None), slice(0, 1), slice(None)), [[5, 1], [4, 0]]),  # coronal: head up, patient's right at the left
        ((slice(None), slice(None), slice(0, 1)), [[6, 2], [4, 0]]),  # axial
    ],
    ids=["sagittal", "coronal", "axial"],
)
def test_nifti_single_slices_of_every_plane(tmp_path, plane, expected):
    pixels, _ = read(nifti(tmp_path / "x.nii", CANONICAL[plane]))
    np.testing.assert_allclose(pixels, np.array(expected) / np.max(expected), atol=1e-6)


def test_nifti_stored_in_other_axes_shows_the_same(tmp_path):
    # first axis head to feet, second right to left, third back to front; spacing 2, 3 and 5 mm
    stored = CANONICAL.transpose(2, 0, 1)[::-1, ::-1, :]
    affine = np.array([[0, -3, 0, 0], [0, 0, 5, 0], [-2, 0, 0, 0], [0, 0, 0, 1]], dtype=float)
    pixels, meta = read(nifti(tmp_path / "x.nii", stored, affine), frame=1)
    np.testing.assert_allclose(pixels, (np.array([[7, 3], [5, 1]]) - 1) / 6, atol=1e-6)
    np.testing.assert_allclose(meta["affine"], np.diag([5, 3, 1, 1]))  # rows go back to front, columns across


def test_two_dimensional_nifti_and_scaling(tmp_path):
    data = np.array([[-5, 0], [5, 15]], dtype=np.int16)
    image = nibabel.Nifti1Image(data, np.eye(4))
    image.header.set_slope_inter(2.0, 1.0)
    nibabel.save(image, tmp_path / "x.nii")
    np.testing.assert_allclose(read(tmp_path / "x.nii")[0], [[1, 0.25], [0.5, 0]], atol=1e-4)


def test_nifti_mask_of_noughts_and_ones(tmp_path):
    for value in (0, 1):
        flat = read(nifti(tmp_path / f"{value}.nii", np.full((3, 4), value, dtype=np.uint8)))[0]
        np.testing.assert_array_equal(flat, np.full((4, 3), value))


def test_nan_and_infinity_survive_for_the_check(tmp_path):
    data = np.array([[0, 1], [np.nan, np.inf]], dtype=np.float32)
    pixels = read(nifti(tmp_path / "x.nii", data))[0]
    assert np.isnan(pixels).sum() == 1
    assert np.isinf(pixels).sum() == 1
    assert sorted(pixels[np.isfinite(pixels)]) == [0, 1]


def test_nifti_volumes_need_a_choice(tmp_path):
    path = nifti(tmp_path / "x.nii.gz", np.random.default_rng(0).random((4, 5, 6), dtype=np.float32))
    assert (
        "holds 6 slices and none was chosen; expected a single image. Set the reader's option frame to 0 ... 5"
        in refused(path)
    )
    four = nifti(tmp_path / "4d.nii", np.zeros((2, 2, 2, 3), dtype=np.float32))
    assert "expected one grey slice or volume" in refused(four)


def test_nifti_without_directions(tmp_path):
    image = nibabel.Nifti1Image(np.zeros((2, 2, 1), dtype=np.float32), np.eye(4))
    image.header["sform_code"], image.header["qform_code"] = 1, 0
    image.header["srow_z"] = 0
    nibabel.save(image, tmp_path / "x.nii")
    broken = bytearray((tmp_path / "x.nii").read_bytes())
    broken[252:254], broken[254:256] = b"\0\0", b"\1\0"  # qform off, sform on
    broken[312:328] = b"\0" * 16  # the third row of the sform
    (tmp_path / "x.nii").write_bytes(broken)
    assert "affine matrix is singular" in refused(tmp_path / "x.nii")


@pytest.mark.parametrize("name", ["x.nii", "x.nii.gz"])
def test_truncated_nifti(tmp_path, name):
    path = nifti(tmp_path / name, np.random.default_rng(0).random((32, 32), dtype=np.float32))
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])
    assert "the NIfTI file is damaged, cut short" in refused(path)
