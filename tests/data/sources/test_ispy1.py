"""I-SPY 1 from NIfTI and from real DICOM files: slices, phases, scaling, folds, and every kind of slip."""

import datetime

import nibabel
import numpy as np
import pydicom
import pytest
from PIL import Image
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, MRImageStorage, SegmentationStorage, generate_uid

from common.data import CaseError, DatalistError, load_datalist
from common.data.sources import ispy1
from common.data.sources.dicom_series import read_dicom_series
from common.data.sources.dynamic_series import DynamicSeries, choose_slices, to_bytes

DEPTH, ROWS, COLUMNS = 8, 12, 10


def volumes(seed=0, phases=3):
    """Phases (P, Z, H, W) that get brighter, int16 from 0; and a tumour largest in slice 5."""
    rng = np.random.default_rng(seed)
    base = rng.integers(0, 400, (DEPTH, ROWS, COLUMNS))
    tumour = np.zeros((DEPTH, ROWS, COLUMNS), dtype=bool)
    for place, size in ((4, 2), (5, 4), (6, 3)):
        tumour[place, 3 : 3 + size, 2 : 2 + size] = True
    return np.stack([base + 300 * phase * (tumour + 0.2) for phase in range(phases)]).astype(np.int16), tumour


def examination(**changes):
    phases, tumour = volumes()
    return DynamicSeries(**{"source": "case", "phases": phases.astype(np.float32), "tumour": tumour, **changes})


# ---------------------------------------------------------------- slices and scaling


@pytest.mark.parametrize(
    ("count", "choose", "expected"),
    [
        (1, "tumour", [5]),
        (3, "tumour", [4, 5, 6]),
        (4, "tumour", [3, 4, 5, 6]),
        (6, "tumour", [2, 3, 4, 5, 6, 7]),  # at the volume's end, not beyond it
        (8, "tumour", list(range(8))),
        (2, "even", [2, 6]),
        (8, "even", list(range(8))),
    ],
)
def test_slices(count, choose, expected):
    assert choose_slices(examination(), count, choose) == expected


def test_a_tumour_at_the_first_slice_does_not_wrap_around():
    """The reference starts five slices below the largest area and wraps to the other end of the volume."""
    tumour = np.zeros((DEPTH, ROWS, COLUMNS), dtype=bool)
    tumour[0, 2:5, 2:5] = True
    assert choose_slices(examination(tumour=tumour), 5, "tumour") == [0, 1, 2, 3, 4]


def test_fewer_slices_than_asked_and_no_tumour():
    with pytest.raises(CaseError, match=r"case: it has 8 slices, 10 were asked for. Ask for 8 or fewer"):
        choose_slices(examination(), 10, "tumour")
    empty = examination(tumour=np.zeros((DEPTH, ROWS, COLUMNS), dtype=bool))
    with pytest.raises(CaseError, match=r"its tumour mask is empty.*--choose even"):
        choose_slices(empty, 2, "tumour")
    assert choose_slices(empty, 2, "even") == [2, 6]


def test_scaling_is_common_to_phases_and_slices():
    phases = np.zeros((2, 1, 1, 101), dtype=np.float32)
    phases[0, 0, 0], phases[1, 0, 0] = np.arange(101), np.arange(101) + 100
    scaled = to_bytes(examination(phases=phases, tumour=np.zeros((1, 1, 101), bool)), (0, 100))
    assert scaled[0, 0, 0, 100] == scaled[1, 0, 0, 0] == 128  # 100 of 200, rounded up
    assert (scaled.min(), scaled.max()) == (0, 255)
    scaled = to_bytes(examination(phases=phases, tumour=np.zeros((1, 1, 101), bool)), (10, 90))
    assert (scaled[0, 0, 0, :20] == 0).all()
    with pytest.raises(CaseError, match="are both 5, so there is nothing to see"):
        to_bytes(examination(phases=phases * 0 + 5, tumour=np.zeros((1, 1, 101), bool)), (1, 99))


def test_grids_must_agree_and_voxels_be_numbers():
    with pytest.raises(CaseError, match=r"the tumour mask has 7 x 12 x 10 voxels .*, the images 8 x 12 x 10"):
        examination(tumour=np.zeros((7, ROWS, COLUMNS), bool))
    with pytest.raises(CaseError, match="NaN or infinite"):
        examination(phases=np.full((3, DEPTH, ROWS, COLUMNS), np.nan, np.float32))


