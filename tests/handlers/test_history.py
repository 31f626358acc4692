"""metrics.csv: one row per epoch, whole after a resumption."""

from __future__ import annotations

import re
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import torch
from ignite.engine import Engine, Events

from common.handlers import HistoryWriter
from tests.handlers.replay import player


def trainer(writer: HistoryWriter, validator: Any = None) -> Engine:
    """An engine whose training loss is 1 / epoch, with a validation on every second epoch and a stage of two epochs."""
    weight = torch.nn.Parameter(torch.zeros(1))
    groups = [{"params": [weight], "lr": 0.01}, {"params": [torch.nn.Parameter(torch.zeros(1))], "lr": 0.2}]
    engine = player([], optimizer=torch.optim.SGD(groups), stage=SimpleNamespace(name="first"))

    @engine.on(Events.EPOCH_STARTED)
    def _(engine: Engine) -> None:
        engine.stage.name = "first" if engine.state.epoch <= 2 else "second"

    @engine.on(Events.EPOCH_COMPLETED)
    def _(engine: Engine) -> None:
        engine.state.metrics = {"loss": 1 / engine.state.epoch}
        if validator is not None and engine.state.epoch % 2 == 0:
            validator.state = SimpleNamespace(epoch=engine.state.epoch, metrics={"loss": 10.0 * engine.state.epoch})

    writer.attach(engine)
    return engine


def written(folder: Path) -> str:
    """The table, with the seconds blanked: all other columns are the same on every machine."""
    return re.sub(r",\d+\.\d+$", ",*", (folder / "metrics.csv").read_text(), flags=re.MULTILINE)


TABLE = """epoch,stage,stage_epoch,train/loss,validation/loss,learning_rate,seconds
1,first,1,1.0,,0.2,*
2,first,2,0.5,20.0,0.2,*
3,second,1,0.3333333333333333,,0.2,*
4,second,2,0.25,40.0,0.2,*
"""


def test_rows_and_columns(tmp_path: Path) -> None:
    """A validation column that begins later stands where a reader looks for it; the largest learning rate is shown."""
    validator = SimpleNamespace(state=SimpleNamespace(epoch=0, metrics={}))
    trainer(HistoryWriter(tmp_path, validator), validator).run([({}, {})], max_epochs=4)
    assert written(tmp_path) == TABLE


def test_without_validator(tmp_path: Path) -> None:
    trainer(HistoryWriter(tmp_path)).run([({}, {})], max_epochs=1)
    assert written(tmp_path) == "epoch,stage,stage_epoch,train/loss,learning_rate,seconds\n1,first,1,1.0,0.2,*\n"


def test_seconds_are_those_of_the_epoch(tmp_path: Path, monkeypatch: Any) -> None:
    clock = iter([100.0, 102.5, 200.0, 200.1234])
    monkeypatch.setattr("common.handlers.history.time", SimpleNamespace(perf_counter=lambda: next(clock)))
    writer = HistoryWriter(tmp_path)
    trainer(writer).run([({}, {})], max_epochs=2)
    assert [row["seconds"] for row in writer.rows] == [2.5, 0.123]


def test_a_resumed_history_has_no_gap_and_no_repetition(tmp_path: Path) -> None:
    """The killed run had written its third row already; the checkpoint knows two."""
    validator = SimpleNamespace(state=SimpleNamespace(epoch=0, metrics={}))
    killed = HistoryWriter(tmp_path, validator)
    trainer(killed, validator).run([({}, {})], max_epochs=2)
    state = {"rows": [dict(row) for row in killed.state_dict()["rows"]]}
    trainer(killed, validator).run([({}, {})], max_epochs=3)
    resumed = HistoryWriter(tmp_path, validator)
    engine = trainer(resumed, validator)
    resumed.load_state_dict(state)
    engine.state.epoch, engine.state.max_epochs, engine.state.epoch_length = 2, 4, 1
    engine.state.iteration = 2
    engine.run([({}, {})])
    assert written(tmp_path) == TABLE


def test_it_registers_for_the_checkpoint(tmp_path: Path) -> None:
    writer = HistoryWriter(tmp_path)
    assert trainer(writer).stateful == {"history": writer}


def test_only_the_first_process_writes(tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.setattr("common.handlers.history.is_main_process", lambda: False)
    writer = HistoryWriter(tmp_path)
    trainer(writer).run([({}, {})], max_epochs=2)
    assert not (tmp_path / "metrics.csv").exists()
    assert len(writer.rows) == 2, "every process keeps the rows, as each may be asked for its state"
