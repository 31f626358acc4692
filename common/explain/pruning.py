"""Leave out prototypes that say the same as others, without changing what the network says."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from common.explain.projection import direct_distance
from common.explain.prototype_files import PrototypeBook
from common.layers import ClassConnectedLinear, PrototypeLayer

__all__ = ["find_duplicates", "merged_weights", "prune_book", "prune_prototypes"]


def find_duplicates(vectors: Tensor, class_map: Tensor, form: str = "exp_l2", eps: float = 0.0) -> Tensor:
    """Say which earlier prototype each one repeats.

    Args:
        vectors: prototypes (P,D). Copies of the same place are equal.
        class_map: class of each (P,), int64; prototypes of two classes are never duplicates.
        form: of the distance, see :func:`common.layers.prototype_distance`.
        eps: distance up to which two are the same; 0 for equal vectors only.

    Returns:
        Index of the first prototype that each one repeats (P,), int64; its own index where it repeats none. The first
        one is never a duplicate itself, so chains of near prototypes do not collapse into one.

    Raises:
        ValueError: if eps is negative.
    """
    if eps < 0:
        raise ValueError(f"eps is {eps}, expected a distance of 0 or more")
    first = torch.arange(len(vectors))
    kept: list[int] = []
    for index in range(len(vectors)):
        near = direct_distance(vectors[kept], vectors[index], form) <= eps
        same = near & (class_map[kept] == class_map[index])
        if same.any():
            first[index] = kept[int(same.int().argmax())]
        else:
            kept.append(index)
    return first


def merged_weights(weight: Tensor, first: Tensor) -> tuple[Tensor, Tensor]:
    """Add the weights of duplicates to that of the prototype they repeat.

    Args:
        weight: of the last layer (P,).
        first: what :func:`find_duplicates` returns (P,).

    Returns:
        Indices of the prototypes to keep (P',), ascending, and their weights (P',). With w s + v s = (w + v) s the
        logits stay the same.
    """
    keep = torch.nonzero(first == torch.arange(len(first)))[:, 0]
    added = torch.zeros_like(weight).index_add(0, first.to(weight.device), weight)
    return keep, added[keep.to(weight.device)]


def prune_prototypes(branch: Any, keep: Tensor | Sequence[int], weight: Tensor | None = None) -> list[int]:
    """Take prototypes out of a network, in place.

    Args:
        branch: module with ``prototypes`` (:class:`common.layers.PrototypeLayer`) and ``last_layer``
            (:class:`common.layers.ClassConnectedLinear`), such as ``network.student``.
        keep: indices of the prototypes to keep (P',), in ascending order.
        weight: their new weights (P',); None keeps those they have.

    Returns:
        The number of prototypes left in each class: ``prototypes_per_class`` of a network that the pruned weights fit.

    Raises:
        ValueError: if the indices are not ascending, do not exist, or leave a class without any prototype.
    """
    old, last = branch.prototypes, branch.last_layer
    index = torch.as_tensor(keep, dtype=torch.int64, device=old.vectors.device)
    if not len(index) or bool((index.diff() <= 0).any()) or not 0 <= int(index[0]) <= int(index[-1]) < len(old.vectors):
        raise ValueError(
            f"keep is {index.tolist()}, expected some of the prototypes 0 to {len(old.vectors) - 1} in ascending order"
        )
    class_map = old.class_map[index]
    counts: list[int] = class_map.bincount(minlength=last.num_classes).tolist()
    if 0 in counts:
        raise ValueError(f"no prototype of class {counts.index(0)} is kept, expected at least one of every class")
    layer = PrototypeLayer(class_map, old.vectors.shape[1], old.similarity, old.scale).to(old.vectors.device)
    connected = ClassConnectedLinear(class_map, last.num_classes).to(old.vectors.device)
    with torch.no_grad():
        layer.vectors.copy_(old.vectors[index])
        layer.projected.copy_(old.projected)
        connected.weight.copy_(last.weight[index] if weight is None else weight)
    modules: dict[str, nn.Module] = {"prototypes": layer, "last_layer": connected}
    for name, module in modules.items():
        setattr(branch, name, module.train(branch.training))
    return counts


def prune_book(book: PrototypeBook, keep: Tensor | Sequence[int], weight: Tensor | Sequence[float]) -> PrototypeBook:
    """Return the book of the pruned network.

    Args:
        book: of all prototypes.
        keep: indices of those kept (P',), ascending.
        weight: their weights (P',).
    """
    index = np.asarray(torch.as_tensor(keep))
    weights = torch.as_tensor(weight).tolist()
    left = [
        replace(book.prototypes[old], index=new, weight=value)
        for new, (old, value) in enumerate(zip(index.tolist(), weights, strict=True))
    ]
    return replace(
        book,
        prototypes=left,
        vectors=book.vectors[index],
        self_maps=book.self_maps[index],
        class_map=book.class_map[index],
    )
