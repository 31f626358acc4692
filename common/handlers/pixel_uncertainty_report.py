"""Write whether the uncertainty of a split's pixels sits on the wrong ones."""

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
from common.metrics.pixel_uncertainty import (
    REMOVED,
    overlap_at_thresholds,
    overlap_curve,
    overlap_interval,
    pixel_error_auroc,
    retention_scores,
)
from common.metrics.segmented_cases import SegmentationScores
from common.utils.files import update_json


class PixelUncertaintyReport:
    """Write uncertainty-error overlap and per-pixel error detection to ``metrics.json``, curves to ``curves.json``.

    Reads "pixel_uncertainty" (B,1,H,W) and "segmentation_logits" (B,K,H,W). Each case is scored by itself, so that a
    case with many errors counts no more than another; cases without a mask are left out. For evaluation in one process.
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
        self._kept: dict[str, list[Tensor]] = {}
        self._case: list[str] = []

    def attach(self, engine: Engine) -> None:
        """Register with an evaluator."""
        engine.add_event_handler(Events.STARTED, self._start)
        engine.add_event_handler(Events.ITERATION_COMPLETED, self._keep)
        engine.add_event_handler(Events.COMPLETED, self._write)

    def _start(self, engine: Engine) -> None:
        self._kept, self._case = {}, []

    def _keep(self, engine: Engine) -> None:
        outputs, batch = engine.state.output, engine.state.batch
        if "segmentation" not in batch or "pixel_uncertainty" not in outputs:
            return
        prediction, truth, given = self.scores.compared(outputs, batch)
        if not given.any():
            return
        prediction, truth = prediction.cpu()[given], truth.cpu()[given]
        uncertainty = outputs["pixel_uncertainty"].cpu()[given]
        wrong = prediction != truth
        kept = {
            "overlap": overlap_at_thresholds(uncertainty, wrong),
            "auroc": pixel_error_auroc(uncertainty, wrong),
            "mean": uncertainty.double().flatten(1).mean(dim=1),
        }
        retention = retention_scores(uncertainty, prediction, truth, self.scores.structures)
        for name, values in (kept | {f"retention/{name}": values for name, values in retention.items()}).items():
            self._kept.setdefault(name, []).append(values)
        self._case += [str(case) for case, known in zip(batch["case_id"], given.tolist(), strict=True) if known]

    def _write(self, engine: Engine) -> None:
        if not self._case:
            return
        groups = np.array([self.patients.get(case, case) for case in self._case])
        joined = {name: torch.cat(values).numpy() for name, values in self._kept.items()}
        table = {
            "uncertainty_error_overlap": overlap_interval(joined["overlap"], groups, self.seed),
            "pixel_error_auroc": mean_interval(joined["auroc"], groups, seed=self.seed).as_record(),
            "mean_pixel_uncertainty": mean_interval(joined["mean"], groups, seed=self.seed).as_record(),
        }
        retention: dict[str, list[float | None]] = {"retained": [1 - share for share in REMOVED]}
        for name, values in joined.items():
            if name.startswith("retention/"):
                defined = [column[~np.isnan(column)] for column in values.T]
                retention[name.partition("/")[2]] = [float(cases.mean()) if len(cases) else None for cases in defined]
        curves = {"uncertainty_error_overlap": overlap_curve(joined["overlap"]), "pixel_retention": retention}
        update_json(self.output_dir / "metrics.json", {self.split: table})
        update_json(self.output_dir / "curves.json", {self.split: curves})
