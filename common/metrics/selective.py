"""Does the uncertainty rank errors? Risk against coverage, and the detection of errors.

Source: Geifman and El-Yaniv, "Selective classification for deep neural networks", NeurIPS 2017; excess AURC: Geifman,
Uziel, El-Yaniv, "Bias-reduced uncertainty estimation for deep neural classifiers", ICLR 2019.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import digamma

from common.metrics.bootstrap import bootstrap_weighted
from common.metrics.classification import roc_area_by_class

__all__ = ["error_auroc", "risk_coverage_curve", "selective_scores", "selective_table", "weight_by_level"]

FloatArray = NDArray[np.float64]
Statistic = Callable[[FloatArray, FloatArray, FloatArray], FloatArray]


def selective_scores(uncertainty: ArrayLike, correct: ArrayLike) -> dict[str, float]:
    """Score an uncertainty without intervals.

    Args:
        uncertainty: (N,), larger where the network is less sure.
        correct: (N,) 1 (or True) where the prediction is right.

    Returns:
        aurc, excess_aurc and error_auroc, see :func:`selective_table`; NaN where undefined.

    Raises:
        ValueError: if lengths differ or an uncertainty is not a number.
    """
    ranked, wrong = _checked(uncertainty, correct)
    once = np.ones((1, len(ranked)))
    return {name: float(statistic(ranked, wrong, once)[0]) for name, statistic in STATISTICS.items()}


def selective_table(
    uncertainty: ArrayLike,
    correct: ArrayLike,
    groups: ArrayLike | None = None,
    seed: int = 0,
    n_resamples: int = 1000,
) -> dict[str, dict[str, float | int | None]]:
    """Score an uncertainty with 95 % bootstrap intervals, in the form of metrics.json.

    Args:
        uncertainty: (N,), larger where the network is less sure.
        correct: (N,) 1 (or True) where the prediction is right.
        groups: (N,) the patient of each case; whole patients are drawn.
        seed: of the bootstrap.
        n_resamples: number of resamples.

    Returns:
        ``aurc``: the mean, over k = 1 .. N, of the share of errors among the k most certain cases; ``excess_aurc``: by
        how much that is above the AURC of an uncertainty that ranks every error last; ``error_auroc``: the chance that
        an error is more uncertain than a right answer. Cases of equal uncertainty count as being in random order.

    Raises:
        ValueError: if lengths differ or an uncertainty is not a number.
    """
    ranked, wrong = _checked(uncertainty, correct)
    return {
        name: bootstrap_weighted(
            statistic, ranked, wrong, groups=groups, seed=seed, n_resamples=n_resamples
        ).as_record()
        for name, statistic in STATISTICS.items()
    }


def risk_coverage_curve(uncertainty: ArrayLike, correct: ArrayLike) -> dict[str, list[float]]:
    """Compute the share of errors among the cases that remain when those above a threshold are handed to a person.

    Args:
        uncertainty: (N,), larger where the network is less sure.
        correct: (N,) 1 (or True) where the prediction is right.

    Returns:
        ``{"coverage": (0, 1] ascending, "risk": [0, 1]}``, one point for each distinct uncertainty.

    Raises:
        ValueError: if lengths differ or an uncertainty is not a number.
    """
    ranked, wrong = _checked(uncertainty, correct)
    kept, errors = (np.cumsum(sums[0]) for sums in weight_by_level(ranked, wrong, np.ones((1, len(ranked)))))
    return {"coverage": (kept / kept[-1]).tolist(), "risk": (errors / kept).tolist()}


def error_auroc(uncertainty: FloatArray, wrong: FloatArray, weights: FloatArray) -> FloatArray:
    """Area under the ROC curve of an uncertainty as detector of errors.

    Args:
        uncertainty: (N,).
        wrong: (N,) 1 where the prediction is wrong, else 0.
        weights: (R,N), the weight of each case in each resample.

    Returns:
        (R,) in [0,1]; NaN where all cases are right or all are wrong.
    """
    return roc_area_by_class(uncertainty[:, None], wrong[:, None], weights)[:, 0]


def weight_by_level(scores: FloatArray, marked: FloatArray, weights: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Add up weights at each distinct score, ascending.

    Args:
        scores: (N,).
        marked: (N,) 1 for marked cases, else 0.
        weights: (R,N), the weight of each case in each resample.

    Returns:
        The weight of all cases and that of the marked ones, (R, number of distinct scores) each.
    """
    order = np.argsort(scores, kind="stable")
    starts = np.flatnonzero(np.diff(scores[order], prepend=-np.inf))
    ordered = weights[:, order]
    return np.add.reduceat(ordered, starts, axis=1), np.add.reduceat(ordered * marked[order], starts, axis=1)


def _aurc(uncertainty: FloatArray, wrong: FloatArray, weights: FloatArray) -> FloatArray:
    """Add up the expected risk at every place of every level in closed form.

    Among g cases of one level, e of them wrong, after n cases with w errors, the j-th place in random order has risk
    (w + j e / g) / (n + j). Its sum over j = 1 .. g is e + (w - n e / g) (H(n + g) - H(n)), H the harmonic numbers.
    """
    group, errors = weight_by_level(uncertainty, wrong, weights)
    after, errors_after = np.cumsum(group, axis=1), np.cumsum(errors, axis=1)
    share = np.divide(errors, group, out=np.zeros_like(group), where=group > 0)
    before, errors_before = after - group, errors_after - errors
    harmonic = digamma(after + 1) - digamma(before + 1)
    total = (errors + (errors_before - before * share) * harmonic).sum(axis=1)
    return np.asarray(total / after[:, -1])


def _excess_aurc(uncertainty: FloatArray, wrong: FloatArray, weights: FloatArray) -> FloatArray:
    return _aurc(uncertainty, wrong, weights) - _aurc(wrong, wrong, weights)


STATISTICS: dict[str, Statistic] = {"aurc": _aurc, "excess_aurc": _excess_aurc, "error_auroc": error_auroc}


def _checked(uncertainty: ArrayLike, correct: ArrayLike) -> tuple[FloatArray, FloatArray]:
    ranked, right = np.asarray(uncertainty, dtype=np.float64), np.asarray(correct, dtype=np.float64)
    if ranked.ndim != 1 or ranked.shape != right.shape or not len(ranked):
        raise ValueError(f"uncertainty has shape {ranked.shape} and correct {right.shape}, expected (N,) for both")
    if not np.isfinite(ranked).all():
        raise ValueError(f"the uncertainty of {(~np.isfinite(ranked)).sum()} of {len(ranked)} cases is not a number")
    return ranked, 1 - right
