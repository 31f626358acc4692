"""Are the prototypes of a network worth looking at? Do they mean a class, do they differ, do they look at findings?

The properties follow Pathak et al., "Prototype-based interpretable breast cancer prediction models: analysis and
challenges" (arXiv:2403.20260), which asks for relevance, specialisation, uniqueness, coverage and class-specificity. It
measures them by categories of abnormality that experts have annotated. Few data sets have these, so here classes take
their place, and the formulas below are this project's own: do not compare the numbers with that paper's.

N cases, P prototypes, C classes. What belongs to no class among the C, such as prototypes of the background, is left
out of everything that asks for a class. Everything else is a function of case weights (R,N), see
:mod:`common.metrics.classification`.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import ArrayLike, NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components
from scipy.spatial.distance import pdist, squareform
from scipy.stats import rankdata
from torch import Tensor

from common.metrics.classification import roc_area_by_class

__all__ = [
    "class_specificity",
    "coverage",
    "nearest_share",
    "order_stability",
    "place_stability",
    "spread",
    "touches",
    "uniqueness",
]

FloatArray = NDArray[np.float64]


def class_specificity(similarity: FloatArray, member: FloatArray, weights: FloatArray) -> FloatArray:
    """Compute the chance that a case of a prototype's class is more similar to it than another case, ties half.

    That is the AUROC of each prototype alone, as mean over the prototypes; 0.5 says nothing about the class.

    Args:
        similarity: of each case to each prototype at its best place (N,P).
        member: (N,P), 1 where the case has the prototype's class, else 0.
        weights: (R,N), the weight of each case in each resample.

    Returns:
        (R,) in [0,1]; NaN where no prototype has cases of its class and others.
    """
    return _mean_of_defined(roc_area_by_class(similarity, member, weights))


def nearest_share(similarity: FloatArray, value: FloatArray, weights: FloatArray, nearest: int = 10) -> FloatArray:
    """Compute the mean value of the cases most similar to each prototype, as mean over the prototypes.

    With 1 for cases of the prototype's class this is purity: (1/P) sum_j |{i in top_k(j): y_i = c_j}| / k. With 1 where
    the best place touches the known region it is relevance. Where cases tie for the last places each counts in part.

    Args:
        similarity: of each case to each prototype at its best place (N,P).
        value: (N,P) in [0,1]; NaN where a case is not to be asked.
        weights: (R,N), the weight of each case in each resample: a case drawn twice takes two places.
        nearest: number k of cases; all, where fewer can be asked.

    Returns:
        (R,) in [0,1]; NaN where no case can be asked.

    Raises:
        ValueError: if ``nearest`` is below 1.
    """
    _check_nearest(nearest)
    columns = []
    for scores, values in zip(similarity.T, value.T, strict=True):
        asked = ~np.isnan(values)
        order = np.argsort(-scores[asked], kind="stable")
        ranked, drawn = -scores[asked][order], weights[:, asked][:, order]
        starts = np.flatnonzero(np.diff(ranked, prepend=-np.inf))
        if not len(starts):
            columns.append(np.full(len(weights), np.nan))
            continue
        number = np.add.reduceat(drawn, starts, axis=1)
        total = np.add.reduceat(drawn * values[asked][order], starts, axis=1)
        before = np.cumsum(number, axis=1) - number
        taken = np.clip(nearest - before, 0, number)
        mean = np.divide(total, number, out=np.zeros_like(total), where=number > 0)
        columns.append(_share((taken * mean).sum(axis=1), taken.sum(axis=1)))
    return _mean_of_defined(np.stack(columns, axis=1))


def coverage(similarity: FloatArray, member: FloatArray, class_map: ArrayLike, nearest: int = 10) -> FloatArray:
    """Tell which cases are among the k most similar ones, of their class, to any prototype of that class.

    If all prototypes of a class are alike, they have the same k cases and leave the others without a likeness. The mean
    over cases is the share that is covered, as a part of what could be: a class with p prototypes and n cases covers
    min(n, k p) of them at most. Of equally similar cases the first count.

    Args:
        similarity: of each case to each prototype at its best place (N,P).
        member: (N,P), 1 where the case has the prototype's class, else 0.
        class_map: class of each prototype (P,).
        nearest: number k of cases.

    Returns:
        (N,): n / min(n, k p) for covered cases, 0 for others, as mean over a case's classes; NaN for cases without any
        class that has prototypes. The mean over all cases of a class lies in [0,1].

    Raises:
        ValueError: if ``nearest`` is below 1.
    """
    _check_nearest(nearest)
    classes = np.asarray(class_map)
    values = np.full((len(similarity), len(np.unique(classes))), np.nan)
    for column, index in enumerate(np.unique(classes)):
        own = np.flatnonzero(classes == index)
        cases = np.flatnonzero(member[:, own[0]] > 0)
        if not len(cases):
            continue
        order = np.argsort(-similarity[np.ix_(cases, own)], axis=0, kind="stable")[:nearest]
        values[cases, column] = 0.0
        values[cases[np.unique(order)], column] = len(cases) / min(len(cases), nearest * len(own))
    return _mean_of_defined(values)


def uniqueness(vectors: ArrayLike, class_map: ArrayLike, tolerance: float = 1e-6) -> float:
    """Compute the share of prototypes that would be left if copies within a class were thrown away.

    Args:
        vectors: prototypes (P,D).
        class_map: class of each prototype (P,).
        tolerance: prototypes at most this squared distance apart, or joined by such ones, are copies.

    Returns:
        In (0,1]; 1 if no two are alike.
    """
    classes = np.asarray(class_map)
    close = squareform(pdist(np.asarray(vectors, dtype=np.float64), "sqeuclidean")) <= tolerance
    groups, _ = connected_components(coo_array(close & (classes[:, None] == classes[None])), directed=False)
    return float(groups / len(classes))


def spread(vectors: ArrayLike, class_map: ArrayLike, classes: Sequence[str]) -> dict[str, float]:
    """Compute the mean squared distance of two prototypes, within each class and between classes.

    Prototypes that collapse onto each other have 0 within their class; a class whose prototypes all mean the same has
    far less than there is between the classes.

    Args:
        vectors: prototypes (P,D).
        class_map: class of each prototype (P,).
        classes: names of the classes; prototypes of others are left out.

    Returns:
        ``{class: mean}`` for the classes with two prototypes or more, and ``between`` where there are two classes.
    """
    kept = np.asarray(class_map) < len(classes)
    owner = np.asarray(class_map)[kept]
    distance = squareform(pdist(np.asarray(vectors, dtype=np.float64)[kept], "sqeuclidean"))
    pairs = np.triu(np.ones_like(distance, dtype=bool), k=1)
    same = owner[:, None] == owner[None]
    chosen = {name: pairs & same & (owner == index)[:, None] for index, name in enumerate(classes)}
    chosen["between"] = pairs & ~same
    return {name: float(distance[pair].mean()) for name, pair in chosen.items() if pair.any()}


def place_stability(location: Tensor, changed: Tensor, chosen: Tensor, columns: int, reach: int = 1) -> Tensor:
    """Compute the share of prototypes that are found again near the place where they were.

    Args:
        location: best place of each prototype, flat index row · columns + column (B,P), int64.
        changed: the same for images that were changed a little.
        chosen: indices of the prototypes that count (B,M), int64.
        columns: columns of the map.
        reach: how many cells a place may move, in either direction.

    Returns:
        (B,) in [0,1], float64.
    """
    before, after = location.gather(1, chosen), changed.gather(1, chosen)
    down = (before // columns - after // columns).abs()
    across = (before % columns - after % columns).abs()
    return (torch.maximum(down, across) <= reach).double().mean(dim=1)


def order_stability(contribution: Tensor, changed: Tensor) -> Tensor:
    """Compute Spearman's rank correlation of what prototypes contribute before and after a small change of the image.

    Args:
        contribution: of each prototype (B,P).
        changed: the same for the changed images.

    Returns:
        (B,) in [-1,1], float64; NaN where all contributions of either are equal.
    """
    ranks = [rankdata(values.double().cpu().numpy(), axis=1) for values in (contribution, changed)]
    one, other = (rank - rank.mean(axis=1, keepdims=True) for rank in ranks)
    norm = np.sqrt((one**2).sum(axis=1) * (other**2).sum(axis=1))
    return torch.from_numpy(_share((one * other).sum(axis=1), norm))


def touches(mask: Tensor, size: Sequence[int]) -> Tensor:
    """Tell which cells of a coarse map a region touches.

    Args:
        mask: (B,1,H,W), above 0.5 inside the region.
        size: rows and columns of the map.

    Returns:
        (B,h·w), float64: 1 where any pixel of the cell is inside, else 0.
    """
    return (F.adaptive_max_pool2d(mask.float(), (size[0], size[1])) > 0.5).double().flatten(1)


def _check_nearest(nearest: int) -> None:
    if nearest < 1:
        raise ValueError(f"nearest is {nearest}, expected 1 case or more")


def _share(part: FloatArray, whole: FloatArray) -> FloatArray:
    return np.divide(part, whole, out=np.full(np.shape(part), np.nan), where=whole > 0)


def _mean_of_defined(values: FloatArray) -> FloatArray:
    """Mean over the columns that are numbers; NaN where none is."""
    defined = ~np.isnan(values)
    return _share(np.where(defined, values, 0.0).sum(axis=1), defined.sum(axis=1).astype(np.float64))
