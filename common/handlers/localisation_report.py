"""Write how well a network that was taught by image labels alone finds what experts have outlined."""

from __future__ import annotations

import logging
import math
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from ignite.engine import Engine, Events
from numpy.typing import NDArray
from torch import Tensor

from common.explain.regions import FloatArray
from common.explain.relevance import Relevance
from common.explain.weak_localisation import boxes_of_map, level_at, otsu_level, segmentation_of_map
from common.handlers.classification_report import patient_of
from common.handlers.findings import Finding, asked_classes, find_truth, indices_of
from common.metrics.bootstrap import mean_interval
from common.metrics.explanation import localisation_scores
from common.metrics.localisation import (
    Detections,
    box_precision_table,
    froc_points,
    froc_table,
    match_boxes,
    match_marks,
    precision_recall_points,
    widened,
)
from common.metrics.segmentation import overlap_scores
from common.types import ExplainingNetwork
from common.utils.batch import to_device
from common.utils.files import update_json

logger = logging.getLogger(__name__)

SHARES = tuple(round(0.05 * step, 2) for step in range(1, 20))
"""Thresholds to choose from, as shares of a map's range."""
POINTING = ("pointing_game", "pointing_chance")
ENERGY = ("energy_in_roi", "roi_area")
OF_THE_REGION = ("pointing_chance", "roi_area")


