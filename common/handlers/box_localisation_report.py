"""Write how well the maps of each disease find its boxes, for a network that was taught by image labels alone."""

from __future__ import annotations

import logging
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from ignite.engine import Engine, Events
from numpy.typing import ArrayLike
from torch import Tensor

from common.explain.regions import FloatArray
from common.explain.relevance import Relevance
from common.explain.weak_localisation import level_at, otsu_level
from common.handlers.classification_report import patient_of
from common.handlers.localisation_report import SHARES
from common.metrics.box_localisation import disease_means, drawn_overlaps
from common.metrics.explanation import localisation_scores, roi_area
from common.types import ExplainingNetwork
from common.utils.batch import to_device
from common.utils.files import update_json

logger = logging.getLogger(__name__)

SCORES = {"pointing_game": "pointing_game", "energy_in_box": "energy_in_roi"}
"""Name in metrics.json of each score of a map and a region."""
OVERLAPS = {"part": "t_iou", "all": "t_iou_all", "mask": "t_iou_mask", "whole": "t_iou_chance"}
"""Name in metrics.json of each rule of :func:`common.metrics.box_localisation.drawn_overlaps`, and of one box around
the whole image."""


class BoxLocalisationReport:
    """Write T(IoU), pointing game and energy of each disease's maps to ``metrics.json``.

    A finding is a disease of a case that has a box of it in the batch's "finding_mask" (B,C,H,W), which
    :class:`common.data.FindingBoxesd` makes; the map is that of this disease, whatever else the case has and whatever
    the network predicts. It is resized to the mask's size. :class:`common.handlers.LocalisationReport` asks another
    question: of one map per case, with false alarms.

    What is drawn is what lies above a threshold, a share of the map's range: the one with the best mean IoU of boxes on
    ``calibration``, each kind of map its own; without it, or without boxes in it, Otsu's method sets one for each map.
    For evaluation in one process. Nothing is written where there is no box.
    """

    def __init__(
        self,
        output_dir: str | Path,
        split: str,
        classes: Sequence[str],
        relevance: Relevance,
        others: Mapping[str, Relevance] | None = None,
        items: Sequence[Mapping[str, Any]] = (),
        ious: Sequence[float] = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7),
        network: ExplainingNetwork | None = None,
        calibration: Iterable[Mapping[str, Any]] | None = None,
        seed: int = 0,
    ) -> None:
        """Say what to measure.

        Args:
            output_dir: the run folder.
            split: "training", "validation" or "test".
            classes: names of the C diseases.
            relevance: makes the maps.
            others: maps to compare with, by their names in metrics.json, such as "gradcam"; of another network too
                (:class:`common.explain.AttributionRelevance`), which must hold its weights by then.
            items: the split's items, for their names and patients.
            ious: thresholds T, from 0 to below 1.
            network: the network itself, without wrappers; needed for ``calibration``.
            calibration: loader of another split, with boxes, on which to choose the maps' thresholds.
            seed: of the bootstrap.

        Raises:
            ValueError: for an IoU that is out of range, or a loader without a network to run.
        """
        wrong = [iou for iou in ious if not 0 <= iou < 1]
        if wrong:
            raise ValueError(f"IoU threshold is {wrong[0]}, expected a number from 0 to below 1")
        if network is None and calibration is not None:
            raise ValueError("calibration runs the network: give BoxLocalisationReport the network too")
        self.output_dir = Path(output_dir)
        self.split = split
        self.classes = list(classes)
        self.maps: dict[str, Relevance] = {"": relevance, **(others or {})}
        self.cases = {str(item["case_id"]) for item in items}
        self.patients = patient_of(items)
        self.ious = list(ious)
        self.network = network
        self.calibration = calibration
        self.seed = seed
        self._seen = _Seen()

    def attach(self, engine: Engine) -> None:
        """Register with an evaluator."""
        engine.add_event_handler(Events.STARTED, self._start)
        engine.add_event_handler(Events.ITERATION_COMPLETED, self._measure)
        engine.add_event_handler(Events.COMPLETED, self._write)

    def _start(self, engine: Engine) -> None:
        self._seen = _Seen()

    def _measure(self, engine: Engine) -> None:
        seen, batch = self._seen, engine.state.batch
        for cases, disease, truth, maps in self._drawn(batch, engine.state.output):
            if not seen.calibrated:
                self._calibrate(engine)
            seen.case += [str(batch["case_id"][row]) for row in cases]
            seen.disease += disease
            region = truth[:, None].float()
            seen.note("pointing_chance", "", roi_area(region).tolist())
            seen.note("whole", "", [drawn_overlaps(np.ones(one.shape), 1.0, one)["all"] for one in truth.numpy()])
            for name, values in maps.items():
                scores = localisation_scores(values[:, None], region)
                for metric, score in SCORES.items():
                    seen.note(metric, name, scores[score].tolist())
                for heatmap, one in zip(values.numpy(), truth.numpy(), strict=True):
                    for rule, iou in drawn_overlaps(heatmap, self._level(name, heatmap), one).items():
                        seen.note(rule, name, [iou])

    def _drawn(
        self, batch: Mapping[str, Any], output: Mapping[str, Tensor]
    ) -> Iterator[tuple[list[int], list[int], Tensor, dict[str, Tensor]]]:
        """Yield rows of the batch, a disease of each, its boxes (M,H,W), bool, and its maps (M,H,W) by their names.

        At most as many as the batch has cases, so that maps of many diseases need no more memory than the batch.
        """
        mask = batch.get("finding_mask")
        if mask is None or mask.shape[1] != len(self.classes):
            got = "none" if mask is None else f"one of {mask.shape[1]} classes"
            raise ValueError(
                f"the batch has {got} of a 'finding_mask' for the {len(self.classes)} diseases: put FindingBoxesd with "
                "the same classes at the end of the preprocessing, or leave BoxLocalisationReport out"
            )
        found = (mask > 0).flatten(2).any(dim=2).nonzero()
        for rows, disease in (some.T for some in found.split(len(mask)) if len(some)):
            few = {name: value[rows] for name, value in output.items()}
            part = {"image": batch["image"][rows]}
            maps = {}
            for name, make in self.maps.items():
                values = make(few, part, disease).float()
                maps[name] = F.interpolate(values, size=mask.shape[-2:], mode="bilinear")[:, 0].cpu()
            yield rows.tolist(), disease.tolist(), (mask[rows, disease] > 0).cpu(), maps

    def _level(self, name: str, heatmap: FloatArray) -> float:
        share = self._seen.share.get(name)
        if heatmap.min() == heatmap.max():
            return math.inf  # a map without preference draws nothing
        return otsu_level(heatmap) if share is None else level_at(heatmap, share)

    def _calibrate(self, engine: Engine) -> None:
        """Choose each kind of map's share of the range with the best mean IoU, over diseases, on the other split."""
        self._seen.calibrated = True
        overlaps: dict[str, list[list[float]]] = {name: [] for name in self.maps}
        diseases: list[int] = []
        for raw in self.calibration or ():
            batch = to_device(raw, engine.state.device)
            shared = {str(case) for case in batch["case_id"]} & self.cases
            if shared:
                raise ValueError(
                    f"case '{min(shared)}' is in the {self.split} split and among those the maps' thresholds are "
                    "chosen on; choose them on another split, or the result says nothing"
                )
            for _, disease, truth, maps in self._drawn(batch, self._explained(batch)):
                diseases += disease
                for name, values in maps.items():
                    pairs = zip(values.numpy(), truth.numpy(), strict=True)
                    overlaps[name] += [
                        [drawn_overlaps(heatmap, level_at(heatmap, share), inside)["part"] for share in SHARES]
                        for heatmap, inside in pairs
                    ]
        if diseases:
            means = {name: _mean_by_disease(np.array(rows), np.array(diseases)) for name, rows in overlaps.items()}
            self._seen.share = {name: SHARES[int(mean.argmax())] for name, mean in means.items()}
            self._seen.fitted_on = len(diseases)
        elif self.calibration is not None:
            logger.warning("no case to choose the maps' thresholds on has a box; Otsu's method sets one for each map")

    def _explained(self, batch: Mapping[str, Any]) -> dict[str, Tensor]:
        if self.network is None:
            return {}
        with torch.no_grad():
            return self.network.explain(batch["image"])

    def _write(self, engine: Engine) -> None:
        seen = self._seen
        if not seen.case:
            return
        metrics: dict[str, Any] = {}
        for (what, name), values in seen.values.items():
            end = f"/{name}" if name else ""
            if what not in OVERLAPS:
                metrics |= self._means(f"{what}{end}", values)
                continue
            for iou in self.ious:
                metric = f"{OVERLAPS[what]}/{iou:g}{end}"
                table = self._means(metric, np.array(values) > iou)
                metrics |= table if what == "part" else {metric: table[metric]}
        for name, share in seen.share.items():
            entry = {"value": share, "low": None, "high": None, "n": seen.fitted_on}
            metrics[f"box_threshold/{name}" if name else "box_threshold"] = entry
        update_json(self.output_dir / "metrics.json", {self.split: metrics})

    def _means(self, metric: str, values: ArrayLike) -> dict[str, Any]:
        groups = [self.patients.get(case, case) for case in self._seen.case]
        return disease_means(metric, values, self._seen.disease, self.classes, groups, self.seed)


class _Seen:
    """What is kept of the findings seen, and how maps are cut."""

    def __init__(self) -> None:
        self.calibrated = False
        self.share: dict[str, float] = {}
        self.fitted_on = 0
        self.case: list[str] = []
        self.disease: list[int] = []
        self.values: dict[tuple[str, str], list[float]] = {}

    def note(self, what: str, name: str, values: list[float]) -> None:
        self.values.setdefault((what, name), []).extend(values)


def _mean_by_disease(values: np.ndarray, disease: np.ndarray) -> np.ndarray:
    """Return the mean over diseases of their means, (M,S) to (S,)."""
    return np.mean([values[disease == index].mean(axis=0) for index in np.unique(disease)], axis=0)
