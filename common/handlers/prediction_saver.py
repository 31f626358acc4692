"""Save predictions as a table."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ignite.engine import Engine, Events

from common.utils.files import write_text


class PredictionSaver:
    """Write ``predictions.csv``: one row per case with its class and the probability of every class.

    Reads decollated outputs, as MONAI's SupervisedEvaluator leaves them: a list of dictionaries with the
    probabilities (C,) under "pred" and the case's name under "case_id".
    """

    def __init__(self, output_dir: str | Path, classes: Sequence[str]) -> None:
        """Say what to write.

        Args:
            output_dir: folder of the table.
            classes: names of the C classes.
        """
        self.path = Path(output_dir) / "predictions.csv"
        self.classes = list(classes)
        self.rows: list[list[Any]] = []

    def attach(self, engine: Engine) -> None:
        """Register with an evaluator."""
        engine.add_event_handler(Events.STARTED, self._start)
        engine.add_event_handler(Events.ITERATION_COMPLETED, self._keep)
        engine.add_event_handler(Events.COMPLETED, self._write)

    def _start(self, engine: Engine) -> None:
        self.rows = []

    def _keep(self, engine: Engine) -> None:
        for item, output in zip(engine.state.batch, engine.state.output, strict=True):
            probability = output["pred"].flatten().tolist()
            best = max(range(len(probability)), key=probability.__getitem__)
            self.rows.append([item["case_id"], self.classes[best], *(f"{value:.6f}" for value in probability)])

    def _write(self, engine: Engine) -> None:
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(["case_id", "prediction", *(f"probability/{name}" for name in self.classes)])
        writer.writerows(self.rows)
        write_text(self.path, text.getvalue())
