"""Scores of a classification, each with its bootstrap interval.

Every score is a function of case weights, so that a thousand resamples are a few array operations; with weights of
one they are scikit-learn's scores (the tests compare). With two exclusive classes AUROC, average precision and F1
are those of the second class, as scikit-learn has them; otherwise they are the mean over the classes (macro).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from common.metrics.bootstrap import bootstrap_weighted
from common.metrics.score_steps import score_steps

__all__ = [
    "average_precision_by_class",
    "check_classification",
    "classification_scores",
    "classification_table",
    "roc_area_by_class",
    "targets_of",
]

FloatArray = NDArray[np.float64]
Statistic = Callable[[FloatArray, FloatArray, FloatArray], FloatArray]
Mean = Callable[[FloatArray], FloatArray]


def classification_scores(probabilities: ArrayLike, labels: ArrayLike) -> dict[str, float]:
    """Score a classification without intervals.

    Args:
        probabilities: (N, K) in [0, 1].
        labels: class indices (N,), or 0/1 per class (N, K) where several classes may be present (multi-label).

    Returns:
        Score by name: accuracy, balanced_accuracy and kappa (exclusive classes only), auroc, average_precision, f1. A
        score that the labels leave undefined (AUROC of one class) is left out.

    Raises:
        ValueError: if shapes do not fit, a label is unknown, or a probability is not a number.
    """
    scores, targets, exclusive = check_classification(probabilities, labels)
    once = np.ones((1, len(scores)))
    values = {name: float(score(scores, targets, once)[0]) for name, score in _statistics(exclusive).items()}
    return {name: value for name, value in values.items() if not math.isnan(value)}


def classification_table(
    probabilities: ArrayLike,
    labels: ArrayLike,
    classes: Sequence[str],
    groups: ArrayLike | None = None,
    seed: int = 0,
    n_resamples: int = 1000,
) -> dict[str, dict[str, float | int | None]]:
    """Score a classification with 95 % bootstrap intervals, in the form of metrics.json.

    Args:
        probabilities: (N, K) in [0, 1].
        labels: class indices (N,), or 0/1 per class (N, K) where several classes may be present (multi-label).
        classes: the K class names.
        groups: (N,) the patient of each case; whole patients are drawn.
        seed: of the bootstrap.
        n_resamples: number of resamples.

    Returns:
        ``{metric: {"value", "low", "high", "n"}}`` with the metrics of :func:`classification_scores` and
        ``auroc/<class>``; None where a number is undefined.

    Raises:
        ValueError: if shapes do not fit, a label is unknown, or a probability is not a number.
    """
    scores, targets, exclusive = check_classification(probabilities, labels)
    if len(classes) != scores.shape[1]:
        raise ValueError(f"got {len(classes)} class names {list(classes)} for {scores.shape[1]} columns")
    statistics = _statistics(exclusive)
    for index, name in enumerate(classes):
        statistics[f"auroc/{name}"] = _column(roc_area_by_class, index)
    return {
        name: bootstrap_weighted(
            statistic, scores, targets, groups=groups, n_resamples=n_resamples, seed=seed
        ).as_record()
        for name, statistic in statistics.items()
    }


def targets_of(labels: ArrayLike, n_classes: int) -> FloatArray:
    """Return labels as 0/1 per class, (N, K).

    Args:
        labels: class indices (N,), or 0/1 per class (N, K).
        n_classes: number of classes K.

    Raises:
        ValueError: if a label is none of the classes or the shape does not fit.
    """
    array = np.asarray(labels)
    if array.ndim == 2 and array.shape[1] == n_classes:
        if not np.isin(array, (0, 1)).all():
            raise ValueError("labels of shape (N, K) hold 0 or 1 for each class; other values were found")
        return array.astype(np.float64)
    if array.ndim != 1:
        raise ValueError(f"labels has shape {array.shape}, expected (N,) class indices or (N, {n_classes}) of 0 and 1")
    unknown = array[~np.isin(array, np.arange(n_classes))]
    if len(unknown):
        raise ValueError(f"label {unknown[0]} is none of the {n_classes} classes; expected 0 to {n_classes - 1}")
    return np.eye(n_classes)[array.astype(np.int64)]


def check_classification(probabilities: ArrayLike, labels: ArrayLike) -> tuple[FloatArray, FloatArray, bool]:
    """Refuse what cannot be scored.

    Args:
        probabilities: (N, K) in [0, 1].
        labels: class indices (N,), or 0/1 per class (N, K) where several classes may be present (multi-label).

    Returns:
        Probabilities (N, K), labels as 0/1 per class (N, K), and whether the classes exclude each other.

    Raises:
        ValueError: if shapes do not fit, a label is unknown, or a probability is not a number.
    """
    scores = np.asarray(probabilities, dtype=np.float64)
    if scores.ndim != 2 or scores.shape[1] < 2 or not len(scores):
        raise ValueError(f"probabilities has shape {scores.shape}, expected (N, K) with at least one case, two classes")
    if not np.isfinite(scores).all():
        raise ValueError(
            f"probabilities of {(~np.isfinite(scores)).any(axis=1).sum()} of {len(scores)} cases are not numbers; "
            "the network has diverged or its input holds NaN"
        )
    targets = targets_of(labels, scores.shape[1])
    if len(targets) != len(scores):
        raise ValueError(f"got {len(targets)} labels for {len(scores)} cases")
    return scores, targets, np.ndim(labels) == 1


def roc_area_by_class(scores: FloatArray, targets: FloatArray, weights: FloatArray) -> FloatArray:
    """Area under the ROC curve of each class against the rest: P(score of a positive > of a negative), ties half.

    Args:
        scores: (N, K), higher means more likely.
        targets: (N, K) of 0 and 1.
        weights: (R, N), the weight of each case in each resample.

    Returns:
        (R, K) in [0, 1]; NaN where a class has no positive or no negative case.
    """
    return _by_class(_roc_area, scores, targets, weights)


def average_precision_by_class(scores: FloatArray, targets: FloatArray, weights: FloatArray) -> FloatArray:
    """Average precision of each class against the rest: precision at each threshold, weighted by the gain in recall.

    Args:
        scores: (N, K), higher means more likely.
        targets: (N, K) of 0 and 1.
        weights: (R, N), the weight of each case in each resample.

    Returns:
        (R, K) in [0, 1]; NaN where a class has no positive case.
    """
    return _by_class(_average_precision, scores, targets, weights)


def _statistics(exclusive: bool) -> dict[str, Statistic]:
    if not exclusive:
        return {
            "accuracy": _label_accuracy,
            "auroc": _macro(roc_area_by_class, _mean_of_all),
            "average_precision": _macro(average_precision_by_class, _mean_of_all),
            "f1": _macro(_f1_by_class, _mean_of_defined),
        }
    return {
        "accuracy": _accuracy,
        "balanced_accuracy": _balanced_accuracy,
        "kappa": _kappa,
        "auroc": _second_or_macro(roc_area_by_class, _mean_of_all),
        "average_precision": _second_or_macro(average_precision_by_class, _mean_of_all),
        "f1": _second_or_macro(_exclusive_f1_by_class, _mean_of_defined),
    }


def _chosen(scores: FloatArray) -> FloatArray:
    return np.eye(scores.shape[1])[scores.argmax(axis=1)]


def _accuracy(scores: FloatArray, targets: FloatArray, weights: FloatArray) -> FloatArray:
    right = (_chosen(scores) * targets).sum(axis=1)
    return np.asarray(weights @ right / weights.sum(axis=1))


def _label_accuracy(scores: FloatArray, targets: FloatArray, weights: FloatArray) -> FloatArray:
    right = ((scores >= 0.5) == targets).mean(axis=1)
    return np.asarray(weights @ right / weights.sum(axis=1))


def _balanced_accuracy(scores: FloatArray, targets: FloatArray, weights: FloatArray) -> FloatArray:
    return _mean_of_defined(_ratio(weights @ (_chosen(scores) * targets), weights @ targets))


def _kappa(scores: FloatArray, targets: FloatArray, weights: FloatArray) -> FloatArray:
    """Cohen's kappa: by how much the agreement exceeds that of chance; undefined where chance agrees always."""
    total = weights.sum(axis=1)
    expected = ((weights @ _chosen(scores)) * (weights @ targets)).sum(axis=1) / total**2
    return _ratio(_accuracy(scores, targets, weights) - expected, 1 - expected)


