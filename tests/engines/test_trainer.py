"""One step of the trainer, and what it refuses."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from ignite.engine import Events
from torch.utils.data import DataLoader

from common.engines import StagedTrainer
from common.losses import ExplainerClassifierLoss
from common.types import Stage
from tests.training_setup import TinyNet, build, items


def test_train_and_validation_loss_are_the_same_quantity(tmp_path: Path) -> None:
    """The terms of three unequal batches reduce to the loss of all samples as one batch, class weights included."""
    loss = ExplainerClassifierLoss(alpha=0.7, class_weights=[1.0, 3.0])
    network = build(tmp_path).network.eval()
    data = items(11, seed=3)
    batches = [data[:5], data[5:9], data[9:]]

    def terms(chunk: list[dict]) -> dict[str, torch.Tensor]:
        images = torch.stack([item["image"] for item in chunk])
        return loss.terms(network.explain(images), {"label": torch.tensor([item["label"] for item in chunk])})

    parts = [terms(batch) for batch in batches]
    joined = {name: torch.cat([part[name] for part in parts]) for name in parts[0]}
    torch.testing.assert_close(loss.reduce(joined)["loss"], loss.reduce(terms(data))["loss"])


def test_gradient_clipping_bounds_the_step(tmp_path: Path) -> None:
    for norm in (None, 1e-3):
        trainer = build(tmp_path / str(norm), epochs=(1, 0, 0), max_grad_norm=norm)
        trainer.stage.optimizer.param_groups[0]["momentum"] = 0.0
        before = {k: v.clone() for k, v in trainer.network.named_parameters()}
        trainer.run()
        last = torch.load(tmp_path / str(norm) / "checkpoints" / "last.pt", weights_only=True)["network"]
        moved = torch.sqrt(sum(((last[k] - before[k]) ** 2).sum() for k in before))
        limit = 4 * 0.05 * 1e-3  # steps x learning rate x norm
        assert (moved <= limit * 1.001) == (norm is not None)


def test_gradients_of_an_earlier_stage_do_not_enter_the_norm(tmp_path: Path) -> None:
    """They would shorten every step of the next stage, and only in a training that was not resumed in between."""

    class Look:
        def attach(self, engine: Any) -> None:
            engine.add_event_handler(Events.ITERATION_COMPLETED, self.look)

        def look(self, engine: Any) -> None:
            children = dict(engine.network_def.named_children())
            with_gradient = {n for n, child in children.items() if any(p.grad is not None for p in child.parameters())}
            assert with_gradient == set(engine.stage.trainable)
            seen.append(engine.stage.name)

    seen: list[str] = []
    build(tmp_path, epochs=(1, 1, 1), max_grad_norm=1.0, extra_handlers=[Look()]).run()
    assert seen == ["classifier"] * 4 + ["explainer"] * 4 + ["joint"] * 4


def test_the_network_itself_may_have_parts_called_like_the_wrappers(tmp_path: Path) -> None:
    """Only the two wrappers of distributed training are unwrapped, never a child that happens to be called so."""
    trainer = build(tmp_path)
    trainer.network.add_module("network", torch.nn.Linear(1, 1))
    trainer.network.add_module("module", torch.nn.Linear(1, 1))
    assert trainer.network_def is trainer.network


@pytest.mark.parametrize("norm", [0, -1.0])
def test_a_norm_that_is_not_positive_is_refused(tmp_path: Path, norm: float) -> None:
    with pytest.raises(ValueError, match=rf"max_grad_norm is {norm}, expected a positive number or null"):
        build(tmp_path, max_grad_norm=norm)


def test_a_loss_that_is_no_number_stops_with_advice(tmp_path: Path) -> None:
    trainer = build(tmp_path, epochs=(3, 0, 0), learning_rate=1e30)
    with pytest.raises(ValueError, match=r"the loss became .* lower the learning rate"):
        trainer.run()


def test_mixed_precision_trains(tmp_path: Path) -> None:
    trainer = build(tmp_path, epochs=(2, 0, 0), amp=True)
    trainer.run()
    assert all(parameter.dtype == torch.float32 for parameter in trainer.network.parameters())
    assert trainer.autocast_dtype == torch.bfloat16


def test_unknown_submodule_is_named(tmp_path: Path) -> None:
    trainer = build(tmp_path)
    stage = trainer.stages[0]
    wrong = Stage("first", 1, ["clasifier"], stage.optimizer, stage.loss)
    with pytest.raises(ValueError, match=r"'first' trains \['clasifier'\], but the network has only"):
        trainer.enter(wrong)


def test_unknown_norm_is_named_with_what_was_meant(tmp_path: Path) -> None:
    trainer = build(tmp_path)
    wrong = replace(trainer.stages[0], freeze_norm=["clasifier"])
    message = r"'classifier' freezes the batch norm of \['clasifier'\], .* only \['classifier', 'explainer'\]; did you"
    with pytest.raises(ValueError, match=message):
        trainer.enter(wrong)


class WithOwnParameters(TinyNet):
    """TinyNet, with a temperature that belongs to no sub-module."""

    def __init__(self) -> None:
        super().__init__()
        self.temperature = torch.nn.Parameter(torch.ones(1))

    def explain(self, image: torch.Tensor) -> dict[str, torch.Tensor]:
        outputs = super().explain(image)
        return {**outputs, "logits": outputs["logits"] * self.temperature}


@pytest.mark.parametrize("trainable", [["temperature"], ["classifier"], ["classifier", "temperature"]])
def test_a_parameter_of_the_network_itself_is_named_and_frozen_like_a_sub_module(
    tmp_path: Path, trainable: list[str]
) -> None:
    """One optimiser step over everything, momentum and decay included, moves what the stage names and nothing else."""
    network, setup = WithOwnParameters(), build(tmp_path)
    optimizer = torch.optim.SGD(network.parameters(), 0.1, momentum=0.9, weight_decay=0.1)
    stage = replace(setup.stages[2], trainable=trainable, optimizer=optimizer)
    trainer = StagedTrainer("cpu", 1, setup.data_loader, network, [stage])
    trainer.enter(stage)
    before = {name: value.detach().clone() for name, value in network.named_parameters()}
    trainer.run()
    moved = {name.split(".")[0] for name, value in network.named_parameters() if not torch.equal(value, before[name])}
    assert moved == set(trainable)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"trainable": "classifier"}, r"trainable is the text 'classifier', expected a list: \['classifier'\]"),
        ({"freeze_norm": "classifier"}, r"freeze_norm is the text 'classifier', expected a list: \['classifier'\]"),
        ({"epochs": -1}, "epochs is -1"),
        ({"trainable": []}, "nothing is trainable"),
        ({"patience": 0}, "patience is 0"),
        ({"patience": 1}, "would always come before the learning rate drops"),
    ],
)
def test_stage_refuses(tmp_path: Path, change: dict, message: str) -> None:
    stage = build(tmp_path).stages[0]
    settings = {
        "name": "first",
        "epochs": 1,
        "trainable": ["classifier"],
        "optimizer": stage.optimizer,
        "loss": stage.loss,
        "scheduler": torch.optim.lr_scheduler.ReduceLROnPlateau(stage.optimizer, patience=1),
    }
    with pytest.raises(ValueError, match=message):
        Stage(**{**settings, **change})


def test_no_epochs_at_all_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no stage has any epoch"):
        build(tmp_path, epochs=(0, 0, 0))


def test_a_training_without_a_batch_is_refused(tmp_path: Path) -> None:
    trainer = build(tmp_path, epochs=(1, 0, 0))
    empty = DataLoader([{"image": torch.zeros(3, 8, 8)}] * 3, batch_size=4, drop_last=True)
    with pytest.raises(ValueError, match="fewer cases than batch_size"):
        StagedTrainer("cpu", 1, empty, trainer.network, trainer.stages)
