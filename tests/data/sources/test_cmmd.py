"""CMMD: labels by side, regions, splits, and what is said about files that do not fit."""

from collections import Counter

import numpy as np
import pytest
from pydicom.dataset import Dataset

from common.data import DatalistError, ImageReader2D, load_datalist, load_section
from common.data.sources import cmmd

PIXELS = np.random.default_rng(0).integers(0, 255, (64, 32), dtype=np.uint8)
SECTIONS = ("training", "validation", "test")


@pytest.fixture
def add(tmp_path, write_dicom):
    """Write one mammogram into the official layout and return its path below the root."""

    def write(patient="D1-0001", number=1, side="L", view="cranio-caudal", **tags):
        folder = tmp_path / "CMMD" / patient / "07-18-2010-NA-NA-79377" / "1.000000-NA-70244"
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / f"1-{number}.dcm"
        if view is not None:
            code = Dataset()
            code.CodeMeaning = view
            tags["ViewCodeSequence"] = [code]
        if side is not None:
            tags["ImageLaterality"] = side
        write_dicom(PIXELS, str(path.relative_to(tmp_path)), Modality="MG", PatientID=patient, **tags)
        return path.relative_to(tmp_path).as_posix()

    return write


@pytest.fixture
def root(tmp_path, add, write_csv):
    """Twelve women with two views of one breast each; every second one is malignant, all even ones left."""
    rows = []
    for index in range(12):
        patient, side = f"D{1 + index // 8}-{1 + index % 8 + 250 * (index // 10):04d}", "LR"[index % 2]
        add(patient, 1, side)
        add(patient, 2, side, "medio-lateral oblique")
        rows.append(
            {"ID1": patient, "LeftRight": side, "Age": "44", "classification": ("Benign", "Malignant")[index // 2 % 2]}
        )
    write_csv(rows, "CMMD_clinicaldata_revision.csv")
    return tmp_path


def cases(path, names=SECTIONS):
    datalist = load_datalist(path)
    return {item["case_id"]: item for name in names for item in datalist[name]}


def test_labels_follow_patient_and_side_of_the_tags(root):
    path = cmmd.convert(str(root), fractions=(0.5, 0.25, 0.25))
    found = cases(path)
    assert found["D1-0003_L_CC"] == {
        "case_id": "D1-0003_L_CC",
        "image": "CMMD/D1-0003/07-18-2010-NA-NA-79377/1.000000-NA-70244/1-1.dcm",
        "patient_id": "D1-0003",
        "laterality": "L",
        "label": 1,
        "view": "CC",
    }
    assert found["D1-0002_R_MLO"]["label"] == 0
    assert Counter(item["label"] for item in found.values()) == {0: 12, 1: 12}
    patients = [{item["patient_id"] for item in load_datalist(path)[name]} for name in SECTIONS]
    assert all(patients)
    assert len(set.union(*patients)) == sum(map(len, patients)) == 12
    reader = ImageReader2D()
    assert reader.get_data(reader.read(load_section(path, "test")[0]["image"]))[0].shape == (64, 32)


def test_spreadsheet(root):
    import pandas

    table = root / "CMMD_clinicaldata_revision.csv"
    pandas.read_csv(table, dtype=str).to_excel(table.with_suffix(".xlsx"), index=False)
    table.unlink()
    assert len(cases(cmmd.convert(str(root)))) == 24


@pytest.mark.parametrize(
    ("tags", "expected"),
    [
        ({"view": None, "ViewPosition": "MLO"}, ("L", "MLO")),
        ({"view": None, "ViewPosition": "ML"}, ("L", "ML")),
        ({"view": "medio-lateral oblique", "side": None, "Laterality": "L"}, ("L", "MLO")),
    ],
)
def test_other_tags_tell_side_and_view_too(root, add, tags, expected):
    add("D1-0001", 7, **tags)
    items = [item for item in cases(cmmd.convert(str(root))).values() if item["image"].endswith("1-7.dcm")]
    assert [(item["laterality"], item["view"]) for item in items] == [expected]


def test_a_code_value_is_known_without_its_meaning(root, add):
    code = Dataset()
    code.CodeValue, code.CodingSchemeDesignator = "399368009", "SCT"
    add("D1-0001", 7, view=None, ViewCodeSequence=[code])
    assert cases(cmmd.convert(str(root)))["D1-0001_L_MLO_2"]["view"] == "MLO"


def test_a_missing_view_is_reported_and_kept(root, add, caplog):
    add("D1-0001", 7, view=None)
    assert "view" not in cases(cmmd.convert(str(root)))["D1-0001_L_view"]
    assert "1 images have no view (CC, MLO) in their tags: CMMD/D1-0001" in caplog.text


# ---------------------------------------------------------------- breasts without a row


def test_breasts_without_a_row_are_reported_and_left_out(root, add, caplog):
    add("D1-0001", 7, "R")
    assert len(cases(cmmd.convert(str(root)))) == 24
    assert "1 images of 1 breasts without a row in the sheet left out: D1-0001 R" in caplog.text


def test_breasts_without_a_row_as_benign(root, add, caplog):
    add("D1-0003", 7, "R")
    assert cases(cmmd.convert(str(root), unlisted="benign"))["D1-0003_R_CC"]["label"] == 0
    assert "counted as benign: D1-0003 R" in caplog.text


def test_breasts_without_a_row_as_unlabelled(root, add):
    for index in range(12):
        patient = f"D{1 + index // 8}-{1 + index % 8 + 250 * (index // 10):04d}"
        add(patient, 7, "RL"[index % 2])
    path = cmmd.convert(str(root), unlisted="unlabelled", fractions=(0.5, 0.25, 0.25))
    datalist = load_datalist(path)
    training = {item["patient_id"] for item in datalist["training"]}
    assert {item["patient_id"] for item in datalist["unlabelled"]} == training, "and nobody who validates or tests"
    assert all("label" not in item for item in datalist["unlabelled"])
    assert len(load_section(path, "unlabelled")) == len(training)


def test_rows_without_an_image_are_reported(root, caplog):
    with (root / "CMMD_clinicaldata_revision.csv").open("a") as file:
        file.write("D2-9999,L,50,Benign\n")
    cmmd.convert(str(root))
    assert "1 breasts of the sheet have no image: D2-9999 L" in caplog.text


# ---------------------------------------------------------------- splits


def test_split_by_id(root):
    datalist = load_datalist(cmmd.convert(str(root), split="by_id"))
    assert {item["patient_id"] for item in datalist["test"]} == {"D2-0253", "D2-0254"}
    early = {item["patient_id"] for name in ("training", "validation") for item in datalist[name]}
    assert max(early) <= "D2-0247"
    assert datalist["validation"]
    assert datalist["meta"]["split"] == "patients up to D2-0247 for training and validation, the others for testing"


def test_split_by_id_of_a_part(root):
    with pytest.raises(DatalistError, match="no patient comes after D2-0247, so the test set would be empty"):
        cmmd.convert(str(root), split="by_id", exclude="D2-0253,D2-0254")


def test_excluded_patients(root):
    assert "D1-0002_R_CC" not in cases(cmmd.convert(str(root), exclude="D1-0002"))


def test_a_class_of_one_patient_is_reported(root, caplog):
    table = root / "CMMD_clinicaldata_revision.csv"
    table.write_text(
        table.read_text().replace("Malignant", "Benign").replace("D1-0001,L,44,Benign", "D1-0001,L,44,Malignant")
    )
    datalist = load_datalist(cmmd.convert(str(root), seed=0))
    assert "D1-0001" in {item["patient_id"] for item in datalist["training"]}
    assert "no case with label 1 in validation, test: its cases are too few, or of too few patients" in caplog.text


# ---------------------------------------------------------------- regions


def test_malignant_regions_become_boxes_and_masks(root, write_csv, picture):
    picture("masks/a.png", size=(64, 32))
    image = "CMMD/D1-0003/07-18-2010-NA-NA-79377/1.000000-NA-70244/1-1.dcm"
    benign = "CMMD/D1-0001/07-18-2010-NA-NA-79377/1.000000-NA-70244/1-1.dcm"
    row = {"image": image, "classification": "Malignant", "x0": 1, "y0": 2, "x1": 9, "y1": 8, "mask": "masks/a.png"}
    rows = [row, {**row, "x0": 3}, {**row, "classification": "Benign"}, {**row, "image": benign}]
    write_csv(rows, "regions.csv")
    found = cases(cmmd.convert(str(root)))
    assert found["D1-0003_L_CC"]["boxes"] == [[1, 2, 9, 8], [3, 2, 9, 8]]
    assert found["D1-0003_L_CC"]["mask"] == "masks/a.png"
    assert sum("boxes" in item or "mask" in item for item in found.values()) == 1


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"x0": "one"}, "a box of .*1-1.dcm' in .*regions.csv' is not a number"),
        ({"x0": 9}, r"is \[9.0, 2.0, 9.0, 8.0\], expected x0 < x1 and y0 < y1"),
        ({"mask": "masks/b.png"}, "names two masks for .*; write all its lesions into one"),
    ],
)
def test_mistakes_in_the_regions(root, write_csv, change, words):
    image = "CMMD/D1-0003/07-18-2010-NA-NA-79377/1.000000-NA-70244/1-1.dcm"
    row = {"image": image, "classification": "Malignant", "x0": 1, "y0": 2, "x1": 9, "y1": 8, "mask": "masks/a.png"}
    write_csv([row, {**row, **change}], "regions.csv")
    with pytest.raises(DatalistError, match=words):
        cmmd.convert(str(root))


