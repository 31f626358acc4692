"""REFUGE in its official layout: pairing by id, masks, label sheets, crops, and every kind of slip."""

from collections import Counter

import numpy as np
import pytest
from PIL import Image

from common.data import DatalistError, load_datalist, load_section
from common.data.sources import refuge

SECTIONS = ("training", "validation", "test")
MASKS = {
    "g": "Annotation-Training400/Disc_Cup_Masks/Glaucoma",
    "n": "Annotation-Training400/Disc_Cup_Masks/Non-Glaucoma",
    "V": "REFUGE-Validation400-GT/Disc_Cup_Masks",
    "T": "REFUGE-Test-GT/Disc_Cup_Masks/G",
}
IMAGES = {
    "g": "Training400/Glaucoma",
    "n": "Training400/Non-Glaucoma",
    "V": "REFUGE-Validation400",
    "T": "REFUGE-Test400/Test400",
}


def mask_values(seed=0):
    """A disc of 20 x 16 pixels at a place that depends on the seed, with a cup, in 60 x 80."""
    values = np.full((60, 80), 255, dtype=np.uint8)
    y, x = 10 + seed, 30 + seed
    values[y : y + 20, x : x + 16] = 128
    values[y + 5 : y + 12, x + 4 : x + 10] = 0
    return values


@pytest.fixture
def eyes(tmp_path, write_csv):
    """The official layout with two to four eyes a subset; the sheets' columns differ as they do in REFUGE."""
    for letter, count in {"g": 2, "n": 2, "V": 3, "T": 3}.items():
        for number in range(1, count + 1):
            for folder, pixels, suffix in (
                (IMAGES[letter], np.full((60, 80, 3), 90 + number, dtype=np.uint8), "jpg"),
                (MASKS[letter], mask_values(number), "bmp"),
            ):
                path = tmp_path / folder / f"{letter}{number:04d}.{suffix}"
                path.parent.mkdir(parents=True, exist_ok=True)
                Image.fromarray(pixels).save(path)
    fovea = [{"ID": "1", "ImgName": "g0001.jpg", "Fovea_X": "1", "Fovea_Y": "2"}]
    write_csv(fovea, "Fovea_location.csv", tmp_path / "Annotation-Training400")
    rows = [{"ImgName": f"V000{i}.jpg", "Fovea_X": "3", "Glaucoma Label": str(i % 2)} for i in (1, 2, 3)]
    write_csv(rows, "Fovea_locations.csv", tmp_path / "REFUGE-Validation400-GT")
    rows = [{"ID": str(i), "ImgName": f"T000{i}.jpg", "Label(Glaucoma=1)": str(int(i == 3))} for i in (1, 2, 3)]
    write_csv(rows, "Glaucoma_label_and_Fovea_location.csv", tmp_path / "REFUGE-Test-GT")
    return tmp_path


def everything(datalist):
    return {item["case_id"]: item for name in SECTIONS for item in datalist[name]}


def test_the_three_subsets_are_the_splits(eyes):
    path = refuge.convert(str(eyes))
    assert path == eyes / "datalist.json"
    datalist = load_datalist(path)
    labels = {name: {item["case_id"]: item["label"] for item in datalist[name]} for name in SECTIONS}
    assert labels == {
        "training": {"g0001": 1, "g0002": 1, "n0001": 0, "n0002": 0},
        "validation": {"V0001": 1, "V0002": 0, "V0003": 1},
        "test": {"T0001": 0, "T0002": 0, "T0003": 1},
    }
    assert everything(datalist)["T0003"] == {
        "case_id": "T0003",
        "image": "REFUGE-Test400/Test400/T0003.jpg",
        "label": 1,
        "mask": "REFUGE-Test-GT/Disc_Cup_Masks/G/T0003.bmp",
    }
    meta = datalist["meta"]
    assert meta["classes"] == ["no glaucoma", "glaucoma"]
    assert [(entry["name"], entry["values"]) for entry in meta["structures"]] == [
        ("background", [255]),
        ("rim", [128]),
        ("cup", [0]),
    ]
    assert len(load_section(path, "training")) == 4


def test_spreadsheets(eyes):
    import pandas

    for sheet in list(eyes.rglob("*.csv")):
        pandas.read_csv(sheet).to_excel(sheet.with_suffix(".xlsx"), index=False)
        sheet.unlink()
    assert Counter(item["label"] for item in load_datalist(refuge.convert(str(eyes)))["validation"]) == {1: 2, 0: 1}


def test_crops_are_squares_around_the_discs(eyes):
    items = everything(load_datalist(refuge.convert(str(eyes), crop=1.5)))
    # the disc of V0002 is 16 x 20 pixels at (32, 12); the square has 30, centred at (40, 22)
    assert items["V0002"]["crop"] == [25, 7, 55, 37]
    assert "crop" not in everything(load_datalist(refuge.convert(str(eyes))))["V0002"]
    with pytest.raises(DatalistError, match=r"crop is 0.5, expected 1 or more disc heights"):
        refuge.convert(str(eyes), crop=0.5)


