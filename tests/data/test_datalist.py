"""The datalist: what is read, what is refused, and in which words."""

import json

import numpy as np
import pytest

from common.data import (
    DatalistError,
    background_name,
    case_id_from,
    check_datalist,
    class_names,
    datalist_hash,
    describe_datalist,
    load_datalist,
    load_section,
    write_datalist,
)

META = {"name": "toy", "task": "multiclass", "classes": ["horse", "zebra"]}


def item(name, label=0, **more):
    return {"case_id": name, "image": f"images/{name}.png", "label": label, **more}


def sections(**more):
    return {
        "training": [item("a", 0, patient_id="p1"), item("b", 1, patient_id="p2")],
        "validation": [item("c", 0, patient_id="p3")],
        "test": [item("d", 1, patient_id="p4")],
        **more,
    }


@pytest.fixture
def toy(tmp_path, picture):
    for seed, name in enumerate("abcd"):
        picture(f"images/{name}.png", seed=seed)
    return write_datalist(tmp_path / "datalist.json", sections(), META)


def test_round_trip(toy, tmp_path):
    assert load_datalist(toy) == {**sections(), "meta": META}
    assert class_names(toy) == ["horse", "zebra"]
    assert background_name(toy) == "background"
    assert [file.name for file in tmp_path.iterdir() if file.name.startswith(".")] == []


def test_paths_start_at_the_datalist_or_at_dataset_dir_or_at_meta_root(toy, tmp_path, monkeypatch):
    expected = str(tmp_path / "images" / "a.png")
    assert load_section(toy, "training")[0]["image"] == expected
    elsewhere = write_datalist(tmp_path / "lists" / "l.json", sections(), META)
    assert load_section(elsewhere, "training", dataset_dir=tmp_path)[0]["image"] == expected
    rooted = write_datalist(tmp_path / "lists" / "l.json", sections(), {**META, "root": ".."})
    assert load_section(rooted, "training")[0]["image"] == expected
    monkeypatch.chdir(tmp_path)
    assert load_section("datalist.json", "training", dataset_dir=".")[0]["image"] == expected


def test_absolute_paths_stay(toy, tmp_path):
    absolute = [item("a", 0) | {"image": str(tmp_path / "images" / "a.png")}, item("b", 1)]
    path = write_datalist(tmp_path / "x.json", {"training": absolute}, META)
    assert load_section(path, "training")[0]["image"] == str(tmp_path / "images" / "a.png")


def test_multilabel_becomes_a_float_array(tmp_path, toy):
    items = [item("a", [1, 0, 1]), item("b", [0, 0, 0])]
    meta = {"name": "m", "task": "multilabel", "classes": ["x", "y", "z"]}
    label = load_section(write_datalist(tmp_path / "m.json", {"training": items}, meta), "training")[0]["label"]
    assert label.dtype == np.float32
    assert label.tolist() == [1, 0, 1]


@pytest.mark.parametrize(
    ("limit", "kept"), [(1, [0]), (2, [0, 5]), (3, [0, 3, 6]), (10, list(range(10))), (99, list(range(10)))]
)
def test_limit_is_spread_over_the_list(tmp_path, picture, limit, kept):
    for index in range(10):
        picture(f"images/{index}.png", seed=index)
    path = write_datalist(tmp_path / "l.json", {"training": [item(str(i), int(i > 4)) for i in range(10)]}, META)
    assert [int(found["case_id"]) for found in load_section(path, "training", limit=limit)] == kept


def test_limit_below_one_is_refused(toy):
    with pytest.raises(ValueError, match="limit is 0, expected 1 or more"):
        load_section(toy, "training", limit=0)


def test_hash_tells_splits_apart_and_nothing_else(toy, tmp_path):
    same = write_datalist(tmp_path / "deeper" / "other.json", sections(), {**META, "name": "renamed", "root": ".."})
    assert datalist_hash(same) == datalist_hash(toy)
    moved = sections(validation=[item("d", 1, patient_id="p4")], test=[item("c", 0, patient_id="p3")])
    assert datalist_hash({**moved, "meta": META}) != datalist_hash(toy)
    assert datalist_hash({**sections(), "meta": {**META, "classes": ["zebra", "horse"]}}) != datalist_hash(toy)
    assert len(datalist_hash(toy)) == 64


def test_description_counts_cases_classes_and_patients(toy):
    rows = [line.rsplit(maxsplit=3) for line in describe_datalist(toy).splitlines()]
    assert rows == [
        ["training", "validation", "test"],
        ["cases", "2", "1", "1"],
        ["horse", "1", "1", "0"],
        ["zebra", "1", "0", "1"],
        ["patients or groups", "2", "1", "1"],
    ]


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("a/b c.png", "a_b-c"),
        ("scan.nii.gz", "scan"),
        ("1.2.840.113619", "1.2.840.113619"),
        ("1.2.840.dcm", "1.2.840"),
        ("../x/ü.JPEG", "x_ü"),
        ("/data/x.tif", "data_x"),
    ],
)
def test_case_id_is_a_folder_name(path, name):
    assert case_id_from(path) == name


