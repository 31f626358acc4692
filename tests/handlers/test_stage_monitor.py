"""What a stage is judged by, and when its scheduler steps."""

from __future__ import annotations

import csv
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from ignite.engine import Events

from common.engines import HeldPolynomialLR, StagedTrainer
from common.losses import ExplainerClassifierLoss
from common.types import Stage
from tests.training_setup import TinyNet, build

CURVE = [0.3, 0.6, 0.5, 0.60005, 0.7, 0.2]


class Scores:
    """A validation metric that follows a given curve; put before the stage switch."""

    def __init__(self, curve: list[float]) -> None:
        self.curve = curve

    def attach(self, engine: Any) -> None:
        engine.add_event_handler(Events.EPOCH_COMPLETED, self._write)

    def _write(self, engine: Any) -> None:
        switch = engine.stateful["stage_switch"]
        switch.validator.state.epoch = engine.state.epoch
        switch.validator.state.metrics["dice"] = self.curve[engine.state.epoch - 1]


class Best:
    """Note after which epochs model.pt was written."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "checkpoints" / "model.pt"
        self.epochs: list[int] = []
        self._last: dict[str, torch.Tensor] = {}

    def attach(self, engine: Any) -> None:
        engine.add_event_handler(Events.EPOCH_COMPLETED, self._look)

    def _look(self, engine: Any) -> None:
        state = torch.load(self.path, weights_only=True)
        if not self._last or not all(torch.equal(state[key], self._last[key]) for key in state):
            self.epochs.append(engine.state.epoch)
        self._last = state


def without_schedulers(trainer: StagedTrainer) -> StagedTrainer:
    trainer.stages[:] = [replace(stage, scheduler=None) for stage in trainer.stages]
    return trainer


@pytest.mark.parametrize(("mode", "expected"), [("max", [1, 2, 5]), ("min", [1, 6])])
def test_best_by_a_metric_of_the_validation(tmp_path: Path, mode: str, expected: list[int]) -> None:
    """0.60005 is no improvement over 0.6: it takes at least 0.0001."""
    best = Best(tmp_path)
    trainer = build(
        tmp_path,
        epochs=(6, 0, 0),
        first_handlers=[Scores(CURVE)],
        extra_handlers=[best],
        switch_options={"monitor": "dice", "mode": mode},
    )
    without_schedulers(trainer).run()
    assert best.epochs == expected
    assert trainer.stateful["stage_switch"].best == (max(CURVE) if mode == "max" else min(CURVE))


def test_patience_follows_the_metric(tmp_path: Path) -> None:
    switch = {"monitor": "dice", "mode": "max"}
    options = {"first_handlers": [Scores(CURVE)], "patience": 2, "switch_options": switch}
    trainer = without_schedulers(build(tmp_path, epochs=(6, 0, 0), **options))
    trainer.run()
    assert trainer.state.epoch == 4, "two epochs after 0.6 that are no better"


def test_a_resumed_training_remembers_the_best(tmp_path: Path) -> None:
    """Stopped after the second epoch, 0.6: the third, 0.5, must not count as the first."""
    options = {"first_handlers": [Scores(CURVE)], "switch_options": {"monitor": "dice", "mode": "max"}}
    first = without_schedulers(build(tmp_path, epochs=(5, 0, 0), **options))
    first.add_event_handler(Events.EPOCH_COMPLETED(once=2), first.terminate)
    first.run()
    best = Best(tmp_path)
    without_schedulers(build(tmp_path, epochs=(5, 0, 0), resume=True, extra_handlers=[best], **options)).run()
    assert best.epochs == [3, 5], "at 3 the note begins, with the weights of 2"


def test_without_a_validator_every_epoch_counts_in_either_mode(tmp_path: Path) -> None:
    trainer = build(tmp_path, epochs=(2, 0, 0), validate_every=None, switch_options={"mode": "max"})
    without_schedulers(trainer).run()
    final = torch.load(tmp_path / "checkpoints" / "model.pt", weights_only=True)
    assert all(torch.equal(value, final[key]) for key, value in trainer.network.state_dict().items())
    last = torch.load(tmp_path / "checkpoints" / "last.pt", weights_only=True)["network"]
    assert all(torch.equal(last[key], final[key]) for key in last)


def test_a_stage_that_is_never_validated_keeps_its_last_weights(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    trainer = build(tmp_path, epochs=(1, 0, 0), validate_every=2, switch_options={"monitor": "accuracy", "mode": "max"})
    without_schedulers(trainer).run()
    assert "ended before any validation: its last weights are kept" in caplog.text


def test_an_unknown_metric_is_named_with_those_there_are(tmp_path: Path) -> None:
    trainer = build(tmp_path, switch_options={"monitor": "acuracy", "mode": "max"})
    message = (
        r"the monitored 'acuracy' is no metric of the validation, which has only .*loss.*; did you mean 'accuracy'"
    )
    with pytest.raises(ValueError, match=message):
        without_schedulers(trainer).run()


def test_unknown_mode_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="mode is 'higher', expected one of min, max"):
        build(tmp_path, switch_options={"mode": "higher"})


def test_a_plateau_scheduler_must_watch_in_the_same_mode(tmp_path: Path) -> None:
    trainer = build(tmp_path, switch_options={"monitor": "accuracy", "mode": "max"})
    with pytest.raises(ValueError, match=r"'classifier': the plateau scheduler has mode 'min', but .* has mode 'max'"):
        trainer.run()


class Rates:
    """The learning rate of every iteration, as it was used."""

    def __init__(self) -> None:
        self.used: list[float] = []

    def attach(self, engine: Any) -> None:
        engine.add_event_handler(Events.ITERATION_STARTED, self._note)

    def _note(self, engine: Any) -> None:
        self.used.append(engine.optimizer.param_groups[0]["lr"])


def stepping(folder: Path, resume: bool = False, stop_at: int | None = None) -> list[float]:
    """Train two stages of four iterations an epoch, the first falling within its epochs, the second after each."""
    rates = Rates()
    trainer = build(folder, epochs=(2, 2, 0), resume=resume, learning_rate=1.0, extra_handlers=[rates])
    first, second = trainer.stages
    within = HeldPolynomialLR(first.optimizer, epochs=2, steps_per_epoch=4, power=1.0)
    after = torch.optim.lr_scheduler.ExponentialLR(second.optimizer, 0.5)
    trainer.stages[:] = [
        replace(first, scheduler=within, scheduler_interval="iteration"),
        replace(second, scheduler=after),
    ]
    if stop_at is not None:
        trainer.add_event_handler(Events.ITERATION_COMPLETED(once=stop_at), kill)
    trainer.run()
    return rates.used


class Killed(BaseException):
    """Stands for a kill signal."""


def kill() -> None:
    raise Killed


def test_schedulers_step_when_their_stage_says(tmp_path: Path) -> None:
    falling = [1 - step / 8 for step in range(8)]
    assert stepping(tmp_path) == [*falling, 1.0, 1.0, 1.0, 1.0, 0.5, 0.5, 0.5, 0.5]
    with (tmp_path / "metrics.csv").open() as file:
        assert float(next(csv.DictReader(file))["learning_rate"]) == 0.5, "after the first epoch's four iterations"


@pytest.mark.parametrize("stop_at", [3, 6, 9])
def test_schedulers_within_an_epoch_resume_exactly(tmp_path: Path, stop_at: int) -> None:
    """Killed within an epoch, the training repeats that epoch with the rates and to the result it would have had."""
    whole = stepping(tmp_path / "whole")
    with pytest.raises(Killed):
        stepping(tmp_path / "killed", stop_at=stop_at)
    completed = (stop_at - 1) // 4 * 4
    assert stepping(tmp_path / "killed", resume=True) == whole[completed:]
    states = [torch.load(tmp_path / run / "checkpoints" / "model.pt", weights_only=True) for run in ("whole", "killed")]
    assert all(torch.equal(states[0][key], states[1][key]) for key in states[0])


@pytest.mark.parametrize(
    ("scheduler", "interval", "message"),
    [
        (None, "batch", "scheduler_interval is 'batch', expected epoch or iteration"),
        ("plateau", "iteration", "the plateau scheduler waits for a validation, it cannot step after every iteration"),
    ],
)
def test_impossible_intervals_are_refused(scheduler: str | None, interval: str, message: str) -> None:
    optimizer = torch.optim.SGD(TinyNet().parameters(), 0.1)
    plateau = torch.optim.lr_scheduler.ReduceLROnPlateau(optimizer) if scheduler else None
    with pytest.raises(ValueError, match=f"stage 'joint': {message}"):
        Stage("joint", 1, ["classifier"], optimizer, ExplainerClassifierLoss(0.9), plateau, scheduler_interval=interval)
