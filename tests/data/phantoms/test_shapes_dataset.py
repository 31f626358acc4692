"""The data set on disk: files, table, data list, splits."""

import csv
import json
from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from common.data.datalist import load_datalist, load_section
from common.data.phantoms.shapes import make_sample
from common.data.phantoms.shapes_dataset import assign_splits, write_shapes
from common.data.phantoms.shapes_settings import ShapesSettings

OPTIONS = {"count": 40, "size": 48, "radius": (5, 8), "shapes": 3, "seed": 7}


def choice(**changes):
    return ShapesSettings.from_options({**OPTIONS, **changes})


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    folder = tmp_path_factory.mktemp("phantom") / "shapes"
    assert write_shapes(choice(), folder, progress=False)
    return folder


def read(path):
    return np.asarray(Image.open(path))


def table(folder):
    with (folder / "data.csv").open() as file:
        return list(csv.DictReader(file))


def test_files_hold_the_samples(written):
    rows = table(written)
    assert [row["image"] for row in rows] == [f"images/{index:04d}.png" for index in range(40)]
    for index, row in enumerate(rows):
        sample = make_sample(choice(), index)
        np.testing.assert_array_equal(read(written / row["image"]), sample.image)
        np.testing.assert_array_equal(read(written / row["mask_box"]), sample.mask_box)
        np.testing.assert_array_equal(read(written / row["mask_shape"]), sample.mask_shape)
        boxes = "; ".join(" ".join(map(str, box)) for box in sample.boxes)
        expected = {"label": sample.label, "count": len(sample.boxes), "boxes": boxes, "seed": 7, "index": index}
        assert {key: row[key] for key in expected} == {key: str(value) for key, value in expected.items()}
    assert sorted(path.name for path in written.iterdir()) == [
        "data.csv",
        "datalist.json",
        "images",
        "masks",
        "phantom.json",
    ]
    assert len(list((written / "images").iterdir())) == 40
    assert len(list((written / "masks").iterdir())) == 80


def test_datalist_agrees_with_the_table(written):
    datalist = load_datalist(written / "datalist.json")
    assert datalist["meta"]["classes"] == ["no triangle", "triangle"]
    assert datalist["meta"]["synthetic"] is True
    assert datalist["meta"]["seed"] == 7
    rows = {row["image"]: row for row in table(written)}
    for split in ("training", "validation", "test"):
        for item in datalist[split]:
            row = rows.pop(item["image"])
            assert item["case_id"] == item["image"][7:-4]
            assert (split, str(item["label"])) == (row["split"], row["label"])
            region = {key: item[key] for key in ("mask", "boxes") if key in item}
            boxes = [[int(number) for number in box.split()] for box in row["boxes"].split("; ") if box]
            assert region == ({"mask": row["mask_box"], "boxes": boxes} if item["label"] else {})
    assert rows == {}


def test_sections_load(written):
    items = load_section(written / "datalist.json", "training")
    assert Counter(item["label"] for item in items) == {0: 12, 1: 12}
    assert read(items[0]["image"]).shape == (48, 48, 3)


def test_the_exact_mask_can_be_chosen(tmp_path):
    encircled = choice(count=8, mask="shape", target="4/1", outside="circle", radius=(10, 12), size=80)
    write_shapes(encircled, tmp_path / "d", progress=False)
    datalist = load_datalist(tmp_path / "d" / "datalist.json")
    assert {item["mask"][-10:] for item in datalist["training"] if item["label"]} == {"_shape.png"}
    assert datalist["meta"]["classes"] == ["no square in circle", "square in circle"]


def test_grey_images_have_one_channel(tmp_path):
    write_shapes(choice(count=8, channels=1), tmp_path / "d", progress=False)
    assert read(tmp_path / "d" / "images" / "0000.png").shape == (48, 48)


def test_the_same_settings_do_nothing_and_others_make_it_anew(tmp_path):
    folder = tmp_path / "d"
    assert write_shapes(choice(count=12), folder, progress=False)
    before = {path: path.stat().st_mtime_ns for path in folder.rglob("*")}
    assert not write_shapes(choice(count=12), folder, progress=False)
    assert {path: path.stat().st_mtime_ns for path in folder.rglob("*")} == before
    first = (folder / "images" / "0003.png").read_bytes()
    assert write_shapes(choice(count=14), folder, progress=False)
    assert len(table(folder)) == 14
    assert (folder / "images" / "0003.png").read_bytes() == first, "more images change no earlier one"
    assert write_shapes(choice(count=14, seed=8), folder, progress=False)
    assert (folder / "images" / "0003.png").read_bytes() != first
    assert json.loads((folder / "phantom.json").read_text())["settings"]["seed"] == 8


def test_the_same_settings_give_the_same_bytes(tmp_path):
    for name in ("a", "b"):
        write_shapes(choice(count=10, noise=5), tmp_path / name, progress=False)
    a, b = ({path.name: path.read_bytes() for path in (tmp_path / name).rglob("*.*")} for name in ("a", "b"))
    assert a == b


@pytest.mark.parametrize("fractions", [(0.15, 0.25), (0.2, 0.2), (0.0, 0.3), (0.05, 0.5), (1 / 3, 1 / 3)])
def test_splits_have_their_share_of_each_class(fractions):
    labels = [0, 1, 1, 0] * 150
    splits = assign_splits(labels, *fractions)
    counts = Counter(zip(splits, labels, strict=True))
    shares = {"validation": fractions[0], "test": fractions[1], "training": 1 - sum(fractions)}
    for split, share in shares.items():
        assert counts[split, 0] == counts[split, 1] == round(300 * share)


@given(st.lists(st.integers(0, 1), min_size=2, max_size=80), st.floats(0, 0.45), st.floats(0, 0.45))
def test_more_images_never_move_an_earlier_one(labels, validation, test):
    splits = assign_splits(labels, validation, test)
    half = len(labels) // 2
    assert assign_splits(labels[:half], validation, test) == splits[:half]
    for split, share in (("training", 1 - validation - test), ("validation", validation), ("test", test)):
        for label in (0, 1):
            have = sum(pair == (split, label) for pair in zip(splits, labels, strict=True))
            assert abs(have - share * labels.count(label)) < 2


def test_too_few_images_for_the_splits_are_refused(tmp_path):
    with pytest.raises(ValueError, match=r"count=4 leaves no .* image for validation: raise count"):
        write_shapes(choice(count=4), tmp_path / "d", progress=False)
    assert not (tmp_path / "d").exists()
    assert write_shapes(choice(count=4, validation_fraction=0.0, test_fraction=0.5), tmp_path / "d", progress=False)
