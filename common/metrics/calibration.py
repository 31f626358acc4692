"""Is a probability worth its name? Calibration of the most probable class, proper scores, and the temperature.

Calibration error: Naeini, Cooper, Hauskrecht, "Obtaining well calibrated probabilities using Bayesian binning", AAAI
2015; temperature: Guo et al., "On calibration of modern neural networks", ICML 2017. Bins are equal in width and take
their lower edge, as torchmetrics' do. Everything is a function of case weights, see
:mod:`common.metrics.classification`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.optimize import minimize_scalar
from scipy.special import log_softmax

from common.metrics.bootstrap import bootstrap_weighted
from common.metrics.classification import check_classification

__all__ = [
    "BINS",
    "TEMPERATURES",
    "calibration_scores",
    "calibration_table",
    "fit_temperature",
    "label_calibration_table",
    "reliability_curve",
    "scale_temperature",
]

FloatArray = NDArray[np.float64]
Statistic = Callable[[FloatArray, FloatArray, FloatArray], FloatArray]

BINS = 15
"""Number of bins of the confidence."""
TEMPERATURES = (0.05, 20.0)
"""Where a temperature is looked for; without any error the best one would be 0."""
SMALLEST = 1e-12
"""What a probability of 0 counts as in a logarithm."""


def calibration_scores(probabilities: ArrayLike, labels: ArrayLike, bins: int = BINS) -> dict[str, float]:
    """Score probabilities without intervals.

    Args:
        probabilities: (N,C) of classes that exclude each other, in [0,1].
        labels: class indices (N,).
        bins: number of bins of the confidence.

    Returns:
        ece, mce, brier and nll, see :func:`calibration_table`.

    Raises:
        ValueError: if shapes do not fit, a label is unknown, or a probability is not a number.
    """
    scores, targets = _checked(probabilities, labels)
    once = np.ones((1, len(scores)))
    return {name: float(statistic(scores, targets, once)[0]) for name, statistic in _statistics(bins).items()}


def calibration_table(
    probabilities: ArrayLike,
    labels: ArrayLike,
    groups: ArrayLike | None = None,
    seed: int = 0,
    n_resamples: int = 1000,
    bins: int = BINS,
) -> dict[str, dict[str, float | int | None]]:
    """Score probabilities with 95 % bootstrap intervals, in the form of metrics.json.

    Drawing cases again adds noise to every bin, so the intervals of ece and mce lie rather high; for a well calibrated
    network they may lie above the value.

    Args:
        probabilities: (N,C) of classes that exclude each other, in [0,1].
        labels: class indices (N,).
        groups: (N,) the patient of each case; whole patients are drawn.
        seed: of the bootstrap.
        n_resamples: number of resamples.
        bins: number of bins of the confidence.

    Returns:
        ``ece``: difference of confidence (probability of the most probable class) and accuracy, mean over bins by
        their cases; ``mce``: the largest such difference; ``brier``: squared distance of the probabilities from 0 and
        1, summed over classes, 0 to 2; ``nll``: negative logarithm of the true class's probability, in nats.

    Raises:
        ValueError: if shapes do not fit, a label is unknown, or a probability is not a number.
    """
    scores, targets = _checked(probabilities, labels)
    return {
        name: bootstrap_weighted(
            statistic, scores, targets, groups=groups, seed=seed, n_resamples=n_resamples
        ).as_record()
        for name, statistic in _statistics(bins).items()
    }


def label_calibration_table(
    probabilities: ArrayLike,
    labels: ArrayLike,
    classes: Sequence[str],
    groups: ArrayLike | None = None,
    seed: int = 0,
    n_resamples: int = 1000,
    bins: int = BINS,
) -> dict[str, dict[str, float | int | None]]:
    """Score the probability of each label by itself, where several may be present, with 95 % bootstrap intervals.

    Args:
        probabilities: (N,K) in [0,1].
        labels: (N,K) of 0 and 1.
        classes: the K names.
        groups: (N,) the patient of each case; whole patients are drawn.
        seed: of the bootstrap.
        n_resamples: number of resamples.
        bins: number of bins of the probability.

    Returns:
        ``ece/<class>``: difference of the label's probability and the share of cases that have it, mean over bins by
        their cases; ``brier/<class>``: squared distance of the probability from 0 or 1, 0 to 1; ``ece`` and ``brier``,
        their means over the labels.

    Raises:
        ValueError: if shapes do not fit, or a probability is not a number.
    """
    scores, targets, exclusive = check_classification(probabilities, labels)
    if exclusive or len(classes) != scores.shape[1]:
        raise ValueError(
            f"got labels of shape {np.shape(labels)} and {len(classes)} class names, expected 0/1 per class (N,K) and "
            f"a name for each of the {scores.shape[1]} columns"
        )
    chosen = {name: slice(index, index + 1) for index, name in enumerate(classes)}
    table = {}
    for metric, statistic in _statistics(bins).items():
        if metric not in ("ece", "brier"):
            continue
        for name, columns in {"": slice(None), **chosen}.items():
            interval = bootstrap_weighted(
                partial(_mean_of_labels, statistic),
                scores[:, columns],
                targets[:, columns],
                groups=groups,
                seed=seed,
                n_resamples=n_resamples,
            )
            table[f"{metric}/{name}" if name else metric] = interval.as_record()
    return table


def reliability_curve(probabilities: ArrayLike, labels: ArrayLike, bins: int = BINS) -> dict[str, list[float]]:
    """Compute confidence against accuracy.

    Args:
        probabilities: (N,C) of classes that exclude each other, in [0,1].
        labels: class indices (N,).
        bins: number of bins of the confidence.

    Returns:
        ``{"confidence", "accuracy", "count"}``: mean confidence, accuracy and number of cases of every bin that holds
        any, ascending.

    Raises:
        ValueError: if shapes do not fit, a label is unknown, or a probability is not a number.
    """
    scores, targets = _checked(probabilities, labels)
    confidence, correct, member = _binned(scores, targets, _edges(bins))
    count = member.sum(axis=0)
    used = count > 0
    return {
        "confidence": (confidence @ member[:, used] / count[used]).tolist(),
        "accuracy": (correct @ member[:, used] / count[used]).tolist(),
        "count": count[used].astype(int).tolist(),
    }


def fit_temperature(probabilities: ArrayLike, labels: ArrayLike) -> float:
    """Find the temperature that makes the probabilities of these cases most likely.

    Fit it on cases that are not reported on.

    Args:
        probabilities: (N,C) of classes that exclude each other, in [0,1].
        labels: class indices (N,).

    Returns:
        The temperature, between the :data:`TEMPERATURES`: above 1 where the network is too sure of itself.

    Raises:
        ValueError: if shapes do not fit, a label is unknown, or a probability is not a number.
    """
    scores, targets = _checked(probabilities, labels)
    once = np.ones((1, len(scores)))
    found = minimize_scalar(
        lambda exponent: float(_nll(scale_temperature(scores, np.exp(exponent)), targets, once)[0]),
        bounds=tuple(np.log(TEMPERATURES)),
        method="bounded",
        options={"xatol": 1e-6},
    )
    return float(np.exp(found.x))


def scale_temperature(probabilities: ArrayLike, temperature: float) -> FloatArray:
    """Flatten (temperature above 1) or sharpen (below 1) probabilities: softmax(ln p / T).

    For a softmax this is the softmax of logits / T. The ranking of a case's classes does not change.

    Args:
        probabilities: (N,C) in [0,1].
        temperature: T, above 0.

    Returns:
        Probabilities (N,C).

    Raises:
        ValueError: if the temperature is not positive.
    """
    if not temperature > 0:
        raise ValueError(f"temperature is {temperature}, expected a positive number")
    logarithm = np.log(np.clip(np.asarray(probabilities, dtype=np.float64), SMALLEST, None))
    return np.asarray(np.exp(log_softmax(logarithm / temperature, axis=1)))


def _statistics(bins: int) -> dict[str, Statistic]:
    edges = _edges(bins)

    def gaps(scores: FloatArray, targets: FloatArray, weights: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Return the summed difference of confidence and accuracy of each bin, and the bin's weight, (R, bins)."""
        confidence, correct, member = _binned(scores, targets, edges)
        return np.abs(weights @ (member * (confidence - correct)[:, None])), weights @ member

    def ece(scores: FloatArray, targets: FloatArray, weights: FloatArray) -> FloatArray:
        return np.asarray(gaps(scores, targets, weights)[0].sum(axis=1) / weights.sum(axis=1))

    def mce(scores: FloatArray, targets: FloatArray, weights: FloatArray) -> FloatArray:
        gap, weight = gaps(scores, targets, weights)
        return np.asarray(np.divide(gap, weight, out=np.zeros_like(gap), where=weight > 0).max(axis=1))

    return {"ece": ece, "mce": mce, "brier": _brier, "nll": _nll}


