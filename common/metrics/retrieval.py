"""Does an exam find its own report among all, and a report its exam?"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from common.metrics.bootstrap import mean_interval

__all__ = ["LEVELS", "RANKS", "recall_at", "report_similarity", "retrieval_table", "same_sets"]

RANKS = (1, 5, 10)
LEVELS = ("side", "exam")
SAME_TEXT = "_same_text"

Table = dict[str, dict[str, float | int | None]]


def report_similarity(image: Tensor, sentence: Tensor, side: Tensor, mask: Tensor) -> Tensor:
    """Compare exams with reports sentence by sentence.

    Args:
        image: unit vectors (E,S,D) of the sides of E exams; 0 for a side without an image.
        sentence: unit vectors (R,N,D) of the sentences of R reports.
        side: (R,N) int64, the side that each sentence speaks of; -1 for none, which is compared with all sides and the
            mean taken.
        mask: (R,N), bool, which sentences exist.

    Returns:
        (E,R): the mean cosine over the sentences of a report; 0 for a report without sentences.
    """
    sides = torch.arange(image.shape[1], device=image.device)
    wanted = torch.nn.functional.one_hot(side.clamp(min=0), len(sides)).to(image.dtype) * (side >= 0).unsqueeze(2)
    own = torch.einsum("rns,rnd->rsd", wanted * mask.unsqueeze(2), sentence)
    free = (sentence * (mask & (side < 0)).unsqueeze(2)).sum(1)
    present = (image != 0).any(2).to(image.dtype)
    whole = image.sum(1) / present.sum(1, keepdim=True).clamp(min=1)
    total = torch.einsum("esd,rsd->er", image, own) + whole @ free.T
    return total / mask.sum(1).clamp(min=1)


def same_sets(keys: Sequence[frozenset[int]]) -> NDArray[np.bool_]:
    """Return which of R reports say the same as which (R,R): those whose sets of keys are equal and not empty."""
    numbers: dict[frozenset[int], int] = {}
    index = np.array([numbers.setdefault(keyed, len(numbers)) for keyed in keys])
    known = np.array([bool(keyed) for keyed in keys])
    equal = (index[:, None] == index[None]) & known[:, None]
    return np.asarray(equal | np.eye(len(keys), dtype=bool))


def recall_at(similarity: ArrayLike, right: ArrayLike, rank: int) -> NDArray[np.float64]:
    """Compute the chance that one of the right answers is among the first so many.

    Equal similarities are drawn in random order, so that a network which gives the same answer to everything is not
    always right.

    Args:
        similarity: (N,M) of N questions and M answers.
        right: (N,M), bool, at least one answer of each question.
        rank: how many answers are looked at, k.

    Returns:
        (N,) in [0,1].

    Raises:
        ValueError: if the shapes differ, a question has no right answer, or rank is below 1.
    """
    scores, hits = np.asarray(similarity, dtype=np.float64), np.asarray(right, dtype=bool)
    if scores.ndim != 2 or scores.shape != hits.shape or not hits.any(axis=1).all():
        raise ValueError(
            f"similarity has shape {scores.shape} and right {hits.shape}, expected one shape (N,M) and a right answer "
            "to every question"
        )
    if rank < 1:
        raise ValueError(f"rank is {rank}, expected 1 or more")
    best = np.where(hits, scores, -np.inf).max(axis=1, keepdims=True)
    tied = scores == best
    left = rank - (scores > best).sum(axis=1)
    ties, good = tied.sum(axis=1), (tied & hits).sum(axis=1)
    missed = np.ones(len(scores))
    for drawn in range(rank):  # one of the tied after the other, none of them right
        wrong = np.clip(ties - good - drawn, 0, None) / np.clip(ties - drawn, 1, None)
        missed *= np.where(drawn < left, wrong, 1.0)
    return 1 - missed


def retrieval_table(
    similarity: ArrayLike,
    same: ArrayLike,
    groups: ArrayLike | None = None,
    ranks: Sequence[int] = RANKS,
    seed: int = 0,
    n_resamples: int = 1000,
) -> Table:
    """Score how exams find their reports and reports their exams, with 95 % bootstrap intervals over the questions.

    Args:
        similarity: (N,N), rows exams, columns reports; the i-th report is that of the i-th exam.
        same: (N,N), bool, which reports say the same (:func:`same_sets`).
        groups: (N,) the patient of each exam.
        ranks: how many answers are looked at.
        seed: of the bootstrap.
        n_resamples: number of resamples.

    Returns:
        For each rank k ``retrieval_r<k>`` (exam to report) and ``retrieval_report_to_exam_r<k>``, where the own one
        alone is right, and ``retrieval_chance_r<k>``; the same with ``_same_text``, where each that says the same is.
        ``retrieval_median_rank``, of the own report, without an interval. The number of exams to choose from stays the
        same in resamples.
    """
    scores = np.asarray(similarity, dtype=np.float64)
    own, equal = np.eye(len(scores), dtype=bool), np.asarray(same, dtype=bool)
    table: Table = {}
    for rank in ranks:
        for ending, right in (("", own), (SAME_TEXT, equal)):
            found = {
                f"retrieval_r{rank}{ending}": recall_at(scores, right, rank),
                f"retrieval_report_to_exam_r{rank}{ending}": recall_at(scores.T, right, rank),
                f"retrieval_chance_r{rank}{ending}": recall_at(np.zeros_like(scores), right, rank),
            }
            for name, values in found.items():
                table[name] = mean_interval(values, groups, n_resamples, seed).as_record()
    place = (scores >= np.diag(scores)[:, None]).sum(axis=1)
    table["retrieval_median_rank"] = {"value": float(np.median(place)), "low": None, "high": None, "n": len(scores)}
    return table