# what is wrong, the change to a good datalist, words of the message
BROKEN = {
    "not an object": (lambda d: [], "it holds a list"),
    "no meta": (lambda d: {k: v for k, v in d.items() if k != "meta"}, "there is no 'meta' object"),
    "task": (
        lambda d: d | {"meta": META | {"task": "binary"}},
        "meta.task is 'binary', expected one of multiclass, multilabel",
    ),
    "classes": (lambda d: d | {"meta": META | {"classes": 2}}, "meta.classes is 2, expected a list of names"),
    "one class": (lambda d: d | {"meta": META | {"classes": ["horse"]}}, "distinct names, at least two"),
    "same class twice": (lambda d: d | {"meta": META | {"classes": ["a", "a"]}}, "expected distinct names"),
    "no lists": (lambda d: {"meta": META}, "there is no list of cases"),
    "section": (lambda d: d | {"test": {"a": 1}}, "section 'test' is not a list of objects"),
    "no image": (
        lambda d: d | {"test": [{"case_id": "d", "label": 0}]},
        r"test\[0\] \(case 'd'\): neither 'image' nor 'views'",
    ),
    "no case id": (lambda d: d | {"test": [{"image": "d.png", "label": 0}]}, "case_id is None, expected a text"),
    "case id": (lambda d: d | {"test": [item("../d", 0)]}, "usable as a folder's name"),
    "case twice": (lambda d: d | {"test": [item("d", 0), item("d", 0)]}, "this case_id stands twice in 'test'"),
    "no label": (
        lambda d: d | {"test": [{"case_id": "d", "image": "d"}]},
        "there is no label; leave unlabelled cases out",
    ),
    "unknown label": (
        lambda d: d | {"test": [item("d", 2)]},
        r"unknown label 2, expected 0 to 1 \(meta.classes: horse, zebra\)",
    ),
    "negative label": (lambda d: d | {"test": [item("d", -1)]}, "unknown label -1"),
    "boolean label": (lambda d: d | {"test": [item("d", True)]}, "unknown label True"),
    "text label": (lambda d: d | {"test": [item("d", "zebra")]}, "label is the text 'zebra'.*write its index 1"),
    "misspelt label": (lambda d: d | {"test": [item("d", "zebar")]}, "did you mean 'zebra'"),
    "one-class training": (
        lambda d: d | {"training": [item("a", 1), item("b", 1)]},
        "all 2 training cases have the label 1; a classifier needs at least two",
    ),
    "case in two splits": (
        lambda d: d | {"test": [item("a", 0) | {"image": "other.png"}]},
        "case 'a' is in more than one split",
    ),
    "image in two splits": (
        lambda d: d | {"test": [item("z", 0) | {"image": "images/../images/a.png"}]},
        r"image 'images/a.png' is in more than one split \(test, training\).*Keep each image in one split",
    ),
    "patient in two splits": (
        lambda d: d | {"test": [item("d", 0, patient_id="p1")]},
        "patient 'p1' is in more than one split",
    ),
    "group in two splits": (
        lambda d: d | {"training": [item("a", 0, group="g"), item("b", 1)], "test": [item("d", 1, group="g")]},
        "group 'g' is in more than one split",
    ),
}


@pytest.mark.parametrize(("change", "words"), BROKEN.values(), ids=BROKEN.keys())
def test_broken_datalists_are_refused_when_read_and_when_written(tmp_path, change, words):
    content = change({**sections(), "meta": META})
    path = tmp_path / "bad.json"
    path.write_text(json.dumps(content))
    with pytest.raises(DatalistError, match=words) as caught:
        load_datalist(path)
    assert str(path) in str(caught.value)
    with pytest.raises(DatalistError, match=words):
        check_datalist(content)


def test_a_broken_datalist_is_not_written(tmp_path):
    with pytest.raises(DatalistError, match="unknown label 5"):
        write_datalist(tmp_path / "x.json", {"training": [item("a", 5)]}, META)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("label", [[1, 0], [1, 0, 2], 1, [1, 0, "x"]])
def test_multilabel_needs_one_value_a_class(label):
    meta = {"name": "m", "task": "multilabel", "classes": ["x", "y", "z"]}
    with pytest.raises(DatalistError, match="expected 3 values 0 or 1, one per class"):
        check_datalist({"training": [item("a", label)], "meta": meta})


def test_all_problems_are_listed_up_to_ten():
    content = {"training": [item(str(index), 7) for index in range(15)], "meta": META}
    with pytest.raises(DatalistError) as caught:
        check_datalist(content)
    assert str(caught.value).count("unknown label 7") == 10
    assert "... and 6 more" in str(caught.value)  # five labels and the training set of one class


def test_a_class_without_training_case_is_a_warning(caplog):
    check_datalist({"training": [item("a", 0), item("b", 1)], "meta": META | {"classes": ["x", "y", "z"]}})
    assert "no training case has the class z" in caplog.text


def test_missing_datalist(tmp_path):
    with pytest.raises(DatalistError, match=r"nowhere.json' does not exist; make one with `python -m scripts.prepare"):
        load_datalist(tmp_path / "nowhere.json")


