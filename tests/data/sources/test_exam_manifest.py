"""Manifests of exams: CSV and JSON, folders of DICOM files, labels, masks, and everything that is refused."""

import json
import logging

import numpy as np
import pytest

from common.data import DatalistError, load_datalist
from common.data.exams import ExamLayout, load_exams
from common.data.sources import exam_manifest
from common.data.sources.exam_views import slot_of, view_in_name

VIEWS = ["left_cc", "left_mlo", "right_cc", "right_mlo"]
LAYOUT = ExamLayout.named(VIEWS, ["left", "right"], ["mass"])
PIXELS = np.random.default_rng(0).integers(0, 255, (40, 32), dtype=np.uint8)
CHEST = {"views": "frontal,lateral", "sides": "chest", "findings": "effusion,edema"}


def row(number, **other):
    cells = {
        "exam_id": f"E{number}",
        "patient_id": f"p{number // 2}",
        "split": ("train", "valid", "test")[number // 2 % 3],
    }
    cells |= {"report": f"There is a mass in the left breast of {number} mm.", "report_2": ""}
    cells |= {view: f"{number}/{view}.png" for view in VIEWS} | {"left_mass": number % 2, "right_mass": 0}
    return cells | other


@pytest.fixture
def manifest(tmp_path, picture, write_csv):
    """Write pictures and the manifest of twelve exams, some of them changed, and return the folder."""

    def write(changes=None, **everywhere):
        rows = [row(number, **everywhere, **(changes or {}).get(number, {})) for number in range(12)]
        for number in range(12):
            for view in VIEWS:
                picture(f"{number}/{view}.png")
        columns = dict.fromkeys(column for cells in rows for column in cells)
        write_csv([{column: cells.get(column, "") for column in columns} for cells in rows], "exams.csv")
        return tmp_path

    return write


def convert(folder, **options):
    return exam_manifest.convert(str(folder), **{"findings": "mass", **options})


def refused(folder, **options):
    with pytest.raises(DatalistError) as caught:
        convert(folder, **options)
    assert not (folder / "datalist.json").exists()
    return str(caught.value)


def cases(path):
    return {
        item["case_id"]: item for items in load_datalist(path).values() if isinstance(items, list) for item in items
    }


# ---------------------------------------------------------------- what becomes of a good one


def test_a_table(manifest):
    folder = manifest({3: {"left_mlo": "", "report_2": "Mass on the left."}}, density="b", birads_left="2")
    path = convert(folder, keep="density", synthetic=True)
    found = cases(path)
    assert found["E3"] == {
        "case_id": "E3",
        "views": {view: f"3/{view}.png" for view in ("left_cc", "right_cc", "right_mlo")},
        "label": [1, 0],
        "patient_id": "p1",
        "report": ["There is a mass in the left breast of 3 mm.", "Mass on the left."],
        "density": "b",
    }
    datalist = load_datalist(path)
    assert [len(datalist[name]) for name in ("training", "validation", "test")] == [4, 4, 4]
    meta = datalist["meta"]
    assert (meta["views"], meta["view_side"], meta["classes"]) == (VIEWS, [0, 0, 1, 1], ["left mass", "right mass"])
    assert meta["synthetic"]
    assert load_exams(path, "test")[0]["label"].dtype == np.float32


def test_the_same_as_json(manifest):
    folder = manifest()
    table = cases(convert(folder))
    exams = []
    for number in range(12):
        cells = row(number)
        views = {view: cells.pop(view) for view in VIEWS}
        exams.append(cells | {"views": views, "report": [cells["report"]], "left_mass": bool(number % 2)})
    (folder / "list.json").write_text(json.dumps({"exams": exams}))
    assert cases(convert(folder, table="list.json")) == table


def test_split_by_patient_where_the_table_has_none(manifest):
    folder = manifest()
    lines = (folder / "exams.csv").read_text().splitlines()
    (folder / "exams.csv").write_text(
        "\n".join(",".join(c for i, c in enumerate(line.split(",")) if i != 2) for line in lines)
    )
    datalist = load_datalist(convert(folder, fractions=(0.5, 0.25, 0.25), seed=1))
    people = [{item["patient_id"] for item in datalist[name]} for name in ("training", "validation", "test")]
    assert sum(map(len, people)) == 6
    assert not people[0] & people[1]
    assert datalist["meta"]["split"] == "by patient"


def test_masks(manifest, picture):
    folder = manifest({1: {"left_cc_mass_mask": "1/m.png"}, 3: {"left_cc_mask": "1/m.png"}})
    picture("1/m.png")
    found = cases(convert(folder))
    assert found["E1"]["masks"] == {"left_cc": {"mass": "1/m.png"}}
    assert found["E3"]["masks"] == {"left_cc": "1/m.png"}
    assert found["E2"]["masks"] == {}  # no finding: all masks are known, and empty
    assert "masks" not in found["E5"]  # a finding nobody has outlined


def test_labels_from_reports(manifest):
    texts = {
        0: "No mass in the left breast. The right breast shows a spiculated mass.",
        1: "Benign masses in both breasts.",
        2: "Geen massa links. Massa in de rechterborst.",
        3: "Normal mammogram.",
        4: "Mass in the left breast. Left breast: calcifications.",
    }
    folder = manifest({number: {"report": text} for number, text in texts.items()})
    found = cases(convert(folder, labels="report", findings="mass,calcification"))
    assert [found[f"E{number}"]["label"] for number in texts] == [
        [0, 0, 1, 0], [1, 0, 1, 0], [0, 0, 1, 0], [0, 0, 0, 0], [1, 1, 0, 0],
    ]  # fmt: skip
    assert "no keywords are known for it" in refused_by(convert, folder, labels="report", findings="mas")


def refused_by(function, *arguments, **options):
    with pytest.raises(DatalistError) as caught:
        function(*arguments, **options)
    return str(caught.value)


def test_chest_without_sides(tmp_path, picture, write_csv):
    rows = []
    for number in range(4):
        picture(f"f{number}.png")
        cells = {"exam_id": number, "split": "train", "frontal": f"f{number}.png", "lateral": "", "report": "Edema."}
        rows.append(cells | {"effusion": number % 2, "edema": 1})
    write_csv(rows, "exams.csv")
    path = exam_manifest.convert(str(tmp_path), **CHEST)
    assert load_datalist(path)["meta"]["classes"] == ["effusion", "edema"]
    assert cases(path)["3"]["label"] == [1, 1]


# ---------------------------------------------------------------- what cannot be used


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        (dict.fromkeys(VIEWS, ""), "1 exams without any view: E3"),
        ({"report": ""}, "1 exams without a report: E3"),
        ({"report": "Образование в левой молочной железе"}, "not in Latin script"),
        ({"report": "- - 3"}, "has no words"),
        ({"exam_id": "E2"}, "1 exam ids that stand more than once: E2"),
        ({"exam_id": ""}, "1 rows without an exam id"),
        ({"left_cc": "3/gone.png"}, "1 views whose file is missing: E3: 3/gone.png"),
        ({"left_cc": "3/left_mlo.png", "left_mlo": ""}, "differs between table, name and tags: 3/left_mlo.png (column"),
        ({"left_mass": "2"}, "1 exams with a label other than 0 or 1: E3: left_mass is '2'"),
        ({"left_mass": ""}, "left_mass is ''"),
        ({"left_cc_mask": "no.png"}, "1 masks whose file is missing: E3: no.png"),
    ],
)
def test_bad_exams_are_refused_or_left_out(manifest, changes, words):
    folder = manifest({3: changes})
    assert words in refused(folder)
    found = cases(convert(folder, on_problem="skip"))
    assert "E3" not in found
    assert len(found) == (10 if changes.get("exam_id") == "E2" else 11)


