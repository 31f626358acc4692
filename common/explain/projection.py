"""Which place of which training image becomes which prototype.

Source: Chen et al., "This Looks Like That: Deep Learning for Interpretable Image Recognition", NeurIPS 2019 (every
prototype becomes the nearest place of its class); Wang et al., "An Interpretable and Accurate Deep-Learning Diagnosis
Framework Modeled With Fully and Semi-Supervised Reciprocal Learning", IEEE TMI 43(1), 2024 (no image twice).

Images pass once. Of each prototype only its K nearest sources are kept, K being the number of prototypes that it
competes with, itself included: the others can take no more than K - 1 of them. So the result is that of a complete
table of distances. Places are found by the fast, expanded form of the distance and then compared by differences: a
vector has distance 0 from itself, not some 1e-5.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from scipy.optimize import linear_sum_assignment
from torch import Tensor

from common.layers import nearest_places, prototype_distance
from common.utils.precision import at_least_float32

__all__ = [
    "Assignment",
    "Candidates",
    "NearestSources",
    "assign_greedy",
    "assign_optimal",
    "direct_distance",
    "membership",
    "nearest_by_key",
]

COMPARED = 4  # places of an image whose distance is computed by differences; more than this many are never as near


class Candidates(NamedTuple):
    """Possible sources of every prototype, nearest first; the earlier case where two are equally near.

    Attributes:
        distance: (P,K), as :func:`direct_distance`; infinite where there is no further source.
        case: number of the source's case (P,K), int64; -1 where there is none.
        cell: place on its feature map, row · w + column (P,K), int64.
        vector: what is found there (P,K,D); D is 0 where vectors are not carried along.
    """

    distance: Tensor
    case: Tensor
    cell: Tensor
    vector: Tensor


class Assignment(NamedTuple):
    """Which candidate a prototype becomes.

    Attributes:
        column: index into its candidates (P,), int64.
        shared: whether it had to take a source that another one has, because there were not enough (P,), bool.
    """

    column: Tensor
    shared: Tensor


class NearestSources:
    """Keep the nearest sources of each prototype while feature maps stream by.

    Args:
        vectors: prototypes (P,D).
        class_map: class of each prototype (P,), int64.
        form: of the distance, see :func:`common.layers.prototype_distance`.
        key: of each case (N,), int64: cases with the same key, such as images of one patient, are one source.
        count: sources K to keep of each prototype, at least 1.

    Raises:
        ValueError: if count is not positive.
    """

    def __init__(self, vectors: Tensor, class_map: Tensor, form: str, key: Tensor, count: int) -> None:
        if count < 1:
            raise ValueError(f"count is {count}, expected 1 source or more to keep of each prototype")
        self.vectors = vectors.detach().clone()
        self.class_map = class_map.clone()
        self.form = form
        self.key = key.cpu()
        self.count = count
        self._found: list[Candidates] = []
        self._waiting = 0

    def add(self, feature: Tensor, member: Tensor, case: Tensor) -> None:
        """Look for sources on the feature maps of a batch.

        Args:
            feature: feature maps (B,D,h,w).
            member: whether a case may become a prototype of a class (B,C), bool.
            case: number of each case (B,), int64.
        """
        allowed = member.to(feature.device)[:, self.class_map.to(feature.device)]
        distance, places, vector = _nearest(feature.detach(), self.vectors.to(feature.device), allowed, self.form)
        number = torch.where(allowed, case.to(feature.device)[:, None], -1)
        batch = (distance.T, number.T, places.T, vector.transpose(0, 1))
        self._found.append(Candidates(*(part.cpu() for part in batch)))
        self._waiting += len(feature)
        if self._waiting >= self.count:  # sorting now and then costs less than after every batch
            self._sort()

    def candidates(self) -> Candidates:
        """Return what was found up to now, with vectors.

        Raises:
            ValueError: if nothing was added.
        """
        if not self._found:
            raise ValueError("no feature map was added, expected at least one batch")
        self._sort()
        return self._found[0]

    def _sort(self) -> None:
        self._found, self._waiting = [nearest_by_key(self._found, self.key, self.count)], 0


def nearest_by_key(found: Sequence[Candidates], key: Tensor, count: int) -> Candidates:
    """Join candidates, of several batches or processes, and keep the nearest.

    Args:
        found: each (P,K') of its own K'.
        key: of each case (N,), int64; of several candidates with the same key the nearest is kept.
        count: candidates K to keep.

    Returns:
        Candidates (P,K), or fewer where there are not so many; the order of ``found`` does not matter.
    """
    joined = Candidates(*(torch.cat(parts, dim=1) for parts in zip(*found, strict=True)))
    by_case = joined.case.argsort(dim=1, stable=True)
    order = by_case.gather(1, joined.distance.gather(1, by_case).argsort(dim=1, stable=True))
    keys = torch.where(joined.case < 0, -1, key[joined.case.clamp(min=0)]).gather(1, order)
    grouped = keys.argsort(dim=1, stable=True)
    sorted_keys = keys.gather(1, grouped)
    again = F.pad(sorted_keys[:, 1:] == sorted_keys[:, :-1], (1, 0)) | (sorted_keys < 0)
    repeated = torch.zeros_like(again).scatter(1, grouped, again)
    kept = order.gather(1, repeated.int().argsort(dim=1, stable=True))[:, :count]
    gone = repeated.sort(dim=1, stable=True).values[:, :count]
    return Candidates(
        joined.distance.gather(1, kept).masked_fill(gone, torch.inf),
        joined.case.gather(1, kept).masked_fill(gone, -1),
        joined.cell.gather(1, kept),
        joined.vector[torch.arange(len(kept))[:, None], kept],
    )


def assign_greedy(candidates: Candidates, key: Tensor, group: Tensor) -> Assignment:
    """Let every prototype, in its order, take its nearest source that none before it has.

    A prototype that finds no free source takes its nearest one again.

    Args:
        candidates: see :class:`NearestSources`.
        key: of each case (N,), int64.
        group: prototypes of the same group (P,), int64, compete for sources; others may take the same.

    Returns:
        What each prototype becomes.
    """
    taken: set[tuple[int, int]] = set()
    column = torch.zeros(len(group), dtype=torch.int64)
    shared = torch.zeros(len(group), dtype=torch.bool)
    for index, (cases, own) in enumerate(zip(candidates.case.tolist(), group.tolist(), strict=True)):
        sources = [(own, int(key[case])) for case in cases if case >= 0]
        free = next((rank for rank, source in enumerate(sources) if source not in taken), None)
        column[index], shared[index] = free or 0, free is None
        taken.update(sources[free : free + 1] if free is not None else ())
    return Assignment(column, shared)


def assign_optimal(candidates: Candidates, key: Tensor, group: Tensor) -> Assignment:
    """Share the sources out so that the sum of the distances is smallest.

    As many prototypes as possible get a source of their own; the others take their nearest one again.

    Args:
        candidates: see :class:`NearestSources`.
        key: of each case (N,), int64.
        group: prototypes of the same group (P,), int64, compete for sources.

    Returns:
        What each prototype becomes.
    """
    column = torch.zeros(len(group), dtype=torch.int64)
    shared = torch.ones(len(group), dtype=torch.bool)
    for own in group.unique():
        members = torch.nonzero(group == own)[:, 0]
        distance, case = candidates.distance[members].double(), candidates.case[members]
        exists = torch.isfinite(distance)
        _, source = torch.unique(key[case.clamp(min=0)], return_inverse=True)
        # dearer than all that exist together, so that it is chosen only where a row finds nothing
        dear = 1.0 + 2.0 * float(distance[exists].sum()) if bool(exists.any()) else 1.0
        costs = np.full((len(members), int(source.max()) + 1), dear)
        rank = torch.zeros(costs.shape, dtype=torch.int64)
        rows = torch.arange(len(members))[:, None].expand_as(source)
        costs[rows[exists].numpy(), source[exists].numpy()] = distance[exists].numpy()
        rank[rows[exists], source[exists]] = torch.arange(case.shape[1]).expand_as(case)[exists]
        for row, place in zip(*linear_sum_assignment(costs), strict=True):
            if costs[row, place] < dear:
                column[members[row]], shared[members[row]] = rank[row, place], False
    return Assignment(column, shared)


def direct_distance(vectors: Tensor, other: Tensor, form: str) -> Tensor:
    """Compute the distance of :func:`common.layers.prototype_distance` by differences.

    It is 0 for equal vectors, for the cosine within 1e-12, where the expanded form leaves 1e-6 and more.

    Args:
        vectors: (...,D).
        other: (...,D), of a shape that fits.
        form: one of ``common.layers.SIMILARITIES``.

    Returns:
        Distance (...), float32.
    """
    first, second = at_least_float32(vectors), at_least_float32(other)
    if form == "cosine":
        first, second = F.normalize(first, dim=-1, eps=1e-8), F.normalize(second, dim=-1, eps=1e-8)
    return (first - second).square().sum(-1)


def membership(label: Tensor, num_classes: int, background: int | None = None, given: Tensor | None = None) -> Tensor:
    """Say which classes a case belongs to, for exclusive classes and for several at once.

    Args:
        label: class indices (B,), or 0 or 1 for each class (B,C); (B,C-1) where the background is the last class and
            has no column.
        num_classes: number of classes C.
        background: class of the cases that belong to no other; None where there is none.
        given: whether the label is known (B,), bool; None where all are. Other cases belong to no class.

    Returns:
        Membership (B,C), bool.

    Raises:
        ValueError: if the label has another shape or an unknown class.
    """
    if label.dim() == 1:
        if len(label) and not 0 <= int(label.min()) <= int(label.max()) < num_classes:
            raise ValueError(
                f"labels go from {int(label.min())} to {int(label.max())}, expected 0 to {num_classes - 1}"
            )
        member = F.one_hot(label.long(), num_classes).bool()
    else:
        member = label > 0.5
        if background == num_classes - 1 and member.shape[1] == num_classes - 1:
            member = F.pad(member, (0, 1))
        if member.dim() != 2 or member.shape[1] != num_classes:
            raise ValueError(f"labels have shape {tuple(label.shape)}, expected (B,) or (B, {num_classes})")
        if background is not None:
            member[:, background] |= ~member.any(1)
    return member if given is None else member & given.bool()[:, None]


def _nearest(feature: Tensor, vectors: Tensor, allowed: Tensor, form: str) -> tuple[Tensor, Tensor, Tensor]:
    """Find what is nearest on each map.

    Args:
        feature: feature maps (B,D,h,w).
        vectors: prototypes (P,D).
        allowed: whether a case may be a prototype's source (B,P), bool; other pairs are not looked at.
        form: of the distance.

    Returns:
        Distance (B,P), infinite where it is not allowed, place (B,P), and the vector there (B,P,D).
    """
    batch, prototype = torch.nonzero(allowed, as_tuple=True)
    maps = prototype_distance(feature, vectors, form)[batch, prototype]
    places = nearest_places(maps[:, None], COMPARED)[1][:, 0].sort(dim=1).values  # of places equally near the first
    found = feature.flatten(2).transpose(1, 2)[batch[:, None], places]
    distance = direct_distance(found, vectors[prototype][:, None], form)
    best = distance.argmin(dim=1)
    pair = torch.arange(len(best), device=best.device)
    result = (
        torch.full(allowed.shape, torch.inf, device=feature.device),
        torch.zeros(allowed.shape, dtype=torch.int64, device=feature.device),
        torch.zeros(*allowed.shape, feature.shape[1], device=feature.device),
    )
    for values, chosen in zip(result, (distance[pair, best], places[pair, best], found[pair, best]), strict=True):
        values[batch, prototype] = chosen
    return result