# ---------------------------------------------------------------- NIfTI


def save_nifti(path, volume, affine):
    """Write (Z, H, W), rows downwards, as NIfTI whose axes run to the right, to the front and to the head."""
    path.parent.mkdir(parents=True, exist_ok=True)
    stored = volume.transpose(0, 2, 1)[:, ::-1, ::-1].transpose(1, 2, 0)
    nibabel.Nifti1Image(stored, affine).to_filename(path)


@pytest.fixture
def breast(tmp_path, write_csv):
    """Fifteen patients in the layout of the published experiments, every third with complete response."""
    affine = np.diag([0.8, 0.8, 2.0, 1.0])
    for number in range(1001, 1016):
        phases, tumour = volumes(number)
        for index, phase in enumerate(phases, 1):
            save_nifti(tmp_path / "Dataset ISPY" / f"ISPY_{number}" / f"DCEMRI_{index}.nii", phase, affine)
        mask = tmp_path / "Tumor_segmentation_new" / f"ISPY_{number}_tumor_mask.nii"
        save_nifti(mask, tumour.astype(np.uint8), affine)
    write_csv(
        [{"SUBJECTID": str(n), "Age": "50", "PCR": str(int(n % 3 == 0))} for n in range(1001, 1016)], "outcome.csv"
    )
    return tmp_path


def pixels(path):
    return np.asarray(Image.open(path))


def test_nifti_becomes_slices_of_three_phases(breast):
    path = ispy1.convert(str(breast), slices=3, folds=3)
    assert path == breast / "ispy1_slices" / "datalist.json"
    datalist = load_datalist(path)
    items = {item["case_id"]: item for name in ("training", "validation", "test") for item in datalist[name]}
    assert len(items) == 45
    assert items["ISPY_1002_005"] == {
        "case_id": "ISPY_1002_005",
        "image": "ISPY_1002/005.png",
        "mask": "ISPY_1002/005_mask.png",
        "label": 1,
        "patient_id": "ISPY_1002",
    }
    phases, tumour = volumes(1002)
    low, high = np.percentile(phases, (1, 99.5))
    expected = np.rint(np.clip((phases[:, 5] - low) / (high - low), 0, 1) * 255).transpose(1, 2, 0)
    np.testing.assert_allclose(pixels(path.parent / "ISPY_1002/005.png"), expected, atol=1)
    np.testing.assert_array_equal(pixels(path.parent / "ISPY_1002/005_mask.png"), tumour[5] * 255)
    assert datalist["meta"]["structures"][1] == {"name": "tumour", "values": [255]}
    assert datalist["meta"]["slices"] == "3 of each patient, around the largest area of the reference mask"


def test_patients_stay_in_one_fold_and_are_tested_once(breast):
    tested = []
    for fold in range(3):
        datalist = load_datalist(ispy1.convert(str(breast), slices=2, folds=3, fold=fold))
        patients = {name: {i["patient_id"] for i in datalist[name]} for name in ("training", "validation", "test")}
        assert [len(patients[name]) for name in ("training", "validation", "test")] == [5, 5, 5]
        labels = {item["patient_id"]: item["label"] for item in datalist["test"]}
        assert 1 <= sum(labels.values()) <= 2
        tested += sorted(patients["test"])
    assert len(tested) == len(set(tested)) == 15


def test_a_single_phase_makes_grey_images_and_even_slices_need_no_mask(breast):
    path = ispy1.convert(str(breast), phases=2, slices=2, choose="even", folds=3)
    assert pixels(path.parent / "ISPY_1001/002.png").shape == (ROWS, COLUMNS)
    assert load_datalist(path)["meta"]["slices"] == "2 of each patient, evenly spread, mask not used"