def _f1_by_class(scores: FloatArray, targets: FloatArray, weights: FloatArray) -> FloatArray:
    return _f1((scores >= 0.5).astype(np.float64), targets, weights)


def _exclusive_f1_by_class(scores: FloatArray, targets: FloatArray, weights: FloatArray) -> FloatArray:
    return _f1(_chosen(scores), targets, weights)


def _f1(predicted: FloatArray, targets: FloatArray, weights: FloatArray) -> FloatArray:
    return _ratio(2 * (weights @ (predicted * targets)), weights @ (predicted + targets))


def _macro(by_class: Statistic, mean: Mean) -> Statistic:
    return lambda scores, targets, weights: mean(by_class(scores, targets, weights))


def _second_or_macro(by_class: Statistic, mean: Mean) -> Statistic:
    macro, second = _macro(by_class, mean), _column(by_class, 1)
    return lambda scores, targets, weights: (second if scores.shape[1] == 2 else macro)(scores, targets, weights)


def _column(by_class: Statistic, index: int) -> Statistic:
    return lambda scores, targets, weights: by_class(scores, targets, weights)[:, index]


def _by_class(
    statistic: Callable[[FloatArray, FloatArray], FloatArray],
    scores: FloatArray,
    targets: FloatArray,
    weights: FloatArray,
) -> FloatArray:
    """Compute a statistic of the positive and negative weight at each distinct score, class by class."""
    steps = (score_steps(score, target, weights) for score, target in zip(scores.T, targets.T, strict=True))
    return np.stack([statistic(positive, negative) for positive, negative in steps], axis=1)


def _roc_area(positive: FloatArray, negative: FloatArray) -> FloatArray:
    below = np.cumsum(negative, axis=1) - negative / 2
    return _ratio((positive * below).sum(axis=1), positive.sum(axis=1) * negative.sum(axis=1))


def _average_precision(positive: FloatArray, negative: FloatArray) -> FloatArray:
    found = np.cumsum(positive[:, ::-1], axis=1)[:, ::-1]
    flagged = np.cumsum((positive + negative)[:, ::-1], axis=1)[:, ::-1]
    gained = positive * np.nan_to_num(_ratio(found, flagged))
    return _ratio(gained.sum(axis=1), positive.sum(axis=1))


def _ratio(above: FloatArray, below: FloatArray) -> FloatArray:
    return np.divide(above, below, out=np.full(np.shape(above), np.nan), where=below > 0)


def _mean_of_all(values: FloatArray) -> FloatArray:
    """Mean over classes; undefined if it is for one."""
    return np.asarray(values.mean(axis=1))


def _mean_of_defined(values: FloatArray) -> FloatArray:
    """Mean over the classes that occur."""
    defined = ~np.isnan(values)
    return _ratio(np.nansum(values, axis=1), defined.sum(axis=1).astype(np.float64))
