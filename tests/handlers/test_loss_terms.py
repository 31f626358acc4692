"""The loss of an epoch: the terms of its samples reduced as one batch, and nothing left over from another epoch."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch
from torch import Tensor

from common.handlers import ClassificationMetrics, LossTerms
from tests.handlers.replay import player, replay


class WeightedMean:
    """A loss whose reduction is no mean of means: sum of values over sum of weights, times a factor."""

    def __init__(self, factor: float = 1.0) -> None:
        self.factor = factor

    def reduce(self, terms: dict[str, Tensor]) -> dict[str, Tensor]:
        mean = terms["value"].sum() / terms["weight"].sum()
        return {"loss": self.factor * mean, "plain": terms["value"].mean()}


def step(values: list[float], weights: list[float]) -> tuple[dict, dict]:
    return {}, {"terms": {"value": torch.tensor(values), "weight": torch.tensor(weights)}}


STEPS = [step([1.0, 2.0, 3.0], [1.0, 1.0, 1.0]), step([6.0], [5.0])]


def test_unequal_batches_are_reduced_as_one() -> None:
    """12 / 8 = 1.5; the mean of the batches' losses, (2 + 1.2) / 2, would be 1.6."""
    engine = replay([LossTerms()], STEPS, loss=WeightedMean())
    assert engine.state.metrics == {"loss": 1.5, "plain": 3.0}


def test_every_epoch_starts_empty() -> None:
    engine = replay([LossTerms()], STEPS, epochs=3, loss=WeightedMean())
    assert engine.state.metrics == {"loss": 1.5, "plain": 3.0}


def test_a_trainer_reports_the_loss_of_its_stage() -> None:
    stage = SimpleNamespace(loss=WeightedMean(factor=10.0))
    engine = replay([LossTerms()], STEPS, stage=stage, loss=WeightedMean())
    assert engine.state.metrics["loss"] == 15.0


def test_without_labels_there_is_no_loss() -> None:
    engine = replay([LossTerms()], [({}, {"logits": torch.zeros(2, 2)})], loss=None)
    assert engine.state.metrics == {}


def classified(labels: list[int]) -> tuple[dict, dict]:
    first = torch.linspace(0.1, 0.9, len(labels))
    return {"label": torch.tensor(labels)}, {"probability": torch.stack([1 - first, first], dim=1)}


def test_running_scores_by_hand() -> None:
    """Scores 0.1, 0.5, 0.9 of classes 0, 1, 0: one of two pairs is ordered, one of three decisions right (a tie at
    0.5 goes to class 0)."""
    metrics = replay([ClassificationMetrics()], [classified([0, 1, 0])]).state.metrics
    assert metrics == {
        "accuracy": pytest.approx(1 / 3),
        "balanced_accuracy": pytest.approx((1 / 2 + 0) / 2),
        "auroc": pytest.approx(1 / 2),
    }


def test_the_trainers_own_label_counts_where_the_batch_has_moved_on() -> None:
    batch, output = classified([0, 1])
    steps = [({}, {**output, "label": batch["label"]})]
    assert replay([ClassificationMetrics()], steps).state.metrics["accuracy"] == 1.0


def test_a_score_that_is_undefined_now_does_not_keep_its_earlier_value() -> None:
    """One class in the second epoch: no AUROC. The same value again would be written into the history."""
    engine = player([ClassificationMetrics()])
    engine.run([classified([0, 1])], max_epochs=1)
    assert "auroc" in engine.state.metrics
    engine.state.metrics["of_another_handler"] = 7.0
    engine.run([classified([0, 0])], max_epochs=2)
    assert set(engine.state.metrics) == {"accuracy", "balanced_accuracy", "of_another_handler"}


def test_scores_of_unlabelled_data_are_left_out() -> None:
    steps = [({}, {"probability": torch.ones(2, 2) / 2})]
    assert replay([ClassificationMetrics()], steps).state.metrics == {}
