"""IDRiD's grading and segmentation parts: official layout and single table, copies, lesions as boxes."""

import numpy as np
import pytest
from PIL import Image

from common.data import DatalistError, load_datalist, load_section
from common.data.sources import idrid_grading, idrid_lesions

SECTIONS = ("training", "validation", "test")


def cases(path):
    return {item["case_id"]: item for section in SECTIONS for item in load_datalist(path)[section]}


# ---------------------------------------------------------------- grading


@pytest.fixture
def graded(tmp_path, picture):
    """The official layout: twenty images for training, five for test, numbered from 1 in both."""
    for split, (images, table) in idrid_grading.OFFICIAL.items():
        lines = ["Image name,Retinopathy grade,Risk of macular edema ,,,,"]
        for number in range(1, 21 if split == "training" else 6):
            name = f"IDRiD_{number:03d}"
            picture(f"1. Original Images/{images}/{name}.jpg", seed=number + 100 * (split == "test"), mode="RGB")
            lines.append(f"{name},{number % 5},{number % 3},,,,")
        folder = tmp_path / "2. Groundtruths"
        folder.mkdir(exist_ok=True)
        (folder / table).write_text("\n".join(lines))
    return tmp_path


@pytest.fixture
def exported(tmp_path, picture):
    """A single table with its columns of labels and of copies."""
    lines = ["image,dr_grade,dme_risk,any_dr,split,duplicate_of"]
    for number in range(24):
        split, copy = "train" if number < 18 else "test", "train_003" if number == 20 else ""
        picture(f"images/{split}_{number:03d}.jpg", seed=number, mode="RGB")
        lines.append(f"images/{split}_{number:03d}.jpg,{number % 5},{number % 3},0,{split},{copy}")
    (tmp_path / "labels.csv").write_text("\n".join(lines))
    return tmp_path


def test_grades_become_five_correlated_labels(graded):
    path = idrid_grading.convert(str(graded))
    found = cases(path)
    assert load_datalist(path)["meta"]["classes"] == [
        "any_dr",
        "referable_dr",
        "severe_dr",
        "dme",
        "exudate_near_macula",
    ]
    # grade and risk are the number modulo 5 and 3
    expected = {1: [1, 0, 0, 1, 0], 2: [1, 1, 0, 1, 1], 8: [1, 1, 1, 1, 1], 9: [1, 1, 1, 0, 0], 15: [0, 0, 0, 0, 0]}
    assert {number: found[f"training_IDRiD_{number:03d}"]["label"] for number in expected} == expected
    assert found["test_IDRiD_001"] == {
        "case_id": "test_IDRiD_001",
        "image": "1. Original Images/b. Testing Set/IDRiD_001.jpg",
        "label": [1, 0, 0, 1, 0],
    }
    assert [len(load_datalist(path)[section]) for section in SECTIONS] == [17, 3, 5]


def test_all_copies_are_left_out(graded, caplog):
    training, testing = (graded / "1. Original Images" / images for images, _ in idrid_grading.OFFICIAL.values())
    (training / "IDRiD_007.jpg").write_bytes((training / "IDRiD_002.jpg").read_bytes())
    (testing / "IDRiD_004.jpg").write_bytes((training / "IDRiD_011.jpg").read_bytes())
    path = idrid_grading.convert(str(graded))
    dropped = ["test_IDRiD_004", "training_IDRiD_002", "training_IDRiD_007", "training_IDRiD_011"]
    assert load_datalist(path)["meta"]["left_out"] == dropped
    assert not set(dropped) & set(cases(path))
    assert len(cases(path)) == 21
    assert "4 images that are there twice: test_IDRiD_004 = training_IDRiD_011, training_IDRiD_002 = tr" in caplog.text


def test_the_single_table_and_the_copies_it_names(exported, caplog):
    path = idrid_grading.convert(str(exported))
    found = cases(path)
    assert found["test_018"]["label"] == [1, 1, 1, 0, 0]
    assert not {"test_020", "train_003"} & set(found)
    assert len(found) == 22
    assert "left out: 2 images that are there twice: test_020 = train_003" in caplog.text
    assert len(load_section(path, "test")) == 5


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("images/train_004.jpg", "images/train_099.jpg", "1 rows whose image is missing: images/train_099.jpg"),
        ("train_004.jpg,4,1", "train_004.jpg,5,1", r"grades are not 0 to 4 and 0 to 2: train_004 \('5', '1'\)"),
        ("train_004.jpg,4,1,0,train", "train_004.jpg,4,1,0,trian", "unknown split 'trian', expected train or test"),
        ("dr_grade", "grade", "no column 'dr_grade'; did you mean 'grade'"),
    ],
)
def test_slips_in_the_grades(exported, old, new, words):
    text = (exported / "labels.csv").read_text()
    (exported / "labels.csv").write_text(text.replace(old, new))
    with pytest.raises(DatalistError, match=words):
        idrid_grading.convert(str(exported))


def test_no_table_of_grades(tmp_path):
    with pytest.raises(DatalistError, match=r"a. IDRiD_Disease Grading_Training Labels.csv' does not exist"):
        idrid_grading.convert(str(tmp_path))


# ---------------------------------------------------------------- lesions


def outline(*boxes, size=(120, 200)):
    mask = np.zeros(size, dtype=np.uint8)
    for x0, y0, x1, y1 in boxes:
        mask[y0:y1, x0:x1] = 255
    return mask