def test_nifti_slips_name_the_patient(breast, caplog):
    masks = breast / "Tumor_segmentation_new"
    (masks / "ISPY_1001_tumor_mask.nii").unlink()
    save_nifti(masks / "ISPY_1002_tumor_mask.nii", volumes()[1][:, :-1].astype(np.uint8), np.diag([0.8, 0.8, 2, 1]))
    save_nifti(masks / "ISPY_1003_tumor_mask.nii", volumes()[1].astype(np.uint8), np.diag([0.8, 0.8, 3, 1]))
    images = breast / "Dataset ISPY"
    (images / "ISPY_1004" / "DCEMRI_2.nii").unlink()
    cut = images / "ISPY_1005" / "DCEMRI_1.nii"
    cut.write_bytes(cut.read_bytes()[:500])
    with pytest.raises(DatalistError) as caught:
        ispy1.convert(str(breast), slices=2, folds=3)
    message = str(caught.value)
    assert "5 patients that cannot be used" in message
    for words in (
        "there is no tumour mask named ISPY_1001_tumor_mask.nii",
        "'ISPY_1002_tumor_mask.nii' is on another grid than 'DCEMRI_1.nii': it has 8 x 11 x 10 voxels",
        "its affine matrix differs by up to 1 mm",
        "there is no DCEMRI_2.nii, only DCEMRI_1.nii, DCEMRI_3.nii",
        "the NIfTI file is damaged or cut short",
    ):
        assert words in message
    datalist = load_datalist(ispy1.convert(str(breast), slices=2, folds=3, on_problem="skip"))
    assert sum(len(datalist[name]) for name in ("training", "validation", "test")) == 20
    assert "left out: 5 patients that cannot be used" in caplog.text
    datalist = load_datalist(ispy1.convert(str(breast), slices=2, folds=3, on_problem="skip", ignore_affine=True))
    assert sum(len(datalist[name]) for name in ("training", "validation", "test")) == 22


def test_fewer_slices_than_asked_is_told_for_every_patient(breast):
    with pytest.raises(DatalistError, match="it has 8 slices, 10 were asked for"):
        ispy1.convert(str(breast), folds=3)


def test_slips_in_the_table(breast):
    table = breast / "outcome.csv"
    text = table.read_text()
    table.write_text(text.replace("1001,50,0", "1001,50,").replace("1002,50,1", "1002,50,yes"))
    with pytest.raises(DatalistError) as caught:
        ispy1.convert(str(breast), slices=2, folds=3)
    assert "2 patients without PCR in the table: ISPY_1001, ISPY_1002" in str(caught.value)
    assert "1 values of PCR that are not 0 or 1: 1002 ('yes')" in str(caught.value)
    table.write_text(text.replace("PCR", "pCR_final"))
    with pytest.raises(DatalistError, match="has no column 'PCR'"):
        ispy1.convert(str(breast), slices=2, folds=3)
    table.rename(breast / "other.txt")
    with pytest.raises(DatalistError, match=r"expected one table with SUBJECTID and PCR in .*, found none; name it"):
        ispy1.convert(str(breast), slices=2, folds=3)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"phases": (1, 2)}, r"phases is \[1, 2\], expected one number or three"),
        ({"slices": 0}, "slices is 0, expected 1 or more"),
        ({"choose": "best"}, "choose is 'best', expected tumour or even"),
        ({"percentiles": (99, 1)}, "percentiles is .*, expected two rising numbers"),
        ({"folds": 9, "slices": 2}, "label 1 occurs in 5 groups .*, too few for 9 folds"),
        ({"fold": 5, "slices": 2}, "fold is 5, expected at least 3 folds and fold from 0 to folds - 1"),
    ],
)
def test_impossible_options(breast, options, words):
    with pytest.raises(DatalistError, match=words):
        ispy1.convert(str(breast), **options)


def test_wrong_folders(breast, tmp_path):
    with pytest.raises(DatalistError, match="does not exist; name the folder that holds the patients"):
        ispy1.convert(str(tmp_path / "gone"))
    (breast / "copy" / "ISPY1_1001").mkdir(parents=True)
    with pytest.raises(DatalistError, match="are the same patient; keep one of them"):
        ispy1.convert(str(breast))
    (tmp_path / "empty").mkdir()
    with pytest.raises(DatalistError, match="holds no folder named like ISPY_1001 or ISPY1_1001"):
        ispy1.convert(str(tmp_path / "empty"))


# ---------------------------------------------------------------- DICOM