# ---------------------------------------------------------------- bad input


@pytest.mark.parametrize(
    ("tags", "words"),
    [
        ({"side": None}, "1 files with no PatientID or ImageLaterality: CMMD/D1-0001/"),
        ({"side": "B"}, "1 files with both breasts in one image: CMMD/D1-0001/"),
        ({"side": "X"}, "1 files with no PatientID or ImageLaterality"),
    ],
)
def test_files_without_a_side_are_refused_or_skipped(root, add, caplog, tags, words):
    add("D1-0001", 7, **tags)
    with pytest.raises(DatalistError, match=f"(?s)has cases that cannot be used.*{words}.*--on_problem skip"):
        cmmd.convert(str(root))
    assert len(cases(cmmd.convert(str(root), on_problem="skip"))) == 24
    assert f"left out: {words}" in caplog.text


def test_damaged_files(root, add):
    path = root / add("D1-0001", 7)
    path.write_bytes(path.read_bytes()[:300])
    with pytest.raises(
        DatalistError, match=r"1 files that cannot be read: .*1-7.dcm: it is no DICOM image, or damaged"
    ):
        cmmd.convert(str(root))


def test_mistakes_in_the_sheet(root):
    table = root / "CMMD_clinicaldata_revision.csv"
    content = table.read_text()
    table.write_text(content.replace("D1-0001,L,44,Benign", "D1-0001,L,44,Bening"))
    with pytest.raises(
        DatalistError, match="has LeftRight 'L' and classification 'Bening' for D1-0001, expected L or R"
    ):
        cmmd.convert(str(root))
    table.write_text(content + "D1-0001,L,44,Malignant\n")
    with pytest.raises(DatalistError, match="calls side L of D1-0001 benign and malignant; keep one row"):
        cmmd.convert(str(root))
    table.write_text(content.replace("LeftRight", "Side"))
    with pytest.raises(DatalistError, match="has no column 'LeftRight'"):
        cmmd.convert(str(root))
    table.unlink()
    with pytest.raises(DatalistError, match=r"has no CMMD_clinicaldata_revision.xlsx or .csv; download it from TCIA"):
        cmmd.convert(str(root))


def test_impossible_options_and_places(root, tmp_path):
    with pytest.raises(DatalistError, match="unlisted is 'maybe', expected leave_out or benign or unlabelled"):
        cmmd.convert(str(root), unlisted="maybe")
    with pytest.raises(DatalistError, match="split is 'random', expected stratified or by_id"):
        cmmd.convert(str(root), split="random")
    with pytest.raises(
        DatalistError, match=r"root '.*gone' does not exist; name the folder that holds the DICOM files"
    ):
        cmmd.convert(str(tmp_path / "gone"))
    for path in root.rglob("*.dcm"):
        path.unlink()
    with pytest.raises(DatalistError, match="holds no DICOM file; name the folder that the NBIA Data Retriever"):
        cmmd.convert(str(root))