@pytest.fixture
def outlined(tmp_path):
    """Images 53 to 56, so two for training and two for test; only number 54 has soft exudates."""
    parts = {"MA": "1. Microaneurysms", "HE": "2. Haemorrhages", "EX": "3. Hard Exudates", "SE": "4. Soft Exudates"}
    for number in range(53, 57):
        split = "a. Training Set" if number < 55 else "b. Testing Set"
        image = tmp_path / "1. Original Images" / split / f"IDRiD_{number}.jpg"
        image.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.full((120, 200, 3), number, dtype=np.uint8)).save(image)
        for kind, folder in {**parts, "OD": "5. Optic Disc"}.items():
            if kind == "SE" and number != 54:
                continue
            mask = tmp_path / "2. All Segmentation Groundtruths" / split / folder / f"IDRiD_{number}_{kind}.tif"
            mask.parent.mkdir(parents=True, exist_ok=True)
            # the first two parts are two pixels apart, the third is far away
            Image.fromarray(outline((10, 20, 14, 24), (16, 20, 18, 23), (100, 60, 130, 90))).save(mask)
    return tmp_path


def test_lesions_become_boxes_with_their_class(outlined):
    path = idrid_lesions.convert(str(outlined), join=0)
    datalist = load_datalist(path)
    assert datalist["meta"]["classes"] == ["microaneurysms", "haemorrhages", "hard exudates", "soft exudates"]
    assert [[item["case_id"] for item in datalist[section]] for section in SECTIONS] == [
        ["IDRiD_53", "IDRiD_54"],
        [],
        ["IDRiD_55", "IDRiD_56"],
    ]
    item = datalist["training"][0]
    assert item["label"] == [1, 1, 1, 0]
    assert item["box_labels"] == ["microaneurysms"] * 3 + ["haemorrhages"] * 3 + ["hard exudates"] * 3
    assert item["boxes"][:3] == [[10, 20, 14, 24], [16, 20, 18, 23], [100, 60, 130, 90]]
    assert datalist["training"][1]["label"] == [1, 1, 1, 1]


def test_lesions_for_a_network_that_knows_grades_are_all_signs_of_retinopathy(outlined):
    alone, graded = (
        cases(idrid_lesions.convert(str(outlined), str(outlined / f"{flag}.json"), as_grading=flag))
        for flag in (False, True)
    )
    assert alone.keys() == graded.keys()
    for name, item in graded.items():
        assert item["boxes"] == alone[name]["boxes"]
        assert item["box_labels"] == ["any_dr"] * len(item["boxes"])
        assert item["label"] == [1, 0, 0, 0, 0]
    assert load_datalist(outlined / "True.json")["meta"]["classes"] == idrid_grading.CLASSES


def test_parts_that_lie_close_together_get_one_box(outlined):
    item = load_datalist(idrid_lesions.convert(str(outlined), join=0.01))["test"][0]  # two pixels of 200
    assert item["boxes"][:2] == [[10, 20, 18, 24], [100, 60, 130, 90]]
    with pytest.raises(DatalistError, match=r"join is 0\.5, expected a share of the image's width"):
        idrid_lesions.convert(str(outlined), join=0.5)


def test_names_with_a_split_and_masks_of_one_bit(tmp_path):
    for name in ("train_IDRiD_01", "train_IDRiD_02", "test_IDRiD_55"):
        (tmp_path / "images").mkdir(exist_ok=True)
        (tmp_path / "masks").mkdir(exist_ok=True)
        Image.fromarray(np.full((120, 200, 3), 9, dtype=np.uint8)).save(tmp_path / "images" / f"{name}.jpg")
        for kind in ("EX",) if name.endswith("1") else ("EX", "SE"):
            Image.fromarray(outline((1, 2, 9, 8)) > 0).save(tmp_path / "masks" / f"{name}_{kind}.png")
    found = cases(idrid_lesions.convert(str(tmp_path)))
    assert {name: item["label"] for name, item in found.items()} == {
        "IDRiD_01": [0, 0, 1, 0],
        "IDRiD_02": [0, 0, 1, 1],
        "IDRiD_55": [0, 0, 1, 1],
    }
    assert found["IDRiD_01"]["boxes"] == [[1, 2, 9, 8]]


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (
            lambda path: Image.fromarray(outline(size=(50, 50))).save(path),
            "the mask has 50 x 50 pixels, its image 120 x 200",
        ),
        (lambda path: Image.fromarray(outline()).save(path), "the mask marks nothing"),
        (lambda path: path.write_bytes(b"no image"), "it or its image cannot be read"),
        (lambda path: path.rename(path.with_name("IDRiD_77_SE.tif")), "1 masks without image: IDRiD_77"),
    ],
    ids=["size", "empty", "damaged", "no image"],
)
def test_masks_that_cannot_be_used(outlined, spoil, words):
    spoil(next(outlined.rglob("IDRiD_54_SE.tif")))
    with pytest.raises(DatalistError, match=words):
        idrid_lesions.convert(str(outlined))


def test_images_given_twice_or_not_at_all(outlined, tmp_path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(DatalistError, match=r"holds no image named like IDRiD_01.jpg"):
        idrid_lesions.convert(str(tmp_path / "empty"))
    (outlined / "IDRiD_53.jpg").write_bytes(next(outlined.rglob("IDRiD_53.jpg")).read_bytes())
    with pytest.raises(DatalistError, match="have the same name; keep one of them"):
        idrid_lesions.convert(str(outlined))
