"""Where an image looks like the prototypes of a class: one map per image on a scale that is the same for all images.

A prototype network decides by the best place of each prototype alone; the map shows how the other places compare, so it
tells where a class is found, not how much each place adds to the logit.
"""

from __future__ import annotations

import math

import numpy as np
import torch
from numpy.typing import ArrayLike
from torch import Tensor

from common.layers import PrototypeLayer
from common.utils.choices import check_choice

__all__ = ["COMBINATIONS", "class_heatmap", "ordinary_similarity", "similarity_range"]

COMBINATIONS = ("max", "mean")


def class_heatmap(
    similarity_map: Tensor,
    weight: Tensor,
    class_map: Tensor,
    index: Tensor,
    combine: str = "max",
    top_k: int = 5,
    lowest: float = 0.0,
    highest: float = 1.0,
) -> Tensor:
    """Put the similarity maps of a class's prototypes together.

    The scale never depends on the image, so that maps can be compared: 0 is the similarity ``lowest`` or less, 1 is
    ``highest``, and it is linear in between. Prototypes of weight 0 say nothing and are left out.

    Args:
        similarity_map: similarity of each prototype at every place (B,P,h,w).
        weight: what similarities are multiplied with (P,), at least 0.
        class_map: class of each prototype (P,), int64.
        index: class that is asked for, of each image its own (B,), int64.
        combine: ``"max"``: at every place the similarity of the most similar prototype. ``"mean"``: of the ``top_k``
            prototypes with the largest weight times similarity there, the mean weighted by their weights.
        top_k: prototypes in that mean; all where the class has fewer.
        lowest: similarity that becomes 0, see :func:`similarity_range`.
        highest: similarity that becomes 1.

    Returns:
        Maps (B,h,w) in [0,1], float32; 0 everywhere for a class whose prototypes all have weight 0.

    Raises:
        ValueError: for an unknown combination, fewer than one prototype, or an empty scale.
    """
    check_choice("combine", combine, COMBINATIONS)
    if top_k < 1:
        raise ValueError(f"top_k is {top_k}, expected 1 prototype or more")
    if not lowest < highest:
        raise ValueError(f"the scale goes from {lowest} to {highest}, expected a lowest similarity below the highest")
    similarity = similarity_map.float()
    scale = weight.to(similarity)
    of_class = (class_map.to(index.device)[None] == index[:, None]).to(similarity.device) & (scale > 0)
    speaks = of_class[:, :, None, None]
    if combine == "max":
        combined = similarity.masked_fill(~speaks, -math.inf).amax(dim=1)
    else:
        weights = scale[None, :, None, None].expand_as(similarity) * speaks
        chosen = (weights * similarity).masked_fill(~speaks, -math.inf).topk(min(top_k, len(scale)), dim=1).indices
        kept = weights.gather(1, chosen)
        total = kept.sum(dim=1)
        mean = (kept * similarity.gather(1, chosen)).sum(dim=1) / total.clamp(min=torch.finfo(total.dtype).tiny)
        combined = mean.masked_fill(total == 0, -math.inf)
    return ((combined - lowest) / (highest - lowest)).clamp(0.0, 1.0)


def similarity_range(prototypes: PrototypeLayer) -> tuple[float, float]:
    """Return the least and the largest similarity there can be, for features and prototypes from 0 to 1.

    Features are, after a sigmoid; prototypes are once they are copies of features. The largest is that of equal
    vectors. The least is that of opposite corners of the unit cube, squared distance D; for the cosine that of
    vectors at right angles.
    """
    furthest = 2.0 if prototypes.similarity == "cosine" else float(prototypes.vectors.shape[1])
    lowest, highest = prototypes.similarity_of(torch.tensor([furthest, 0.0])).tolist()
    return lowest, highest


def ordinary_similarity(self_maps: ArrayLike, lowest: float) -> float:
    """Return how similar an ordinary place is: the median over the training images that prototypes come from.

    As the lower end of :func:`class_heatmap` it leaves a map dark where an image is like any other. It belongs to the
    network, not to the image that is explained.

    Args:
        self_maps: similarity of each prototype to every place of its own training image (P,h,w).
        lowest: what is returned at least, and where all places are alike.
    """
    maps = np.asarray(self_maps, dtype=np.float32)
    median = float(np.median(maps))
    return max(median, lowest) if median < maps.max() else lowest
