"""Write how well each branch of a network decides by itself."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from ignite.engine import Engine, Events
from torch import Tensor

from common.handlers.classification_report import patient_of
from common.metrics.bootstrap import mean_interval
from common.metrics.calibration import calibration_table
from common.metrics.classification import classification_table
from common.metrics.operating_point import operating_point_table
from common.utils.files import update_json


class BranchReport:
    """Write ``<branch>/<metric>`` of every branch, and how often the branches agree, to ``metrics.json``.

    Reads the output "<branch>_probability" (B, C) of each branch: classification metrics and, where classes exclude
    each other, calibration. What the branches decide together has the plain names, written by ClassificationReport and
    UncertaintyReport. Intervals are 95 % bootstrap intervals over cases, or over patients where the datalist knows
    them. For evaluation in one process.
    """

    def __init__(
        self,
        output_dir: str | Path,
        split: str,
        classes: Sequence[str],
        branches: Sequence[str] = ("student", "teacher"),
        items: Sequence[Mapping[str, Any]] = (),
        seed: int = 0,
        operating_points: Sequence[float] = (),
    ) -> None:
        """Say what to write.

        Args:
            output_dir: the run folder.
            split: "training", "validation" or "test".
            classes: names of the C classes.
            branches: names of the branches.
            items: the split's items, for their patients.
            seed: of the bootstrap.
            operating_points: as of :class:`common.handlers.ClassificationReport`.

        Raises:
            ValueError: if there is no branch.
        """
        if not branches:
            raise ValueError("branches is empty: name at least one, or leave this handler out")
        self.output_dir = Path(output_dir)
        self.split = split
        self.classes = list(classes)
        self.branches = list(branches)
        self.patients = patient_of(items)
        self.seed = seed
        self.operating_points = list(operating_points)
        self._probability: dict[str, list[Tensor]] = {}
        self._label: list[Tensor] = []
        self._case: list[str] = []

    def attach(self, engine: Engine) -> None:
        """Register with an evaluator."""
        engine.add_event_handler(Events.STARTED, self._start)
        engine.add_event_handler(Events.ITERATION_COMPLETED, self._keep)
        engine.add_event_handler(Events.COMPLETED, self._write)

    def _start(self, engine: Engine) -> None:
        self._probability, self._label, self._case = {branch: [] for branch in self.branches}, [], []

    def _keep(self, engine: Engine) -> None:
        output = engine.state.output
        for branch, kept in self._probability.items():
            name = f"{branch}_probability"
            if name not in output:
                raise ValueError(
                    f"the network's outputs are {', '.join(output)}, expected '{name}' among them: correct branches, "
                    "or leave BranchReport out of this configuration"
                )
            kept.append(output[name].float().cpu())
        self._label.append(engine.state.batch["label"].cpu())
        self._case += [str(case) for case in engine.state.batch["case_id"]]

    def _write(self, engine: Engine) -> None:
        if not self._case:
            return
        label = torch.cat(self._label).numpy()
        groups = np.array([self.patients.get(case, case) for case in self._case])
        table: dict[str, Any] = {}
        decisions = []
        for branch, kept in self._probability.items():
            probability = torch.cat(kept).numpy()
            scores = classification_table(probability, label, self.classes, groups, self.seed)
            scores |= operating_point_table(probability, label, self.operating_points, groups, self.seed)
            if label.ndim == 1:
                scores |= calibration_table(probability, label, groups, self.seed)
            table |= {f"{branch}/{name}": entry for name, entry in scores.items()}
            decisions.append(probability.argmax(axis=1)[:, None] if label.ndim == 1 else probability >= 0.5)
        if len(decisions) > 1:
            alike = np.all([decision == decisions[0] for decision in decisions], axis=(0, 2))
            agreement = mean_interval(alike.astype(np.float64), groups, seed=self.seed)
            table["branch_agreement"] = agreement.as_record()
        update_json(self.output_dir / "metrics.json", {self.split: table})
