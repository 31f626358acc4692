"""Exams that have more findings in common should be more alike.

Source: Yang et al., "Visualize What You Learn", whose code counts words in loops over pairs of pairs; a word written
twice counts twice there, and depends on the order of the two exams.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from common.losses.word_region import in_chunks
from common.utils.precision import at_least_float32

__all__ = ["ranking", "shared_count"]

BUDGET = 2**22  # numbers of a chunk, 16 MiB


def shared_count(sets: Tensor) -> Tensor:
    """Count what two sites have in common.

    Args:
        sets: (C,K) bool or 0/1: words, keys of sentences or findings of each site.

    Returns:
        (C,C) int64.
    """
    having = (sets > 0).float()
    return (having @ having.T).long()


def ranking(scores: Tensor, shared: Tensor, allowed: Tensor | None = None, budget: int = BUDGET) -> Tensor:
    """Compare all pairs of sites P and Q of which Q have more in common: softplus(q(P) - q(Q)).

    q(i,j) is the mean of the scores of i's text at j and of j's at i. The mean over all such P and Q counts half for
    each site of P, the pair that ought to be less alike.

    Args:
        scores: (C,C) of each site's report with each site, scale included.
        shared: (C,C), how much two sites have in common, symmetric.
        allowed: (C,C) bool, the pairs of sites that count; None for all.
        budget: numbers at a time.

    Returns:
        (C,), whose sum over the sites is that mean; 0 where no pair has more in common than another.
    """
    sites, scores = len(scores), at_least_float32(scores)
    first, second = torch.triu_indices(sites, sites, 1, device=scores.device)
    if allowed is not None:
        kept = (allowed & allowed.T)[first, second]
        first, second = first[kept], second[kept]
    likeness, count = (scores[first, second] + scores[second, first]) / 2, shared[first, second]

    def chunk(low: Tensor, few: Tensor) -> Tensor:
        return (F.softplus(low.unsqueeze(1) - likeness) * (few.unsqueeze(1) < count)).sum(1)

    more = in_chunks(chunk, (likeness, count), max(1, len(likeness)), budget)
    ordered, number = count.sort()
    comparisons = (len(count) - torch.searchsorted(ordered, count, right=True)).sum() if len(number) else 0
    each = more / (2 * torch.as_tensor(comparisons, device=scores.device).clamp(min=1))
    return scores.new_zeros(sites).index_add(0, first, each).index_add(0, second, each)
