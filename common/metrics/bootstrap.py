"""Bootstrap confidence intervals, with whole patients drawn where several cases belong to one.

Source: Efron, "Bootstrap methods: another look at the jackknife", Annals of Statistics 7 (1979) 1-26; percentile
interval.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

__all__ = ["Interval", "bootstrap_interval", "bootstrap_weighted", "mean_interval", "resample_counts"]

FloatArray = NDArray[np.float64]

LEVEL = 0.95
"""Confidence level of every interval."""
CHUNK = 1 << 21
"""Weights handed to a statistic at a time: 16 MiB of float64."""


@dataclass(frozen=True)
class Interval:
    """A number with its 95 % bootstrap interval.

    Attributes:
        value: the statistic of the sample itself; NaN where the sample leaves it undefined.
        low: 2.5 % quantile of the resampled statistic; NaN where no interval is meant.
        high: 97.5 % quantile.
        n: number of cases the value was computed from.
        ignored: resamples that left the statistic undefined (one class only, say) and were not counted.
    """

    value: float
    low: float
    high: float
    n: int
    ignored: int = 0

    def as_record(self) -> dict[str, float | int | None]:
        """Return ``{"value", "low", "high", "n"}`` as metrics.json holds it, None in place of NaN."""
        numbers = {"value": self.value, "low": self.low, "high": self.high}
        return {**{name: None if math.isnan(number) else number for name, number in numbers.items()}, "n": self.n}


def resample_counts(n: int, groups: ArrayLike | None = None, n_resamples: int = 1000, seed: int = 0) -> FloatArray:
    """Draw bootstrap resamples as counts: how often each case occurs in each resample.

    Args:
        n: number of cases.
        groups: (n,) the patient (or other unit) of each case; all cases of a drawn patient are drawn together. None
            takes every case as its own unit.
        n_resamples: number of resamples R.
        seed: of the random draw.

    Returns:
        Counts (R, n), whole numbers as float64; in each row the counts of units sum to the number of units.

    Raises:
        ValueError: if there is no case, ``n_resamples`` is not positive, or ``groups`` has another length.
    """
    if n < 1 or n_resamples < 1:
        raise ValueError(f"got {n} cases and n_resamples {n_resamples}, expected at least one of each")
    unit = np.arange(n)
    if groups is not None:
        unit = np.unique(np.asarray(groups), return_inverse=True)[1].ravel()
        if len(unit) != n:
            raise ValueError(f"groups names a unit for {len(unit)} cases, expected one for each of the {n} cases")
    units = int(unit.max()) + 1
    drawn = np.random.default_rng(seed).integers(units, size=(n_resamples, units))
    offset = np.arange(n_resamples)[:, None] * units
    counts = np.bincount((drawn + offset).ravel(), minlength=n_resamples * units).reshape(n_resamples, units)
    return counts[:, unit].astype(np.float64)


def bootstrap_interval(
    statistic: Callable[..., float],
    *arrays: ArrayLike,
    groups: ArrayLike | None = None,
    n_resamples: int = 1000,
    seed: int = 0,
) -> Interval:
    """Compute the percentile interval of any statistic of resampled cases, one call per resample.

    Resamples for which the statistic is NaN or raises ``ValueError`` (AUROC of one class) are left out and counted;
    if that happens for more than half of them there is no interval.

    Args:
        statistic: takes as many arrays as given and returns a number.
        arrays: arrays of equal length n, resampled together along their first axis.
        groups: (n,) the patient of each case, see :func:`resample_counts`.
        n_resamples: number of resamples.
        seed: of the random draw.

    Returns:
        The statistic with its interval.

    Raises:
        ValueError: if no array is given or their lengths differ.
    """
    samples, n = _checked(arrays)

    def compute(index: NDArray[np.int64]) -> float:
        try:
            return float(statistic(*(sample[index] for sample in samples)))
        except ValueError:
            return math.nan

    rows = resample_counts(n, groups, n_resamples, seed).astype(np.int64)
    everything = np.arange(n)
    resampled = np.array([compute(np.repeat(everything, counts)) for counts in rows])
    return _interval(compute(everything), resampled, n)


def bootstrap_weighted(
    statistic: Callable[..., FloatArray],
    *arrays: ArrayLike,
    groups: ArrayLike | None = None,
    n_resamples: int = 1000,
    seed: int = 0,
) -> Interval:
    """Compute the same interval as :func:`bootstrap_interval`, far faster, for a statistic that knows case weights.

    A resample is the sample with each case weighted by the times it was drawn, so a weighted statistic evaluates
    many resamples in one call.

    Args:
        statistic: called as ``statistic(*arrays, weights)`` with weights (R, n); returns R numbers, NaN where
            undefined.
        arrays: arrays of equal length n.
        groups: (n,) the patient of each case, see :func:`resample_counts`.
        n_resamples: number of resamples.
        seed: of the random draw.

    Returns:
        The statistic with its interval.

    Raises:
        ValueError: if no array is given or their lengths differ.
    """
    samples, n = _checked(arrays)
    counts = resample_counts(n, groups, n_resamples, seed)
    chunks = np.array_split(counts, math.ceil(counts.size / CHUNK))
    resampled = np.concatenate([statistic(*samples, chunk) for chunk in chunks])
    return _interval(float(statistic(*samples, np.ones((1, n)))[0]), resampled, n)


def mean_interval(
    values: ArrayLike, groups: ArrayLike | None = None, n_resamples: int = 1000, seed: int = 0
) -> Interval:
    """Compute the mean of one number per case with its interval; cases whose number is NaN are left out.

    Args:
        values: (n,) numbers, NaN where a case leaves the number undefined.
        groups: (n,) the patient of each case.
        n_resamples: number of resamples.
        seed: of the random draw.

    Returns:
        The mean with its interval; ``n`` counts the cases used. NaN throughout where none is left.

    Raises:
        ValueError: if ``values`` is not one number per case or ``groups`` has another length.
    """
    array = np.asarray(values, dtype=np.float64)
    if array.ndim != 1:
        raise ValueError(f"values has shape {array.shape}, expected one number per case, (n,)")
    units = None if groups is None else np.asarray(groups)
    if units is not None and len(units) != len(array):
        raise ValueError(f"groups names a unit for {len(units)} cases, expected one for each of the {len(array)} cases")
    kept = ~np.isnan(array)
    if not kept.any():
        return Interval(math.nan, math.nan, math.nan, 0)
    return bootstrap_weighted(
        _weighted_mean,
        array[kept],
        groups=None if units is None else units[kept],
        n_resamples=n_resamples,
        seed=seed,
    )


def _weighted_mean(values: FloatArray, weights: FloatArray) -> FloatArray:
    return np.asarray(weights @ values / weights.sum(axis=1))


def _checked(arrays: Sequence[ArrayLike]) -> tuple[list[NDArray], int]:
    samples = [np.asarray(array) for array in arrays]
    lengths = [len(sample) for sample in samples]
    if len(set(lengths)) != 1:
        raise ValueError(f"got arrays of lengths {lengths}, expected at least one array, and all of one length")
    return samples, lengths[0]


def _interval(value: float, resampled: FloatArray, n: int) -> Interval:
    usable = resampled[~np.isnan(resampled)]
    ignored = len(resampled) - len(usable)
    if math.isnan(value) or len(usable) < len(resampled) / 2:
        return Interval(value, math.nan, math.nan, n, ignored)
    low, high = np.quantile(usable, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return Interval(value, float(low), float(high), n, ignored)
