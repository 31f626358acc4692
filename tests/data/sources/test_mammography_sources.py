"""VinDr-Mammo, CBIS-DDSM and INbreast: tiny folders in their official layouts, with real DICOM files."""

import plistlib
from collections import Counter

import numpy as np
import pytest
from PIL import Image

from common.data import DatalistError, load_datalist, load_section
from common.data.sources import cbis_ddsm, inbreast, vindr_mammo
from common.data.sources.mammography import birads_label

PIXELS = np.random.default_rng(0).integers(0, 255, (64, 32), dtype=np.uint8)
SECTIONS = ("training", "validation", "test")


@pytest.fixture
def add_dicom(tmp_path, write_dicom):
    def write(path, pixels=PIXELS, **tags):
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        return write_dicom(pixels, path, Modality="MG", **tags)

    return write


def cases(path):
    datalist = load_datalist(path)
    return {item["case_id"]: item for name in SECTIONS for item in datalist[name]}


def patients(path):
    return {name: {item["patient_id"] for item in load_datalist(path)[name]} for name in SECTIONS}


# ---------------------------------------------------------------- BI-RADS


@pytest.mark.parametrize(
    ("text", "label"),
    [("BI-RADS 1", 0), ("BI-RADS 4", 1), ("4a", 1), ("4C", 1), ("3", 0), ("6", 1), ("bi-rads 5", 1), ("2", 0)],
)
def test_birads(text, label):
    assert birads_label(text, suspicious_from=4) == label


@pytest.mark.parametrize("text", ["", "0", "BI-RADS 0", "7", "benign"])
def test_no_birads(text):
    with pytest.raises(ValueError, match="is no finished BI-RADS assessment, expected 1 to 6"):
        birads_label(text, suspicious_from=4)


@pytest.mark.parametrize("convert", [vindr_mammo.convert, inbreast.convert])
@pytest.mark.parametrize("category", [1, 7])
def test_impossible_limits(tmp_path, convert, category):
    with pytest.raises(DatalistError, match=f"suspicious_from is {category}, expected a BI-RADS category from 2 to 6"):
        convert(str(tmp_path), suspicious_from=category)


# ---------------------------------------------------------------- VinDr-Mammo


@pytest.fixture
def vindr(tmp_path, add_dicom, write_csv):
    """Sixteen examinations with two views; every fourth one is BI-RADS 5, every fourth one BI-RADS 3."""
    breasts, findings = [], []
    for study in range(16):
        for view in ("CC", "MLO"):
            image, birads = f"i{study:02d}{view}", f"BI-RADS {(1, 5, 3, 2)[study % 4]}"
            add_dicom(f"images/s{study:02d}/{image}.dicom")
            split = "test" if study >= 12 else "training"
            row = {"study_id": f"s{study:02d}", "series_id": "x", "image_id": image, "laterality": "LR"[study % 2]}
            row |= {"view_position": view, "height": 64, "width": 32, "breast_birads": birads, "split": split}
            breasts.append(row)
            box = dict(zip(("xmin", "ymin", "xmax", "ymax"), (4.5, 6, 20, 30), strict=True))
            for number in range(2 if study % 4 == 1 else 1):
                marked = study % 2
                finding = "" if not marked else ("BI-RADS 5", "BI-RADS 2")[number] if study % 4 == 1 else "BI-RADS 3"
                category = str(["Mass"] if marked else ["No Finding"])
                cells = box if marked else dict.fromkeys(box, "")
                findings.append({**row, "finding_categories": category, "finding_birads": finding, **cells})
    write_csv(breasts, "breast-level_annotations.csv")
    write_csv(findings, "finding_annotations.csv")
    return tmp_path


def test_vindr_labels_boxes_and_official_test_set(vindr):
    path = vindr_mammo.convert(str(vindr), validation=0.25)
    found = cases(path)
    assert found["i01CC"] == {
        "case_id": "i01CC",
        "image": "images/s01/i01CC.dicom",
        "label": 1,
        "patient_id": "s01",
        "laterality": "R",
        "view": "CC",
        "boxes": [[4.5, 6.0, 20.0, 30.0]],  # the second finding is not suspicious
    }
    assert "boxes" not in found["i03CC"]
    assert Counter(item["label"] for item in found.values()) == {0: 24, 1: 8}
    split = patients(path)
    assert split["test"] == {f"s{study}" for study in range(12, 16)}
    assert len(split["validation"]) == 3
    assert not split["training"] & split["validation"]
    assert load_section(path, "training")[0]["image"].endswith(".dicom")


