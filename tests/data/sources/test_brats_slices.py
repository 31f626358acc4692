"""BraTS: slices, labels, masks and orientation from small NIfTI volumes, and what is said about mistakes."""

import nibabel
import numpy as np
import pytest

from common.data import DatalistError, ImageReader2D, load_datalist, load_section
from common.data.sources import brats_slices

SECTIONS = ("training", "validation", "test")
SHAPE = (20, 24, 8)
# BraTS stores left-posterior-superior voxels: the first two axes run against the canonical ones.
AFFINE = np.diag([-1.0, -1.0, 1.0, 1.0])


def brain(seed):
    """A block of brain in slices 1 to 6; brighter to the front, so that up can be told from down."""
    volume = np.zeros(SHAPE, dtype=np.float32)
    rows = np.linspace(200, 100, 16)[None, :, None]  # in stored order the front comes first
    volume[4:16, 4:20, 1:7] = rows + np.random.default_rng(seed).normal(0, 1, (12, 16, 6))
    return volume


def write(folder, name, volume):
    folder.mkdir(parents=True, exist_ok=True)
    nibabel.save(nibabel.Nifti1Image(volume, AFFINE), folder / name)


@pytest.fixture
def root(tmp_path):
    """Ten cases with tumour in slices 3 to 6, a single voxel of it in slice 3."""
    for index in range(10):
        case = f"BraTS20_Training_{index:03d}"
        tumour = np.zeros(SHAPE, dtype=np.uint8)
        tumour[6:9, 5:9, 4:7] = (1, 2, 4)
        tumour[6, 6, 3] = 4
        write(tmp_path / case, f"{case}_t1.nii.gz", brain(index))
        write(tmp_path / case, f"{case}_flair.nii.gz", brain(index) * 2)
        write(tmp_path / case, f"{case}_seg.nii.gz", tumour)
    return tmp_path


def cases(path):
    datalist = load_datalist(path)
    return {item["case_id"]: item for name in SECTIONS for item in datalist[name]}


def read(path):
    reader = ImageReader2D()
    return reader.get_data(reader.read(path))[0]


def test_slices_labels_and_masks(root):
    path = brats_slices.convert(str(root), every=1)
    assert path == root / "brats_slices" / "datalist.json"
    found = cases(path)
    # of slices 0 to 7: 0 and 7 show no brain, 3 too little of the tumour to be called either
    numbers = {int(name[-3:]): item["label"] for name, item in found.items() if "_007_" in name}
    assert numbers == {1: 0, 2: 0, 4: 1, 5: 1, 6: 1}
    item = found["BraTS20_Training_007_005"]
    assert item == {
        "case_id": "BraTS20_Training_007_005",
        "image": "BraTS20_Training_007/005.png",
        "label": 1,
        "patient_id": "BraTS20_Training_007",
        "mask": "BraTS20_Training_007/005_mask.png",
        "boxes": [[6, 5, 9, 9]],
    }
    assert "mask" not in found["BraTS20_Training_007_001"]
    patients = [{item["patient_id"] for item in load_datalist(path)[name]} for name in SECTIONS]
    assert sorted(map(len, patients)) == [1, 2, 7]
    assert len(set.union(*patients)) == 10
    assert len(load_section(path, "training")) == 5 * len(patients[0])


def test_slices_lie_as_radiologists_see_them_with_air_black(root):
    path = brats_slices.convert(str(root), every=1)
    item = cases(path)["BraTS20_Training_002_005"]
    picture, mask = (read(path.parent / item[key]) for key in ("image", "mask"))
    assert picture.shape == (24, 20)
    assert picture[:4].max() == 0
    assert picture[5].max() > picture[18].max() > 0  # the bright front is at the top
    rows, columns = np.nonzero(mask)
    assert (rows.min(), rows.max(), columns.min(), columns.max()) == (5, 8, 6, 8)