def test_files_are_paired_by_id_and_leftovers_are_reported(eyes, caplog):
    """The reference compared only the labels in the names, so g0002 could get the mask of g0007."""
    mask = eyes / MASKS["g"] / "g0002.bmp"
    mask.rename(mask.with_name("g0007.bmp"))
    (eyes / IMAGES["V"] / "V0002.jpg").unlink()
    with pytest.raises(DatalistError) as caught:
        refuge.convert(str(eyes))
    message = str(caught.value)
    assert "1 images without mask: g0002" in message
    assert "2 masks without image: g0007, v0002" in message
    assert message.endswith("leave them out with --on_problem skip")
    items = everything(load_datalist(refuge.convert(str(eyes), on_problem="skip")))
    assert set(items) == {"g0001", "n0001", "n0002", "V0001", "V0003", "T0001", "T0002", "T0003"}
    assert "left out: 1 images without mask: g0002" in caplog.text


def test_images_without_mask_can_be_kept(eyes):
    (eyes / MASKS["n"] / "n0002.bmp").unlink()
    items = everything(load_datalist(refuge.convert(str(eyes), allow_missing_masks=True)))
    assert "mask" not in items["n0002"]
    assert items["n0002"]["label"] == 0
    with pytest.raises(DatalistError, match="1 images without mask, which crop needs: n0002"):
        refuge.convert(str(eyes), allow_missing_masks=True, crop=2)


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (lambda v: np.where(v == 128, 127, v), "values outside the label map: 127; expected 255 background, 128 rim"),
        (lambda v: v[:50], "the mask has 50 x 80 pixels, its image 60 x 80"),
        (lambda v: v * 0 + 255, "the mask marks no disc"),
    ],
    ids=["values", "size", "empty"],
)
def test_masks_that_cannot_be_used(eyes, spoil, words):
    path = eyes / MASKS["T"] / "T0002.bmp"
    Image.fromarray(spoil(mask_values(2)).astype(np.uint8)).save(path)
    with pytest.raises(DatalistError, match=words) as caught:
        refuge.convert(str(eyes))
    assert f"1 masks that cannot be used: {path}" in str(caught.value)


def test_jpeg_masks_get_a_hint(eyes):
    (eyes / MASKS["T"] / "T0002.bmp").unlink()
    Image.fromarray(mask_values(2)).save(eyes / MASKS["T"] / "T0002.jpg", quality=70)
    with pytest.raises(DatalistError, match="JPEG changes pixel values, so it cannot store a mask"):
        refuge.convert(str(eyes))


def edit(path, old, new):
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))


def test_slips_in_the_sheets(eyes):
    sheet = eyes / "REFUGE-Test-GT" / "Glaucoma_label_and_Fovea_location.csv"
    edit(sheet, "T0002.jpg,0", "T0002.jpg,maybe")
    with pytest.raises(DatalistError) as caught:
        refuge.convert(str(eyes))
    assert "that are not 0 or 1: T0002.jpg ('maybe')" in str(caught.value)
    edit(sheet, "T0002.jpg,maybe", "T0009.jpg,0")
    with pytest.raises(DatalistError) as caught:
        refuge.convert(str(eyes))
    assert "1 labels without image: t0009" in str(caught.value)
    assert "1 images without label (tables need the columns ImgName and Label(Glaucoma=1)): T0002" in str(caught.value)
    edit(sheet, "T0009.jpg,0", "T0001.jpg,1")
    with pytest.raises(DatalistError, match=r"contradicts another label of 'T0001.jpg'"):
        refuge.convert(str(eyes))


def test_a_missing_subset_is_named_and_another_split_offered(eyes):
    for image in (eyes / IMAGES["V"]).iterdir():
        image.unlink()
    for name in ("Fovea_locations.csv", "Disc_Cup_Masks"):
        (eyes / "REFUGE-Validation400-GT" / name).rename(eyes.parent / f"{eyes.name}-{name}")
    with pytest.raises(DatalistError, match=r"no usable image of validation \(REFUGE-Validation400\); unpack"):
        refuge.convert(str(eyes))
    datalist = load_datalist(refuge.convert(str(eyes), fractions=(0.5, 0.25, 0.25)))
    assert [len(datalist[name]) for name in SECTIONS] == [3, 2, 2]
    assert datalist["meta"]["split"] == "stratified by class"


def test_copies_and_contradictions(eyes):
    copy = eyes / "copy" / "g0001.jpg"
    copy.parent.mkdir()
    copy.write_bytes((eyes / IMAGES["g"] / "g0001.jpg").read_bytes())
    with pytest.raises(DatalistError, match="have the same id; keep one of them"):
        refuge.convert(str(eyes))
    copy.unlink()
    (eyes / IMAGES["g"] / "g0001.jpg").rename(eyes / IMAGES["n"] / "g0001.jpg")
    with pytest.raises(DatalistError, match="is a glaucoma image by its name and lies in the folder 'Non-Glaucoma'"):
        refuge.convert(str(eyes))


def test_wrong_folders_and_options(eyes, tmp_path):
    with pytest.raises(DatalistError, match="does not exist; name the folder that holds the unpacked archives"):
        refuge.convert(str(tmp_path / "gone"))
    (tmp_path / "empty").mkdir()
    with pytest.raises(DatalistError, match=r"holds no image named like g0001.jpg"):
        refuge.convert(str(tmp_path / "empty"))
    with pytest.raises(DatalistError, match="on_problem is 'ignore', expected refuse or skip"):
        refuge.convert(str(eyes), on_problem="ignore")
