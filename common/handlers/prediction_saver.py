"""Save predictions as a table."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
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
        view_side: Sequence[int] | None = None,
    ) -> None:
        """Say what to write.

        Args:
            output_dir: folder of the table.
            classes: names of the C classes.
            task: "multiclass", or "multilabel" where several classes may be present: joined by "|", as in
                ChestX-ray14's table.
            background: what a case without any class is called, in a multi-label task.
            threshold: in a multi-label task a class is predicted from this probability on.
            view_side: of exams, the side of each view, the classes being those of the sides, side by side. Nothing is
                predicted, and no probability written, of a side that has no view in the batch's "view_mask" (V,).

        Raises:
            ValueError: for an unknown task, or a threshold that is no probability.
        """
        check_choice("task", task, TASKS)
        if not 0 <= threshold <= 1:
            raise ValueError(f"threshold is {threshold}, expected a probability from 0 to 1")
        self.path = Path(output_dir) / "predictions.csv"
        self.classes = list(classes)
        self.task, self.background, self.threshold = task, background, threshold
        self.view_side = None if view_side is None else list(view_side)
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
            seen = self._seen(item)
            cells = [f"{value:.6f}" if known else "" for value, known in zip(probability, seen, strict=True)]
            self.rows.append([item["case_id"], self._named(probability, seen), *cells])

    def _seen(self, item: Mapping[str, Any]) -> list[bool]:
        """Return of which classes the case shows anything."""
        if self.view_side is None:
            return [True] * len(self.classes)
        sides = max(self.view_side) + 1
        present = {side for side, there in zip(self.view_side, item["view_mask"].tolist(), strict=True) if there}
        return [index * sides // len(self.classes) in present for index in range(len(self.classes))]

    def _named(self, probability: Sequence[float], seen: Sequence[bool]) -> str:
        """Return the prediction in words."""
        if self.task == "multiclass":
            return self.classes[max(range(len(probability)), key=probability.__getitem__)]
        given = zip(self.classes, probability, seen, strict=True)
        return "|".join(name for name, value, known in given if known and value >= self.threshold) or self.background

    def _write(self, engine: Engine) -> None:
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(["case_id", "prediction", *(f"probability/{name}" for name in self.classes)])
        writer.writerows(self.rows)
        write_text(self.path, text.getvalue())
