"""ODIR-5K in its official layout: labels of single eyes from keywords, three parts, crops, and every kind of slip."""

import json

import numpy as np
import pytest
from PIL import Image

from common.data import DatalistError, load_datalist
from common.data.errors import CaseError
from common.data.sources import odir
from common.data.sources.fundus_field import field_box
from common.data.sources.odir_keywords import split_keywords

NORMAL = "normal fundus"
# of the left and of the right eye
EYES = [
    (NORMAL, "mild nonproliferative retinopathy"),
    ("Glaucoma，Pathological myopia", NORMAL),
    ("lens dust，cataract", "lens dust"),
    ("wet age-related macular degeneration", "epiretinal membrane"),
    ("hypertensive retinopathy", f"{NORMAL}，drusen"),
    (NORMAL, NORMAL),
]


@pytest.fixture
def eyes(tmp_path, write_csv, picture):
    """Twelve patients for training and six in each test set; the first test set has a spreadsheet."""
    for part, (folder, stem) in odir.PARTS.items():
        first, count = {"training": (0, 12), "test": (100, 6), "test_off_site": (200, 6)}[part]
        rows = []
        for number in range(first, first + count):
            row = {"ID": str(number), "Patient Age": "60", "Patient Sex": "Male"}
            for place, side in enumerate(odir.SIDES):
                name = f"{number}_{side.lower()}.jpg"
                picture(f"{folder}/Images/{name}", (40, 48), 2 * number + place, mode="RGB")
                row |= {f"{side}-Fundus": name, f"{side}-Diagnostic Keywords": EYES[number % 6][place]}
            rows.append(row | dict.fromkeys("NDGCAHMO", "1"))
        write_csv(rows, f"{stem}.csv", tmp_path / folder / "Annotation")
    return tmp_path


def cases(path):
    return {
        item["case_id"]: item for items in load_datalist(path).values() if isinstance(items, list) for item in items
    }


def table(eyes, part="training"):
    folder, stem = odir.PARTS[part]
    return eyes / folder / "Annotation" / f"{stem}.csv"


def edit(path, old, new):
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))


def diseases(item):
    return [name for name, present in zip(odir.CLASSES, item["label"], strict=True) if present]


def test_each_eye_has_the_label_of_its_own_keywords(eyes):
    path = odir.convert(str(eyes))
    found = cases(path)
    assert found["0_left"] == {
        "case_id": "0_left",
        "image": "Training Set/Images/0_left.jpg",
        "label": [0] * 7,
        "patient_id": "0",
        "laterality": "L",
    }
    assert diseases(found["0_right"]) == ["diabetic retinopathy"]
    assert diseases(found["1_left"]) == ["glaucoma", "myopia"]
    assert diseases(found["2_left"]) == ["cataract"]
    assert "2_right" not in found, "nothing but a remark on the photograph"
    assert diseases(found["3_left"]) == ["age-related macular degeneration"]
    assert diseases(found["3_right"]) == ["other"]
    assert diseases(found["4_left"]) == ["hypertensive retinopathy"]
    assert diseases(found["4_right"]) == ["other"], "a disease beside 'normal fundus'"
    assert load_datalist(path)["meta"]["background"] == "normal"


def test_both_eyes_stay_together_and_the_test_sets_apart(eyes):
    datalist = load_datalist(odir.convert(str(eyes), validation=0.25))
    people = {part: {item["patient_id"] for item in items} for part, items in datalist.items() if part != "meta"}
    assert list(people) == ["training", "validation", "test", "test_off_site"]
    assert people["test"] == {str(number) for number in range(100, 106)}
    assert people["test_off_site"] == {str(number) for number in range(200, 206)}
    assert len(people["validation"]) == 3
    assert not people["training"] & people["validation"]


def test_unknown_keywords_are_listed_the_misspelt_ones_first(eyes, caplog, tmp_path):
    edit(table(eyes), "Glaucoma，", "glaucomma，")
    odir.convert(str(eyes))
    assert (
        "3 keywords count as 'other': glaucomma (1, did you mean 'glaucoma'?), drusen (4), epiretinal memb"
        in caplog.text
    )
    more = tmp_path / "more.json"
    more.write_text(json.dumps({"glaucoma": ["Glaucomma"], "age-related macular degeneration": ["drusen"]}))
    found = cases(odir.convert(str(eyes), keywords=str(more)))
    assert diseases(found["1_left"]) == ["glaucoma", "myopia"]
    assert diseases(found["4_right"]) == ["age-related macular degeneration"]


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ('{"glaucome": ["x"]}', "unknown disease 'glaucome'; did you mean 'glaucoma'"),
        ("[1]", "is no JSON file of diseases and their keywords"),
        ("{", "is no JSON file of diseases and their keywords"),
        ('{"glaucoma": [""]}', "is no JSON file of diseases and their keywords"),
    ],
)
def test_slips_in_further_keywords(eyes, tmp_path, content, words):
    (tmp_path / "more.json").write_text(content)
    with pytest.raises(DatalistError, match=words):
        odir.convert(str(eyes), keywords=str(tmp_path / "more.json"))