def test_an_empty_cell_of_a_side_without_views_is_no_label(manifest):
    folder = manifest({3: {"left_cc": "", "left_mlo": "", "left_mass": ""}})
    assert cases(convert(folder))["E3"]["label"] == [0, 0]


def test_reports_may_be_missing_on_request(manifest):
    folder = manifest({3: {"report": ""}})
    assert "report" not in cases(convert(folder, reports=False))["E3"]


@pytest.mark.parametrize(
    ("everywhere", "options", "words"),
    [
        (
            {"left_ml": "0/left_cc.png"},
            {},
            "images in the column 'left_ml', which is no view; did you mean 'left_mlo'?",
        ),
        ({"split": "trian"}, {}, "unknown split 'trian'; did you mean 'train'?"),
        ({}, {"findings": "mass,calcification"}, "has no column 'left_calcification'"),
        ({}, {"views": "a,b", "sides": "x"}, "images in the column 'left_cc', which is no view"),
        ({}, {"labels": "reports"}, "labels is 'reports', expected columns or report"),
        ({}, {"trust": "tag"}, "trust is 'tag', expected none or tags or names"),
        ({}, {"table": "list.json"}, "manifest .* does not exist"),
        ({}, {"keep": "densty"}, "has no column 'densty'"),
        ({}, {"out": "x.txt"}, "expected a file ending in .json"),
    ],
)
def test_bad_tables_and_options(manifest, everywhere, options, words):
    folder = manifest(**everywhere)
    with pytest.raises(DatalistError, match=words):
        convert(folder, **options)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("{", "is not valid JSON"),
        ("{}", "holds no list of objects"),
        ('[{"exam_id": "a", "left_mass": [1]}]', r"has \[1\] under 'left_mass', expected one text or number"),
        ('[{"exam_id": "a", "views": {"left_ml": "a.png"}}]', "the column 'left_ml', which is no view"),
    ],
)
def test_bad_json(tmp_path, content, words):
    (tmp_path / "exams.json").write_text(content)
    with pytest.raises(DatalistError, match=words):
        convert(tmp_path)


def test_no_manifest(tmp_path):
    with pytest.raises(DatalistError, match=r"has no exams.csv, exams.json or exams.xlsx; name the manifest"):
        convert(tmp_path)


