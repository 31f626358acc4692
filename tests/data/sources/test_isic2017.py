"""ISIC 2017: three parts, segmentation PNG files and the table of diagnoses."""

import pytest

from common.data import DatalistError, load_datalist
from common.data.sources import isic2017

PARTS = ("ISIC-2017_Training", "ISIC-2017_Validation", "ISIC-2017_Test_v2")


@pytest.fixture
def skin(tmp_path, picture, write_csv):
    """Three images a part: a melanoma, a seborrheic keratosis and a nevus."""
    for number, part in enumerate(PARTS):
        names = [f"ISIC_{10 * number + index:07d}" for index in range(3)]
        for name in names:
            picture(f"{name}.jpg", folder=tmp_path / f"{part}_Data", mode="RGB")
            picture(f"{name}_superpixels.png", folder=tmp_path / f"{part}_Data")
            picture(f"{name}_segmentation.png", folder=tmp_path / f"{part}_Part1_GroundTruth")
        flags = [("1.0", "0.0"), ("0.0", "1.0"), ("0.0", "0.0")]
        rows = [
            {"image_id": name, "melanoma": a, "seborrheic_keratosis": b}
            for name, (a, b) in zip(names, flags, strict=True)
        ]
        write_csv(rows, f"{part}_Part3_GroundTruth.csv")
    return tmp_path


def test_diagnoses_masks_and_parts(skin):
    datalist = load_datalist(isic2017.convert(str(skin)))
    assert datalist["meta"]["classes"] == ["nevus", "melanoma", "seborrheic keratosis"]
    assert datalist["meta"]["structures"][1] == {"name": "lesion", "values": [255]}
    for section, first in (("training", 0), ("validation", 10), ("test", 20)):
        assert [item["label"] for item in datalist[section]] == [1, 2, 0]
        assert datalist[section][0]["case_id"] == f"ISIC_{first:07d}"
    assert datalist["test"][1]["image"] == "ISIC-2017_Test_v2_Data/ISIC_0000021.jpg"
    assert datalist["test"][1]["mask"] == "ISIC-2017_Test_v2_Part1_GroundTruth/ISIC_0000021_segmentation.png"


def test_leftovers_are_reported_or_skipped(skin, caplog):
    (skin / f"{PARTS[0]}_Part1_GroundTruth" / "ISIC_0000000_segmentation.png").unlink()
    (skin / f"{PARTS[1]}_Data" / "ISIC_0000010.jpg").unlink()
    table = skin / f"{PARTS[2]}_Part3_GroundTruth.csv"
    table.write_text(table.read_text().replace("ISIC_0000022,0.0,0.0", "ISIC_0000022,1.0,1.0"))
    with pytest.raises(DatalistError) as caught:
        isic2017.convert(str(skin))
    for words in (
        "1 images without mask: ISIC_0000000",
        "1 masks without image: ISIC_0000010",
        "1 labels that are neither 0 nor 1, or 1 twice: ISIC_0000022 (1.0, 1.0)",
        "1 images without label: ISIC_0000022",
    ):
        assert words in str(caught.value)
    datalist = load_datalist(isic2017.convert(str(skin), on_problem="skip", allow_missing_masks=True))
    assert [len(datalist[name]) for name in ("training", "validation", "test")] == [3, 2, 2]
    assert "mask" not in datalist["training"][0]
    assert "left out: 1 masks without image" in caplog.text


def test_other_slips(skin):
    table = skin / f"{PARTS[1]}_Part3_GroundTruth.csv"
    text = table.read_text()
    table.write_text(text + "ISIC_0000010,0,0\n")
    with pytest.raises(DatalistError, match="lists 'ISIC_0000010' twice"):
        isic2017.convert(str(skin))
    table.write_text(text.replace("melanoma", "melanom"))
    with pytest.raises(DatalistError, match="no column 'melanoma'; did you mean 'melanom'"):
        isic2017.convert(str(skin))
    table.unlink()
    with pytest.raises(DatalistError, match=r"ISIC-2017_Validation_Part3_GroundTruth.csv' does not exist"):
        isic2017.convert(str(skin))
    folder = skin / f"{PARTS[0]}_Data"
    for file in folder.iterdir():
        file.unlink()
    with pytest.raises(DatalistError, match=r"holds no file named like ISIC_0000000.jpg"):
        isic2017.convert(str(skin))
    folder.rmdir()
    with pytest.raises(DatalistError, match="ISIC-2017_Training_Data' does not exist; unpack that archive there"):
        isic2017.convert(str(skin))
