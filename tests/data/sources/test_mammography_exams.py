"""Exams of VinDr-Mammo, CBIS-DDSM, CMMD and INbreast: their tables become facts, labels and templated reports."""

import plistlib

import numpy as np
import pytest
from PIL import Image

from common.data import DatalistError, load_datalist, write_datalist
from common.data.exams import ExamLayout, load_exams
from common.data.sources import cbis_ddsm, cmmd, inbreast, mammography_exams, vindr_mammo
from common.data.sources.exam_grouping import group_into_exams
from common.data.sources.mammography_facts import read_facts
from common.text.report_parser import parse_report

PIXELS = np.random.default_rng(0).integers(0, 255, (64, 32), dtype=np.uint8)
VIEWS = ["left_cc", "left_mlo", "right_cc", "right_mlo"]


@pytest.fixture
def add_dicom(tmp_path, write_dicom):
    def write(path, pixels=PIXELS, **tags):
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        return write_dicom(pixels, path, Modality="MG", **tags)

    return write


@pytest.fixture
def vindr(tmp_path, add_dicom, write_csv):
    """Twelve examinations of four views; those of odd number have a mass at the left, every third one an asymmetry."""
    breasts, findings = [], []
    for study in range(12):
        for view in VIEWS:
            side, position = view.upper().split("_")
            row = {"study_id": f"s{study:02d}", "image_id": f"i{study:02d}{view}", "laterality": side[0]}
            row |= {
                "view_position": position,
                "breast_density": "DENSITY C",
                "split": "test" if study > 8 else "training",
            }
            add_dicom(f"images/{row['study_id']}/{row['image_id']}.dicom")
            mass = study % 2 and side == "LEFT"
            breasts.append(row | {"breast_birads": "BI-RADS 5" if mass else "BI-RADS 1"})
            names = ["Mass", "Skin Thickening"] if mass else []
            names += ["Focal Asymmetry"] if study % 3 == 0 and view == "right_cc" else []
            box = (4, 6, 20, 30) if names else ("",) * 4
            cells = dict(zip(("xmin", "ymin", "xmax", "ymax"), box, strict=True))
            birads = "BI-RADS 5" if mass else "BI-RADS 3" if names else ""
            findings.append(
                {**row, "finding_categories": str(names or ["No Finding"]), "finding_birads": birads, **cells}
            )
    write_csv(breasts, "breast-level_annotations.csv")
    write_csv(findings, "finding_annotations.csv")
    vindr_mammo.convert(str(tmp_path), validation=0.25)
    return tmp_path


def cases(path):
    return {
        item["case_id"]: item for items in load_datalist(path).values() if isinstance(items, list) for item in items
    }


def test_vindr(vindr):
    path = mammography_exams.convert(str(vindr))
    datalist, found = load_datalist(path), cases(path)
    kinds = ["mass", "calcification", "distortion", "asymmetry"]
    assert datalist["meta"]["classes"] == [f"{side} {kind}" for side in ("left", "right") for kind in kinds]
    assert "language en" in datalist["meta"]["reports"]
    assert found["s03"]["label"] == [1, 0, 0, 0, 0, 0, 0, 1]
    assert found["s03"]["views"] == {view: f"images/s03/i03{view}.dicom" for view in VIEWS}
    box = [[4.0, 6.0, 20.0, 30.0]]
    assert found["s03"]["masks"] == {
        "left_cc": {"mass": box},
        "left_mlo": {"mass": box},
        "right_cc": {"asymmetry": box},
    }
    assert found["s02"]["masks"] == {}
    assert {name for name in found if name > "s08"} == {item["case_id"] for item in datalist["test"]}
    assert len(load_exams(path, "training")) + len(load_exams(path, "validation")) == 9


def test_reports_say_what_the_tables_tell(vindr):
    path = mammography_exams.convert(str(vindr), reports=3)
    classes, stated = load_datalist(path)["meta"]["classes"], set()
    for exam in cases(path).values():
        truth = {name for name, there in zip(classes, exam["label"], strict=True) if there}
        assert len(set(exam["report"])) > 1
        for report in exam["report"]:
            facts = parse_report(report)
            said = {f"{finding.side} {finding.type}" for finding in facts.findings}
            assert said <= truth
            assert not {f"{side} {kind}" for side, kind in facts.absent} & truth
            assert facts.density == "c"
            assert max(facts.birads.values()) == (5 if "left mass" in truth else 1)
            stated |= said
    assert stated == {"left mass", "right asymmetry"}


