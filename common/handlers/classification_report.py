"""Write the final classification metrics of a split, with intervals."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from ignite.engine import Engine, Events
from torch import Tensor

from common.metrics.classification import classification_table
from common.metrics.curves import classification_curves
from common.metrics.operating_point import operating_point_table
from common.utils.files import update_json


class ClassificationReport:
    """Write accuracy, AUROC and their companions to ``metrics.json``, their curves to ``curves.json``.

    Intervals are 95 % bootstrap intervals over cases, or over patients where the datalist knows them. For evaluation
    in one process. Nothing is written for a network that does not classify.
    """

    def __init__(
        self,
        output_dir: str | Path,
        split: str,
        classes: Sequence[str],
        items: Sequence[Mapping[str, Any]] = (),
        seed: int = 0,
        operating_points: Sequence[float] = (),
    ) -> None:
        """Say what to write.

        Args:
            output_dir: the run folder.
            split: "training", "validation" or "test".
            classes: names of the C classes.
            items: the split's items, for their patients.
            seed: of the bootstrap.
            operating_points: specificities at which to write the sensitivity and, the other way round, sensitivities
                at which to write the specificity; such as 0.9.
        """
        self.output_dir = Path(output_dir)
        self.split = split
        self.classes = list(classes)
        self.patients = patient_of(items)
        self.seed = seed
        self.operating_points = list(operating_points)
        self._probability: list[Tensor] = []
        self._label: list[Tensor] = []
        self._case: list[str] = []

    def attach(self, engine: Engine) -> None:
        """Register with an evaluator."""
        engine.add_event_handler(Events.STARTED, self._start)
        engine.add_event_handler(Events.ITERATION_COMPLETED, self._keep)
        engine.add_event_handler(Events.COMPLETED, self._write)

    def _start(self, engine: Engine) -> None:
        self._probability, self._label, self._case = [], [], []

    def _keep(self, engine: Engine) -> None:
        if "probability" not in engine.state.output:
            return
        self._probability.append(engine.state.output["probability"].float().cpu())
        self._label.append(engine.state.batch["label"].cpu())
        self._case += list(engine.state.batch["case_id"])

    def _write(self, engine: Engine) -> None:
        if not self._case:
            return
        probability, label = torch.cat(self._probability).numpy(), torch.cat(self._label).numpy()
        groups = [self.patients.get(case, case) for case in self._case]
        table = classification_table(probability, label, self.classes, groups=groups, seed=self.seed)
        table |= operating_point_table(probability, label, self.operating_points, groups, self.seed)
        update_json(self.output_dir / "metrics.json", {self.split: table})
        update_json(
            self.output_dir / "curves.json", {self.split: classification_curves(probability, label, self.classes)}
        )


def patient_of(items: Sequence[Mapping[str, Any]]) -> dict[str, str]:
    """Return each case's patient, where the datalist knows one."""
    return {str(item["case_id"]): str(item["patient_id"]) for item in items if item.get("patient_id") is not None}
