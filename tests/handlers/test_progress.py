"""What a person watching a training sees."""

from __future__ import annotations

import re
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from common.handlers import Progress
from tests.handlers.replay import player, replay

STEPS = [({}, {"loss": 0.75}), ({}, {"loss": 0.25})]
VALIDATOR = SimpleNamespace(state=SimpleNamespace(metrics={"loss": 0.123456, "accuracy": 0.5, "auroc": 0.9}))


class Bar:
    """Stands for tqdm and remembers what it was told."""

    made: list[Bar]

    def __init__(self, **options: Any) -> None:
        self.options, self.disable = options, options["disable"]
        self.updates, self.closed, self.shown = 0, False, ("", {})
        self.made.append(self)

    def set_description(self, text: str, refresh: bool) -> None:
        self.shown = (text, self.shown[1])

    def set_postfix(self, values: dict[str, str], refresh: bool) -> None:
        self.shown = (self.shown[0], values)

    def update(self) -> None:
        self.updates += 1

    def close(self) -> None:
        self.closed = True


@pytest.fixture
def bars(monkeypatch: pytest.MonkeyPatch) -> list[Bar]:
    """Make the output a terminal and collect the bars drawn there."""
    made: list[Bar] = []
    terminal = SimpleNamespace(isatty=lambda: True)
    monkeypatch.setattr(Bar, "made", made, raising=False)
    monkeypatch.setattr("common.handlers.progress.tqdm", Bar)
    monkeypatch.setattr("common.handlers.progress.sys", SimpleNamespace(stderr=terminal))
    return made


def test_one_bar_over_all_epochs(bars: list[Bar]) -> None:
    stage = SimpleNamespace(name="explainer")
    replay([Progress(validator=VALIDATOR, show=("loss", "accuracy", "absent"))], STEPS, epochs=3, stage=stage)
    (bar,) = bars
    assert (bar.options["total"], bar.updates, bar.closed) == (6, 6, True)
    values = {"loss": "0.2500", "val loss": "0.1235", "val accuracy": "0.5000"}
    assert bar.shown == ("training explainer, epoch 3/3", values)


def test_a_resumed_training_shows_what_is_left(bars: list[Bar]) -> None:
    """The checkpoint's epoch is known when the first epoch starts, not when the handlers are told of the start."""
    engine = player([Progress()])
    engine.state.epoch, engine.state.iteration, engine.state.max_epochs, engine.state.epoch_length = 2, 4, 5, 2
    engine.run(STEPS)
    assert (bars[0].options["total"], bars[0].updates) == (6, 6)


def test_an_evaluator_run_every_epoch_draws_a_bar_each_time(bars: list[Bar]) -> None:
    """MONAI's evaluators are told the trainer's epoch and count one epoch each."""
    engine = player([Progress("evaluating")])
    for epoch in (1, 5):
        engine.state.epoch, engine.state.max_epochs, engine.state.iteration = epoch - 1, epoch, 0
        engine.run(STEPS)
    assert [bar.options["total"] for bar in bars] == [2, 2]
    assert bars[1].shown == ("evaluating", {"loss": "0.2500"})


def test_an_unknown_number_of_batches(bars: list[Bar]) -> None:
    """A loader that may skip cases has no length: the bar counts without an end."""
    player([Progress("inference")]).run((step for step in STEPS), max_epochs=1)
    assert (bars[0].options["total"], bars[0].updates) == (None, 2)


def printed(capsys: pytest.CaptureFixture[str]) -> list[str]:
    return capsys.readouterr().err.splitlines()


def test_a_line_per_epoch_where_there_is_no_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    stage = SimpleNamespace(name="joint")
    replay([Progress(validator=VALIDATOR)], STEPS, epochs=2, stage=stage)
    rest = "  loss 0.2500  val loss 0.1235  val accuracy 0.5000"
    assert printed(capsys) == [f"training joint, epoch {epoch}/2{rest}" for epoch in (1, 2)]


def test_the_line_shows_the_loss_of_the_epoch_where_it_is_known(capsys: pytest.CaptureFixture[str]) -> None:
    engine = player([Progress()])
    engine.state.metrics["loss"] = 0.5
    engine.run(STEPS, max_epochs=1)
    assert printed(capsys) == ["training  loss 0.5000"]


def test_inference_has_no_loss(capsys: pytest.CaptureFixture[str]) -> None:
    replay([Progress("inference")], [([{}], [{"pred": 1}]), ([{}], [{"pred": 1}])])
    assert printed(capsys) == ["inference  batches 2"]


def test_other_processes_are_silent(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr("common.handlers.progress.is_main_process", lambda: False)
    replay([Progress()], STEPS)
    assert printed(capsys) == []


def test_a_real_bar(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """With the real tqdm on something that says it is a terminal: description, values and time left are drawn."""
    with (tmp_path / "terminal").open("w+") as terminal:
        screen = SimpleNamespace(isatty=lambda: True, write=terminal.write, flush=terminal.flush)
        monkeypatch.setattr("sys.stderr", screen)
        replay([Progress("watching")], STEPS, epochs=2)
    text = (tmp_path / "terminal").read_text()
    assert re.search(r"watching: 100%.*4/4 \[.*loss=0.2500", text)
