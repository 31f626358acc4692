"""Contrast of texts with images, both ways, where several texts may say the same.

Source: Radford et al., "Learning Transferable Visual Models From Natural Language Supervision", ICML 2021; Yang et al.,
"Visualize What You Learn", whose batch has three exams and takes equal reports for opposites; here a row may have
several right answers, each with the same share.

A *site* is what a text is about: a side of an exam, or a whole exam.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

__all__ = ["equal_sets", "key_sets", "report_scores", "row_contrast", "same_key_sites", "share", "two_way_contrast"]


def row_contrast(scores: Tensor, positive: Tensor, allowed: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """Compute the cross entropy of every row with its right answers.

    Args:
        scores: (M,N), scale included.
        positive: (M,N) bool, the right answers; each of a row has the same share of the target.
        allowed: (M,N) bool, what the row chooses from; None for all. Right answers that are not allowed do not count.

    Returns:
        Cross entropy (M,), 0 where the row has no right answer, and whether it has one (M,), bool.
    """
    right = positive if allowed is None else positive & allowed
    counts = right.any(1)
    if allowed is not None:
        scores = scores.masked_fill(~allowed & counts.unsqueeze(1), -math.inf)  # a row of none would be NaN
    target = right / right.sum(1, keepdim=True).clamp(min=1)
    return -(target * scores.log_softmax(1).masked_fill(~right, 0.0)).sum(1), counts


def share(value: Tensor, counts: Tensor, exam: Tensor, exams: int) -> Tensor:
    """Give each exam its share of the mean of rows.

    Args:
        value: (M,), 0 where the row does not count.
        counts: (M,) bool.
        exam: (M,) int64, the exam of each row.
        exams: their number E.

    Returns:
        (E,), whose mean is the mean of the rows that count; 0 if none does.
    """
    each = value.new_zeros(exams).index_add(0, exam, value * counts)
    return each * (exams / counts.sum().clamp(min=1))


def two_way_contrast(
    scores: Tensor,
    positive: Tensor,
    row_exam: Tensor,
    column_exam: Tensor,
    exams: int,
    allowed: Tensor | None = None,
) -> Tensor:
    """Sum the mean cross entropy of the rows and that of the columns.

    Args:
        scores: (M,N), scale included.
        positive: (M,N) bool, what belongs together.
        row_exam: (M,) int64.
        column_exam: (N,) int64.
        exams: number E of exams.
        allowed: (M,N) bool, what may be compared; None for all.

    Returns:
        (E,), whose mean over the exams is the contrast.
    """
    by_row = row_contrast(scores, positive, allowed)
    by_column = row_contrast(scores.T, positive.T, None if allowed is None else allowed.T)
    return share(*by_row, row_exam, exams) + share(*by_column, column_exam, exams)


def same_key_sites(key: Tensor, owner: Tensor) -> Tensor:
    """Tell at which sites a sentence is said by someone.

    Args:
        key: (M,) int64; sentences with the same key say the same.
        owner: (M,C) bool, the sites that a sentence was written of.

    Returns:
        (M,C) bool: the sites of all sentences with its key.
    """
    same = (key.unsqueeze(1) == key).float()
    return same @ owner.float() > 0


def key_sets(key: Tensor, owner: Tensor) -> Tensor:
    """Return what is said of each site.

    Args:
        key: (M,) int64.
        owner: (M,C) bool.

    Returns:
        (C,K) bool, for the K different keys.
    """
    keys, index = key.unique(return_inverse=True)
    has = torch.zeros(len(key), len(keys), device=key.device).scatter_(1, index.unsqueeze(1), 1.0)
    return owner.float().T @ has > 0


def equal_sets(sets: Tensor) -> Tensor:
    """Return which sites (C,C), bool, have the same set of keys (C,K), bool."""
    common, size = sets.float() @ sets.float().T, sets.sum(1)
    return (common == size.unsqueeze(1)) & (common == size)


def report_scores(scores: Tensor, owner: Tensor) -> Tensor:
    """Average the scores of each site's sentences.

    Args:
        scores: (M,C) of sentences.
        owner: (M,C) bool, the sites that a sentence was written of.

    Returns:
        (C,C) of each site's report with each site; 0 where a site has no sentence.
    """
    weight = owner.to(scores.dtype)
    return (weight / weight.sum(0).clamp(min=1)).T @ scores