class Scanner:
    """Writes one patient's study: MR slices and a segmentation."""

    def __init__(self, folder, date="19990101"):
        self.folder, self.date, self.study, self.frame = folder, date, generate_uid(), generate_uid()
        self.count = 0

    def new(self, uid_class, **tags):
        meta = FileMetaDataset()
        meta.MediaStorageSOPClassUID, meta.TransferSyntaxUID = uid_class, ExplicitVRLittleEndian
        meta.MediaStorageSOPInstanceUID = generate_uid()
        dataset = Dataset()
        dataset.file_meta = meta
        dataset.SOPClassUID, dataset.SOPInstanceUID = uid_class, meta.MediaStorageSOPInstanceUID
        dataset.StudyInstanceUID, dataset.StudyDate, dataset.FrameOfReferenceUID = self.study, self.date, self.frame
        dataset.Rows, dataset.Columns, dataset.SamplesPerPixel = ROWS, COLUMNS, 1
        dataset.PhotometricInterpretation, dataset.PixelRepresentation = "MONOCHROME2", 0
        for name, value in tags.items():
            setattr(dataset, name, value)
        return dataset

    def save(self, dataset):
        self.count += 1
        path = self.folder / f"{self.study[-6:]}" / f"{self.count:05d}"  # archives name files by number or UID
        path.parent.mkdir(parents=True, exist_ok=True)
        pydicom.dcmwrite(path, dataset, enforce_file_format=True)
        return path

    @staticmethod
    def corner(place):
        return [-50.0, -60.0 + 0.5, 2.0 * place - 7]

    def series(self, volume, description, time, uid=None, position=None, image_type=("ORIGINAL", "PRIMARY")):
        """Write a phase (Z, H, W), slices in no particular order."""
        uid = uid or generate_uid()
        for place in np.random.default_rng(1).permutation(len(volume)):
            dataset = self.new(MRImageStorage, Modality="MR", SeriesInstanceUID=uid, SeriesDescription=description)
            dataset.ImageType, dataset.AcquisitionTime = list(image_type), time
            if position is not None:
                dataset.TemporalPositionIdentifier = position
            dataset.ImagePositionPatient = self.corner(int(place))
            dataset.ImageOrientationPatient = [1, 0, 0, 0, 1, 0]
            dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit = 16, 12, 11
            dataset.RescaleSlope, dataset.RescaleIntercept = 2, 10
            dataset.PixelData = volume[place].astype(np.uint16).tobytes()
            self.save(dataset)
        return uid

    def segmentation(self, masks, shift=0.0):
        """Write a DICOM SEG with one segment for each label, only of slices that have it."""
        dataset = self.new(SegmentationStorage, Modality="SEG", SeriesInstanceUID=generate_uid())
        dataset.ContentDate, dataset.SegmentationType = datetime.date(1999, 1, 1), "BINARY"
        dataset.BitsAllocated = dataset.BitsStored = 1
        dataset.HighBit = 0
        frames, segments, groups = [], [], []
        for number, (label, mask) in enumerate(masks.items(), 1):
            segment = Dataset()
            segment.SegmentNumber, segment.SegmentLabel = number, label
            segments.append(segment)
            for place in np.flatnonzero(mask.any((1, 2))):
                group, identity, position = Dataset(), Dataset(), Dataset()
                identity.ReferencedSegmentNumber = number
                position.ImagePositionPatient = [*self.corner(int(place))[:2], self.corner(int(place))[2] + shift]
                group.SegmentIdentificationSequence, group.PlanePositionSequence = [identity], [position]
                groups.append(group)
                frames.append(mask[place])
        dataset.SegmentSequence, dataset.PerFrameFunctionalGroupsSequence = segments, groups
        dataset.NumberOfFrames = len(frames)
        dataset.PixelData = np.packbits(np.stack(frames).ravel(), bitorder="little").tobytes()
        if len(dataset.PixelData) % 2:
            dataset.PixelData += b"\0"
        return self.save(dataset)


@pytest.fixture
def scanner(tmp_path):
    return Scanner(tmp_path / "ISPY1_1001")


def test_phases_of_one_series(scanner):
    """Three moments in one series, beside a localiser, a derived map and a later study."""
    phases, tumour = volumes(3)
    uid = None
    for position, phase in ((2, phases[1]), (1, phases[0]), (3, phases[2])):
        uid = scanner.series(phase, "Dynamic-3dfgre", "101500", uid, position)
    scanner.series(phases[0][:2], "localiser", "100000")
    scanner.series(phases[2], "PE map", "110000", image_type=("DERIVED", "SECONDARY"))
    scanner.segmentation({"tumour": tumour})
    later = Scanner(scanner.folder, date="19990601")
    later.series(phases[0] * 0, "Dynamic-3dfgre", "101500", None, 1)
    found = read_dicom_series(scanner.folder, (1, 2, 3))
    np.testing.assert_array_equal(found.phases, phases * 2.0 + 10)
    np.testing.assert_array_equal(found.tumour, tumour)
    assert read_dicom_series(scanner.folder, (3,)).phases[0, 5, 4, 4] == phases[2, 5, 4, 4] * 2 + 10


