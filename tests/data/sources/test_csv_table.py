"""Any folder with a table: what it becomes, and what is said about mistakes in it."""

import pytest

from common.data import DatalistError, load_datalist, load_section
from common.data.sources.csv_table import convert


@pytest.fixture
def folder(tmp_path, picture, write_csv):
    """Write images a0.png ... and a table whose rows the test may change."""

    def make(change=lambda row: row, count=20, **options):
        rows = []
        for index in range(count):
            picture(f"images/a{index}.png", seed=index)
            row = {
                "file": f"images/a{index}.png",
                "diagnosis": ("benign", "malignant")[index % 2],
                "patient": f"p{index // 2}",
            }
            rows.append(change(row))
        write_csv(rows, **options)
        return tmp_path

    return make


def cases(path):
    return {
        item["case_id"]: item for section in ("training", "validation", "test") for item in load_datalist(path)[section]
    }


def test_multiclass_grouped_by_patient(folder):
    root = folder()
    path = convert(str(root), image="file", label="diagnosis", patient="patient")
    assert path == root / "datalist.json"
    datalist = load_datalist(path)
    assert datalist["meta"] == {
        "name": root.name,
        "task": "multiclass",
        "classes": ["benign", "malignant"],
        "source": "data.csv",
        "split": "by patient",
        "seed": 0,
    }
    found = cases(path)
    assert found["images_a3"] == {"case_id": "images_a3", "image": "images/a3.png", "label": 1, "patient_id": "p1"}
    assert len(found) == 20
    # ten patients with two images each: 7, 2 and 1 of them come closest to 14, 3 and 3 images
    assert [len(datalist[name]) for name in ("training", "validation", "test")] == [14, 4, 2]


def test_the_same_table_in_another_order_gives_the_same_split(folder, write_csv, tmp_path):
    root = folder()
    one = load_datalist(convert(str(root), image="file", label="diagnosis", patient="patient"))
    lines = (root / "data.csv").read_text().splitlines()
    (root / "data.csv").write_text("\n".join([lines[0], *lines[:0:-1]]))
    two = load_datalist(convert(str(root), image="file", label="diagnosis", patient="patient"))
    for name in ("training", "validation", "test"):
        assert {item["case_id"] for item in one[name]} == {item["case_id"] for item in two[name]}


def test_classes_give_order_and_numbers_are_sorted_as_numbers(folder):
    root = folder(lambda row: row | {"grade": str(int(row["file"][8:-4]) % 4 * 5)})
    path = convert(str(root), image="file", label="grade")
    assert load_datalist(path)["meta"]["classes"] == ["0", "5", "10", "15"]
    path = convert(str(root), image="file", label="diagnosis", classes="malignant,benign")
    assert cases(path)["images_a0"]["label"] == 1


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
def test_delimiters_and_byte_order_mark(folder, delimiter):
    root = folder(delimiter=delimiter)
    table = root / "data.csv"
    table.write_bytes(b"\xef\xbb\xbf" + table.read_bytes())
    assert len(cases(convert(str(root), image="file", label="diagnosis"))) == 20


def test_multilabel_by_columns(folder):
    root = folder(lambda row: row | {"edema": "1", "mass": str(int(row["diagnosis"] == "benign"))})
    path = convert(str(root), image="file", label=("edema", "mass"))
    assert load_datalist(path)["meta"]["task"] == "multilabel"
    assert load_datalist(path)["meta"]["classes"] == ["edema", "mass"]
    assert cases(path)["images_a0"]["label"] == [1, 1]
    assert cases(path)["images_a1"]["label"] == [1, 0]


def test_multilabel_by_separator(folder):
    findings = ["", "mass", "mass| edema", "edema|"]
    root = folder(lambda row: row | {"findings": findings[int(row["file"][8:-4]) % 4]})
    path = convert(str(root), image="file", label="findings", separator="|")
    assert load_datalist(path)["meta"]["classes"] == ["edema", "mass"]
    assert [cases(path)[f"images_a{index}"]["label"] for index in range(4)] == [[0, 0], [0, 1], [1, 1], [1, 0]]
    with pytest.raises(DatalistError, match="unknown label 'edema'; there is: mass, nodule"):
        convert(str(root), image="file", label="findings", separator="|", classes="mass,nodule")