def _mean_of_labels(statistic: Statistic, scores: FloatArray, targets: FloatArray, weights: FloatArray) -> FloatArray:
    """Compute a statistic of one column at a time, whose probability is then all that can be sure or right."""
    columns = (slice(index, index + 1) for index in range(scores.shape[1]))
    return np.mean([statistic(scores[:, one], targets[:, one], weights) for one in columns], axis=0)


def _brier(scores: FloatArray, targets: FloatArray, weights: FloatArray) -> FloatArray:
    return np.asarray(weights @ ((scores - targets) ** 2).sum(axis=1) / weights.sum(axis=1))


def _nll(scores: FloatArray, targets: FloatArray, weights: FloatArray) -> FloatArray:
    surprise = -np.log(np.clip((scores * targets).sum(axis=1), SMALLEST, None))
    return np.asarray(weights @ surprise / weights.sum(axis=1))


def _edges(bins: int) -> FloatArray:
    """Return the inner edges of the bins."""
    if bins < 1:
        raise ValueError(f"bins is {bins}, expected 1 or more")
    return np.linspace(0, 1, bins + 1)[1:-1]


def _binned(scores: FloatArray, targets: FloatArray, edges: FloatArray) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Return each case's confidence (N,), whether it is right (N,), and its bin as 0/1 (N, bins)."""
    rows, chosen = np.arange(len(scores)), scores.argmax(axis=1)
    confidence = scores[rows, chosen]
    return confidence, targets[rows, chosen], np.eye(len(edges) + 1)[np.searchsorted(edges, confidence, side="right")]


def _checked(probabilities: ArrayLike, labels: ArrayLike) -> tuple[FloatArray, FloatArray]:
    scores, targets, exclusive = check_classification(probabilities, labels)
    if not exclusive:
        raise ValueError("labels are 0/1 per class; calibration of the most probable class needs one class per case")
    return scores, targets