# ---------------------------------------------------------------- DICOM tags


@pytest.fixture
def folders(tmp_path, write_dicom, write_csv):
    """Write exams as folders of DICOM files called by number, and return the folder; tags of exam 3 may differ."""

    def write(tags=None, names=None):
        rows = []
        for number in range(6):
            (tmp_path / f"{number}" / "series").mkdir(parents=True)
            for index, view in enumerate(VIEWS):
                side, position = view.split("_")
                told = {"ImageLaterality": side[0].upper(), "ViewPosition": position.upper()}
                told |= (tags or {}).get(view, {}) if number == 3 else {}
                name = (names or {}).get(view, f"IM{index}") if number == 3 else f"IM{index}"
                write_dicom(PIXELS, f"{number}/series/{name}.dcm", **told)
            cells = {"exam_id": f"E{number}", "folder": f"{number}", "split": "train", "report": "A mass."}
            rows.append(cells | {"left_mass": number % 2, "right_mass": 0})
        write_csv(rows, "exams.csv")
        return tmp_path

    return write


def test_tags_fill_the_views(folders):
    found = cases(convert(folders()))
    assert found["E3"]["views"] == {view: f"3/series/IM{index}.dcm" for index, view in enumerate(VIEWS)}


def test_names_fill_the_views_where_tags_are_missing(folders):
    bare = {view: {"ImageLaterality": "", "ViewPosition": ""} for view in VIEWS}
    names = dict(zip(VIEWS, ("x_LCC", "1-L-MLO", "R_CC_ANON", "mlo right"), strict=True))
    found = cases(convert(folders(bare, names)))
    assert found["E3"]["views"] == {view: f"3/series/{names[view]}.dcm" for view in VIEWS}


def test_a_second_file_of_a_view_and_views_of_no_use(folders, caplog):
    folder = folders({"left_mlo": {"ViewPosition": "CC"}, "right_mlo": {"ViewPosition": "SPOT"}})
    with caplog.at_level(logging.WARNING):
        words = refused(folder)
    assert "1 exams with two files for a view: E3: 3/series/IM0.dcm and 3/series/IM1.dcm for left_cc" in words
    assert "1 files show none of the views" in caplog.text
    assert "IM3.dcm" in caplog.text


SWAPPED = {"left_cc": "R_CC", "right_cc": "L_CC"}


def test_left_and_right_swapped_between_tag_and_name_is_reported(folders, caplog):
    folder = folders(names=SWAPPED)
    words = refused(folder)
    assert "2 files whose view or side differs between table, name and tags: 3/series/L_CC.dcm (name left_cc" in words
    with caplog.at_level(logging.WARNING):
        by_tags = cases(convert(folder, trust="tags"))["E3"]["views"]
    assert "exam E3: 3/series/L_CC.dcm is taken by its tags where these differ (name left_cc, tags R CC)" in caplog.text
    assert (by_tags["left_cc"], by_tags["right_cc"]) == ("3/series/R_CC.dcm", "3/series/L_CC.dcm")
    by_names = cases(convert(folder, trust="names"))["E3"]["views"]
    assert (by_names["left_cc"], by_names["right_cc"]) == ("3/series/L_CC.dcm", "3/series/R_CC.dcm")


def test_columns_are_compared_with_tags(folders):
    folder = folders()
    lines = (folder / "exams.csv").read_text().splitlines()
    path = "3/series/IM2.dcm"  # a right CC view
    added = [f"{line},{'left_cc' if not i else path if ',3,' in line else ''}" for i, line in enumerate(lines)]
    (folder / "exams.csv").write_text("\n".join(added))
    assert "3/series/IM2.dcm (column left_cc, tags R CC)" in refused(folder)


def test_an_empty_folder_and_a_missing_one(folders):
    folder = folders()
    for file in (folder / "3" / "series").iterdir():
        file.unlink()
    assert "exams without any view: E3" in refused(folder)
    (folder / "3" / "series").rmdir()
    (folder / "3").rmdir()
    assert "exams whose folder does not exist: E3: 3" in refused(folder)


@pytest.mark.parametrize(
    ("stem", "place"),
    [
        ("20586908_6c613a14b80a8591_MG_R_CC_ANON", ("R", "CC")),
        ("patient_r_12", ("", "")),
        ("LMLO", ("L", "MLO")),
        ("left_breast", ("L", "")),
        ("L_CC_R_CC", ("", "CC")),
        ("call_cc1", ("", "")),
        ("x_lateral", ("", "lateral")),
    ],
)
def test_views_in_names(stem, place):
    assert view_in_name(stem) == place


def test_slots():
    chest = ExamLayout.named(["frontal", "lateral"], ["chest"], ["edema"])
    assert [slot_of("", view, chest) for view in ("PA", "LL", "CC")] == ["frontal", "lateral", ""]
    assert [slot_of(side, "MLO", LAYOUT) for side in ("L", "R", "")] == ["left_mlo", "right_mlo", ""]
