"""Stages, freezing, best weights and exact resumption of a whole small training."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import pytest
import torch
from ignite.engine import Events

from tests.training_setup import build


class Snapshots:
    """Copies of the network's state, taken after every epoch, when all other handlers are done."""

    def __init__(self) -> None:
        self.states: list[dict[str, torch.Tensor]] = []

    def attach(self, engine: Any) -> None:
        engine.add_event_handler(Events.EPOCH_COMPLETED, self._take)

    def _take(self, engine: Any) -> None:
        self.states.append({key: value.clone() for key, value in engine.network.state_dict().items()})


class Killed(BaseException):
    """Stands for a kill signal: nothing may catch it and tidy up."""


class KillAt:
    """Kill the training at its n-th iteration."""

    def __init__(self, iteration: int) -> None:
        self.iteration = iteration

    def attach(self, engine: Any) -> None:
        engine.add_event_handler(Events.ITERATION_COMPLETED(once=self.iteration), self._kill)

    def _kill(self, engine: Any) -> None:
        raise Killed


def history(folder: Path) -> list[dict[str, str]]:
    with (folder / "metrics.csv").open() as file:
        return [{k: v for k, v in row.items() if k != "seconds"} for row in csv.DictReader(file)]


def test_stages_follow_each_other(tmp_path: Path) -> None:
    trainer = build(tmp_path, epochs=(2, 1, 3))
    trainer.run()
    rows = history(tmp_path)
    assert [row["stage"] for row in rows] == ["classifier"] * 2 + ["explainer"] + ["joint"] * 3
    assert [row["stage_epoch"] for row in rows] == ["1", "2", "1", "1", "2", "3"]
    written = {path.name for path in (tmp_path / "checkpoints").iterdir()}
    assert written == {"model.pt", "last.pt", "1_classifier.pt", "2_explainer.pt", "3_joint.pt"}


def test_a_stage_without_epochs_is_skipped(tmp_path: Path) -> None:
    trainer = build(tmp_path, epochs=(1, 0, 1))
    trainer.run()
    assert [row["stage"] for row in history(tmp_path)] == ["classifier", "joint"]
    assert all(parameter.requires_grad for parameter in trainer.network.parameters()), (
        "the joint stage trains everything"
    )


@pytest.mark.parametrize(("epochs", "frozen"), [((2, 0, 0), "explainer"), ((0, 2, 0), "classifier")])
def test_frozen_means_bit_identical(tmp_path: Path, epochs: tuple[int, ...], frozen: str) -> None:
    trainer = build(tmp_path, epochs=epochs)
    before = {k: v.clone() for k, v in trainer.network.state_dict().items()}
    trainer.run()
    after = torch.load(tmp_path / "checkpoints" / "last.pt", weights_only=True)["network"]
    same = {key: torch.equal(before[key], after[key]) for key in before}
    assert all(same[key] for key in same if key.startswith(frozen)), "parameters and buffers of a frozen part moved"
    assert not any(same[key] for key in same if not key.startswith(frozen) and key.endswith("weight"))


@pytest.mark.parametrize("named", ["classifier", "classifier.1"])
def test_frozen_norm_keeps_its_statistics_and_learns_its_weights(tmp_path: Path, named: str) -> None:
    """In a stage that trains both parts, the batch norm of the one named (itself, or what holds it) does not drift."""
    trainer = build(tmp_path, epochs=(0, 0, 1), freeze_norm=[named])
    before = {k: v.clone() for k, v in trainer.network.state_dict().items()}
    trainer.run()
    after = torch.load(tmp_path / "checkpoints" / "last.pt", weights_only=True)["network"]
    same = {key for key in before if torch.equal(before[key], after[key])} - {"explainer.0.bias"}
    # (a bias in front of a batch norm that uses the batch's statistics has no gradient)
    assert same == {f"classifier.1.{key}" for key in ("running_mean", "running_var", "num_batches_tracked")}


def test_frozen_norm_normalises_with_the_kept_statistics(tmp_path: Path) -> None:
    """In the first training step: with the statistics that a new layer has, 0 and 1, it hands on what it is given."""
    seen: dict[bool, bool] = {}
    for frozen in (False, True):
        trainer = build(tmp_path / str(frozen), epochs=(0, 1, 0), freeze_norm=["explainer"] if frozen else [])

        def compare(layer: Any, inputs: Any, output: torch.Tensor, frozen: bool = frozen) -> None:
            seen.setdefault(frozen, torch.allclose(output, inputs[0] / (1 + layer.eps) ** 0.5))

        trainer.network.explainer[1].register_forward_hook(compare)
        trainer.run()
    assert seen == {False: False, True: True}