def test_spreadsheets(eyes):
    import pandas

    expected = cases(odir.convert(str(eyes)))
    for part in odir.PARTS:
        pandas.read_csv(table(eyes, part), dtype=str).to_excel(table(eyes, part).with_suffix(".xlsx"), index=False)
        table(eyes, part).unlink()
    assert cases(odir.convert(str(eyes))) == expected


@pytest.mark.parametrize(
    ("text", "keywords"),
    [
        ("Normal Fundus ， lens  dust", ["normal fundus", "lens dust"]),
        ("a, b,c", ["a", "b", "c"]),
        ("a, with a comma，b", ["a, with a comma", "b"]),
        ("，", []),
        ("", []),
    ],
)
def test_keywords(text, keywords):
    assert split_keywords(text) == keywords


def test_a_training_set_alone_will_do(eyes):
    for part in ("test", "test_off_site"):
        table(eyes, part).unlink()
        folder = eyes / odir.PARTS[part][0]
        folder.rename(eyes.parent / f"{eyes.name} {folder.name}")
    datalist = load_datalist(odir.convert(str(eyes)))
    assert datalist["test"] == []
    assert "test_off_site" not in datalist


@pytest.mark.parametrize(
    ("part", "old", "new", "words"),
    [
        ("test", "100,60", "3,60", "patient '3' is in more than one split"),
        ("training", "0_left.jpg", "99_left.jpg", "1 eyes whose image is missing: Training Set/Images/99_left.jpg"),
        ("training", NORMAL, "", "1 eyes without keywords: 0_left.jpg"),
        ("training", "Left-Fundus", "Left Fundus", "no column 'Left-Fundus'; did you mean 'Left Fundus'"),
    ],
)
def test_slips(eyes, part, old, new, words):
    edit(table(eyes, part), old, new)
    with pytest.raises(DatalistError, match=words):
        odir.convert(str(eyes))


def test_copies_with_different_labels(eyes, caplog):
    images = eyes / "Training Set" / "Images"
    (images / "0_right.jpg").write_bytes((images / "0_left.jpg").read_bytes())
    with pytest.raises(DatalistError, match="with the same content and different labels: 0_left = 0_right"):
        odir.convert(str(eyes))
    assert "0_left" not in cases(odir.convert(str(eyes), on_problem="skip"))


def test_absent_parts(eyes, tmp_path):
    table(eyes).unlink()
    with pytest.raises(DatalistError, match=r"there is no '.*training annotation \(English\)' with the ending .xlsx"):
        odir.convert(str(eyes))
    (tmp_path / "empty").mkdir()
    with pytest.raises(DatalistError, match="has no usable image; unpack the training set there"):
        odir.convert(str(tmp_path / "empty"))


# ---------------------------------------------------------------- the round field


def disc(path, size=(300, 400), centre=(150, 180), radius=100, dust=True):
    y, x = np.ogrid[: size[0], : size[1]]
    pixels = np.full((*size, 3), 4, dtype=np.uint8)
    pixels[(y - centre[0]) ** 2 + (x - centre[1]) ** 2 <= radius**2] = (120, 60, 20)
    if dust:
        pixels[5:9, 385:395] = 90
    Image.fromarray(pixels).save(path, quality=95)
    return path


def test_the_field_is_the_largest_bright_part(tmp_path):
    assert field_box(disc(tmp_path / "a.png")) == [80, 50, 281, 251]
    x0, y0, x1, y1 = field_box(disc(tmp_path / "b.jpg", (1500, 2000), (750, 900), 600))
    np.testing.assert_allclose([x0, y0, x1, y1], [300, 150, 1501, 1351], atol=8)
    (tmp_path / "c.png").write_bytes(b"broken")
    with pytest.raises(CaseError, match="the image cannot be read"):
        field_box(tmp_path / "c.png")


def test_crops_are_added_and_dark_photographs_refused(eyes):
    images = eyes / "Training Set" / "Images"
    disc(images / "0_left.jpg", dust=False)
    np.testing.assert_allclose(cases(odir.convert(str(eyes), crop=True))["0_left"]["crop"], [80, 50, 281, 251], atol=3)
    assert cases(odir.convert(str(eyes), crop=True))["1_left"]["crop"] == [0, 0, 48, 40]
    Image.new("RGB", (40, 40)).save(images / "1_left.jpg")
    with pytest.raises(
        DatalistError, match=r"1 images that cannot be cropped: .*1_left.jpg: the image is dark everywhere"
    ):
        odir.convert(str(eyes), crop=True)
    assert "1_left" not in cases(odir.convert(str(eyes), crop=True, on_problem="skip"))
