"""Write the final segmentation metrics of a split, with intervals."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from ignite.engine import Engine, Events

from common.handlers.classification_report import patient_of
from common.metrics.bootstrap import mean_interval
from common.metrics.segmented_cases import SegmentationScores
from common.utils.files import update_json


class SegmentationReport:
    """Write overlap and surface distances of every structure to ``metrics.json``, each case's Dice to ``curves.json``.

    Every number is the mean over the cases that define it, ``n`` of them (:mod:`common.metrics.segmentation` says
    which), with a 95 % bootstrap interval over patients, or over cases where the datalist knows no patients. Distances
    are in pixels of the network's input. For evaluation in one process.
    """

    def __init__(
        self,
        output_dir: str | Path,
        split: str,
        scores: SegmentationScores,
        items: Sequence[Mapping[str, Any]] = (),
        seed: int = 0,
    ) -> None:
        """Say what to write.

        Args:
            output_dir: the run folder.
            split: "training", "validation" or "test".
            scores: the structures.
            items: the split's items, for their patients.
            seed: of the bootstrap.
        """
        self.output_dir = Path(output_dir)
        self.split = split
        self.scores = scores
        self.patients = patient_of(items)
        self.seed = seed
        self._values: dict[str, list[float]] = {}
        self._case: list[str] = []

    def attach(self, engine: Engine) -> None:
        """Register with an evaluator."""
        engine.add_event_handler(Events.STARTED, self._start)
        engine.add_event_handler(Events.ITERATION_COMPLETED, self._keep)
        engine.add_event_handler(Events.COMPLETED, self._write)

    def _start(self, engine: Engine) -> None:
        self._values, self._case = {}, []

    def _keep(self, engine: Engine) -> None:
        scores = self.scores(engine.state.output, engine.state.batch)
        for name, values in scores.items():
            self._values.setdefault(name, []).extend(values.tolist())
        if scores:
            self._case += [str(case) for case in engine.state.batch["case_id"]]

    def _write(self, engine: Engine) -> None:
        groups = np.array([self.patients.get(case, case) for case in self._case])
        table = {
            name: mean_interval(values, groups, seed=self.seed).as_record() for name, values in self._values.items()
        }
        update_json(self.output_dir / "metrics.json", {self.split: table})
        update_json(self.output_dir / "curves.json", {self.split: self._curves()})

    def _curves(self) -> dict[str, Any]:
        """Return each structure's cases by their Dice, the worst first, and the predicted against the true ratios."""
        curves: dict[str, Any] = {}
        for structure in self.scores.structures:
            scored = zip(self._values.get(f"dice/{structure}", []), self._case, strict=False)
            ranked = sorted(pair for pair in scored if not np.isnan(pair[0]))
            if ranked:
                points = {"case_id": [case for _, case in ranked], "dice": [value for value, _ in ranked]}
                curves.setdefault("dice", {})[structure] = points
        pairs = zip(self._values.get("cup_to_disc_true", []), self._values.get("cup_to_disc", []), strict=True)
        known = [pair for pair in pairs if not np.isnan(pair).any()]
        if known:
            curves["cup_to_disc"] = {"true": [pair[0] for pair in known], "predicted": [pair[1] for pair in known]}
        return curves
