"""Scores of answers that are sets of labels: of the case as a whole, and of each label at a threshold of its own.

Source of the definitions: Tsoumakas, Katakis, Vlahavas, "Mining multi-label data", Data Mining and Knowledge Discovery
Handbook (2010). Where the cases leave nothing undefined they are scikit-learn's scores (the tests compare).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from common.metrics.bootstrap import bootstrap_weighted, mean_interval
from common.metrics.classification import average_precision_by_class, check_classification
from common.metrics.score_steps import score_steps

__all__ = ["best_thresholds", "cooccurrence", "label_ranking_table", "label_set_table"]

FloatArray = NDArray[np.float64]
Table = dict[str, dict[str, float | int | None]]

HALF = 0.5
"""The threshold of a label that gives no reason for another one."""


def label_set_table(
    probabilities: ArrayLike,
    labels: ArrayLike,
    classes: Sequence[str],
    thresholds: ArrayLike = HALF,
    groups: ArrayLike | None = None,
    seed: int = 0,
    n_resamples: int = 1000,
) -> Table:
    """Score the sets of labels that thresholds choose, with 95 % bootstrap intervals, in the form of metrics.json.

    Args:
        probabilities: (N,K) in [0,1], each label by itself.
        labels: (N,K) of 0 and 1.
        classes: the K names.
        thresholds: of each label (K,), or one for all; from it on a label is chosen.
        groups: (N,) the patient of each case; whole patients are drawn.
        seed: of the bootstrap.
        n_resamples: number of resamples.

    Returns:
        ``subset_accuracy``: share of cases whose set is exactly right; ``hamming_loss``: share of wrong answers;
        ``jaccard``: common labels / labels of either, mean over cases, 1 where neither has any; ``f1/<class>``; ``f1``,
        mean over the labels that occur or are predicted; ``f1_micro``, of all answers together. None where undefined.

    Raises:
        ValueError: if shapes do not fit, or a probability is not a number.
    """
    scores, targets = _checked(probabilities, labels, classes)
    chosen = (scores >= _thresholds(thresholds, len(classes))).astype(np.float64)
    either = np.maximum(chosen, targets).sum(axis=1)
    of_cases = {
        "subset_accuracy": (chosen == targets).all(axis=1).astype(np.float64),
        "hamming_loss": (chosen != targets).mean(axis=1),
        "jaccard": np.divide((chosen * targets).sum(axis=1), either, out=np.ones_like(either), where=either > 0),
    }
    options: dict[str, Any] = {"groups": groups, "seed": seed, "n_resamples": n_resamples}
    table = {name: mean_interval(values, **options).as_record() for name, values in of_cases.items()}
    found = {"f1": (_f1_macro, chosen, targets), "f1_micro": (_f1_micro, chosen, targets)}
    for index, name in enumerate(classes):
        found[f"f1/{name}"] = (_f1_micro, chosen[:, index : index + 1], targets[:, index : index + 1])
    return table | {name: bootstrap_weighted(*one, **options).as_record() for name, one in found.items()}


def label_ranking_table(
    probabilities: ArrayLike,
    labels: ArrayLike,
    classes: Sequence[str],
    groups: ArrayLike | None = None,
    seed: int = 0,
    n_resamples: int = 1000,
) -> Table:
    """Score how each case ranks its labels, and each label its cases, without any threshold.

    Args:
        probabilities: (N,K) in [0,1], each label by itself.
        labels: (N,K) of 0 and 1.
        classes: the K names.
        groups: (N,) the patient of each case; whole patients are drawn.
        seed: of the bootstrap.
        n_resamples: number of resamples.

    Returns:
        ``ranking_loss``: share of the pairs of a label that the case has and one that it has not in which the second is
        at least as probable, mean over the cases that have both; ``coverage_error``: how many labels, the most probable
        first, must be read to meet all that the case has, mean over the cases that have any;
        ``average_precision/<class>``. None where undefined.

    Raises:
        ValueError: if shapes do not fit, or a probability is not a number.
    """
    scores, targets = _checked(probabilities, labels, classes)
    options: dict[str, Any] = {"groups": groups, "seed": seed, "n_resamples": n_resamples}
    of_cases = {"ranking_loss": _ranking_loss(scores, targets > 0), "coverage_error": _coverage(scores, targets > 0)}
    table = {name: mean_interval(values, **options).as_record() for name, values in of_cases.items()}
    for index, name in enumerate(classes):
        column = scores[:, index : index + 1], targets[:, index : index + 1]
        table[f"average_precision/{name}"] = bootstrap_weighted(_precision, *column, **options).as_record()
    return table


def best_thresholds(probabilities: ArrayLike, labels: ArrayLike) -> FloatArray:
    """Choose the threshold of each label that has the largest F1 on these cases.

    Choose it on cases that are not reported on.

    Args:
        probabilities: (N,K) in [0,1], each label by itself.
        labels: (N,K) of 0 and 1.

    Returns:
        (K,): halfway between the least probability that is chosen and the next one below, or the only one there is; the
        highest of several equally good ones; 0.5 for a label that no case has.

    Raises:
        ValueError: if shapes do not fit, or a probability is not a number.
    """
    scores, targets, _ = check_classification(probabilities, labels)
    return np.array([_best(score, target) for score, target in zip(scores.T, targets.T, strict=True)])


def cooccurrence(chosen: ArrayLike) -> list[list[int]]:
    """Count the cases that have both of two labels; in the diagonal those that have one.

    Args:
        chosen: (N,K) of 0 and 1.

    Returns:
        K rows of K numbers.
    """
    present = np.asarray(chosen).astype(np.int64)
    return [[int(count) for count in row] for row in present.T @ present]


def _checked(probabilities: ArrayLike, labels: ArrayLike, classes: Sequence[str]) -> tuple[FloatArray, FloatArray]:
    scores, targets, exclusive = check_classification(probabilities, labels)
    if exclusive:
        raise ValueError("labels are class indices (N,), expected 0/1 per class (N,K): sets of labels are scored here")
    if len(classes) != scores.shape[1]:
        raise ValueError(f"got {len(classes)} class names {list(classes)} for {scores.shape[1]} columns")
    return scores, targets


def _thresholds(thresholds: ArrayLike, count: int) -> FloatArray:
    given = np.asarray(thresholds, dtype=np.float64)
    if given.shape not in ((), (count,)):
        raise ValueError(f"thresholds has shape {given.shape}, expected one number, or one for each of {count} labels")
    return given


def _best(score: FloatArray, target: FloatArray) -> float:
    if not target.any():
        return HALF
    positive, negative = score_steps(score, target, np.ones((1, len(score))))
    found = np.cumsum(positive[0, ::-1])
    chosen = np.cumsum((positive + negative)[0, ::-1])
    steps = np.unique(score)[::-1]
    best = int(np.argmax(2 * found / (chosen + target.sum())))
    return float(steps[best] + steps[min(best + 1, len(steps) - 1)]) / 2


def _f1_micro(chosen: FloatArray, targets: FloatArray, weights: FloatArray) -> FloatArray:
    right, either = (chosen * targets).sum(axis=1), (chosen + targets).sum(axis=1)
    return _ratio(2 * (weights @ right), weights @ either)


def _f1_macro(chosen: FloatArray, targets: FloatArray, weights: FloatArray) -> FloatArray:
    values = _ratio(2 * (weights @ (chosen * targets)), weights @ (chosen + targets))
    return _ratio(np.nansum(values, axis=1), (~np.isnan(values)).sum(axis=1).astype(np.float64))


def _precision(scores: FloatArray, targets: FloatArray, weights: FloatArray) -> FloatArray:
    return average_precision_by_class(scores, targets, weights)[:, 0]


def _ranking_loss(scores: FloatArray, has: NDArray[np.bool_]) -> FloatArray:
    wrong = scores[:, :, None] <= scores[:, None]  # (N,K,K): the second at least as probable as the first
    pairs = has[:, :, None] & ~has[:, None]
    return _ratio((wrong & pairs).sum(axis=(1, 2)).astype(np.float64), pairs.sum(axis=(1, 2)).astype(np.float64))


def _coverage(scores: FloatArray, has: NDArray[np.bool_]) -> FloatArray:
    last = np.where(has, scores, np.inf).min(axis=1)
    return np.where(has.any(axis=1), (scores >= last[:, None]).sum(axis=1), np.nan)


def _ratio(above: FloatArray, below: FloatArray) -> FloatArray:
    return np.divide(above, below, out=np.full(np.shape(above), np.nan), where=below > 0)
