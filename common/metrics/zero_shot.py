"""How well findings are told from images by sentences alone: of each side, between the sides, and as never seen before.

The exams' patients are drawn, so that the sides of an exam stay together.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from common.metrics.bootstrap import bootstrap_weighted
from common.metrics.classification import average_precision_by_class, roc_area_by_class

__all__ = ["ExamScores", "held_out_table", "side_table", "zero_shot_table"]

FloatArray = NDArray[np.float64]
Table = dict[str, dict[str, float | int | None]]


@dataclass(frozen=True)
class ExamScores:
    """Scores of E exams, S sides and F findings, and what is true.

    Args:
        score: (E,S,F), higher means more likely.
        label: (E,S,F) of 0 and 1.
        present: (E,S), whether the side has an image; others are left out.
        findings: the F names.
        group: (E,) the patient of each exam.
        seed: of the bootstrap.
        n_resamples: number of resamples.

    Raises:
        ValueError: if shapes do not fit or a score is not a number.
    """

    score: FloatArray
    label: FloatArray
    present: NDArray[np.bool_]
    findings: Sequence[str]
    group: Sequence[str]
    seed: int = 0
    n_resamples: int = 1000

    def __post_init__(self) -> None:
        shape = (len(self.group), self.present.shape[-1], len(self.findings))
        if self.score.shape != shape or self.label.shape != shape or self.present.shape != shape[:2]:
            raise ValueError(
                f"scores have shape {self.score.shape}, labels {self.label.shape} and the sides that have an image "
                f"{self.present.shape}, expected {shape} for the first two (exams, sides, findings) and {shape[:2]}"
            )
        if not np.isfinite(self.score).all():
            raise ValueError("scores hold values that are not numbers; the network has diverged")

    def scored_by(self, score: ArrayLike) -> Self:
        """Return the same exams with one score (E,S) for all findings."""
        once = np.asarray(score, dtype=np.float64)[:, :, None]
        return replace(self, score=np.broadcast_to(once, self.label.shape))


def zero_shot_table(exams: ExamScores, ending: str = "") -> Table:
    """Score each side of each exam by itself, all sides together.

    Args:
        exams: scores and truth.
        ending: of the names, such as "/brightest_spot"; with it, what belongs to no finding is left out.

    Returns:
        ``zero_shot_auroc/<finding>`` and ``zero_shot_average_precision/<finding>``; ``zero_shot_auroc`` and
        ``zero_shot_average_precision``, the means over the findings that occur but not everywhere;
        ``zero_shot_prevalence/<finding>``, the average precision of a guess. In the form of metrics.json, ``n`` the
        sides; None where undefined.
    """
    rows = exams.present
    score, label = exams.score[rows], exams.label[rows]
    group = _repeated(exams)[rows]
    told = [0 < column.sum() < len(column) for column in label.T]
    table: Table = {}
    kinds = {"zero_shot_auroc": roc_area_by_class, "zero_shot_average_precision": average_precision_by_class}
    for name, by_class in kinds.items():
        if not ending:
            given = (score[:, told], label[:, told])

            def mean(*arrays: FloatArray, by_class: Any = by_class) -> FloatArray:
                return np.asarray(by_class(*arrays).mean(axis=1))

            table |= _entry(name, mean, given, group, exams) if any(told) else {}
        for index, finding in enumerate(exams.findings):
            table |= _column(f"{name}/{finding}{ending}", by_class, score[:, index], label[:, index], group, exams)
    if not ending:
        for index, finding in enumerate(exams.findings):
            share = {"value": float(label[:, index].mean()), "low": None, "high": None, "n": len(label)}
            table[f"zero_shot_prevalence/{finding}"] = share
    return table


def side_table(exams: ExamScores, name: str = "zero_shot_auroc/side_{finding}", ending: str = "") -> Table:
    """Score on which of two sides a finding is, over the exams that have it on exactly one and show both.

    Args:
        exams: scores and truth.
        name: of the metric, with a place for the finding.
        ending: of the names.

    Returns:
        The chance that the first side's score exceeds the second's by more in an exam with the finding on the first
        side than in one with it on the second; ``n`` counts exams. Findings without such exams are left out, and so is
        everything where there are not two sides.
    """
    table: Table = {}
    if exams.score.shape[1] != 2:
        return table
    for index, finding in enumerate(exams.findings):
        label = exams.label[:, :, index]
        rows = exams.present.all(axis=1) & (label.sum(axis=1) == 1)
        if not rows.any():
            continue
        difference = exams.score[rows, 0, index] - exams.score[rows, 1, index]
        group = np.asarray(exams.group)[rows]
        title = name.format(finding=finding) + ending
        table |= _column(title, roc_area_by_class, difference, label[rows, 0], group, exams)
    return table


def held_out_table(exams: ExamScores, held_out: NDArray[np.bool_]) -> Table:
    """Score what the training has never shown: combinations of words that it knows one by one.

    Args:
        exams: scores and truth.
        held_out: (E,S,F), which findings are such a combination.

    Returns:
        ``zero_shot_auroc/held_out_<finding>``: the chance that a side with such a finding has a higher score than a
        side without the finding; ``n`` counts both. Findings without such a combination are left out.
    """
    table: Table = {}
    for index, finding in enumerate(exams.findings):
        positive = held_out[:, :, index] & (exams.label[:, :, index] > 0) & exams.present
        rows = positive | ((exams.label[:, :, index] == 0) & exams.present)
        if positive.any():
            given = (exams.score[:, :, index][rows], positive[rows].astype(np.float64), _repeated(exams)[rows], exams)
            table |= _column(f"zero_shot_auroc/held_out_{finding}", roc_area_by_class, *given)
    return table


def _repeated(exams: ExamScores) -> NDArray[np.str_]:
    """Return the patient of each side, (E,S)."""
    return np.broadcast_to(np.asarray(exams.group)[:, None], exams.present.shape)


def _column(
    name: str, by_class: Any, score: FloatArray, label: FloatArray, group: NDArray[np.str_], exams: ExamScores
) -> Table:
    def only(*arrays: FloatArray) -> FloatArray:
        return np.asarray(by_class(*arrays)[:, 0])

    return _entry(name, only, (score[:, None], label[:, None]), group, exams)


def _entry(
    name: str, statistic: Any, given: tuple[FloatArray, FloatArray], group: NDArray[np.str_], exams: ExamScores
) -> Table:
    options: dict[str, Any] = {"groups": group, "seed": exams.seed, "n_resamples": exams.n_resamples}
    return {name: bootstrap_weighted(statistic, *given, **options).as_record()}
