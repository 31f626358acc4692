"""Points of the curves in curves.json: ROC, precision against recall, and perturbation curves."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import ArrayLike
from sklearn.metrics import precision_recall_curve, roc_curve
from torch import Tensor

from common.metrics.bootstrap import LEVEL, resample_counts
from common.metrics.classification import targets_of
from common.metrics.explanation import aopc_curve

__all__ = ["classification_curves", "perturbation_points"]

Points = dict[str, list[float]]


def classification_curves(
    probabilities: ArrayLike, labels: ArrayLike, classes: Sequence[str]
) -> dict[str, dict[str, Points]]:
    """Compute the ROC and the precision-recall curve of each class against the rest.

    Args:
        probabilities: (N, K) in [0, 1].
        labels: class indices (N,), or 0/1 per class (N, K).
        classes: the K class names.

    Returns:
        ``{"roc": {class: {"x": false-positive rate, "y": true-positive rate}},
        "precision_recall": {class: {"x": recall, "y": precision}}}``, x ascending. A class without positive, or
        without negative, cases has no curve and is left out.

    Raises:
        ValueError: if shapes do not fit or a label is unknown.
    """
    scores = np.asarray(probabilities, dtype=np.float64)
    targets = targets_of(labels, len(classes))
    if scores.shape != targets.shape:
        raise ValueError(f"probabilities has shape {scores.shape}, labels and classes ask for {targets.shape}")
    roc, precision_recall = {}, {}
    for name, score, target in zip(classes, scores.T, targets.T, strict=True):
        if target.min() == target.max():
            continue
        false_positive, true_positive, _ = roc_curve(target, score)
        precision, recall, _ = precision_recall_curve(target, score, drop_intermediate=True)
        roc[name] = {"x": false_positive.tolist(), "y": true_positive.tolist()}
        precision_recall[name] = {"x": recall[::-1].tolist(), "y": precision[::-1].tolist()}
    return {"roc": roc, "precision_recall": precision_recall}


def perturbation_points(
    scores: Tensor, groups: ArrayLike | None = None, n_resamples: int = 1000, seed: int = 0
) -> dict[str, list[float]]:
    """Compute the mean AOPC over cases for every number of steps, with its interval.

    Args:
        scores: f(x_0) .. f(x_L) of each case, (N, L+1).
        groups: (N,) the patient of each case.
        n_resamples: number of bootstrap resamples.
        seed: of the bootstrap.

    Returns:
        ``{"k": 0 .. L, "mean": AOPC(k), "low", "high"}``; the last point is the metric ``aopc`` of the same cases.

    Raises:
        ValueError: if ``scores`` is not (N, L+1).
    """
    if scores.ndim != 2 or not len(scores):
        raise ValueError(f"scores has shape {tuple(scores.shape)}, expected (N, L+1): one fill and one patch size")
    curves = aopc_curve(scores.to(torch.float64)).cpu().numpy()
    counts = resample_counts(len(curves), groups, n_resamples, seed)
    resampled = counts @ curves / counts.sum(axis=1, keepdims=True)
    low, high = np.quantile(resampled, [(1 - LEVEL) / 2, (1 + LEVEL) / 2], axis=0)
    return {
        "k": [float(k) for k in range(curves.shape[1])],
        "mean": curves.mean(axis=0).tolist(),
        "low": low.tolist(),
        "high": high.tolist(),
    }
