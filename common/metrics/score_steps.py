"""What every ranking metric starts from: how much weight of either kind there is at each distinct score."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

__all__ = ["score_steps"]

FloatArray = NDArray[np.float64]


def score_steps(score: FloatArray, target: FloatArray, weights: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Add up the positive and the negative weight at each distinct score, so that ties are one step.

    Args:
        score: (N,), higher means more likely.
        target: (N,) of 0 and 1.
        weights: (R,N), the weight of each entry in each resample.

    Returns:
        Positive and negative weight (R,S) at the S distinct scores, ascending; (R,0) where there is no score.
    """
    if not len(score):
        return np.zeros((len(weights), 0)), np.zeros((len(weights), 0))
    order = np.argsort(score, kind="stable")
    starts = np.flatnonzero(np.diff(score[order], prepend=-np.inf))
    sorted_weights, sorted_target = weights[:, order], target[order]
    positive = np.add.reduceat(sorted_weights * sorted_target, starts, axis=1)
    negative = np.add.reduceat(sorted_weights * (1 - sorted_target), starts, axis=1)
    return positive, negative