def test_vindr_other_limit(vindr):
    found = cases(vindr_mammo.convert(str(vindr), suspicious_from=3))
    assert found["i02CC"]["label"] == 1
    assert load_datalist(vindr / "datalist.json")["meta"]["suspicious_from"] == 3


@pytest.mark.parametrize(
    ("table", "old", "new", "words"),
    [
        ("breast-level_annotations.csv", ",test", ",tset", "unknown split 'tset', expected training or test"),
        (
            "breast-level_annotations.csv",
            ",BI-RADS 5",
            ",BI-RADS 0",
            "8 rows without a usable assessment: i01CC: 'BI-RADS",
        ),
        (
            "breast-level_annotations.csv",
            "i00CC,L",
            "i00CC,?",
            r"1 rows whose laterality is neither L nor R: i00CC \('\?'\)",
        ),
        ("breast-level_annotations.csv", "i00CC", "i99CC", "1 rows without image: images/s00/i99CC.dicom"),
        ("finding_annotations.csv", "4.5,", "left,", "a finding of i01CC in .* cannot be read"),
        ("finding_annotations.csv", "xmin", "x_min", "has no column 'xmin'; did you mean 'x_min'"),
    ],
)
def test_vindr_mistakes(vindr, table, old, new, words):
    content = (vindr / table).read_text()
    (vindr / table).write_text(content.replace(old, new))
    with pytest.raises(DatalistError, match=words):
        vindr_mammo.convert(str(vindr))


def test_vindr_rows_without_image_can_be_skipped(vindr, caplog):
    (vindr / "images/s03/i03CC.dicom").unlink()
    assert len(cases(vindr_mammo.convert(str(vindr), on_problem="skip"))) == 31
    assert "left out: 1 rows without image: images/s03/i03CC.dicom" in caplog.text


# ---------------------------------------------------------------- CBIS-DDSM

FILM = "CBIS-DDSM/{0}/07-20-2016-DDSM-NA-30288/1.000000-full mammogram images-24515/1-1.dcm"
REGION = "CBIS-DDSM/{0}_{1}/07-20-2016-DDSM-NA-94942/1.000000-ROI mask images-18984/1-{2}.dcm"


def mask_of(*boxes):
    mask = np.zeros((64, 32), dtype=np.uint8)
    for x0, y0, x1, y1 in boxes:
        mask[y0:y1, x0:x1] = 255
    return mask


