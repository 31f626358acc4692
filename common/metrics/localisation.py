"""How well boxes and marks that were drawn from image labels alone find what experts have outlined.

Every image counts, also those without a finding: what is drawn there is a false alarm. Each number is a function of
image weights, see :mod:`common.metrics.classification`, so that whole patients can be drawn.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Self

import numpy as np
from monai.apps.detection.metrics.matching import matching_batch
from monai.data.box_utils import box_iou
from numpy.typing import ArrayLike, NDArray
from scipy import ndimage

from common.metrics.bootstrap import bootstrap_weighted
from common.metrics.score_steps import score_steps

__all__ = [
    "Detections",
    "box_precision_table",
    "froc_points",
    "froc_table",
    "match_boxes",
    "match_marks",
    "precision_recall_points",
    "widened",
]

FloatArray = NDArray[np.float64]
BoolArray = NDArray[np.bool_]
Table = dict[str, dict[str, float | int | None]]
Points = dict[str, list[float]]

MOST = 1000
"""More boxes than any map has."""


@dataclass(frozen=True)
class Detections:
    """What was drawn in one image, and which of it is right.

    Attributes:
        score: (M,) how sure each is; a finding that was missed has none.
        hit: (M,) whether it is right; no finding is hit twice.
        targets: number of findings in the image.
    """

    score: FloatArray
    hit: BoolArray
    targets: int


def match_boxes(boxes: ArrayLike, score: ArrayLike, truth: ArrayLike, ious: Sequence[float]) -> dict[float, Detections]:
    """Match the boxes of one image with the true ones, as MONAI and COCO do.

    In order of their scores, each box takes the true box that it overlaps most among those not yet taken, if their IoU
    reaches the threshold; otherwise it is wrong.

    Args:
        boxes: (M,4), x0, y0, x1, y1.
        score: (M,).
        truth: (G,4).
        ious: the thresholds, each above 0, at most 1.

    Returns:
        The matched boxes of each threshold, the highest score first.

    Raises:
        ValueError: if shapes do not fit or a threshold is out of range.
    """
    drawn, true = np.asarray(boxes, dtype=np.float64), np.asarray(truth, dtype=np.float64)
    scores = np.asarray(score, dtype=np.float64)
    drawn, true = drawn.reshape(len(drawn), 4), true.reshape(len(true), 4)
    if scores.shape != (len(drawn),):
        raise ValueError(f"got {len(drawn)} boxes and scores of shape {scores.shape}, expected one score for each box")
    wrong = [iou for iou in ious if not 0 < iou <= 1]
    if wrong:
        raise ValueError(f"IoU threshold is {wrong[0]}, expected a number above 0, at most 1")
    order = np.argsort(-scores, kind="stable")
    hit = np.zeros((len(ious), len(drawn)), dtype=bool)
    if len(drawn) and len(true):
        one_class = [np.zeros(len(drawn), dtype=int)], [np.zeros(len(true), dtype=int)]
        found = matching_batch(
            _overlap, ious, [drawn[order]], one_class[0], [scores[order]], [true], one_class[1], max_detections=MOST
        )
        hit = found[0][0]["dtMatches"] > 0
    return {iou: Detections(scores[order], row, len(true)) for iou, row in zip(ious, hit, strict=True)}


def match_marks(marks: ArrayLike, score: ArrayLike, truth: ArrayLike) -> Detections:
    """Match the marks of one image with its findings.

    A mark inside a true box hits it. Of several marks in one box the surest counts, the others count as nothing; marks
    in no box are wrong. This is the rule of CAMELYON16, with boxes for outlines: an outline may fall into pieces.

    Args:
        marks: (M,2), x and y of a pixel.
        score: (M,).
        truth: (G,4), x0, y0, x1, y1.

    Returns:
        The hits, then the false marks.

    Raises:
        ValueError: if there is not one score for each mark.
    """
    centre = np.asarray(marks, dtype=np.float64).reshape(-1, 2) + 0.5
    true, scores = np.asarray(truth, dtype=np.float64).reshape(-1, 4), np.asarray(score, dtype=np.float64)
    if scores.shape != (len(centre),):
        raise ValueError(
            f"got {len(centre)} marks and scores of shape {scores.shape}, expected one score for each mark"
        )
    after, before = true[None, :, :2] <= centre[:, None], centre[:, None] < true[None, :, 2:]
    inside = np.asarray((after & before).all(axis=2))
    found = inside.any(axis=0)
    best = np.where(inside, scores[:, None], -np.inf).max(axis=0, initial=-np.inf)[found]
    false = scores[~inside.any(axis=1)]
    return Detections(np.concatenate([best, false]), np.arange(len(best) + len(false)) < len(best), len(true))


def box_precision_table(
    images: Mapping[float, Sequence[Detections]],
    groups: ArrayLike | None = None,
    seed: int = 0,
    n_resamples: int = 1000,
) -> Table:
    """Compute the area under the precision-recall curve of boxes at each IoU threshold.

    Boxes of all images are ranked by their scores together. The area is the average precision: precision at each
    score, weighted by the gain in recall. Recall counts the findings of all images.

    Args:
        images: N images by the IoU threshold, of :func:`match_boxes`.
        groups: (N,) the patient of each image.
        seed: of the bootstrap.
        n_resamples: number of resamples.

    Returns:
        ``{"pr_auc_iou/<threshold>": {"value", "low", "high", "n"}}``, ``n`` the images; None where no image has a
        finding.
    """
    return {
        f"pr_auc_iou/{iou:g}": _entry(partial(_average_precision, _Ranking.of(found)), found, groups, seed, n_resamples)
        for iou, found in images.items()
    }


def froc_table(
    images: Sequence[Detections],
    rates: Sequence[float],
    groups: ArrayLike | None = None,
    seed: int = 0,
    n_resamples: int = 1000,
) -> Table:
    """Compute the share of findings that is marked where so many false marks per image are allowed on average.

    The best threshold with at most that many is taken; nothing is interpolated between thresholds.

    Args:
        images: N images of :func:`match_marks`, those without a finding included.
        rates: false marks per image, such as 0.25, 0.5, 1 and 2.
        groups: (N,) the patient of each image.
        seed: of the bootstrap.
        n_resamples: number of resamples.

    Returns:
        ``{"froc/<rate>": {"value", "low", "high", "n"}}``, ``n`` the images; None where no image has a finding.

    Raises:
        ValueError: if a rate is negative.
    """
    if any(rate < 0 for rate in rates):
        raise ValueError(f"false marks per image are {list(rates)}, expected numbers of 0 or more")
    ranking = _Ranking.of(images)
    return {
        f"froc/{rate:g}": _entry(partial(_sensitivity, ranking, rate), images, groups, seed, n_resamples)
        for rate in rates
    }


def precision_recall_points(images: Sequence[Detections]) -> Points:
    """Compute precision against recall of the boxes at each score, the highest first.

    Args:
        images: N images of :func:`match_boxes` at one threshold.

    Returns:
        ``{"x": recall, "y": precision}``; empty where no image has a finding.
    """
    ranking = _Ranking.of(images)
    found, false = (counts[0] for counts in ranking.counts(np.ones((1, len(images)))))
    total = ranking.targets.sum()
    return {"x": (found / total).tolist(), "y": (found / (found + false)).tolist()} if total else {"x": [], "y": []}


def froc_points(images: Sequence[Detections]) -> Points:
    """Compute the share of findings that is marked against false marks per image, at each score, the highest first.

    Args:
        images: N images of :func:`match_marks`.

    Returns:
        ``{"x": false marks per image, "y": sensitivity}``; empty where no image has a finding.
    """
    ranking = _Ranking.of(images)
    found, false = (counts[0] for counts in ranking.counts(np.ones((1, len(images)))))
    total = ranking.targets.sum()
    return {"x": (false / len(images)).tolist(), "y": (found / total).tolist()} if total else {"x": [], "y": []}


def widened(region: BoolArray, tolerance: float) -> BoolArray:
    """Return a region with everything that is at most so far from it, for a pointing game that forgives near misses.

    Args:
        region: (H,W), true inside.
        tolerance: in pixels; 0 leaves the region as it is. Published (Zhang et al., ECCV 2016): 15.

    Raises:
        ValueError: if the tolerance is negative.
    """
    if tolerance < 0:
        raise ValueError(f"tolerance is {tolerance}, expected 0 pixels or more")
    if tolerance == 0 or not region.any():
        return region.copy()
    return np.asarray(ndimage.distance_transform_edt(~region) <= tolerance)


@dataclass(frozen=True)
class _Ranking:
    """What was drawn in N images, as one list: score (M,), hit (M,), which image (M,), and findings per image (N,)."""

    score: FloatArray
    hit: FloatArray
    image: NDArray[np.int64]
    targets: FloatArray

    @classmethod
    def of(cls, images: Sequence[Detections]) -> Self:
        lengths = [len(image.score) for image in images]
        return cls(
            np.concatenate([np.zeros(0), *(image.score for image in images)]),
            np.concatenate([np.zeros(0), *(image.hit for image in images)]),
            np.repeat(np.arange(len(images)), lengths),
            np.array([image.targets for image in images], dtype=np.float64),
        )

    def counts(self, weights: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Return how many right and how many wrong ones reach each score, (R,S), the highest score first."""
        right, wrong = score_steps(self.score, self.hit, weights[:, self.image])
        return np.cumsum(right[:, ::-1], axis=1), np.cumsum(wrong[:, ::-1], axis=1)