def test_best_weights_of_a_stage_start_the_next(tmp_path: Path) -> None:
    # With this learning rate the classifier's validation loss gets worse after its best epoch.
    trainer = build(tmp_path, epochs=(4, 1, 0), learning_rate=0.5)
    trainer.run()
    losses = [float(row["validation/classification"]) for row in history(tmp_path)[:4]]
    assert min(losses) < losses[-1], "the set-up must have a best epoch before the last"
    first = torch.load(tmp_path / "checkpoints" / "1_classifier.pt", weights_only=True)
    second = torch.load(tmp_path / "checkpoints" / "2_explainer.pt", weights_only=True)
    frozen = [key for key in first if key.startswith("classifier")]
    assert all(torch.equal(first[key], second[key]) for key in frozen)


def test_a_stage_without_any_validation_keeps_its_last_weights(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Validation every second epoch, and one epoch per stage: the first and the third stage are never judged."""
    snapshots = Snapshots()
    trainer = build(tmp_path, epochs=(1, 1, 1), validate_every=2, extra_handlers=[snapshots])
    trainer.run()
    names = ("1_classifier.pt", "2_explainer.pt", "3_joint.pt", "model.pt")
    for name, state in zip(names, [*snapshots.states, snapshots.states[-1]], strict=True):
        kept = torch.load(tmp_path / "checkpoints" / name, weights_only=True)
        assert all(torch.equal(kept[key], state[key]) for key in state), name
    assert caplog.text.count("ended before any validation: its last weights are kept") == 2


def test_without_a_validator_every_epoch_counts(tmp_path: Path) -> None:
    trainer = build(tmp_path, epochs=(2, 1, 0), learning_rate=0.5, validate_every=None)
    trainer.run()
    assert [row["stage"] for row in history(tmp_path)] == ["classifier", "classifier", "explainer"]
    final = torch.load(tmp_path / "checkpoints" / "model.pt", weights_only=True)
    assert all(torch.equal(value, final[key]) for key, value in trainer.network.state_dict().items())


def test_early_stopping_ends_a_stage(tmp_path: Path) -> None:
    trainer = build(tmp_path, epochs=(30, 1, 0), learning_rate=0.5, patience=3)
    trainer.run()
    rows = [row for row in history(tmp_path) if row["stage"] == "classifier"]
    losses = [float(row["validation/loss"]) for row in rows]
    best = losses.index(min(losses))
    assert len(rows) < 30
    assert len(rows) - 1 - best == 3, "three epochs without improvement end the stage"
    rates = [float(row["learning_rate"]) for row in rows]
    assert rates[-1] < rates[0], "the plateau scheduler must act before the stage ends"


@pytest.mark.parametrize("freeze_norm", [(), ("classifier",)])
@pytest.mark.parametrize("iteration", [1, 4, 5, 8, 9, 14, 20])
def test_resumed_equals_uninterrupted(tmp_path: Path, iteration: int, freeze_norm: tuple[str, ...]) -> None:
    """Four iterations make an epoch and two epochs a stage: kills in the middle of each, and at their borders."""
    build(tmp_path / "whole", freeze_norm=freeze_norm).run()
    with pytest.raises(Killed):
        build(tmp_path / "killed", freeze_norm=freeze_norm, extra_handlers=[KillAt(iteration)]).run()
    build(tmp_path / "killed", freeze_norm=freeze_norm, resume=True).run()
    assert history(tmp_path / "killed") == history(tmp_path / "whole")
    for name in ("model.pt", "3_joint.pt"):
        whole, resumed = (
            torch.load(tmp_path / run / "checkpoints" / name, weights_only=True) for run in ("whole", "killed")
        )
        assert all(torch.equal(whole[key], resumed[key]) for key in whole)


def test_resuming_a_finished_training_changes_nothing(tmp_path: Path) -> None:
    build(tmp_path).run()
    before = (tmp_path / "metrics.csv").read_text()
    build(tmp_path, resume=True).run()
    assert (tmp_path / "metrics.csv").read_text() == before


def test_resuming_with_other_stages_is_refused(tmp_path: Path) -> None:
    build(tmp_path).run()
    with pytest.raises(ValueError, match="resume with the same configuration"):
        build(tmp_path, epochs=(2, 2, 5), resume=True).run()


def test_starting_anew_beside_an_old_checkpoint_warns(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    build(tmp_path, epochs=(1, 0, 0)).run()
    build(tmp_path, epochs=(1, 0, 0)).run()
    assert "pass --resume True" in caplog.text