@pytest.fixture
def cbis(tmp_path, add_dicom, write_csv):
    """Twelve women with a film and a lesion each, four of them for the test; films of odd ones are malignant."""
    rows = {"train": [], "test": []}

    def row(name, patient, label, number=1):
        return {
            "patient_id": patient,
            "left or right breast": "LEFT",
            "image view": "CC",
            "abnormality id": number,
            "pathology": label,
            "image file path": f"{name}/1.3.6/1.3.7/000000.dcm",
            "cropped image file path": f"{name}_{number}/1.3.6/1.3.8/000000.dcm",
            "ROI mask file path": f'"{name}_{number}/1.3.6/1.3.8/000001.dcm\n"',
        }

    for index in range(12):
        part = ("Training", "Test")[index >= 8]
        name, patient = f"Mass-{part}_P_{index:05d}_LEFT_CC", f"P_{index:05d}"
        add_dicom(FILM.format(name))
        # The cutting comes first for even ones, as in some of the official folders.
        files = [mask_of((3, 4, 10, 12)), PIXELS[:20, :20]][:: 1 if index % 2 else -1]
        for number, pixels in enumerate(files, 1):
            add_dicom(REGION.format(name, 1, number), pixels)
        label = "MALIGNANT" if index % 2 else ("BENIGN", "BENIGN_WITHOUT_CALLBACK")[index // 2 % 2]
        rows["train" if index < 8 else "test"].append(row(name, patient, label))
    name = "Mass-Training_P_00001_LEFT_CC"  # two more lesions, one of them benign
    rows["train"] += [row(name, "P_00001", "MALIGNANT", 2), row(name, "P_00001", "BENIGN", 3)]
    add_dicom(REGION.format(name, 2, 1), mask_of((20, 30, 25, 40)))
    add_dicom(REGION.format(name, 3, 1), mask_of((1, 50, 30, 60)))
    for part, lines in rows.items():
        write_csv(lines, f"mass_case_description_{part}_set.csv")
    return tmp_path


def test_cbis_joins_the_masks_of_malignant_lesions(cbis):
    path = cbis_ddsm.convert(str(cbis), validation=0.25)
    found = cases(path)
    name = "Mass-Training_P_00001_LEFT_CC"
    assert found["P_00001_L_CC"] == {
        "case_id": "P_00001_L_CC",
        "image": FILM.format(name),
        "label": 1,
        "patient_id": "P_00001",
        "laterality": "L",
        "view": "CC",
        "mask": "region_masks/P_00001_L_CC.png",
        "boxes": [[3, 4, 10, 12], [20, 30, 25, 40]],
    }
    written = np.asarray(Image.open(cbis / "region_masks/P_00001_L_CC.png"))
    np.testing.assert_array_equal(written, mask_of((3, 4, 10, 12), (20, 30, 25, 40)) > 0)
    assert all(("mask" in item) == (item["label"] == 1) for item in found.values())
    assert patients(path)["test"] == {f"P_{index:05d}" for index in range(8, 12)}
    assert len(load_section(path, "validation")) == 2


def test_cbis_benign_regions_on_request(cbis):
    found = cases(cbis_ddsm.convert(str(cbis), benign_regions=True))
    assert found["P_00002_L_CC"]["boxes"] == [[3, 4, 10, 12]]
    assert found["P_00001_L_CC"]["boxes"] == [[3, 4, 10, 12], [20, 30, 25, 40]]


def test_cbis_patients_of_both_tables_only_test(cbis, caplog):
    text = (cbis / "mass_case_description_train_set.csv").read_text()
    (cbis / "calc_case_description_train_set.csv").write_text(text)
    # the first film; there is a line break within its row
    test = (cbis / "mass_case_description_test_set.csv").read_text() + "\n".join(text.splitlines()[1:3])
    (cbis / "calc_case_description_test_set.csv").write_text(test)
    path = cbis_ddsm.convert(str(cbis), abnormality="both")
    assert "left out of training: 1 films of patients who are in the test set too" in caplog.text
    assert "P_00000" in patients(path)["test"]
    assert len(cases(path)) == 12, "a film that both tables list counts once"


@pytest.mark.parametrize(
    ("break_it", "words"),
    [
        (
            lambda root: (root / FILM.format("Mass-Test_P_00009_LEFT_CC")).unlink(),
            "P_00009_LEFT_CC: this folder is missing",
        ),
        (
            lambda root: (root / REGION.format("Mass-Test_P_00009_LEFT_CC", 1, 1)).unlink(),
            "0 of its files have the film's",
        ),
    ],
)
def test_cbis_missing_files_are_refused_or_skipped(cbis, break_it, words):
    break_it(cbis)
    with pytest.raises(DatalistError, match=f"(?s)1 films or masks that cannot be used: .*{words}"):
        cbis_ddsm.convert(str(cbis))
    assert len(cases(cbis_ddsm.convert(str(cbis), on_problem="skip"))) == 11


def test_cbis_masks_of_another_size_or_empty(cbis, add_dicom):
    path = REGION.format("Mass-Test_P_00009_LEFT_CC", 1, 1)
    add_dicom(path, np.zeros((64, 33), dtype=np.uint8))
    with pytest.raises(DatalistError, match=r"have the film's 64 x 32 pixels, expected one \(found 64 x 33, 20 x 20\)"):
        cbis_ddsm.convert(str(cbis))
    add_dicom(path, np.zeros((64, 32), dtype=np.uint8))
    with pytest.raises(DatalistError, match="the mask is empty"):
        cbis_ddsm.convert(str(cbis))


def test_cbis_mistakes_in_the_tables(cbis):
    with pytest.raises(DatalistError, match="abnormality is 'lump', expected mass, calcification, both"):
        cbis_ddsm.convert(str(cbis), abnormality="lump")
    with pytest.raises(DatalistError, match=r"calc_case_description_train_set.csv' does not exist"):
        cbis_ddsm.convert(str(cbis), abnormality="calcification")
    table = cbis / "mass_case_description_test_set.csv"
    table.write_text(table.read_text().replace("MALIGNANT", "UNPROVEN"))
    with pytest.raises(DatalistError, match="has pathology 'UNPROVEN' and side 'LEFT' for P_00009, expected BENIGN"):
        cbis_ddsm.convert(str(cbis))


# ---------------------------------------------------------------- INbreast


def contours(*regions):
    """Return a property list as the release has them; regions are (name, points)."""
    entries = [
        {"Name": name, "NumberOfPoints": len(points), "Point_px": [f"({x:.6f}, {y:.6f})" for x, y in points]}
        for name, points in regions
    ]
    return plistlib.dumps({"Images": [{"ImageIndex": 0, "NumberOfROIs": len(entries), "ROIs": entries}]})


SQUARE = [(4, 6), (10, 6), (10, 20), (4, 20)]


@pytest.fixture
def breasts(tmp_path, add_dicom, write_csv):
    """Twelve patients with two images; every second patient has BI-RADS 4a or 5 and a mass."""
    rows = []
    (tmp_path / "AllXML").mkdir()
    for index in range(24):
        patient, view = f"{index // 2 + 10:016x}", ("CC", "ML")[index % 2]
        number, suspicious = 20586900 + index, index // 2 % 2
        add_dicom(f"AllDICOMs/{number}_{patient}_MG_{'LR'[index // 4 % 2]}_{view}_ANON.dcm")
        if suspicious:
            regions = [("Mass", SQUARE), ("Calcification", [(20, 50)]), ("Unnamed", SQUARE)]
            (tmp_path / f"AllXML/{number}.xml").write_bytes(contours(*regions))
        birads = ("4a", "5")[index % 2] if suspicious else ("1", "2")[index % 2]
        row = {"Patient ID": "removed", "Laterality": "LR"[index // 4 % 2], "View": view, "File Name": number}
        rows.append({**row, "ACR": 2, "Bi-Rads": birads})
    write_csv(rows, "INbreast.csv", delimiter=";")
    return tmp_path


def test_inbreast_contours_become_boxes_and_masks(breasts):
    path = inbreast.convert(str(breasts))
    found = cases(path)
    assert len(found) == 24
    assert found["20586902"] == {
        "case_id": "20586902",
        "image": "AllDICOMs/20586902_000000000000000b_MG_L_CC_ANON.dcm",
        "label": 1,
        "patient_id": "000000000000000b",
        "laterality": "L",
        "view": "CC",
        "mask": "region_masks/20586902.png",
        "boxes": [[4, 6, 11, 21]],
    }
    np.testing.assert_array_equal(
        np.asarray(Image.open(breasts / "region_masks/20586902.png")), mask_of((4, 6, 11, 21)) > 0
    )
    assert "mask" not in found["20586900"]
    split = patients(path)
    assert all(split.values())
    assert len(set.union(*split.values())) == sum(map(len, split.values())) == 12


def test_inbreast_single_calcifications_on_request(breasts):
    item = cases(inbreast.convert(str(breasts), calcifications=True))["20586902"]
    assert item["boxes"] == [[4, 6, 11, 21], [20, 50, 21, 51]]
    assert np.asarray(Image.open(breasts / item["mask"])).sum() == 7 * 15 + 1


def test_inbreast_other_limit(breasts):
    table = breasts / "INbreast.csv"
    table.write_text(table.read_text().replace("4a", "3"))
    assert cases(inbreast.convert(str(breasts)))["20586902"]["label"] == 0
    assert cases(inbreast.convert(str(breasts), suspicious_from=3))["20586902"]["label"] == 1


@pytest.mark.parametrize(
    "points", [b"<plist", plistlib.dumps({"Images": [{}]}), contours(("Mass", SQUARE)).replace(b"(4", b"4")]
)
def test_inbreast_damaged_contours(breasts, points):
    (breasts / "AllXML/20586902.xml").write_bytes(points)
    with pytest.raises(DatalistError, match=r"20586902.xml: it is no list of contours, or damaged"):
        inbreast.convert(str(breasts))
    assert "20586902" not in cases(inbreast.convert(str(breasts), on_problem="skip"))


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        (
            ";20586902;2;4a",
            ";20586902;2;",
            "1 images without a usable assessment: 20586902_.*'' is no finished BI-RADS",
        ),
        (
            ";20586902;",
            ";20586999;",
            "(?s)1 images without a row in the table: 20586902_.*1 rows without image: 20586999",
        ),
        ("L;CC;20586902", "X;CC;20586902", r"1 images whose side differs between table and tags: 20586902_.* \('X'\)"),
        ("Bi-Rads", "BIRADS", "has no column 'Bi-Rads'"),
    ],
)
def test_inbreast_mistakes_in_the_table(breasts, old, new, words):
    table = breasts / "INbreast.csv"
    table.write_text(table.read_text().replace(old, new, 1))
    with pytest.raises(DatalistError, match=words):
        inbreast.convert(str(breasts))


def test_inbreast_side_of_the_tags_must_agree(breasts, add_dicom):
    add_dicom("AllDICOMs/20586902_000000000000000b_MG_L_CC_ANON.dcm", ImageLaterality="R")
    with pytest.raises(DatalistError, match="1 images whose side differs between table and tags: 20586902_"):
        inbreast.convert(str(breasts))


def test_inbreast_empty_folder(tmp_path, write_csv):
    write_csv([{"File Name": "1", "Bi-Rads": "1", "Laterality": "L", "View": "CC"}], "INbreast.csv")
    with pytest.raises(
        DatalistError, match="AllDICOMs' holds no file named like 20586908_6c613a14b80a8591_MG_R_CC_ANON"
    ):
        inbreast.convert(str(tmp_path))
