"""Losses learn how far the training is, in every stage and after a resumption."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from ignite.engine import Events
from monai.data import DataLoader
from torch import Tensor, nn

from common.engines import StagedTrainer
from common.handlers import LossAnnealing, LossTerms, StageSwitch
from common.losses import ExplainerClassifierLoss, UMLLoss
from common.types import Stage
from tests.training_setup import build


class Recording(ExplainerClassifierLoss):
    """A loss that only remembers the epoch it was told; the handler needs no more of it."""

    told = -1

    def set_epoch(self, epoch: int) -> None:
        self.told = epoch


class Epochs:
    """What the loss of the stage has been told in every epoch, seen in training and in validation."""

    def __init__(self) -> None:
        self.seen: list[tuple[int, str, int]] = []

    def attach(self, engine: Any) -> None:
        engine.add_event_handler(Events.ITERATION_COMPLETED(every=4), self._look)

    def _look(self, engine: Any) -> None:
        assert engine.stateful["stage_switch"].validator.loss is engine.stage.loss
        told = getattr(engine.stage.loss, "told", None)
        self.seen.append((engine.state.epoch, engine.stage.name, told))


def trained(folder: Path, epochs: tuple[int, ...], resume: bool = False) -> list[tuple[int, str, int]]:
    """Train with recording losses in the first and third stage; the second has one that cannot be told."""
    look = Epochs()
    trainer = build(folder, epochs=epochs, resume=resume, extra_handlers=[look])
    for index in (0, 2):
        stage = trainer.stages[index]
        trainer.stages[index] = replace(stage, loss=Recording(alpha=0.9))
    LossAnnealing().attach(trainer)
    trainer.run()
    return look.seen


def test_epochs_count_from_0_over_all_stages(tmp_path: Path) -> None:
    assert trained(tmp_path, (2, 1, 2)) == [
        (1, "classifier", 0),
        (2, "classifier", 1),
        (3, "explainer", None),
        (4, "joint", 3),
        (5, "joint", 4),
    ]


def test_a_resumed_training_goes_on_counting(tmp_path: Path) -> None:
    class Stop:
        def attach(self, engine: Any) -> None:
            engine.add_event_handler(Events.EPOCH_COMPLETED(once=2), engine.terminate)

    look = Epochs()
    build(tmp_path, epochs=(1, 1, 3), extra_handlers=[look, Stop()]).run()
    assert [epoch for epoch, _, _ in look.seen] == [1, 2]
    assert trained(tmp_path, (1, 1, 3), resume=True) == [(3, "joint", 2), (4, "joint", 3), (5, "joint", 4)]


def test_nothing_to_anneal_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no stage's loss has set_epoch; remove the handler"):
        build(tmp_path, extra_handlers=[LossAnnealing()])


class TinyUML(nn.Module):
    """Evidence for two classes and three structures from one convolution."""

    def __init__(self) -> None:
        super().__init__()
        self.mixer = nn.Conv2d(3, 3, 1)

    def explain_levels(self, image: Tensor) -> dict[str, Tensor]:
        logits = self.mixer(image)
        evidence = nn.functional.softplus(logits)
        levels = {f"pixel_evidence{level}": evidence for level in ("", "_2", "_3", "_4")}
        return {"evidence": evidence.mean((2, 3))[:, :2], "segmentation_logits": logits, **levels}


def test_the_reported_loss_is_that_of_all_cases_at_once_with_the_epochs_annealing(tmp_path: Path) -> None:
    """Five cases in batches of two, some without a mask, and a network that stays as it is."""
    cases = [
        {
            "image": torch.rand(3, 6, 4),
            "label": index % 2,
            "segmentation": torch.randint(3, (1, 6, 4)),
            "segmentation_given": index != 1,
        }
        for index in range(5)
    ]
    network, seen = TinyUML(), []
    optimizer = torch.optim.SGD(network.parameters(), lr=0.0)
    stage = Stage("joint", 4, ["mixer"], optimizer, UMLLoss(annealing_epochs=2), method="explain_levels")
    handlers = [LossAnnealing(), LossTerms(), StageSwitch(tmp_path)]
    trainer = StagedTrainer("cpu", 4, DataLoader(cases, batch_size=2), network, [stage], train_handlers=handlers)
    trainer.add_event_handler(Events.EPOCH_COMPLETED, lambda engine: seen.append(dict(engine.state.metrics)))
    trainer.run()
    batch = {name: torch.stack([torch.as_tensor(case[name]) for case in cases]) for name in cases[0]}
    for epoch, reported in enumerate(seen):
        loss = UMLLoss(annealing_epochs=2)
        loss.set_epoch(epoch)
        expected = {name: value.item() for name, value in loss(network.explain_levels(batch["image"]), batch).items()}
        assert reported == pytest.approx(expected, rel=1e-5)
    assert seen[0]["loss"] < seen[1]["loss"] < seen[2]["loss"] == seen[3]["loss"]