@pytest.mark.parametrize("text", ["{", "", '{"training": [}', "\x00\x01"])
def test_malformed_json(tmp_path, text):
    (tmp_path / "x.json").write_text(text)
    with pytest.raises(DatalistError, match="is not valid JSON"):
        load_datalist(tmp_path / "x.json")


@pytest.mark.parametrize(
    ("section", "words"), [("trainin", "did you mean 'training'"), ("holdout", "there is: training, validation, test")]
)
def test_unknown_section(toy, section, words):
    with pytest.raises(DatalistError, match=words):
        load_section(toy, section)


def test_empty_section(tmp_path):
    path = write_datalist(tmp_path / "l.json", {"training": [item("a"), item("b", 1)]}, META)
    with pytest.raises(DatalistError, match=r"section 'test' of datalist .* is empty"):
        load_section(path, "test")


OWN_ROOT = "write the images' folder, as seen from the datalist, into its meta.root"
GIVEN_ROOT = "set dataset_dir to the images' folder"


@pytest.mark.parametrize(("given", "remedy"), [(None, OWN_ROOT), ("gone", GIVEN_ROOT)])
def test_an_absent_folder_of_images_says_what_names_it(toy, tmp_path, given, remedy):
    path = write_datalist(tmp_path / "l.json", sections(), META | {"root": "gone"})
    with pytest.raises(DatalistError) as caught:
        load_section(path, "training", dataset_dir=given and tmp_path / given)
    assert str(caught.value) == f"'{tmp_path / 'gone'}', where the paths in '{path}' start, does not exist; {remedy}"


@pytest.mark.parametrize(("root", "given"), [("images", None), (".", "images"), ("images", "images")])
def test_missing_files_are_counted_and_named_with_what_mends_it(toy, tmp_path, root, given):
    path = write_datalist(tmp_path / "l.json", sections(), META | {"root": root})
    images = tmp_path / "images"
    with pytest.raises(DatalistError) as caught:
        load_section(path, "training", dataset_dir=given and tmp_path / given)
    absent = ", ".join(f"'{images / 'images' / name}'" for name in ("a.png", "b.png"))
    assert str(caught.value) == (
        f"2 of 2 files named in '{path}' are missing: {absent}. Paths start from '{images}'; put the files there, or "
        f"{GIVEN_ROOT if given else OWN_ROOT}"
    )


@pytest.mark.parametrize("given", [False, True])
def test_the_remedies_work(toy, tmp_path, given):
    """A datalist that was moved away from its images, mended as the messages say."""
    (tmp_path / "lists").mkdir()
    moved = toy.rename(tmp_path / "lists" / "datalist.json")
    with pytest.raises(DatalistError, match="2 of 2 files"):
        load_section(moved, "training")
    if given:
        items = load_section(moved, "training", dataset_dir=tmp_path)
    else:
        items = load_section(write_datalist(moved, sections(), META | {"root": ".."}), "training")
    assert [item["image"] for item in items] == [str(tmp_path / "images" / name) for name in ("a.png", "b.png")]


def test_missing_masks_and_views_count_as_missing_files(toy, tmp_path):
    items = [item("a", 0, mask="masks/a.png"), {"case_id": "b", "views": ["images/b.png", "images/z.png"], "label": 1}]
    path = write_datalist(tmp_path / "l.json", {"training": items}, META)
    with pytest.raises(DatalistError, match=r"2 of 4 files .* missing: '.*masks/a.png', '.*images/z.png'"):
        load_section(path, "training")


def test_unlabelled_cases_may_stand_in_a_list_of_their_own(toy, tmp_path):
    path = write_datalist(tmp_path / "l.json", {"new": [{"case_id": "a", "image": "images/a.png"}]}, META)
    assert load_section(path, "new") == [{"case_id": "a", "image": str(tmp_path / "images" / "a.png")}]


def test_views_and_their_masks_are_found_wherever_they_stand(tmp_path, picture):
    """A path for each view, a mask for each finding of a view, boxes in place of a mask."""
    for name in ("left.png", "right.png", "mass.png"):
        picture(name)
    item = {
        "case_id": "e1",
        "views": {"left_cc": "left.png", "right_cc": "right.png"},
        "masks": {"left_cc": {"mass": "mass.png", "cyst": [[1, 2, 3, 4]]}},
        "label": [1, 0],
    }
    meta = {"name": "exams", "task": "multilabel", "classes": ["mass", "cyst"]}
    other = {**item, "case_id": "e2", "label": [0, 1], "masks": {}}
    path = write_datalist(tmp_path / "datalist.json", {"training": [item, other]}, meta)
    first = load_section(path, "training")[0]
    assert first["views"] == {"left_cc": str(tmp_path / "left.png"), "right_cc": str(tmp_path / "right.png")}
    assert first["masks"] == {"left_cc": {"mass": str(tmp_path / "mass.png"), "cyst": [[1, 2, 3, 4]]}}
    (tmp_path / "mass.png").unlink()
    with pytest.raises(DatalistError, match=r"1 of 5 files .* are missing: '.*mass.png'"):
        load_section(path, "training")
