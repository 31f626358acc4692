"""Two processes train one network: they agree with each other, and with one process that does it all."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import pytest
import torch
from ignite.engine import Events
from monai.utils import set_determinism

from common.engines import ExplainEvaluator
from common.handlers import ClassificationMetrics, LossTerms
from common.losses import ExplainerClassifierLoss
from tests.training_setup import TinyNet, build, items, loader
from tests.two_processes import in_two_processes

pytestmark = pytest.mark.slow


class Snapshots:
    """The network's state whenever an epoch's training steps are done and validation is to begin."""

    def __init__(self) -> None:
        self.states: list[dict[str, torch.Tensor]] = []

    def attach(self, engine: Any) -> None:
        engine.add_event_handler(Events.EPOCH_COMPLETED, self.take)

    def take(self, engine: Any) -> None:
        self.states.append({key: value.clone() for key, value in engine.network_def.state_dict().items()})


def evaluate() -> dict[str, float]:
    """Metrics of eleven cases, which two processes cannot share evenly, under class weights."""
    set_determinism(7)
    loss = ExplainerClassifierLoss(alpha=0.7, class_weights=[1.0, 3.0])
    data = loader(items(11, seed=2, wrong_every=3), batch_size=4)
    handlers = [LossTerms(), ClassificationMetrics()]
    evaluator = ExplainEvaluator("cpu", data, TinyNet(), loss=loss, val_handlers=handlers)
    evaluator.run()
    return dict(evaluator.state.metrics)


def train_plainly(folder: Path, batch_size: int) -> dict[str, torch.Tensor]:
    trainer = build(folder, plain=True, batch_size=batch_size)
    trainer.run()
    return trainer.network_def.state_dict()


def train_and_evaluate(folder: Path) -> dict[str, Any]:
    """What one of two processes sees."""
    snapshots = Snapshots()
    trainer = build(folder / "run", epochs=(2, 2, 2), first_handlers=[snapshots], batch_size=3)
    trainer.run()
    return {
        "before_validation": snapshots.states,
        "end": trainer.network_def.state_dict(),
        "metrics": evaluate(),
        "plain": train_plainly(folder / "plain", batch_size=3),
    }


@pytest.fixture(scope="module")
def processes(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[dict[str, Any]]]:
    folder = tmp_path_factory.mktemp("two")
    return folder, in_two_processes(train_and_evaluate, folder)


def test_processes_hold_the_same_weights_and_buffers(processes: tuple[Path, list[dict[str, Any]]]) -> None:
    """At every validation, not only at the end: each judges its share of the cases with what must be one network."""
    _, (first, second) = processes
    assert len(first["before_validation"]) == 6
    for epoch, states in enumerate(zip(first["before_validation"], second["before_validation"], strict=True), start=1):
        different = [key for key in states[0] if not torch.equal(states[0][key], states[1][key])]
        assert not different, f"epoch {epoch}"
    assert any("running_mean" in key for key in first["end"])
    assert all(torch.equal(first["end"][key], second["end"][key]) for key in first["end"])
    start, end = first["before_validation"][0], first["end"]
    assert not any(torch.equal(start[key], end[key]) for key in start if key.endswith("weight")), (
        "something was learned"
    )


def test_metrics_are_those_of_one_process(processes: tuple[Path, list[dict[str, Any]]]) -> None:
    _, (first, second) = processes
    assert first["metrics"] == second["metrics"]
    expected = evaluate()
    assert {"loss", "classification", "sparsity", "accuracy", "auroc"} <= set(expected)
    assert first["metrics"] == pytest.approx(expected, rel=1e-6)


def test_two_halves_of_a_batch_make_the_step_of_the_whole(
    processes: tuple[Path, list[dict[str, Any]]], tmp_path: Path
) -> None:
    """Three stages without batch norm and dropout, from gradients averaged over the processes."""
    folder, (first, _) = processes
    alone = train_plainly(tmp_path, batch_size=6)
    for key, value in alone.items():
        torch.testing.assert_close(first["plain"][key], value, rtol=1e-4, atol=1e-5, msg=lambda m, k=key: f"{k}: {m}")
    tables = []
    for path in (folder / "plain", tmp_path):
        with (path / "metrics.csv").open() as file:
            tables.append([float(row["validation/loss"]) for row in csv.DictReader(file)])
    assert tables[0] == pytest.approx(tables[1], rel=1e-4)


def test_one_process_writes(processes: tuple[Path, list[dict[str, Any]]]) -> None:
    folder, _ = processes
    with (folder / "run" / "metrics.csv").open() as file:
        assert [row["epoch"] for row in csv.DictReader(file)] == list("123456")
    assert {path.name for path in (folder / "run" / "checkpoints").iterdir()} == {
        *("model.pt", "last.pt", "1_classifier.pt", "2_explainer.pt", "3_joint.pt")
    }
