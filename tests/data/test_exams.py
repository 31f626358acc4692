"""Datalists of exams: layouts, what is refused, and what is loaded."""

import numpy as np
import pytest

from common.data import DatalistError, write_datalist
from common.data.exams import ExamLayout, check_exams, load_exams

VIEWS = ["left_cc", "left_mlo", "right_cc", "right_mlo"]
LAYOUT = ExamLayout.named(VIEWS, ["left", "right"], ["mass", "calcification"])


def exam(number=0, **other):
    item = {"case_id": f"e{number}", "views": {"left_cc": f"{number}l.png", "right_cc": f"{number}r.png"}}
    return item | {"label": [number % 2, 0, 0, 1], "report": "There is a mass."} | other


def datalist(*exams, **meta):
    return {"training": list(exams), "validation": [], "test": [], "meta": {**LAYOUT.meta(), **meta}}


def test_layouts():
    assert LAYOUT.view_side == (0, 0, 1, 1)
    assert LAYOUT.classes == ["left mass", "left calcification", "right mass", "right calcification"]
    assert ExamLayout.of(LAYOUT.meta()) == LAYOUT
    chest = ExamLayout.named(["frontal", "lateral"], ["chest"], ["effusion", "edema"])
    assert (chest.view_side, chest.classes) == ((0, 0), ["effusion", "edema"])
    without_side = {key: value for key, value in LAYOUT.meta().items() if key != "view_side"}
    assert ExamLayout.of(without_side) == LAYOUT


def test_label_of_a_view():
    item = {"label": [0, 0, 0, 1]}
    assert [LAYOUT.label_of(item, view, "calcification") for view in VIEWS] == [0, 0, 1, 1]
    assert LAYOUT.label_of({}, "left_cc", "mass") is None


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ((["cc", "left_mlo"], ["left", "right"], ["mass"]), "the view 'cc' does not begin with one of the sides left"),
        ((["left_cc"], ["left", "right"], ["mass"]), "each side at least once"),
        ((["a", "a"], ["x"], ["mass"]), r"views are \['a', 'a'\], expected one or more distinct names"),
        ((["a"], ["x"], []), r"findings are \[\], expected one or more"),
    ],
)
def test_impossible_layouts(arguments, words):
    with pytest.raises(DatalistError, match=words):
        ExamLayout.named(*arguments)


@pytest.mark.parametrize(
    ("exams", "meta", "words"),
    [
        ([exam(views={"left_ml": "a"})], {}, "training .case 'e0'.: there is no view 'left_ml'; did you mean 'left_m"),
        ([exam(views={})], {}, "views is {}, expected a path for each view"),
        ([exam(views=["a", "b"])], {}, "expected a path for each view"),
        ([exam(0), exam(1, views={"left_cc": "./0l.png"})], {}, "is left_cc of 'e0' and left_cc; a file can be one"),
        ([exam(masks={"left_mlo": "m.png"})], {}, "a mask of the view 'left_mlo', which the exam does not have"),
        ([exam(masks={"right_cc": {"mas": "m.png"}})], {}, "mask of the unknown finding 'mas'; did you mean 'mass'"),
        ([exam(masks={"left_cc": {"mass": "m.png"}})], {}, "which that side does not have by its label"),
        ([exam(report=3)], {}, "report is 3, expected a text, or a list of texts"),
        ([exam()], {"classes": ["a", "b", "c", "d"]}, "expected side by side .'left mass'"),
        ([exam()], {"findings": None}, "meta.findings is None, expected a list of names: this is no datalist of exams"),
    ],
)
def test_what_is_refused(exams, meta, words):
    with pytest.raises(DatalistError, match=words):
        check_exams(datalist(*exams, **meta), "x.json")


@pytest.fixture
def folder(tmp_path):
    exams = [exam(number, masks={"right_cc": {"calcification": f"{number}m.png"}}) for number in range(4)]
    for number in range(4):
        for letter in "lrm":
            (tmp_path / f"{number}{letter}.png").write_bytes(b"x")
    write_datalist(tmp_path / "datalist.json", {"training": exams}, LAYOUT.meta())
    return tmp_path


def test_loads_absolute_paths_and_labels(folder):
    items = load_exams(folder / "datalist.json", "training")
    assert items[1]["views"] == {"left_cc": str(folder / "1l.png"), "right_cc": str(folder / "1r.png")}
    assert items[1]["masks"] == {"right_cc": {"calcification": str(folder / "1m.png")}}
    assert items[1]["label"].dtype == np.float32
    assert items[1]["label"].tolist() == [1, 0, 0, 1]
    assert [item["case_id"] for item in load_exams(folder / "datalist.json", "training", limit=2)] == ["e0", "e2"]


def test_another_root(folder, tmp_path_factory):
    place = tmp_path_factory.mktemp("elsewhere") / "list.json"
    place.write_text((folder / "datalist.json").read_text())
    assert load_exams(place, "training", dataset_dir=folder)[0]["views"]["left_cc"] == str(folder / "0l.png")
    with pytest.raises(DatalistError, match=r"12 of 12 files named in .* are missing"):
        load_exams(place, "training")


@pytest.mark.parametrize(
    ("section", "words"), [("trainig", "has no section 'trainig'; did you mean 'training'"), ("test", "is empty")]
)
def test_sections(folder, section, words):
    with pytest.raises(DatalistError, match=words):
        load_exams(folder / "datalist.json", section)


def test_missing_mask_and_bad_limit(folder):
    with pytest.raises(ValueError, match="limit is 0"):
        load_exams(folder / "datalist.json", "training", limit=0)
    (folder / "3m.png").unlink()
    with pytest.raises(DatalistError, match=r"1 of 12 files .*3m\.png"):
        load_exams(folder / "datalist.json", "training")


def test_boxes_are_no_files(tmp_path):
    boxes = [[1, 2, 30, 40]]
    exams = [exam(number, masks={"right_cc": {"calcification": boxes}}) for number in range(2)]
    for name in ("0l", "0r", "1l", "1r"):
        (tmp_path / f"{name}.png").write_bytes(b"x")
    write_datalist(tmp_path / "datalist.json", {"training": exams}, LAYOUT.meta())
    assert load_exams(tmp_path / "datalist.json", "training")[0]["masks"] == {"right_cc": {"calcification": boxes}}
