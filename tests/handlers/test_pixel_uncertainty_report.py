"""metrics.json and curves.json of an uncertainty of pixels."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.metrics import roc_auc_score

from common.handlers import PixelUncertaintyReport
from common.metrics import SegmentationScores
from tests.handlers.evidential_steps import STRUCTURES, eye, logits_of, random_steps
from tests.handlers.replay import replay

SCORES = SegmentationScores(STRUCTURES, {"disc": ["rim", "cup"]})


def written(folder: Path, steps: list[tuple[dict, dict]], **options: Any) -> tuple[dict[str, Any], dict[str, Any]]:
    replay([PixelUncertaintyReport(folder, "test", SCORES, **options)], steps)
    return tuple(json.loads((folder / f"{name}.json").read_text())["test"] for name in ("metrics", "curves"))


def test_an_uncertainty_that_is_the_error_is_perfect(tmp_path: Path) -> None:
    """Pixels are uncertain (0.5 against 0.1) exactly where they are wrong: removing one in three leaves none."""
    truth, predicted = torch.cat([eye(4), eye(4)]), torch.cat([eye(8), eye(6)])
    outputs = {
        "segmentation_logits": logits_of(predicted),
        "pixel_uncertainty": torch.where(predicted != truth, 0.5, 0.1),
    }
    table, curves = written(tmp_path, [({"segmentation": truth, "case_id": ["a", "b"]}, outputs)])
    assert table["uncertainty_error_overlap"]["value"] == 1.0
    assert table["pixel_error_auroc"]["value"] == 1.0
    shares = [16 / 256, 8 / 256]
    assert table["mean_pixel_uncertainty"]["value"] == pytest.approx(0.1 + 0.4 * sum(shares) / 2)
    retention = curves["pixel_retention"]
    assert retention["retained"][0] == 1
    assert retention["error"][0] == pytest.approx(sum(shares) / 2)
    assert retention["error"][-1] == 0
    assert retention["dice/cup"][0] == pytest.approx((2 * 16 / 48 + 2 * 16 / 40) / 2)
    assert set(retention) == {"retained", "error", "dice/rim", "dice/cup", "dice/disc"}
    overlap = curves["uncertainty_error_overlap"]
    best = [threshold for threshold, value in zip(*overlap.values(), strict=True) if value == 1]
    assert 0.1 < min(best) <= max(best) <= 0.5


def test_values_are_means_over_cases(tmp_path: Path) -> None:
    steps = random_steps()
    table, curves = written(tmp_path, steps)
    areas = []
    for batch, outputs in steps:
        wrong = batch["segmentation"] != outputs["segmentation_logits"].argmax(1, keepdim=True)
        pairs = zip(wrong.flatten(1), outputs["pixel_uncertainty"].flatten(1), strict=True)
        areas += [roc_auc_score(target, score) for target, score in pairs]
    assert table["pixel_error_auroc"]["value"] == pytest.approx(np.mean(areas))
    assert table["uncertainty_error_overlap"]["value"] == pytest.approx(
        max(curves["uncertainty_error_overlap"]["overlap"])
    )
    assert all(entry["n"] == 24 and entry["low"] <= entry["high"] for entry in table.values())


def test_cases_without_a_mask_or_without_errors(tmp_path: Path) -> None:
    truth, predicted = torch.cat([eye(4)] * 3), torch.cat([eye(4), eye(5), eye(9)])
    outputs = {"segmentation_logits": logits_of(predicted), "pixel_uncertainty": torch.rand(3, 1, 16, 16)}
    batch = {
        "segmentation": truth,
        "segmentation_given": torch.tensor([True, True, False]),
        "case_id": ["right", "wrong", "unknown"],
    }
    table, _ = written(tmp_path, [(batch, outputs)])
    assert table["uncertainty_error_overlap"]["n"] == 1
    assert table["mean_pixel_uncertainty"]["n"] == 2


def test_without_masks_nothing_is_written(tmp_path: Path) -> None:
    unknown = {"segmentation": eye(4), "segmentation_given": torch.tensor([False]), "case_id": ["a"]}
    outputs = {"segmentation_logits": logits_of(eye(4)), "pixel_uncertainty": torch.rand(1, 1, 16, 16)}
    replay([PixelUncertaintyReport(tmp_path, "test", SCORES)], [({"case_id": ["b"]}, outputs), (unknown, outputs)])
    assert not (tmp_path / "metrics.json").exists()
