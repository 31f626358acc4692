"""ChestX-ray14 in its official layout: headers with commas, lists, boxes, counts, and every kind of slip."""

import pytest

from common.data import DatalistError, load_datalist, load_section
from common.data.sources import chestxray14

SECTIONS = ("training", "validation", "test")
HEADER = (
    "Image Index,Finding Labels,Follow-up #,Patient ID,Patient Age,Patient Gender,View Position,"
    "OriginalImage[Width,Height],OriginalImagePixelSpacing[x,y]"
)
FINDINGS = ["Mass|Effusion", "No Finding", "Hernia", "Effusion", "Nodule|Mass|Infiltration"]
BOXES = ["00000001_000.png,Mass,100.5,200,50,60.25", "00000015_001.png,Infiltrate,10,20,30,40"]


def name(patient, follow_up=0):
    return f"{patient:08d}_{follow_up:03d}.png"


@pytest.fixture
def chests(tmp_path, picture):
    """Twenty patients with two images of the same findings; patients 15 to 20 are in the test list."""
    rows, lists = [HEADER], {"training": [], "test": []}
    for patient in range(1, 21):
        for follow_up in range(2):
            picture(f"images_{patient % 3:03d}/images/{name(patient, follow_up)}", (64, 64), 2 * patient + follow_up)
            findings = FINDINGS[(patient - 1) % 5]
            rows.append(f"{name(patient, follow_up)},{findings},{follow_up},{patient},060Y,F,PA,2682,2749,0.143,0.143")
            lists["test" if patient > 14 else "training"].append(name(patient, follow_up))
    (tmp_path / "Data_Entry_2017_v2020.csv").write_text("\n".join(rows))
    (tmp_path / "BBox_List_2017.csv").write_text("\n".join(["Image Index,Finding Label,Bbox [x,y,w,h],,,", *BOXES]))
    (tmp_path / "train_val_list.txt").write_text("\n".join(lists["training"]))
    (tmp_path / "test_list.txt").write_text("\n".join(lists["test"]) + "\n")
    return tmp_path


def cases(path):
    return {item["case_id"]: item for section in SECTIONS for item in load_datalist(path)[section]}


def edit(path, old, new):
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))


def test_labels_boxes_and_lists(chests):
    path = chestxray14.convert(str(chests))
    datalist = load_datalist(path)
    assert datalist["meta"]["classes"][:4] == ["Atelectasis", "Cardiomegaly", "Effusion", "Infiltration"]
    assert datalist["meta"]["classes"][-2:] == ["Pleural_Thickening", "Hernia"]
    assert (datalist["meta"]["task"], datalist["meta"]["background"]) == ("multilabel", "No Finding")
    found = cases(path)
    assert found["00000001_000"] == {
        "case_id": "00000001_000",
        "image": "images_001/images/00000001_000.png",
        "label": [0, 0, 1, 0, 1] + [0] * 9,
        "patient_id": "1",
        # the image has 64 pixels, the boxes count 1024
        "boxes": [[6.281, 12.5, 9.406, 16.266]],
        "box_labels": ["Mass"],
    }
    assert found["00000002_001"]["label"] == [0] * 14, "no finding"
    assert (found["00000015_001"]["box_labels"], found["00000015_001"]["boxes"]) == (
        ["Infiltration"],
        [[0.625, 1.25, 2.5, 3.75]],
    )
    people = [{item["patient_id"] for item in datalist[section]} for section in SECTIONS]
    assert people[2] == {str(patient) for patient in range(15, 21)}
    assert len(people[0]) + len(people[1]) == len(people[0] | people[1]) == 14
    assert len(people[1]) == 2, "an eighth of fourteen"
    assert load_section(path, "test")[0]["label"].shape == (14,)


def test_some_classes_leave_out_images_with_other_findings_only(chests, caplog):
    path = chestxray14.convert(str(chests), classes="Mass,Effusion")
    found = cases(path)
    assert found["00000001_000"]["label"] == [1, 1]
    assert "00000003_000" not in found, "hernia is not 'No Finding'"
    assert found["00000002_000"]["label"] == [0, 0]
    assert "left out: 8 images that have other findings only than Mass, Effusion" in caplog.text
    assert "box_labels" not in found["00000015_001"]
    with pytest.raises(DatalistError, match="unknown finding 'Efusion'; did you mean 'Effusion'"):
        chestxray14.convert(str(chests), classes=("Efusion",))


def test_the_older_table_and_a_split_of_ones_own(chests, caplog):
    table = chests / "Data_Entry_2017_v2020.csv"
    table.write_text("\n".join(line + "," for line in table.read_text().splitlines()))  # an empty column at the end
    table.rename(chests / "Data_Entry_2017.csv")
    for list_name in ("train_val_list.txt", "test_list.txt", "BBox_List_2017.csv"):
        (chests / list_name).unlink()
    with pytest.raises(
        DatalistError, match=r"train_val_list.txt' does not exist; put it there, or split anew with --frac"
    ):
        chestxray14.convert(str(chests))
    datalist = load_datalist(chestxray14.convert(str(chests), fractions=(0.6, 0.2, 0.2)))
    assert sum(len(datalist[section]) for section in SECTIONS) == 40
    people = [{item["patient_id"] for item in datalist[section]} for section in SECTIONS]
    assert len(set.union(*people)) == sum(map(len, people)) == 20
    assert datalist["meta"]["split"] == "by patient"
    assert "no image has boxes" in caplog.text