def test_a_series_for_each_phase(scanner):
    phases, tumour = volumes(3)
    for phase, time in ((phases[2], "101700.5"), (phases[0], "101200"), (phases[1], "101430")):
        scanner.series(phase, f"dynamic {time}", time)
    scanner.segmentation({"VOI": tumour | True, "tumour": tumour})
    found = read_dicom_series(scanner.folder, (1, 2, 3), segment="^tum")
    np.testing.assert_array_equal(found.phases, phases * 2.0 + 10)
    np.testing.assert_array_equal(found.tumour, tumour)
    with pytest.raises(CaseError, match="2 of its segments fit, expected one; there are VOI, tumour"):
        read_dicom_series(scanner.folder, (1, 2, 3))


def test_several_series_that_fit_must_be_told_apart(scanner):
    phases, tumour = volumes(3)
    for name in ("left", "right"):
        uid = None
        for position, phase in enumerate(phases, 1):
            uid = scanner.series(phase + (name == "right"), f"Dynamic {name}", "101500", uid, position)
    scanner.segmentation({"tumour": tumour})
    with pytest.raises(
        CaseError, match=r"2 series fit as 3 contrast phases .*--series .*'Dynamic left', 'Dynamic righ"
    ):
        read_dicom_series(scanner.folder, (1, 2, 3))
    found = read_dicom_series(scanner.folder, (1, 2, 3), series="RIGHT")
    np.testing.assert_array_equal(found.phases, phases * 2.0 + 12)
    with pytest.raises(CaseError, match="no series fit as 4 contrast phases"):
        read_dicom_series(scanner.folder, (1, 2, 4), series="left")


def test_dicom_slips(scanner):
    with pytest.raises(CaseError, match=r"it holds neither DCEMRI_<n>.nii files nor DICOM files"):
        read_dicom_series(scanner.folder, (1,))
    phases, tumour = volumes(3)
    uid = scanner.series(phases[0], "Dynamic", "101500", None, 1)
    with pytest.raises(CaseError, match=r"has 0 segmentations \(Modality SEG\), expected one"):
        read_dicom_series(scanner.folder, (1,))
    path = scanner.segmentation({"tumour": tumour}, shift=1.0)
    with pytest.raises(CaseError, match="a frame of the segmentation lies 1 mm away from the closest slice"):
        read_dicom_series(scanner.folder, (1,))
    path.unlink()
    scanner.segmentation({"tumour": tumour})
    assert read_dicom_series(scanner.folder, (1,)).phases.shape == (1, DEPTH, ROWS, COLUMNS)
    scanner.series(phases[1][:3], "Dynamic", "101700", uid, 2)
    with pytest.raises(CaseError, match="the slices of series 'Dynamic' are there between 1 and 2 times"):
        read_dicom_series(scanner.folder, (1,))


def test_dicom_patients_become_a_datalist(tmp_path, write_csv):
    rows = []
    for number in range(1001, 1007):
        phases, tumour = volumes(number)
        scanner = Scanner(tmp_path / "ISPY1" / f"ISPY1_{number}")
        uid = None
        for position, phase in enumerate(phases, 1):
            uid = scanner.series(phase, "Dynamic", "101500", uid, position)
        scanner.segmentation({"tumour": tumour})
        rows.append({"SUBJECTID": f"ISPY1_{number}", "PCR": f"{number % 2}.0"})
    write_csv(rows, "outcome.csv")
    path = ispy1.convert(str(tmp_path), slices=2, folds=3)
    datalist = load_datalist(path)
    assert [len(datalist[name]) for name in ("training", "validation", "test")] == [4, 4, 4]
    item = datalist["test"][0]
    assert item["label"] == int(item["patient_id"][-1]) % 2
    _, tumour = volumes(int(item["patient_id"][-4:]))
    np.testing.assert_array_equal(pixels(path.parent / item["mask"]) > 0, tumour[int(item["case_id"][-3:])])