def test_slices_agree_with_the_reader_of_volumes(root):
    """Two ways to the same picture: this converter, and ImageReader2D on the volume."""
    path = brats_slices.convert(str(root), every=1)
    volume = ImageReader2D(frame=5)
    reference = volume.get_data(volume.read(root / "BraTS20_Training_002/BraTS20_Training_002_t1.nii.gz"))[0]
    written = read(path.parent / "BraTS20_Training_002/005.png")
    inside = reference > 0
    np.testing.assert_array_equal(written > 0, inside)
    assert np.corrcoef(written[inside], reference[inside])[0, 1] > 0.999


def test_grey_values_are_standard_deviations_of_the_brain(root):
    path = brats_slices.convert(str(root), every=1)
    values = brain(3)[brain(3) > 0]
    written = np.rint(read(path.parent / "BraTS20_Training_003/002.png") * 255)
    score = (brain(3)[8, 10, 2] - values.mean()) / values.std()
    assert written[10, 8] == pytest.approx(1 + (score + 3) / 7 * 254, abs=0.51)
    # a contrast twice as bright looks the same
    other = brats_slices.convert(str(root), every=1, modality="flair", out=str(root / "flair.json"))
    np.testing.assert_array_equal(np.rint(read(root / "brats_slices/BraTS20_Training_003/002.png") * 255), written)
    assert load_datalist(other)["meta"]["source"] == "BraTS, flair, axial, one slice of 1"


def test_names_of_newer_releases(tmp_path):
    for index in range(6):
        for time in (0, 1):
            case = f"BraTS-GLI-{index:05d}-{time:03d}"
            tumour = np.zeros(SHAPE, dtype=np.uint8)
            tumour[6:9, 5:9, 4:7] = 1
            write(tmp_path / case, f"{case}-t1n.nii.gz", brain(index))
            write(tmp_path / case, f"{case}-seg.nii.gz", tumour)
    found = cases(brats_slices.convert(str(tmp_path), every=2))
    assert {item["patient_id"] for item in found.values()} == {f"BraTS-GLI-{index:05d}" for index in range(6)}
    assert {int(name[-3:]) for name in found} == {2, 4, 6}


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"modality": "t3"}, "modality is 't3', expected t1, t1ce, t2, flair"),
        ({"every": 0}, "every is 0, expected 1 or more slices"),
        ({"min_brain": 1.5}, "min_brain is 1.5, expected a share between 0 and 1"),
        ({"modality": "t2"}, "10 cases that cannot be used: .*BraTS20_Training_000: it has no t2 volume"),
    ],
)
def test_impossible_options(root, options, words):
    with pytest.raises(DatalistError, match=words):
        brats_slices.convert(str(root), **options)


def test_damaged_and_mismatched_cases_are_refused_or_skipped(root, caplog):
    damaged = root / "BraTS20_Training_001/BraTS20_Training_001_t1.nii.gz"
    damaged.write_bytes(damaged.read_bytes()[:200])
    write(root / "BraTS20_Training_002", "BraTS20_Training_002_seg.nii.gz", np.zeros((20, 24, 7), dtype=np.uint8))
    with pytest.raises(DatalistError, match=r"(?s)2 cases that cannot be used: .*damaged or cut short.*\(20, 24, 7\)"):
        brats_slices.convert(str(root))
    found = cases(brats_slices.convert(str(root), every=1, on_problem="skip"))
    assert len({item["patient_id"] for item in found.values()}) == 8
    assert "left out: 2 cases that cannot be used" in caplog.text


def test_no_cases_or_the_same_case_twice(root):
    (root / "nothing").mkdir()
    with pytest.raises(DatalistError, match=r"holds no <case>_seg.nii.gz; name the folder of the training cases"):
        brats_slices.convert(str(root / "nothing"))
    write(root / "copy", "BraTS20_Training_001_seg.nii.gz", np.zeros(SHAPE, dtype=np.uint8))
    with pytest.raises(DatalistError, match="are the same case; keep one of them"):
        brats_slices.convert(str(root))
