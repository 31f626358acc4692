"""Dice of an epoch: the mean over its cases, however they are batched, and over those with a mask."""

from __future__ import annotations

import pytest
import torch

from common.handlers import SegmentationMetrics
from common.metrics import SegmentationScores
from tests.handlers.evidential_steps import STRUCTURES, eye, logits_of, random_steps
from tests.handlers.replay import replay

SCORES = SegmentationScores(STRUCTURES, {"disc": ["rim", "cup"]})


def metrics(steps: list[tuple[dict, dict]]) -> dict[str, float]:
    return replay([SegmentationMetrics(SCORES)], steps).state.metrics


def test_two_cases_by_pencil() -> None:
    """Cups of 4 rows predicted as 8 and as 4: Dice 16 / (16 + 32) * 2 and 1; the disc is right."""
    steps = [({"segmentation": eye(4)}, {"segmentation_logits": logits_of(eye(rows))}) for rows in (8, 4)]
    found = metrics(steps)
    assert found["dice/cup"] == pytest.approx((2 / 3 + 1) / 2)
    assert found["dice/disc"] == 1.0
    assert found["dice"] == pytest.approx((found["dice/rim"] + found["dice/cup"] + found["dice/disc"]) / 3)
    assert set(found) == {"dice", "dice/rim", "dice/cup", "dice/disc"}


def test_batches_do_not_matter() -> None:
    assert metrics(random_steps(batch_size=24)) == pytest.approx(metrics(random_steps(batch_size=7)))


def test_cases_without_a_mask_do_not_count() -> None:
    outputs = {"segmentation_logits": logits_of(torch.cat([eye(4), eye(8)]))}
    batch = {"segmentation": torch.cat([eye(4), 0 * eye(8)]), "segmentation_given": torch.tensor([True, False])}
    assert metrics([(batch, outputs)])["dice"] == 1.0
    assert metrics([({**batch, "segmentation_given": torch.tensor([False, False])}, outputs)]) == {}
    assert metrics([({}, outputs)]) == {}
