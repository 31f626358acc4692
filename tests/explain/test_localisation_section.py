"""What a report says about where a network looks."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from common.explain.localisation_section import localisation_section
from common.explain.run_folder import read_run_folder

CURVES = {
    "box_precision_recall": {"0.1": {"x": [0.5, 0.5, 1.0], "y": [1, 0.5, 0.667]}, "0.5": {"x": [], "y": []}},
    "froc": {"x": [0, 0.5, 0.5], "y": [0.5, 0.5, 1.0]},
}


def entry(value: float | None, low: float | None = None, high: float | None = None) -> dict[str, Any]:
    return {"value": value, "low": low, "high": high, "n": 20}


METRICS = {
    "accuracy": entry(0.9),
    "pointing_game": entry(0.7, 0.5, 0.9),
    "pointing_chance": entry(0.1),
    "pr_auc_iou/0.1": entry(0.8, 0.7, 0.9),
    "froc/0.5": entry(0.9, 0.8, 1.0),
    "weak_threshold": entry(0.35),
}


def section(folder: Path, metrics: dict[str, Any], curves: dict[str, Any]) -> Any:
    (folder / "metrics.json").write_text(json.dumps({"test": metrics}))
    (folder / "curves.json").write_text(json.dumps({"test": curves}))
    return localisation_section(read_run_folder(folder))


def test_words_figures_and_table(tmp_path: Path) -> None:
    words, figures, table = section(tmp_path, METRICS, CURVES).blocks
    assert words.text == "The map's highest point lies on the finding more often than chance would have it."
    assert [picture.alt for picture in figures.pictures] == [
        "Precision against recall of the boxes. Areas: 0.800 at an overlap of 0.1.",
        "Share of the findings that are marked against false marks per image. All marks: 1.000 at 0.500 false marks "
        "per image.",
    ]
    assert ">IoU 0.1: 0.800<" in figures.pictures[0].svg
    assert [row[0].text for row in table.rows] == [
        "Average precision of boxes, IoU, 0.1",
        "Sensitivity, false marks per image, 0.5",
        "Threshold of the map",
    ]
    assert (tmp_path / "figures" / "froc_test.svg").is_file()


@pytest.mark.parametrize(
    ("low", "high", "words", "notice"),
    [
        (0.2, 0.4, "more often than chance", False),
        (0.0, 0.05, "less often than chance", True),
        (0.05, 0.3, "cannot be told here", True),
    ],
)
def test_the_interval_decides_what_is_said(tmp_path: Path, low: float, high: float, words: str, notice: bool) -> None:
    metrics = METRICS | {"pointing_game": entry(0.2, low, high)}
    block = section(tmp_path, metrics, {}).blocks[0]
    assert words in block.text
    assert block.notice is notice


def test_without_localisation_there_is_no_section(tmp_path: Path) -> None:
    assert section(tmp_path, {"accuracy": entry(0.9), "pointing_game": entry(0.5, 0.4, 0.6)}, {}) is None
    assert section(tmp_path, {}, {"froc": {"x": [], "y": []}}) is None


def test_metrics_alone_make_a_table(tmp_path: Path) -> None:
    (table,) = section(tmp_path, {"weak_threshold": entry(0.35)}, {}).blocks
    assert [row[0].text for row in table.rows] == ["Threshold of the map"]
