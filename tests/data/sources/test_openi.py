"""Open-I: the layout with tables and the original one with XML files give the same exams."""

import pytest

from common.data import DatalistError, load_datalist
from common.data.exams import load_exams
from common.data.sources import openi

TERMS = ("normal", "Cardiomegaly;Pleural Effusion", "Opacity", "No Indexing")
XML = """<?xml version="1.0" encoding="utf-8"?>
<eCitation><uId id="CXR{uid}"/><MedlineCitation><Article><Abstract>
<AbstractText Label="COMPARISON">None.</AbstractText><AbstractText Label="INDICATION">Cough</AbstractText>
<AbstractText Label="FINDINGS">{findings}</AbstractText><AbstractText Label="IMPRESSION">{impression}</AbstractText>
</Abstract></Article></MedlineCitation><MeSH>{terms}</MeSH><parentImage id="CXR{uid}_{uid}_IM-0001-3001"/></eCitation>
"""


def text(uid):
    return ("", "") if uid == 8 else (f"The heart of {uid} is large.", f"Impression\n {uid}.")


@pytest.fixture
def exams(tmp_path, picture, write_csv):
    """Write twelve exams; 5 has no image, 6 two frontal ones, 7 no lateral one, 8 no text; 3, 7 and 11 no terms."""

    def write(original=False):
        reports, projections = [], []
        for uid in range(12):
            findings, impression = text(uid)
            for number, projection in ((3001, "Frontal"), (4001, "Frontal" if uid == 6 else "Lateral")):
                if uid == 5 or (uid, projection) == (7, "Lateral"):
                    continue
                name = f"{uid}_IM-0001-{number}"
                picture(f"NLMCXR_png/CXR{uid}_{name}.png" if original else f"images/images_normalized/{name}.dcm.png")
                projections.append({"uid": uid, "filename": f"{name}.dcm.png", "projection": projection})
            terms = TERMS[uid % 4]
            if original:
                major = "".join(f"<major>{term}/mild</major>" for term in terms.split(";"))
                file = tmp_path / "ecgen-radiology" / f"{uid}.xml"
                file.parent.mkdir(exist_ok=True)
                file.write_text(XML.format(uid=uid, findings=findings, impression=impression, terms=major))
            else:
                row = {"uid": uid, "MeSH": "", "Problems": terms, "image": "Xray Chest", "indication": "Cough"}
                reports.append(row | {"comparison": "None.", "findings": findings, "impression": impression})
        write_csv(projections, "indiana_projections.csv")
        if reports:
            write_csv(reports, "indiana_reports.csv")
        return tmp_path

    return write


def cases(path):
    return {
        item["case_id"]: item for items in load_datalist(path).values() if isinstance(items, list) for item in items
    }


def convert(folder, **options):
    return openi.convert(str(folder), **{"fractions": (0.5, 0.25, 0.25), **options})


def test_tables(exams, caplog):
    path = convert(exams(), findings="Cardiomegaly,effusion,normal")
    found = cases(path)
    assert sorted(found, key=int) == ["0", "1", "2", "4", "6", "9", "10"]
    assert found["1"] == {
        "case_id": "1",
        "views": {
            view: f"images/images_normalized/1_IM-0001-{n}.dcm.png"
            for view, n in (("frontal", 3001), ("lateral", 4001))
        },
        "label": [1, 1, 0],
        "report": "The heart of 1 is large. Impression 1.",
    }
    assert found["4"]["label"] == [0, 0, 1]
    assert list(found["6"]["views"].values()) == ["images/images_normalized/6_IM-0001-3001.dcm.png"]
    for words in ("1 exams without any view: 5", "1 exams without findings and impression in their report: 8"):
        assert words in caplog.text
    assert "3 exams that nobody has indexed: 3, 7, 11" in caplog.text
    assert load_datalist(path)["meta"]["sides"] == ["chest"]
    assert load_exams(path, "training")[0]["views"]["frontal"].endswith("3001.dcm.png")


def test_xml_gives_the_same(exams):
    found = cases(convert(exams(original=True), findings="cardiomegaly,effusion,normal"))
    assert sorted(found, key=int) == ["0", "1", "2", "4", "6", "9", "10"]
    assert found["1"]["label"] == [1, 1, 0]
    assert found["1"]["report"] == "The heart of 1 is large. Impression 1."
    assert found["1"]["views"]["lateral"] == "NLMCXR_png/CXR1_1_IM-0001-4001.png"


def test_other_sections(exams):
    assert cases(convert(exams(), sections="indication,impression"))["0"]["report"] == "Cough Impression 0."


@pytest.mark.parametrize(
    ("change", "options", "words"),
    [
        (None, {"on_problem": "refuse"}, "1 exams without any view: 5"),
        (None, {"sections": "finding"}, r"sections are \['finding'\], expected some of comparison"),
        ("indiana_projections.csv", {}, "which tells frontal from lateral images"),
        ("indiana_reports.csv", {}, "has neither indiana_reports.csv nor an XML file"),
        (
            "images/images_normalized/1_IM-0001-3001.dcm.png",
            {"on_problem": "refuse"},
            "1 images that are missing: 1_IM",
        ),
    ],
)
def test_what_is_refused(exams, change, options, words):
    folder = exams()
    if change:
        (folder / change).unlink()
    with pytest.raises(DatalistError, match=words):
        convert(folder, **options)


def test_an_unknown_projection_and_damaged_xml(exams, caplog):
    folder = exams(original=True)
    (folder / "ecgen-radiology" / "1.xml").write_text("<eCitation>")
    options = {"findings": "normal,cardiomegaly", "fractions": (1, 0, 0)}
    assert "1" not in cases(convert(folder, **options))
    assert "1 XML files that cannot be read: 1.xml" in caplog.text
    table = folder / "indiana_projections.csv"
    table.write_text(table.read_text().replace("Lateral", "Oblique", 1))
    with pytest.raises(DatalistError, match="has the projection 'Oblique', expected Frontal or Lateral"):
        convert(folder)
