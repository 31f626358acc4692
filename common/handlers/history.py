"""Write the history of a training as a table."""

from __future__ import annotations

import csv
import io
import time
from pathlib import Path
from typing import Any

from ignite.engine import Engine, Events

from common.utils.distributed import is_main_process
from common.utils.files import write_text

COLUMNS = ("train/", "validation/", "learning_rate", "seconds")
"""Order of the columns, by how their names begin; epoch and stage come first."""


class HistoryWriter:
    """Append one row per epoch to ``metrics.csv``: stage, training and validation metrics, learning rate, seconds."""

    def __init__(self, output_dir: str | Path, validator: Any = None) -> None:
        """Remember where to write.

        Args:
            output_dir: the run folder.
            validator: the evaluator whose metrics are written beside the trainer's.
        """
        self.path = Path(output_dir) / "metrics.csv"
        self.validator = validator
        self.rows: list[dict[str, Any]] = []
        self._started = 0.0

    def attach(self, engine: Any) -> None:
        """Register with a trainer; list it after validation and before the stage switch."""
        engine.stateful["history"] = self
        engine.add_event_handler(Events.EPOCH_STARTED, self._start)
        engine.add_event_handler(Events.EPOCH_COMPLETED, self._write)

    def state_dict(self) -> dict[str, Any]:
        """Return the rows, so that a resumed history has no gap and no repetition."""
        return {"rows": self.rows}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on after the rows of :meth:`state_dict`."""
        self.rows = list(state["rows"])

    def _start(self, engine: Engine) -> None:
        self._started = time.perf_counter()

    def _write(self, engine: Any) -> None:
        stage = engine.stage.name
        row: dict[str, Any] = {
            "epoch": engine.state.epoch,
            "stage": stage,
            "stage_epoch": sum(row["stage"] == stage for row in self.rows) + 1,
        }
        row |= {f"train/{name}": value for name, value in engine.state.metrics.items()}
        if self.validator is not None and self.validator.state.epoch == engine.state.epoch:
            row |= {f"validation/{name}": value for name, value in self.validator.state.metrics.items()}
        row["learning_rate"] = max(group["lr"] for group in engine.optimizer.param_groups)
        row["seconds"] = round(time.perf_counter() - self._started, 3)
        self.rows.append(row)
        if is_main_process():
            write_text(self.path, _to_csv(self.rows))


def _to_csv(rows: list[dict[str, Any]]) -> str:
    """Return the rows as CSV; a column that only some rows have is empty in the others."""
    columns = sorted(dict.fromkeys(name for row in rows for name in row), key=_place)
    text = io.StringIO()
    writer = csv.DictWriter(text, columns, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


def _place(column: str) -> int:
    return next((place for place, start in enumerate(COLUMNS, start=1) if column.startswith(start)), 0)
