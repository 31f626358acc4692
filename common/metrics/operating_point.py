"""What a classifier reaches where a clinic would use it: sensitivity at a fixed specificity, and the reverse.

The threshold is the best one for the cases measured, so these numbers say what the ranking allows; a threshold fixed
beforehand on other cases reaches a little less.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

import numpy as np
from numpy.typing import ArrayLike, NDArray

from common.metrics.bootstrap import bootstrap_weighted
from common.metrics.classification import check_classification
from common.metrics.score_steps import score_steps

__all__ = ["operating_point_table", "sensitivity_at_specificity", "specificity_at_sensitivity"]

FloatArray = NDArray[np.float64]
Measure = Callable[[FloatArray, FloatArray, FloatArray, float], FloatArray]

ROUNDING = 1e-12
"""A share that misses its aim by no more than this reaches it."""


def sensitivity_at_specificity(
    scores: FloatArray, targets: FloatArray, weights: FloatArray, specificity: float
) -> FloatArray:
    """Compute the largest sensitivity of any threshold whose specificity is at least this, class by class.

    A case is positive if its score reaches the threshold. A threshold above all scores has sensitivity 0 and
    specificity 1, so there always is one.

    Args:
        scores: (N,K), higher means more likely.
        targets: (N,K) of 0 and 1.
        weights: (R,N), the weight of each case in each resample.
        specificity: in [0,1].

    Returns:
        (R,K) in [0,1]; NaN where a class has no positive or no negative case.
    """
    columns = [_best(score, target, weights, specificity) for score, target in zip(scores.T, targets.T, strict=True)]
    return np.stack(columns, axis=1)


def specificity_at_sensitivity(
    scores: FloatArray, targets: FloatArray, weights: FloatArray, sensitivity: float
) -> FloatArray:
    """Compute the largest specificity of any threshold whose sensitivity is at least this, class by class.

    It is :func:`sensitivity_at_specificity` of the opposite decision.

    Args:
        scores: (N,K), higher means more likely.
        targets: (N,K) of 0 and 1.
        weights: (R,N), the weight of each case in each resample.
        sensitivity: in [0,1].

    Returns:
        (R,K) in [0,1]; NaN where a class has no positive or no negative case.
    """
    return sensitivity_at_specificity(-scores, 1 - targets, weights, sensitivity)


def operating_point_table(
    probabilities: ArrayLike,
    labels: ArrayLike,
    levels: Sequence[float],
    groups: ArrayLike | None = None,
    seed: int = 0,
    n_resamples: int = 1000,
) -> dict[str, dict[str, float | int | None]]:
    """Compute both numbers at each level with 95 % bootstrap intervals, in the form of metrics.json.

    Args:
        probabilities: (N,K) in [0,1].
        labels: class indices (N,), or 0/1 per class (N,K) where several classes may be present (multi-label).
        levels: specificities and sensitivities to hold, each in [0,1].
        groups: (N,) the patient of each case; whole patients are drawn.
        seed: of the bootstrap.
        n_resamples: number of resamples.

    Returns:
        ``sensitivity_at_specificity/<level>`` and ``specificity_at_sensitivity/<level>``: with two exclusive classes
        those of the second, otherwise the mean over the classes; None where a class has no positive or no negative
        case.

    Raises:
        ValueError: if a level is out of range, shapes do not fit, a label is unknown, or a probability is no number.
    """
    wrong = [level for level in levels if not 0 <= level <= 1]
    if wrong:
        raise ValueError(f"level {wrong[0]} is none, expected a specificity or sensitivity from 0 to 1, such as 0.9")
    scores, targets, exclusive = check_classification(probabilities, labels)
    if exclusive and scores.shape[1] == 2:
        scores, targets = scores[:, 1:], targets[:, 1:]
    table = {}
    for measure in (sensitivity_at_specificity, specificity_at_sensitivity):
        for level in levels:
            interval = bootstrap_weighted(
                partial(_mean_over_classes, measure, level),
                scores,
                targets,
                groups=groups,
                seed=seed,
                n_resamples=n_resamples,
            )
            table[f"{measure.__name__}/{level:g}"] = interval.as_record()
    return table


def _mean_over_classes(
    measure: Measure, level: float, scores: FloatArray, targets: FloatArray, weights: FloatArray
) -> FloatArray:
    return np.asarray(measure(scores, targets, weights, level).mean(axis=1))


def _best(score: FloatArray, target: FloatArray, weights: FloatArray, specificity: float) -> FloatArray:
    positive, negative = score_steps(score, target, weights)
    found, kept = _share_from(positive), 1 - _share_from(negative)
    best = np.where(kept >= specificity - ROUNDING, found, 0.0).max(axis=1)
    return np.where(np.isnan(found[:, 0]) | np.isnan(kept[:, 0]), np.nan, best)


def _share_from(weight: FloatArray) -> FloatArray:
    """Return the share of the weight at each score or above it; NaN without any weight."""
    above = np.cumsum(weight[:, ::-1], axis=1)[:, ::-1]
    return np.divide(above, above[:, :1], out=np.full(above.shape, np.nan), where=above[:, :1] > 0)
