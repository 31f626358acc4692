"""Save predictions as a table."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ignite.engine import Engine, Events

from common.explain.schema import TASKS
from common.utils.choices import check_choice
from common.utils.files import write_text


class PredictionSaver:
    """Write ``predictions.csv``: one row per case with its class, or classes, and the probability of every class.

    Reads decollated outputs, as MONAI's SupervisedEvaluator leaves them: a list of dictionaries with the
    probabilities (C,) under "pred" and the case's name under "case_id".
    """

    def __init__(
        self,
        output_dir: str | Path,
        classes: Sequence[str],
        task: str = "multiclass",
        background: str = "",
        threshold: float = 0.5,
    ) -> None:
        """Say what to write.

        Args:
            output_dir: folder of the table.
            classes: names of the C classes.
            task: "multiclass", or "multilabel" where several classes may be present: joined by "|", as in
                ChestX-ray14's table.
            background: what a case without any class is called, in a multi-label task.
            threshold: in a multi-label task a class is predicted from this probability on.

        Raises:
            ValueError: for an unknown task, or a threshold that is no probability.
        """
        check_choice("task", task, TASKS)
        if not 0 <= threshold <= 1:
            raise ValueError(f"threshold is {threshold}, expected a probability from 0 to 1")
        self.path = Path(output_dir) / "predictions.csv"
        self.classes = list(classes)
        self.task, self.background, self.threshold = task, background, threshold
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
            self.rows.append([item["case_id"], self._named(probability), *(f"{value:.6f}" for value in probability)])

    def _named(self, probability: Sequence[float]) -> str:
        """Return the prediction in words."""
        if self.task == "multiclass":
            return self.classes[max(range(len(probability)), key=probability.__getitem__)]
        found = [name for name, value in zip(self.classes, probability, strict=True) if value >= self.threshold]
        return "|".join(found) or self.background

    def _write(self, engine: Engine) -> None:
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(["case_id", "prediction", *(f"probability/{name}" for name in self.classes)])
        writer.writerows(self.rows)
        write_text(self.path, text.getvalue())