def _overlap(boxes: FloatArray, truth: FloatArray) -> FloatArray:
    return np.asarray(box_iou(boxes, truth))


def _average_precision(ranking: _Ranking, targets: FloatArray, weights: FloatArray) -> FloatArray:
    found, false = ranking.counts(weights)
    drawn = found + false
    precision = np.divide(found, drawn, out=np.zeros_like(found), where=drawn > 0)
    gained = (np.diff(found, axis=1, prepend=0.0) * precision).sum(axis=1)
    return _share(gained, weights @ targets)


def _sensitivity(ranking: _Ranking, rate: float, targets: FloatArray, weights: FloatArray) -> FloatArray:
    found, false = ranking.counts(weights)
    allowed = false <= (rate + 1e-12) * weights.sum(axis=1, keepdims=True)
    return _share(np.where(allowed, found, 0.0).max(axis=1, initial=0.0), weights @ targets)


def _share(part: FloatArray, whole: FloatArray) -> FloatArray:
    return np.divide(part, whole, out=np.full(np.shape(part), np.nan), where=whole > 0)


def _entry(
    statistic: Callable[[FloatArray, FloatArray], FloatArray],
    images: Sequence[Detections],
    groups: ArrayLike | None,
    seed: int,
    n_resamples: int,
) -> dict[str, float | int | None]:
    targets = np.array([image.targets for image in images], dtype=np.float64)
    return bootstrap_weighted(statistic, targets, groups=groups, seed=seed, n_resamples=n_resamples).as_record()
