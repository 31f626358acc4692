"""Does the uncertainty tell images of another kind from those the network was made for?"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from common.metrics.bootstrap import bootstrap_weighted
from common.metrics.selective import error_auroc, weight_by_level

__all__ = ["RECALL", "ood_table"]

FloatArray = NDArray[np.float64]

RECALL = 0.95
"""Share of the foreign images that must be found where false alarms are counted."""


def ood_table(
    uncertainty: ArrayLike,
    foreign: ArrayLike,
    groups: ArrayLike | None = None,
    seed: int = 0,
    n_resamples: int = 1000,
) -> dict[str, dict[str, float | int | None]]:
    """Score an uncertainty as a detector of foreign images, in the form of metrics.json.

    Source: Hendrycks and Gimpel, "A baseline for detecting misclassified and out-of-distribution examples in neural
    networks", ICLR 2017; FPR at 95 % recall as in Liang et al., "ODIN", ICLR 2018.

    Args:
        uncertainty: (N,) one number per image, larger where the network is less sure.
        foreign: (N,) 1 (or True) for images from elsewhere, 0 for the network's own kind.
        groups: (N,) the patient of each image; whole patients are drawn.
        seed: of the bootstrap.
        n_resamples: number of resamples.

    Returns:
        ``ood_auroc``: the chance that a foreign image is the more uncertain one of a pair, ties half; ``ood_fpr95``:
        share of own images flagged at the highest threshold that flags 95 % of the foreign ones. None where only one
        kind is given.

    Raises:
        ValueError: if lengths differ or an uncertainty is not a number.
    """
    scores, targets = np.asarray(uncertainty, dtype=np.float64), np.asarray(foreign, dtype=np.float64)
    if scores.ndim != 1 or scores.shape != targets.shape or not len(scores):
        raise ValueError(f"uncertainty has shape {scores.shape}, foreign {targets.shape}, expected (N,) for both")
    if not np.isfinite(scores).all():
        raise ValueError(f"the uncertainty of {(~np.isfinite(scores)).sum()} of {len(scores)} images is not a number")
    statistics = {"ood_auroc": error_auroc, "ood_fpr95": _false_alarms}
    return {
        name: bootstrap_weighted(
            statistic, scores, targets, groups=groups, seed=seed, n_resamples=n_resamples
        ).as_record()
        for name, statistic in statistics.items()
    }


def _false_alarms(scores: FloatArray, targets: FloatArray, weights: FloatArray) -> FloatArray:
    images, foreign = weight_by_level(-scores, targets, weights)
    found, alarms = np.cumsum(foreign, axis=1), np.cumsum(images - foreign, axis=1)
    enough = np.argmax(found >= RECALL * found[:, -1:] - 1e-9, axis=1)
    flagged, own = np.take_along_axis(alarms, enough[:, None], axis=1)[:, 0], alarms[:, -1]
    defined = (found[:, -1] > 0) & (own > 0)
    return np.divide(flagged, own, out=np.full(len(weights), np.nan), where=defined)