class LocalisationReport:
    """Write pointing game, energy, boxes, marks and weak segmentation to ``metrics.json``, curves to ``curves.json``.

    What is measured is the map of one class, in the pixels of the source image (:class:`common.data.Placement`),
    against the datalist's mask or boxes. The class is one of ``findings``: of a case that has a finding, the finding it
    has (the most probable, if it has several), so the question is "where is it?"; of a case that has none, the most
    probable one, so that everything drawn there is a false alarm. Cases that have a finding which nobody has outlined
    are left out. Boxes of other classes do not count; :class:`common.handlers.BoxLocalisationReport` asks for each
    disease of a case.

    A box is drawn around each connected part of the map above a threshold, a share of the map's range, and scored by
    the probability of the class times the part's maximum; the maximum is the part's mark. The threshold is the one with
    the best mean Dice on ``calibration``; without it Otsu's method sets one for each map. For evaluation in one
    process. Nothing is written where the datalist has outlined nothing.
    """

    def __init__(
        self,
        output_dir: str | Path,
        split: str,
        classes: Sequence[str],
        relevance: Relevance,
        findings: Sequence[str] | None = None,
        baselines: Mapping[str, Relevance] | None = None,
        items: Sequence[Mapping[str, Any]] = (),
        target: str = "region",
        ious: Sequence[float] = (0.1, 0.25, 0.5),
        false_marks: Sequence[float] = (0.25, 0.5, 1, 2),
        tolerance: float = 0.0,
        smallest: float = 0.0005,
        parts: int | None = 1,
        network: ExplainingNetwork | None = None,
        calibration: Iterable[Mapping[str, Any]] | None = None,
        seed: int = 0,
    ) -> None:
        """Say what to measure.

        Args:
            output_dir: the run folder.
            split: "training", "validation" or "test".
            classes: names of the C classes.
            relevance: makes the map.
            findings: names of the classes that have something to point at; None for the classes of those items that are
                outlined.
            baselines: other maps by their names in metrics.json, such as "gradcam"; only where they point is measured.
            items: the split's items, with the outlines and the patients.
            target: what is outlined, the name in ``dice/<target>``.
            ious: overlaps from which on a box is right.
            false_marks: false marks per image at which the sensitivity is written.
            tolerance: of the pointing game, in source pixels.
            smallest: parts of a map below this share of the image get no box.
            parts: connected parts that make up the segmentation; None for all.
            network: the network itself, without wrappers; needed for ``calibration``.
            calibration: loader of another split, with masks, on which to choose the threshold.
            seed: of the bootstrap.

        Raises:
            ValueError: for an unknown finding, or a loader without a network to run.
        """
        if network is None and calibration is not None:
            raise ValueError("calibration runs the network: give LocalisationReport the network too")
        self.output_dir = Path(output_dir)
        self.split = split
        self.classes = list(classes)
        self.findings = indices_of(findings, classes, items)
        self.maps: dict[str, Relevance] = {"": relevance, **(baselines or {})}
        self.items = {str(item["case_id"]): item for item in items}
        self.patients = patient_of(items)
        self.target = target
        self.ious, self.false_marks = list(ious), list(false_marks)
        self.tolerance, self.smallest, self.parts = tolerance, smallest, parts
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
        batch, output = engine.state.batch, engine.state.output
        if not self._seen.calibrated:
            self._seen.threshold, self._seen.fitted_on = self._choose_threshold(engine)
            self._seen.calibrated = True
        index, present = asked_classes(output["probability"], batch["label"], self.findings)
        cases, asked = [str(case) for case in batch["case_id"]], [self.classes[one] for one in index.tolist()]
        truths = find_truth(cases, present, batch, self.items, asked)
        if not any(truths):
            return
        maps = {name: make(output, batch, index).float().cpu() for name, make in self.maps.items()}
        probability = output["probability"].gather(1, index[:, None])[:, 0].tolist()
        for row, truth in enumerate(truths):
            if truth is None:
                continue
            placed = {name: truth.placement.to_source(values[row, 0]) for name, values in maps.items()}
            self._draw(truth, placed[""].numpy(), self._level(maps[""][row, 0].numpy()), probability[row])
            if truth.region.any():
                for name, values in placed.items():
                    self._point(truth, name, values)

    def _draw(self, truth: Finding, heatmap: FloatArray, level: float, probability: float) -> None:
        """Note the boxes, the marks and, where there is an outline, the segmentation of one case."""
        boxes, peaks, values = boxes_of_map(heatmap, level, self.smallest)
        score = values.astype(np.float64) * probability
        self._seen.case.append(truth.case_id)
        for iou, found in match_boxes(boxes, score, truth.boxes, self.ious).items():
            self._seen.boxes.setdefault(iou, []).append(found)
        self._seen.marks.append(match_marks(peaks, score, truth.boxes))
        if truth.outlined:
            drawn = segmentation_of_map(heatmap, level, self.parts)
            for name, value in overlap_scores(_pixels(drawn), _pixels(truth.region), {self.target: [1]}).items():
                self._seen.note(name, truth.case_id, value.item())

    def _point(self, truth: Finding, name: str, heatmap: Tensor) -> None:
        """Note where a map points and how much of it lies in the region."""
        region, values = _pixels(truth.region).float(), heatmap[None, None]
        scores = localisation_scores(values, region)
        if self.tolerance:
            near = localisation_scores(values, _pixels(widened(truth.region, self.tolerance)).float())
            scores |= {key: near[key] for key in POINTING}
        for key in (*POINTING, *ENERGY):
            if not (name and key in OF_THE_REGION):
                self._seen.note(f"{key}/{name}" if name else key, truth.case_id, scores[key].item())

    def _level(self, heatmap: FloatArray) -> float:
        threshold = self._seen.threshold
        if heatmap.min() == heatmap.max():
            return math.inf  # a map without preference points nowhere
        return otsu_level(heatmap) if threshold is None else level_at(heatmap, threshold)

    def _choose_threshold(self, engine: Engine) -> tuple[float | None, int]:
        """Return the share of a map's range with the best mean Dice on the other split, and its number of cases."""
        if self.calibration is None or self.network is None:
            return None, 0
        rows: list[list[float]] = []
        for raw in self.calibration:
            batch = to_device(raw, engine.state.device)
            shared = {str(case) for case in batch["case_id"]} & set(self.items)
            if shared:
                raise ValueError(
                    f"case '{min(shared)}' is in the {self.split} split and among those the map's threshold is chosen "
                    "on; choose it on another split, or the result says nothing"
                )
            with torch.no_grad():
                output = self.network.explain(batch["image"])
            index, present = asked_classes(output["probability"], batch["label"], self.findings)
            present &= batch["mask_given"] & (batch["mask"].flatten(1).amax(dim=1) > 0.5)
            maps = self.maps[""](output, batch, index).float()
            maps = F.interpolate(maps, size=batch["mask"].shape[-2:], mode="bilinear").cpu()
            chosen = present.nonzero()[:, 0].tolist()
            rows += [self._dice_by_share(maps[row, 0].numpy(), batch["mask"][row].cpu()) for row in chosen]
        if not rows:
            logger.warning(
                "no case to choose the map's threshold on has an outline; Otsu's method sets it for each map"
            )
            return None, 0
        return SHARES[int(np.mean(rows, axis=0).argmax())], len(rows)

    def _dice_by_share(self, heatmap: FloatArray, mask: Tensor) -> list[float]:
        truth = _pixels(mask[0].numpy() > 0.5)
        drawn = (segmentation_of_map(heatmap, level_at(heatmap, share), self.parts) for share in SHARES)
        return [overlap_scores(_pixels(one), truth, {"": [1]})["dice/"].item() for one in drawn]

    def _write(self, engine: Engine) -> None:
        seen = self._seen
        if not any(found.targets for found in seen.marks):
            return
        metrics = {name: self._mean(values) for name, values in seen.values.items()}
        groups = np.array([self.patients.get(case, case) for case in seen.case])
        metrics |= box_precision_table(seen.boxes, groups, self.seed)
        metrics |= froc_table(seen.marks, self.false_marks, groups, self.seed)
        if seen.threshold is not None:
            metrics["weak_threshold"] = {"value": seen.threshold, "low": None, "high": None, "n": seen.fitted_on}
        curves = {
            "box_precision_recall": {f"{iou:g}": precision_recall_points(found) for iou, found in seen.boxes.items()},
            "froc": froc_points(seen.marks),
        }
        update_json(self.output_dir / "metrics.json", {self.split: metrics})
        update_json(self.output_dir / "curves.json", {self.split: curves})

    def _mean(self, values: Mapping[str, float]) -> dict[str, Any]:
        groups = np.array([self.patients.get(case, case) for case in values])
        return mean_interval(np.array(list(values.values())), groups, seed=self.seed).as_record()


class _Seen:
    """What is kept of the cases seen."""

    def __init__(self) -> None:
        self.calibrated = False
        self.threshold: float | None = None
        self.fitted_on = 0
        self.case: list[str] = []
        self.boxes: dict[float, list[Detections]] = {}
        self.marks: list[Detections] = []
        self.values: dict[str, dict[str, float]] = {}

    def note(self, name: str, case: str, value: float) -> None:
        self.values.setdefault(name, {})[case] = value


def _pixels(inside: NDArray[np.bool_]) -> Tensor:
    """Return a mask (H,W) as (1,1,H,W), 1 inside."""
    return torch.from_numpy(np.ascontiguousarray(inside)).long()[None, None]
