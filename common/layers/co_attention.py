"""What two images have in common: the feature map of each, made of the places of the other.

Source: Wang et al., "Cross- and Intra-image Prototypical Learning for Multi-label Disease Diagnosis and
Interpretation", IEEE TMI 2025; the idea is that of Lu et al., "See More, Know More: Unsupervised Video Object
Segmentation with Co-Attention Siamese Networks", CVPR 2019.
"""

from __future__ import annotations

import torch
from torch import Tensor

from common.layers.similarity import squared_distance
from common.utils.precision import at_least_float32

__all__ = ["co_attention"]


def co_attention(first: Tensor, second: Tensor, scale: float = 1.0) -> tuple[Tensor, Tensor]:
    """Rebuild each of two feature maps from the places of the other that are like its own.

    With the affinity A_ij = -scale · |first_i - second_j|² of every two places, the first map becomes, at its place i,
    Σ_j softmax_j(A_i·)_j second_j, and the second, at its place j, Σ_i softmax_i(A_·j)_i first_i. What only one image
    shows is not there any more. Values stay within the range of the given ones, channel by channel.

    The affinity comes of one batched matrix product: memory for B·N·M numbers, not for a difference in every channel.
    It is computed in float32 also under autocast, since it is small differences of large numbers that decide.

    Args:
        first: feature map (B,D,h,w) with N = h·w places.
        second: feature map (B,D,h',w') with M = h'·w' places, of the same images' partners.
        scale: how much likeness decides; 0 gives the mean over all places, a large number the likest place alone.

    Returns:
        The first map rebuilt (B,D,h,w) and the second one (B,D,h',w'), float32 (float64 for float64 features).
    """
    here, there = (at_least_float32(feature).flatten(2) for feature in (first, second))
    affinity = -scale * squared_distance(second, here.transpose(1, 2)).flatten(2)
    with torch.autocast(first.device.type, enabled=False):
        of_second = torch.bmm(there, affinity.softmax(2).transpose(1, 2))
        of_first = torch.bmm(here, affinity.softmax(1))
    return of_second.view(first.shape), of_first.view(second.shape)
