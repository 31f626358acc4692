"""segmentations/<case>.png, values.json and predictions.csv."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from common.handlers import SegmentationSaver
from tests.handlers.replay import player

STRUCTURES = [
    {"name": "background", "values": [255]},
    {"name": "rim", "values": [128]},
    {"name": "cup", "values": [0]},
]
SEEN = np.array([[0, 1, 1], [1, 2, 2]])


def step(**cases: dict[str, Any]) -> tuple[list[dict], list[dict]]:
    """Batch and output as MONAI's engines leave them after decollating; every case is predicted as SEEN."""
    pred = torch.nn.functional.one_hot(torch.from_numpy(SEEN), 3).permute(2, 0, 1).float()
    batch = [{"case_id": name, **known} for name, known in cases.items()]
    return batch, [{"pred": 0.1 + 0.7 * pred} for _ in batch]


def saved(folder: Path, *steps: tuple[list[dict], list[dict]]) -> dict[str, np.ndarray]:
    """Save into a folder; return its pictures by their names."""
    player([SegmentationSaver(folder, STRUCTURES)]).run(steps, max_epochs=1)
    return {file.stem: np.asarray(Image.open(file)) for file in folder.glob("segmentations/*.png")}


def size(rows: int, columns: int) -> dict[str, Any]:
    return {"source_size": torch.tensor([rows, columns])}


def shares(folder: Path) -> dict[str, list[float]]:
    with (folder / "predictions.csv").open() as file:
        return {row["case_id"]: [float(row["share/rim"]), float(row["share/cup"])] for row in csv.DictReader(file)}


def test_pictures_hold_structures_and_the_table_their_shares(tmp_path: Path) -> None:
    pictures = saved(tmp_path / "new", step(first=size(2, 3), second=size(2, 3)), step(third=size(2, 3)))
    assert set(pictures) == {"first", "second", "third"}
    for picture in pictures.values():
        assert picture.dtype == np.uint8
        np.testing.assert_array_equal(picture, SEEN)
    values = json.loads((tmp_path / "new" / "segmentations" / "values.json").read_text())
    assert values == {"0": "background", "1": "rim", "2": "cup"}
    assert (tmp_path / "new" / "predictions.csv").read_text() == (
        "case_id,share/rim,share/cup\n"
        "first,0.500000,0.333333\nsecond,0.500000,0.333333\nthird,0.500000,0.333333\n"
    )  # fmt: skip


def test_pictures_have_the_size_of_their_source(tmp_path: Path) -> None:
    """Twice as large: where probabilities are interpolated, the nearest pixel has 9 of 16 parts."""
    pictures = saved(tmp_path, step(small=size(2, 3), large=size(4, 6)))
    np.testing.assert_array_equal(pictures["small"], SEEN)
    np.testing.assert_array_equal(pictures["large"], SEEN.repeat(2, 0).repeat(2, 1))


def test_a_cut_out_is_put_back_and_the_rest_is_background(tmp_path: Path) -> None:
    """The network saw columns 1 to 6 and rows 3 to 6 of 8 x 10 pixels; shares are of the whole image."""
    crop = torch.tensor([1, 3, 7, 7])
    pictures = saved(tmp_path, step(part=size(8, 10) | {"crop": crop}))
    expected = np.zeros((8, 10))
    expected[3:7, 1:7] = SEEN.repeat(2, 0).repeat(2, 1)
    np.testing.assert_array_equal(pictures["part"], expected)
    assert shares(tmp_path)["part"] == pytest.approx([12 / 80, 8 / 80], abs=1e-6)


def test_a_name_that_is_a_path_stays_in_the_folder(tmp_path: Path) -> None:
    (name,) = saved(tmp_path, step(**{"../ward 3/scan": size(2, 3)}))
    assert name.startswith("ward_3_scan-")
    assert list(shares(tmp_path)) == ["../ward 3/scan"], "the table keeps the case's own name"


def test_a_second_run_starts_a_new_table(tmp_path: Path) -> None:
    engine = player([SegmentationSaver(tmp_path, STRUCTURES)])
    for name in ("first", "second"):
        engine.run([step(**{name: size(2, 3)})], max_epochs=1)
    assert list(shares(tmp_path)) == ["second"]
