"""Prototypes are projected at the end of a stage: what the next one starts from, and kills at every moment."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from ignite.engine import Events
from monai.data import DataLoader

from common.engines import PseudoLabelStep
from common.explain.prototype_files import load_prototypes
from common.handlers import PrototypeProjection, training_checkpoint
from tests.prototype_setup import build, items

DATA = items(16, seed=1)
MIDDLE, LAST = (1, 3, 1), (1, 3, 0)
SWITCH = 4  # the epoch that ends the second stage
ITERATIONS = 4  # of an epoch


class Killed(BaseException):
    """Stands for a kill signal: nothing may catch it and tidy up."""


class KillAt:
    """Kill the training at its n-th iteration, or after an epoch when all other handlers are done."""

    def __init__(self, event: Any) -> None:
        self.event = event

    def attach(self, engine: Any) -> None:
        engine.add_event_handler(self.event, self.kill)

    def kill(self, engine: Any) -> None:
        raise Killed


class StopAfter:
    """End the training after an epoch."""

    def __init__(self, epoch: int) -> None:
        self.epoch = epoch

    def attach(self, engine: Any) -> None:
        engine.add_event_handler(Events.EPOCH_COMPLETED(once=self.epoch), lambda: engine.terminate())


class KilledLoader:
    """Deliver two batches, then die."""

    def __iter__(self) -> Iterator[dict[str, Any]]:
        for index, batch in enumerate(DataLoader(DATA, batch_size=5)):
            if index == 2:
                raise Killed
            yield batch


def projection(folder: Path) -> PrototypeProjection:
    loader, validation = DataLoader(DATA, batch_size=5), DataLoader(items(6, seed=2), batch_size=3)
    return PrototypeProjection(loader, DATA, ["dark", "bright"], folder / "prototypes", validation)


def run(folder: Path, epochs: tuple[int, ...], at_end: Any = None, **options: Any) -> Any:
    """Train; the best epoch of every stage is its first, and a last stage starts with a teacher of its own."""
    trainer = build(folder, epochs, at_end=at_end or projection(folder), **options)
    if epochs == MIDDLE:
        start = {key: torch.zeros_like(value) for key, value in trainer.network.teacher.state_dict().items()}
        trainer.stages[2] = replace(trainer.stages[2], step=PseudoLabelStep(restart_from=start))
    trainer.stateful["stage_switch"].min_delta = 1e9
    trainer.run()
    return trainer


def weights(folder: Path, name: str) -> dict[str, torch.Tensor]:
    return torch.load(folder / "checkpoints" / name, weights_only=True)


def same(first: dict[str, torch.Tensor], second: dict[str, torch.Tensor], part: str = "") -> bool:
    return all(torch.equal(value, second[key]) for key, value in first.items() if key.startswith(part))


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> dict[tuple[int, ...], Path]:
    """Trainings that nothing interrupted."""
    folders = {epochs: tmp_path_factory.mktemp("whole") for epochs in (MIDDLE, LAST)}
    for epochs, folder in folders.items():
        run(folder, epochs)
    return folders


def test_the_next_stage_starts_from_projected_prototypes(whole):
    second, third = (weights(whole[MIDDLE], f"{name}.pt") for name in ("2_reciprocal", "3_retrain"))
    book = load_prototypes(whole[MIDDLE] / "prototypes")
    assert second["student.prototypes.projected"]
    assert same(second, third, "student")
    assert same(third, weights(whole[MIDDLE], "model.pt"))
    assert np.array_equal(second["student.prototypes.vectors"].numpy(), book.vectors)
    assert [source.weight for source in book.prototypes] == second["student.last_layer.weight"].tolist()


def test_a_training_that_ends_so_leaves_the_projected_network(whole):
    final = weights(whole[LAST], "model.pt")
    assert final["student.prototypes.projected"]
    assert same(final, weights(whole[LAST], "2_reciprocal.pt"))
    assert same(final, torch.load(whole[LAST] / "checkpoints" / "last.pt", weights_only=True)["network"])


def test_without_it_nothing_is_said_to_be_projected(tmp_path):
    build(tmp_path, LAST).run()
    assert not weights(tmp_path, "model.pt")["student.prototypes.projected"]


MOMENTS = ("while images pass", "before the weights are kept", "before last.pt", "after last.pt", "in the next epoch")


@pytest.mark.parametrize("epochs", [MIDDLE, LAST])
@pytest.mark.parametrize("moment", MOMENTS)
def test_killed_at_any_moment_it_ends_the_same(whole, tmp_path, monkeypatch, epochs, moment):
    if moment == "in the next epoch" and epochs == LAST:
        epochs, next_event = MIDDLE, Events.ITERATION_COMPLETED(once=SWITCH * ITERATIONS + 2)
    else:
        next_event = Events.ITERATION_COMPLETED(once=SWITCH * ITERATIONS + 1)
    own, options = projection(tmp_path), {}
    at_end: Any = own
    if moment == "while images pass":
        own.dataloader = KilledLoader()  # type: ignore[assignment]
    elif moment == "before the weights are kept":

        def at_end(trainer: Any) -> None:
            own(trainer)
            raise Killed

    elif moment == "before last.pt":
        kept, times = training_checkpoint.save_atomic, iter(range(100))

        def save(content: Any, path: Path) -> None:
            if next(times) == SWITCH - 1:
                raise Killed
            kept(content, path)

        monkeypatch.setattr(training_checkpoint, "save_atomic", save)
    else:
        event = Events.EPOCH_COMPLETED(once=SWITCH) if moment == "after last.pt" else next_event
        options["extra_handlers"] = [KillAt(event)]
    with pytest.raises(Killed):
        run(tmp_path, epochs, at_end, **options)
    monkeypatch.undo()
    known = weights(tmp_path, "model.pt")["student.prototypes.projected"]
    assert bool(known) is (moment == "in the next epoch"), "model.pt follows when last.pt is complete"
    if known:
        assert same(weights(tmp_path, "2_reciprocal.pt"), weights(tmp_path, "model.pt"))
    run(tmp_path, epochs, resume=True)
    for name in ("2_reciprocal.pt", "model.pt", *(["3_retrain.pt"] if epochs == MIDDLE else [])):
        assert same(weights(whole[epochs], name), weights(tmp_path, name)), name
    files = [
        json.loads((folder / "prototypes" / "prototypes.json").read_text()) for folder in (whole[epochs], tmp_path)
    ]
    assert files[0] == files[1]


def test_an_ended_training_that_is_resumed_stays_as_it_is(whole, tmp_path):
    run(tmp_path, LAST)
    run(tmp_path, LAST, resume=True)
    assert same(weights(tmp_path, "model.pt"), weights(whole[LAST], "model.pt"))


def test_a_training_that_stops_before_the_end_of_the_stage_says_so(tmp_path, caplog):
    trainer = build(tmp_path, (0, 3, 0), at_end=projection(tmp_path), extra_handlers=[StopAfter(2)])
    trainer.run()
    assert "training stopped within stage 'reciprocal': what it does at its end was not done" in caplog.text
    assert not weights(tmp_path, "model.pt")["student.prototypes.projected"]
    assert not (tmp_path / "prototypes").exists()


def test_training_prototypes_further_ends_their_being_copies(tmp_path):
    """The last stage trains the student once more."""
    trainer = build(tmp_path, (0, 1, 1), at_end=projection(tmp_path))
    options = {"name": "again", "trainable": ["student"], "at_end": None, "step": None}
    trainer.stages[-1] = replace(trainer.stages[0], **options, loss=trainer.stages[-1].loss)
    trainer.run()
    assert weights(tmp_path, "1_reciprocal.pt")["student.prototypes.projected"]
    assert not weights(tmp_path, "2_again.pt")["student.prototypes.projected"]