def test_masks_boxes_and_several_boxes_an_image(folder, picture, tmp_path):
    picture("masks/m0.png")

    def change(row):
        index = int(row["file"][8:-4])
        file = "images/a0.png" if index == 1 else row["file"]
        box = dict(zip("xyrb", ("", "", "", "") if index == 3 else (index, 1, index + 2, 4.5), strict=True))
        return row | {"file": file, "diagnosis": "benign" if index < 6 else "malignant", **box}

    root = folder(
        lambda row: change(row) | {"mask": "masks/m0.png" if row["file"] in ("images/a0.png", "images/a1.png") else ""}
    )
    path = convert(str(root), image="file", label="diagnosis", mask="mask", boxes=("x", "y", "r", "b"))
    found = cases(path)
    assert found["images_a0"]["boxes"] == [[0, 1, 2, 4.5], [1, 1, 3, 4.5]]
    assert found["images_a0"]["mask"] == "masks/m0.png"
    assert "boxes" not in found["images_a3"]
    assert "mask" not in found["images_a3"]


def test_given_splits_are_kept_under_their_usual_names(folder):
    words = ["train", "Training", "val", "test"]
    root = folder(lambda row: row | {"part": words[int(row["file"][8:-4]) // 2 % 4]})
    datalist = load_datalist(convert(str(root), image="file", label="diagnosis", split="part"))
    assert [len(datalist[name]) for name in ("training", "validation", "test")] == [12, 4, 4]
    assert datalist["meta"]["split"] == "by the table"


def test_given_splits_that_divide_a_patient_are_refused(folder):
    root = folder(lambda row: row | {"part": ("train", "test")[int(row["file"][8:-4]) == 1]})
    with pytest.raises(DatalistError, match="patient 'p0' is in more than one split"):
        convert(str(root), image="file", label="diagnosis", patient="patient", split="part")


def test_group_column_keeps_hospitals_together(folder):
    root = folder(lambda row: row | {"hospital": f"h{int(row['file'][8:-4]) // 4}"})
    datalist = load_datalist(convert(str(root), image="file", label="diagnosis", patient="patient", group="hospital"))
    places = [{item["group"] for item in datalist[name]} for name in ("training", "validation", "test")]
    assert all(places)
    assert len(set.union(*places)) == sum(map(len, places))


def test_image_folder_and_out_elsewhere(folder, tmp_path):
    root = folder(lambda row: row | {"file": row["file"].removeprefix("images/")})
    path = convert(
        str(root), out=str(tmp_path / "lists" / "mine.json"), image="file", label="diagnosis", image_folder="images"
    )
    assert load_datalist(path)["meta"]["root"] == ".."
    assert load_section(path, "training")[0]["image"].startswith(str(root / "images"))
    assert "a0" in cases(path)


@pytest.mark.parametrize("name", ["data.xlsx", "other.xlsx"])
def test_spreadsheets(folder, name):
    import pandas

    root = folder()
    pandas.read_csv(root / "data.csv").to_excel(root / name, index=False)
    path = convert(str(root), table=name, image="file", label="diagnosis", patient="patient")
    assert cases(path)["images_a3"] == {
        "case_id": "images_a3",
        "image": "images/a3.png",
        "label": 1,
        "patient_id": "p1",
    }
    (root / name).write_bytes(b"broken")
    with pytest.raises(DatalistError, match=f"spreadsheet .*{name}' cannot be read"):
        convert(str(root), table=name, image="file", label="diagnosis")


# what is wrong: (a change to every row, options of the converter, words of the message)
GOOD = {"image": "file", "label": "diagnosis"}
MISTAKES = {
    "misspelt column": ({}, {"image": "flie"}, "has no column 'flie'; did you mean 'file'"),
    "unknown column": ({}, {"patient": "zzz"}, "has no column 'zzz'; there is: file, diagnosis, patient"),
    "misspelt class": (
        {"diagnosis": "benihn"},
        {"classes": "benign,malignant"},
        "unknown label 'benihn'; did you mean 'benign'",
    ),
    "empty label": ({"diagnosis": ""}, {}, r"column 'diagnosis' of .* is empty in 20 rows \(2, 3, 4, ...\)"),
    "empty patient": ({"patient": ""}, {"patient": "patient"}, "column 'patient' of .* is empty in 20 rows"),
    "one class": ({"diagnosis": "benign"}, {}, "meta.classes is .'benign'., expected distinct names, at least two"),
    "label codes": ({"x": "yes"}, {"label": "x,diagnosis"}, "column 'x' of .* holds 'yes', expected 0 or 1"),
    "class names": ({}, {"label": "file,diagnosis", "classes": "a"}, "there are 2 label columns and 1 classes"),
    "three box columns": ({}, {"boxes": "a,b,c"}, "boxes names 3 columns"),
    "box no number": ({"a": "one"}, {"boxes": "a,a,a,a"}, "a box in .* is not a number"),
    "box upside down": ({"a": "1"}, {"boxes": "a,a,a,a"}, r"expected x0 < x1 and y0 < y1 \(not width, height\)"),
    "split word": ({"s": "trian"}, {"split": "s"}, "unknown split 'trian'; did you mean 'train'"),
    "no such table": ({}, {"table": "x.csv"}, "x.csv' does not exist"),
    "fractions": ({}, {"fractions": (0.5, 0.4)}, "expected three: training, validation, test"),
    "sum": ({}, {"fractions": (0.5, 0.4, 0.4)}, "cannot be split: .*add up to 1"),
    "out": ({}, {"out": "lists"}, "out is 'lists', expected a file ending in .json"),
    "image twice": (
        {"file": "images/a0.png", "diagnosis": "x", "patient": "p"},
        {},
        "lists the image 'images/a0.png' twice",
    ),
    "rows disagree": ({"file": "images/a0.png"}, {}, "rows for the image 'images/a0.png' that disagree"),
    "missing files": ({}, {"image_folder": "gone"}, r"of .* files named in .* are missing: '.*gone/images"),
    "few patients": ({"patient": "p"}, {"patient": "patient"}, r"1 groups \(patients\) cannot be divided into 3"),
}


@pytest.mark.parametrize(("cells", "options", "words"), MISTAKES.values(), ids=MISTAKES.keys())
def test_mistakes_are_explained(folder, cells, options, words):
    root = folder(lambda row: row | cells)
    with pytest.raises(DatalistError, match=words):
        convert(str(root), **(GOOD | options))


def test_mistakes_of_the_table_itself(tmp_path, write_csv):
    with pytest.raises(DatalistError, match=r"root '.*gone' does not exist"):
        convert(str(tmp_path / "gone"))
    with pytest.raises(DatalistError, match=r"expected one table in .*, found none; name it with --table"):
        convert(str(tmp_path))
    (tmp_path / "a.csv").write_text("image,label\n")
    with pytest.raises(DatalistError, match="has 1 rows, expected column names in row 1 and data below"):
        convert(str(tmp_path))
    (tmp_path / "a.csv").write_text("image,label,label\nx,1,2\n")
    with pytest.raises(DatalistError, match="several columns called label"):
        convert(str(tmp_path))
    (tmp_path / "a.csv").write_bytes("image,größe\nx,1\n".encode("latin-1"))
    with pytest.raises(DatalistError, match="is not UTF-8 text"):
        convert(str(tmp_path))
    write_csv([{"image": "x", "label": "y"}], "b.csv")
    with pytest.raises(DatalistError, match=r"found a\.csv, b\.csv"):
        convert(str(tmp_path))


def test_a_quoted_line_break_does_not_end_the_row(folder):
    root = folder(lambda row: row | {"note": 'two\nlines, and "quotes"'})
    assert len(cases(convert(str(root), image="file", label="diagnosis"))) == 20


def test_masks_of_several_structures(folder):
    root = folder(lambda row: row | {"mask": row["file"] if row["diagnosis"] == "benign" else ""})
    options = {"image": "file", "label": "diagnosis", "mask": "mask"}
    path = convert(str(root), structures="background=255,rim=128,cup=0+1", **options)
    assert load_datalist(path)["meta"]["structures"] == [
        {"name": "background", "values": [255]},
        {"name": "rim", "values": [128]},
        {"name": "cup", "values": [0, 1]},
    ]
    assert cases(path)["images_a0"]["mask"] == "images/a0.png"
    assert "mask" not in cases(path)["images_a1"]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"structures": "a=0,b=1"}, "no column with masks is named; add --mask <column>"),
        ({"structures": "a=0,b=high", "mask": "mask"}, "structures has 'b=high', expected name=value"),
        ({"structures": "a=0,b=0", "mask": "mask"}, "the pixel value 0 belongs to 'a' and to 'b'"),
        ({"structures": "a=0", "mask": "mask"}, "expected a list of at least two structures"),
    ],
)
def test_slips_in_the_structures(folder, options, words):
    root = folder(lambda row: row | {"mask": row["file"]})
    with pytest.raises(DatalistError, match=words):
        convert(str(root), image="file", label="diagnosis", **options)