def test_other_findings_language_and_seed(vindr):
    first = cases(mammography_exams.convert(str(vindr), findings="suspicious", language="nl", reports=1))
    assert first["s01"]["label"] == [1, 0]
    assert "mamma" in first["s01"]["report"][0] or "borst" in first["s01"]["report"][0]
    again = cases(mammography_exams.convert(str(vindr), findings="suspicious", language="nl", reports=1))
    other = cases(mammography_exams.convert(str(vindr), findings="suspicious", language="nl", reports=1, seed=1))
    assert first == again
    assert first != other


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"findings": "lesion"}, "vindr_mammo does not tell of every image 'lesion'"),
        ({"reports": 0}, "reports is 0"),
        ({"language": "fr"}, "language='fr': expected one of en, nl"),
        ({"datalist": "gone.json"}, "does not exist; make one with"),
    ],
)
def test_bad_options(vindr, options, words):
    with pytest.raises(DatalistError, match=words):
        mammography_exams.convert(str(vindr), **options)
    assert not (vindr / "exam_datalist.json").exists()


# ---------------------------------------------------------------- the facts of the other sets


def test_cbis(tmp_path, add_dicom, write_csv):
    def film(part, patient, kind, **cells):
        name = f"{kind.title()}-{part}_{patient}_LEFT_CC"
        add_dicom(f"CBIS-DDSM/{name}/1.dcm")
        add_dicom(f"CBIS-DDSM/{name}_1/1.dcm", np.where(PIXELS > 128, 255, 0).astype(np.uint8))
        row = {"patient_id": patient, "left or right breast": "LEFT", "image view": "CC", "abnormality type": kind}
        row |= {"pathology": "MALIGNANT", "image file path": f"{name}/x.dcm", "ROI mask file path": f"{name}_1/x.dcm"}
        return row | {"assessment": "4"} | cells

    masses = [
        film(part, f"P_{number}", "mass", **{"breast_density": "2", "mass shape": shape, "mass margins": margin})
        for part, number, shape, margin in (
            ("Training", 1, "IRREGULAR-ARCHITECTURAL_DISTORTION", "ILL_DEFINED-SPICULATED"),
            ("Training", 2, "LYMPH_NODE", "N/A"),
            ("Test", 3, "OVAL", "CIRCUMSCRIBED"),
        )
    ]
    masses[1]["pathology"] = "BENIGN"
    words = {"breast density": "3", "calc type": "ROUND_AND_REGULAR-PLEOMORPHIC", "calc distribution": "CLUSTERED"}
    calcifications = [film(part, f"P_{n}", "calc", **words) for part, n in (("Training", 4), ("Test", 5))]
    for part, rows in (("train", slice(2)), ("test", slice(2, None))):
        write_csv(masses[rows], f"mass_case_description_{part}_set.csv")
        write_csv(
            calcifications[:1] if part == "train" else calcifications[1:], f"calc_case_description_{part}_set.csv"
        )
    path = cbis_ddsm.convert(str(tmp_path), abnormality="both", validation=0)
    datalist = load_datalist(path)
    items = datalist["training"] + datalist["test"]
    facts = read_facts(tmp_path, items, datalist["meta"])
    (mass, distortion) = facts["P_1_L_CC"].findings
    assert (mass.side, mass.type, mass.shape, mass.margin) == ("left", "mass", "irregular", "indistinct")
    assert distortion.type == "distortion"
    assert (facts["P_2_L_CC"].findings[0].shape, facts["P_2_L_CC"].findings[0].margin) == (None, None)
    (specks,) = facts["P_4_L_CC"].findings
    assert (specks.type, specks.morphology, specks.distribution) == ("calcification", "round", "grouped")
    assert (facts["P_4_L_CC"].density, facts["P_1_L_CC"].density, facts["P_1_L_CC"].birads) == ("c", "b", 4)
    found = cases(mammography_exams.convert(str(tmp_path), findings="mass,calcification"))
    assert found["P_1"]["label"] == [1, 0, 0, 0]
    assert found["P_1"]["masks"] == {"left_cc": {"mass": "region_masks/P_1_L_CC.png"}}
    assert found["P_4"]["label"] == [0, 1, 0, 0]


def test_cbis_of_one_abnormality_tells_only_that(tmp_path):
    meta = {"name": "cbis_ddsm", "task": "multiclass", "classes": ["benign", "malignant"], "abnormality": "mass"}
    Image.fromarray(PIXELS).save(tmp_path / "a.png")
    items = [{"case_id": f"c{n}", "image": "a.png" if n else "b.png", "label": n} for n in (0, 1)]
    write_datalist(tmp_path / "datalist.json", {"training": items}, meta)
    with pytest.raises(DatalistError, match="cbis_ddsm does not tell of every image 'calcification'; there is: mass"):
        mammography_exams.convert(str(tmp_path), findings="calcification")


def test_cmmd(tmp_path, add_dicom, write_csv):
    rows = []
    for number in range(12):
        for side in "LR":
            add_dicom(f"D1-{number}/{side}.dcm", PatientID=f"D1-{number}", ImageLaterality=side, ViewPosition="CC")
            row = {"ID1": f"D1-{number}", "LeftRight": side, "classification": "Malignant" if number % 2 else "Benign"}
            rows.append(row | {"abnormality": ("both", "mass", "calcification")[number % 3] if side == "L" else ""})
    write_csv(rows, "CMMD_clinicaldata_revision.csv")
    cmmd.convert(str(tmp_path), fractions=(0.5, 0.25, 0.25))
    found = cases(mammography_exams.convert(str(tmp_path), findings="mass,calcification,malignant"))
    labels = [found[f"D1-{number}"]["label"] for number in range(3)]
    assert labels == [[1, 1, 0, 0, 0, 0], [1, 0, 1, 0, 0, 1], [0, 1, 0, 0, 0, 0]]


