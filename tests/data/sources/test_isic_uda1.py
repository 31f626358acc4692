"""The small ISIC export: one table, two classes."""

from collections import Counter

import pytest

from common.data import DatalistError, load_datalist, load_section
from common.data.sources import isic_uda1

SECTIONS = ("training", "validation", "test")


@pytest.fixture
def root(tmp_path, picture, write_csv):
    rows = []
    for index in range(40):
        picture(f"images/ISIC_{index:07d}.jpg", seed=index)
        rows.append(
            {"image": f"images/ISIC_{index:07d}.jpg", "label": ("benign", "malignant")[index % 4 == 3], "sex": ""}
        )
    write_csv(rows, "labels.csv")
    return tmp_path


def test_classes_are_balanced_over_the_splits(root):
    path = isic_uda1.convert(str(root), fractions=(0.6, 0.2, 0.2))
    datalist = load_datalist(path)
    counts = [Counter(item["label"] for item in datalist[name]) for name in SECTIONS]
    assert counts == [{0: 18, 1: 6}, {0: 6, 1: 2}, {0: 6, 1: 2}]
    found = {item["case_id"]: item for name in SECTIONS for item in datalist[name]}
    assert found["ISIC_0000007"] == {"case_id": "ISIC_0000007", "image": "images/ISIC_0000007.jpg", "label": 1}
    assert datalist["meta"]["split"] == "stratified by class; patients are not known"
    assert len(load_section(path, "test")) == 8


def test_a_part_lies_within_the_whole(root):
    whole = load_datalist(isic_uda1.convert(str(root)))
    part = load_datalist(isic_uda1.convert(str(root), out=str(root / "part.json"), fraction=0.5))
    for name in SECTIONS:
        assert {item["case_id"] for item in part[name]} < {item["case_id"] for item in whole[name]}


def test_mistakes(root):
    with pytest.raises(DatalistError, match="fraction is 2, expected above 0, up to 1"):
        isic_uda1.convert(str(root), fraction=2)
    table = root / "labels.csv"
    content = table.read_text()
    table.write_text(content.replace("malignant", "melanoma", 1))
    with pytest.raises(DatalistError, match="has the unknown label 'melanoma', expected benign, malignant"):
        isic_uda1.convert(str(root))
    table.write_text(content + "images/ISIC_9999999.jpg,benign,\n")
    with pytest.raises(DatalistError, match=r"1 of .* files named in .* are missing: .*ISIC_9999999.jpg"):
        isic_uda1.convert(str(root))
