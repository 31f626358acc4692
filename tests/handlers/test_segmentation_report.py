"""metrics.json and curves.json of a segmentation."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.metrics import f1_score

from common.handlers import SegmentationReport
from common.metrics import SegmentationScores
from tests.handlers.evidential_steps import STRUCTURES, eye, logits_of, random_steps
from tests.handlers.replay import player, replay

SCORES = SegmentationScores(STRUCTURES, {"disc": ["rim", "cup"]}, cup="cup", disc="disc")


def written(folder: Path, steps: list[tuple[dict, dict]], **options: Any) -> tuple[dict[str, Any], dict[str, Any]]:
    replay([SegmentationReport(folder, "test", SCORES, **options)], steps)
    return tuple(json.loads((folder / f"{name}.json").read_text())["test"] for name in ("metrics", "curves"))


def test_values_are_scikit_learns_means(tmp_path: Path) -> None:
    steps = random_steps()
    table, _ = written(tmp_path, steps)
    expected = []
    for batch, outputs in steps:
        predicted = outputs["segmentation_logits"].argmax(1)
        for truth, ours in zip(batch["segmentation"][:, 0], predicted, strict=True):
            expected.append(f1_score(truth.flatten() == 2, ours.flatten() == 2))
    assert table["dice/cup"]["value"] == pytest.approx(np.mean(expected))
    assert all(entry["low"] <= entry["value"] <= entry["high"] for entry in table.values())
    assert all(entry["n"] == 24 for entry in table.values())


def test_patients_are_drawn_whole(tmp_path: Path) -> None:
    items = [{"case_id": f"c{index}", "patient_id": "only"} for index in range(24)]
    table, _ = written(tmp_path, random_steps(), items=items)
    assert all(entry["low"] == pytest.approx(entry["value"]) == entry["high"] for entry in table.values())


def test_empty_structures_are_left_out_of_means_and_counted(tmp_path: Path) -> None:
    """Three eyes: right; cup overlooked; without a mask. No distance is known of the second cup."""
    predicted, truth = torch.cat([eye(5), eye(0), eye(5)]), torch.cat([eye(5), eye(5), eye(5)])
    batch = {
        "segmentation": truth,
        "segmentation_given": torch.tensor([True, True, False]),
        "case_id": ["right", "overlooked", "unknown"],
    }
    table, curves = written(tmp_path, [(batch, {"segmentation_logits": logits_of(predicted)})])
    assert (table["dice/cup"]["value"], table["dice/cup"]["n"]) == (0.5, 2)
    assert (table["hd95/cup"]["value"], table["hd95/cup"]["n"]) == (0.0, 1)
    assert (table["presence_error/cup"]["value"], table["presence_error/cup"]["n"]) == (0.5, 2)
    assert table["cup_to_disc_error"]["value"] == pytest.approx(0.25)
    assert curves["dice"]["cup"] == {"case_id": ["overlooked", "right"], "dice": [0.0, 1.0]}
    assert curves["cup_to_disc"] == {"true": [0.5, 0.5], "predicted": [0.5, 0.0]}


def test_a_second_run_forgets_the_first(tmp_path: Path) -> None:
    engine = player([SegmentationReport(tmp_path, "test", SCORES)])
    for count in (12, 6):
        engine.run(random_steps(count), max_epochs=1)
    assert json.loads((tmp_path / "metrics.json").read_text())["test"]["dice/rim"]["n"] == 6


def test_without_masks_nothing_is_written(tmp_path: Path) -> None:
    assert written(tmp_path, [({"case_id": ["a"]}, {"segmentation_logits": logits_of(eye(4))})]) == ({}, {})


def test_a_structure_that_never_occurs_has_no_value(tmp_path: Path) -> None:
    batch = {"segmentation": eye(0), "case_id": ["a"]}
    table, curves = written(tmp_path, [(batch, {"segmentation_logits": logits_of(eye(0))})])
    assert table["dice/cup"] == {"value": None, "low": None, "high": None, "n": 0}
    assert set(curves["dice"]) == {"rim", "disc"}
    assert not math.isnan(table["dice/disc"]["value"])
