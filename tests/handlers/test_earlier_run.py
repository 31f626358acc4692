"""Two trainings in one run folder."""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import Any

import pytest
from ignite.engine import Events

from common.handlers import RunRecord
from common.handlers.earlier_run import RESULTS, set_aside_earlier_run
from tests.training_setup import build

RECORDS = ("run.json", "config_training.json", "config_explanation.json")


def fill(folder: Path, text: str) -> None:
    """Write what a training, its evaluation, explanation and inference leave, and something of one's own."""
    folder.mkdir(exist_ok=True)
    for name in (*RESULTS, *RECORDS, "notes.txt"):
        path = folder / name if "." in name else folder / name / "a" / "b.txt"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def test_results_and_records_are_kept_apart_and_all_else_stays(tmp_path: Path) -> None:
    for number in (1, 2):
        fill(tmp_path, f"training {number}")
        (tmp_path / "checkpoints").mkdir(exist_ok=True)
        assert set_aside_earlier_run(tmp_path) == tmp_path / f"earlier_{number}"
    assert names(tmp_path) == {"notes.txt", "checkpoints", "earlier_1", "earlier_2"}
    for number in (1, 2):
        kept = tmp_path / f"earlier_{number}"
        assert names(kept) == {*RESULTS, *RECORDS}
        files = [path for path in kept.rglob("*") if path.is_file()]
        assert len(files) == len(RESULTS) + len(RECORDS)
        assert {path.read_text() for path in files} == {f"training {number}"}


@pytest.mark.parametrize("present", [[], ["run.json", "config_training.json"], ["notes.txt"], ["checkpoints/last.pt"]])
def test_where_no_result_is_nothing_moves(tmp_path: Path, present: list[str]) -> None:
    """Such as after a start that failed before the first epoch was over."""
    for name in present:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("x")
    assert set_aside_earlier_run(tmp_path) is None
    assert set_aside_earlier_run(tmp_path / "absent") is None
    assert names(tmp_path) == {name.partition("/")[0] for name in present}


class Peek:
    """Note what the run folder holds when the training has started."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.seen: set[str] = set()

    def attach(self, engine: Any) -> None:
        engine.add_event_handler(Events.STARTED, self._look)

    def _look(self) -> None:
        self.seen = names(self.folder)


def train(folder: Path, resume: bool) -> set[str]:
    """Train for an epoch; return what the run folder held at the start."""
    peek = Peek(folder)
    build(folder, epochs=(1, 0, 0), resume=resume, extra_handlers=[RunRecord(folder, "training"), peek]).run()
    return peek.seen


@pytest.mark.parametrize("resume", [False, True])
def test_new_weights_begin_with_a_folder_of_their_own(
    tmp_path: Path, resume: bool, caplog: pytest.LogCaptureFixture
) -> None:
    """Whether or not it was asked to go on: without a last.pt there is nothing to go on from."""
    fill(tmp_path, "earlier")
    for name in RECORDS:
        (tmp_path / name).write_text('{"workflows": {"evaluation": {"seed": 1}}}')
    with caplog.at_level(logging.WARNING):
        assert train(tmp_path, resume) == {"notes.txt", "earlier_1", "run.json", "checkpoints"}
    assert f"results of an earlier training were moved to {tmp_path / 'earlier_1'}" in caplog.text
    assert list(json.loads((tmp_path / "run.json").read_text())["workflows"]) == ["training"]
    assert (tmp_path / "metrics.csv").read_text().count("\n") == 2
    assert (tmp_path / "earlier_1" / "metrics.csv").read_text() == "earlier"


def test_a_training_that_goes_on_keeps_its_results(tmp_path: Path) -> None:
    train(tmp_path, resume=False)
    history = (tmp_path / "metrics.csv").read_text()
    (tmp_path / "metrics.json").write_text("{}")
    assert train(tmp_path, resume=True) == {"checkpoints", "metrics.csv", "metrics.json", "run.json"}
    assert (tmp_path / "metrics.csv").read_text() == history


@pytest.mark.parametrize("workflow", ["evaluation", "explanation", "inference"])
def test_other_workflows_share_the_folder(tmp_path: Path, workflow: str) -> None:
    fill(tmp_path, "{}")
    build(tmp_path, epochs=(1, 0, 0), first_handlers=[RunRecord(tmp_path, workflow)]).run()
    assert not (tmp_path / "earlier_1").exists()
