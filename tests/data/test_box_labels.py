"""Several findings a case in the datalist: classes of boxes, the background, findings that a split never has."""

import pytest

from common.data import DatalistError, check_datalist, load_section, write_datalist

META = {"name": "chests", "task": "multilabel", "classes": ["mass", "edema", "nodule"]}
BOX = [1, 2, 30, 40]


def case(name, label, **more):
    return {"case_id": name, "image": f"{name}.png", "label": label, **more}


def sections(**more):
    return {"training": [case("a", [1, 1, 0], **more), case("b", [0, 0, 1])], "test": [case("c", [1, 1, 1])]}


def test_boxes_keep_their_classes(tmp_path, picture):
    for name in "abc":
        picture(f"{name}.png")
    content = sections(boxes=[BOX, BOX], box_labels=["edema", "mass"])
    item = load_section(write_datalist(tmp_path / "d.json", content, META), "training")[0]
    assert (item["boxes"], item["box_labels"]) == ([BOX, BOX], ["edema", "mass"])


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ({"boxes": [BOX], "box_labels": ["mas"]}, "a box has the unknown class 'mas'; did you mean 'mass'"),
        ({"boxes": [BOX], "box_labels": ["nodule"]}, "a box of 'nodule', which the case does not have by its label"),
        ({"boxes": [BOX], "box_labels": ["mass", "edema"]}, "one for each of the 'boxes'"),
        ({"boxes": [BOX], "box_labels": "mass"}, "box_labels is 'mass', expected a list of class names"),
        ({"box_labels": ["mass"]}, "one for each of the 'boxes'"),
    ],
)
def test_classes_of_boxes_that_make_no_sense(more, words):
    with pytest.raises(DatalistError, match=words) as caught:
        check_datalist({**sections(**more), "meta": META})
    assert "training[0] (case 'a')" in str(caught.value)


def test_a_box_of_another_class_of_a_multiclass_case():
    meta = {"name": "m", "task": "multiclass", "classes": ["benign", "malignant"]}
    items = [case("a", 1, boxes=[BOX], box_labels=["malignant"]), case("b", 0)]
    check_datalist({"training": items, "meta": meta})
    items[1] |= {"boxes": [BOX], "box_labels": ["malignant"]}
    with pytest.raises(DatalistError, match="a box of 'malignant', which the case does not have"):
        check_datalist({"training": items, "meta": meta})


def test_the_background_is_no_class():
    check_datalist({**sections(), "meta": META | {"background": "no finding"}})
    with pytest.raises(DatalistError, match=r"meta.background is 'edema', which is a class too"):
        check_datalist({**sections(), "meta": META | {"background": "edema"}})


def test_findings_that_a_split_never_has_are_reported(tmp_path, picture, caplog):
    for name in "abcde":
        picture(f"{name}.png")
    content = sections() | {"validation": [case("d", [0, 0, 1])]}
    path = write_datalist(tmp_path / "d.json", content, META)
    for section in ("training", "test"):
        load_section(path, section)
    assert caplog.text == ""
    load_section(path, "validation")
    assert "no validation case has the class mass, edema, which has no metrics there" in caplog.text
    content["training"] = [content["training"][0], case("e", [1, 0, 0])]
    load_section(write_datalist(tmp_path / "d.json", content, META), "training")
    assert "no training case has the class nodule, which can never be predicted well" in caplog.text