def test_an_unfinished_download(chests, caplog, monkeypatch):
    for image in (chests / "images_002").rglob("*.png"):
        image.unlink()
    with pytest.raises(DatalistError, match=r"14 rows whose image is missing: 00000002_000.png"):
        chestxray14.convert(str(chests))
    monkeypatch.setattr(chestxray14, "IMAGES", (28, 12))
    found = cases(chestxray14.convert(str(chests), on_problem="skip"))
    assert len(found) == 26
    assert "left out: 14 rows whose image is missing" in caplog.text
    assert "train_val_list.txt has 18 of the 28 images, so the numbers of findings are not compared" in caplog.text
    assert "test_list.txt has 8 of the 12 images" in caplog.text


def test_numbers_of_findings_are_compared_with_the_official_ones(chests, caplog, monkeypatch):
    counts = {"Mass": (10, 6), "Effusion": (12, 4), "Hernia": (6, 2), "Nodule": (4, 4), "Infiltration": (4, 4)}
    empty = dict.fromkeys(chestxray14.OFFICIAL, (0, 0))
    monkeypatch.setattr(chestxray14, "IMAGES", (28, 12))
    monkeypatch.setattr(chestxray14, "OFFICIAL", empty | counts | {"No Finding": (6, 2)})
    chestxray14.convert(str(chests))
    assert "differ" not in caplog.text
    monkeypatch.setitem(chestxray14.OFFICIAL, "Hernia", (5, 2))
    chestxray14.convert(str(chests))
    assert "train_val_list.txt: numbers differ from the official ones: Hernia 6 for 5" in caplog.text
    assert "test_list.txt: numbers" not in caplog.text


def test_the_official_numbers_are_those_of_the_data_set():
    official = chestxray14.OFFICIAL
    assert len(chestxray14.CLASSES) == 14
    assert sum(first for first, _ in official.values()) == 104470  # label occurrences in training and validation
    totals = {label: sum(both) for label, both in official.items()}
    assert (totals["Infiltration"], totals["Hernia"], totals["No Finding"]) == (19894, 227, 60361)


def test_copies_with_different_labels_are_found_by_content(chests, caplog):
    one, other = (next(chests.rglob(name(patient))) for patient in (1, 4))
    other.write_bytes(one.read_bytes())
    with pytest.raises(
        DatalistError, match="1 groups of images with the same content and different labels: 00000001_000"
    ):
        chestxray14.convert(str(chests))
    found = cases(chestxray14.convert(str(chests), on_problem="skip"))
    assert not {"00000001_000", "00000004_000"} & set(found)
    # the same findings in both lists: the test image stays
    next(chests.rglob(name(16))).write_bytes(next(chests.rglob(name(6))).read_bytes())
    found = cases(chestxray14.convert(str(chests), on_problem="skip"))
    assert "00000016_000" in found
    assert "00000006_000" not in found
    assert "1 images stand there more than once with the same label; one of each is kept" in caplog.text


TABLE, BOX_TABLE = "Data_Entry_2017_v2020.csv", "BBox_List_2017.csv"


@pytest.mark.parametrize(
    ("file", "old", "new", "words"),
    [
        (TABLE, "Finding Labels", "Findings", "no column 'Finding Labels'; did you mean 'Findings'"),
        (TABLE, "000.png,Hernia", "000.png,Herna", "unknown finding 'Herna'; did you mean 'Hernia'"),
        (
            TABLE,
            "00000003_000.png,Hernia",
            "00000003_000.png,",
            "rows with neither a finding nor 'No Finding': 00000003",
        ),
        (TABLE, "03_000.png,Hernia", "03_000.png,Hernia|No Finding", "rows with a finding and 'No Finding': 00000003"),
        (TABLE, "00000003_001.png", "00000003_000.png", "lists the image '00000003_000.png' twice; keep one row"),
        (
            BOX_TABLE,
            "00000001_000",
            "00000099_000",
            "of images that are not in the table of findings: 00000099_000.png",
        ),
        (BOX_TABLE, ",Mass,", ",Hernia,", r"of findings that the image does not have: 00000001_000.png \(Hernia\)"),
        (BOX_TABLE, ",Mass,", ",Masse,", "unknown finding 'Masse'; did you mean 'Mass'"),
        (BOX_TABLE, "50,60.25", "50,-1", r"empty or given twice: 00000001_000.png \(Mass\)"),
        (BOX_TABLE, "50,60.25", "50,tall", "the box of '00000001_000.png' in .* is no number"),
        ("train_val_list.txt", "00000001_000.png", "", "1 images in neither of the lists: 00000001_000.png"),
        (
            "train_val_list.txt",
            "00000001_000.png",
            "00000015_000.png",
            "'00000015_000.png' is in train_val_list.txt and",
        ),
        (
            TABLE,
            "16_001.png,Mass|Effusion,1,16,",
            "16_001.png,Mass|Effusion,1,1,",
            "patient '1' is in more than one split",
        ),
    ],
)
def test_slips(chests, file, old, new, words):
    edit(chests / file, old, new)
    with pytest.raises(DatalistError, match=words):
        chestxray14.convert(str(chests))


def test_no_folder(tmp_path):
    with pytest.raises(DatalistError, match="does not exist; name the folder that holds the images, Data_Entry_2017"):
        chestxray14.convert(str(tmp_path / "gone"))
