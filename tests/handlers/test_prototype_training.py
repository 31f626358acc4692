"""All three stages of InterNRL in one training: what each starts from, what it sees, and exact resumption."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import pytest
import torch
from ignite.engine import Events

from common.handlers import LastLayerClamp
from common.layers import ClassConnectedLinear, class_map_of
from tests.prototype_setup import build


class Watch:
    """Notes of every iteration: the stage, and the streams of its batch."""

    def __init__(self) -> None:
        self.seen: list[tuple[str, str]] = []

    def attach(self, engine: Any) -> None:
        engine.add_event_handler(Events.ITERATION_COMPLETED, self.note)

    def note(self, engine: Any) -> None:
        batch = engine.state.batch
        kind = "both" if "unlabelled" in batch else "unlabelled" if "affine" in batch else "labelled"
        self.seen.append((engine.stage.name, kind))


class Killed(BaseException):
    """Stands for a kill signal: nothing may catch it and tidy up."""


class KillAt:
    """Kill the training at its n-th iteration."""

    def __init__(self, iteration: int) -> None:
        self.iteration = iteration

    def attach(self, engine: Any) -> None:
        engine.add_event_handler(Events.ITERATION_COMPLETED(once=self.iteration), self.kill)

    def kill(self, engine: Any) -> None:
        raise Killed


def history(folder: Path) -> list[dict[str, str]]:
    with (folder / "metrics.csv").open() as file:
        return [{k: v for k, v in row.items() if k != "seconds"} for row in csv.DictReader(file)]


def weights(folder: Path, name: str) -> dict[str, torch.Tensor]:
    return torch.load(folder / "checkpoints" / name, weights_only=True)


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    folder = tmp_path_factory.mktemp("whole")
    build(folder).run()
    return folder


def test_every_stage_has_its_streams_and_starts_from_the_one_before(tmp_path):
    watch = Watch()
    trainer = build(tmp_path, extra_handlers=[watch])
    start = {key: value.clone() for key, value in trainer.network.state_dict().items()}
    trainer.run()
    assert watch.seen == [("global", "labelled")] * 4 + [("reciprocal", "both")] * 16 + [("retrain", "unlabelled")] * 4
    first, second, third = (weights(tmp_path, f"{name}.pt") for name in ("1_global", "2_reciprocal", "3_retrain"))

    def same(a: dict[str, torch.Tensor], b: dict[str, torch.Tensor], part: str) -> bool:
        return all(torch.equal(value, b[key]) for key, value in a.items() if key.startswith(part))

    assert same(start, first, "student")
    assert not same(start, first, "stem")
    assert same(first, second, "stem"), "the stem of the first stage, statistics included"
    assert not same(first, second, "student")
    assert not same(first, second, "teacher")
    assert same(second, third, "stem")
    assert same(second, third, "student")
    assert not same(second, third, "teacher")


def test_the_history_tells_what_happened(whole):
    rows = history(whole)
    middle = [row for row in rows if row["stage"] == "reciprocal"]
    assert all(row["train/teacher"] and row["train/pseudo_labels_used"] == "1.0" for row in middle)
    feedback = [float(row["train/feedback"]) for row in middle]
    assert feedback[2] == 0, "the epoch of the last layer has none"
    assert all(feedback[i] != 0 for i in (0, 1, 3))
    assert all(row["validation/cluster"] and not row.get("validation/consistency") for row in middle)
    assert all(row["train/accuracy"] for row in rows)


@pytest.mark.parametrize("iteration", [3, 10, 13, 20, 22])
def test_resumed_equals_uninterrupted(whole, tmp_path, iteration):
    """Four iterations make an epoch: kills in every stage, within the phase of the last layer, and at a border."""
    with pytest.raises(Killed):
        build(tmp_path, extra_handlers=[KillAt(iteration)]).run()
    build(tmp_path, resume=True).run()
    assert history(tmp_path) == history(whole)
    for name in ("2_reciprocal.pt", "3_retrain.pt"):
        expected, resumed = weights(whole, name), weights(tmp_path, name)
        assert all(torch.equal(expected[key], resumed[key]) for key in expected)


def test_both_optimisers_are_in_the_checkpoint(tmp_path):
    with pytest.raises(Killed):
        build(tmp_path, epochs=(0, 2, 0), extra_handlers=[KillAt(5)]).run()
    state = torch.load(tmp_path / "checkpoints" / "last.pt", weights_only=True)["handlers"]["stage_switch"]
    steps = [
        {entry["step"].item() for entry in optimizer["state"].values()}
        for optimizer in (state["optimizer"], state["step"]["teacher_optimizer"])
    ]
    assert steps == [{4.0}, {4.0}]
    assert state["step"]["epoch"] == 1


def test_negative_weights_of_a_last_layer_are_lifted_after_every_iteration():
    layer = ClassConnectedLinear(class_map_of(2, 1))
    with torch.no_grad():
        layer.weight[0] = -1.0
    LastLayerClamp(layer)(engine=None)
    assert layer.weight.tolist() == [0.0, 1.0]