def test_inbreast(tmp_path, add_dicom, write_csv):
    rows = []
    for number in range(8):
        name, side = f"{200 + number}", "LR"[number % 2]
        file = f"{name}_{number // 2:x}_MG_{side}_CC_ANON.dcm"
        add_dicom(f"AllDICOMs/{file}", ImageLaterality=side)
        rows.append(
            {"File Name": name, "Bi-Rads": "4c" if number < 4 else "1", "Laterality": side, "View": "CC", "ACR": "4"}
        )
        names = ["Espiculated Region", "Cluster"] if number == 0 else []
        regions = [{"Name": region, "Point_px": ["(2, 2)", "(9, 2)", "(9, 9)"]} for region in names]
        (tmp_path / "AllXML").mkdir(exist_ok=True)
        (tmp_path / "AllXML" / f"{name}.xml").write_bytes(plistlib.dumps({"Images": [{"ROIs": regions}]}))
    write_csv(rows, "INbreast.csv")
    path = inbreast.convert(str(tmp_path), fractions=(0.5, 0.25, 0.25))
    datalist = load_datalist(path)
    facts = read_facts(tmp_path, [*cases(path).values()], datalist["meta"])
    assert [(finding.type, finding.margin) for finding in facts["200"].findings] == [
        ("mass", "spiculated"),
        ("calcification", None),
    ]
    assert (facts["200"].density, facts["200"].birads, facts["207"].birads) == ("d", 4, 1)
    exam = cases(mammography_exams.convert(str(tmp_path), findings="mass,calcification"))["0"]
    assert exam["label"] == [1, 1, 0, 0]
    assert "masks" not in exam  # one mask of two findings: nobody knows which is where


def test_an_unknown_set(tmp_path):
    with pytest.raises(
        DatalistError, match=r"meta.name of the datalist is 'mine', expected a set whose tables are known"
    ):
        read_facts(tmp_path, [], {"name": "mine"})


# ---------------------------------------------------------------- grouping


def single(name, patient, side, view, label=0, **other):
    item = {"case_id": name, "patient_id": patient, "image": f"{name}.png", "laterality": side, "view": view}
    return item | {"label": label} | other


def grouped(*items, **options):
    meta = {"name": "x", "task": "multiclass", "classes": ["benign", "malignant"], "root": ".."}
    return group_into_exams({"training": list(items), "validation": [], "test": [], "meta": meta}, **options)


def test_images_of_a_patient_become_an_exam():
    made = grouped(
        single("a", "p1", "R", "MLO", 1, mask="a_mask.png"), single("b", "p1", "R", "CC"), single("c", "p2", "L", "CC")
    )
    first, second = made["training"]
    assert first == {
        "case_id": "p1",
        "patient_id": "p1",
        "views": {"right_cc": "b.png", "right_mlo": "a.png"},
        "images": {"right_cc": "b", "right_mlo": "a"},
        "label": [0, 1],
        "masks": {"right_mlo": {"malignant": "a_mask.png"}},
    }
    assert (second["label"], second["masks"]) == ([0, 0], {})
    assert ExamLayout.of(made["meta"]).classes == ["left malignant", "right malignant"]
    assert made["meta"]["root"] == ".."


def test_a_view_taken_twice_begins_another_exam(caplog):
    made = grouped(
        *(single(n, "p1", "L", "CC") for n in "abc"), single("d", "p1", "L", "XCCL"), single("e", "p1", "", "CC")
    )
    assert [exam["case_id"] for exam in made["training"]] == ["p1", "p1_2", "p1_3"]
    assert "left out: 2 images that are none of left_cc" in caplog.text


def test_findings_of_images():
    found = {"a": {"mass": [[0, 0, 4, 4]]}, "b": {"calcification": None}}
    items = [single("a", "p", "L", "CC"), single("b", "p", "L", "MLO", 1)]
    (exam,) = grouped(*items, findings=["mass", "calcification", "malignant"], found=found)["training"]
    assert exam["label"] == [1, 1, 1, 0, 0, 0]
    assert exam["masks"] == {"left_cc": {"mass": [[0, 0, 4, 4]]}}


def test_what_cannot_be_grouped():
    with pytest.raises(DatalistError, match="no image has a laterality"):
        grouped(single("a", "p", "", ""))
    with pytest.raises(DatalistError, match="expected two classes of single mammograms"):
        group_into_exams({"training": [], "meta": {"task": "multilabel", "classes": ["a", "b"]}})
