"""Distance between prototypes and every place of a feature map, and the similarity made of it.

Sources: Chen et al., "This Looks Like That: Deep Learning for Interpretable Image Recognition", NeurIPS 2019 (log_l2);
Wang et al., "An Interpretable and Accurate Deep-Learning Diagnosis Framework ...", IEEE TMI 43(1), 2024 (exp_l2).
"""

# No postponed annotations in this file: TorchScript compiles its functions.

import torch
import torch.nn.functional as F
from torch import Tensor

from common.utils.precision import at_least_float32

__all__ = ["SIMILARITIES", "prototype_distance", "similarity_from", "squared_distance"]

SIMILARITIES = ("exp_l2", "log_l2", "cosine")


def squared_distance(feature: Tensor, prototype: Tensor) -> Tensor:
    """Compute |z|² - 2 z·p + |p|² for every place z and every prototype p.

    One matrix product; |z|² is a sum over the channels, not a convolution with ones. Differences of large numbers lose
    their digits in half precision, so the result is float32 also under autocast.

    Args:
        feature: feature map (B,D,h,w).
        prototype: vectors (P,D), or other ones for each image (B,P,D).

    Returns:
        Squared Euclidean distance (B,P,h,w), at least 0, float32 (float64 for float64 features).
    """
    if not torch.jit.is_scripting():  # noqa: SIM102 - TorchScript compiles what stands in the same line
        if torch.is_autocast_enabled(feature.device.type):
            with torch.autocast(feature.device.type, enabled=False):
                return _expanded(feature, prototype)
    return _expanded(feature, prototype)


def prototype_distance(feature: Tensor, prototype: Tensor, form: str) -> Tensor:
    """Compute the distance on which a form of similarity rests.

    Args:
        feature: feature map (B,D,h,w).
        prototype: vectors (P,D) or (B,P,D).
        form: one of ``SIMILARITIES``.

    Returns:
        Squared distance (B,P,h,w), float32; for ``cosine`` that of unit vectors, 2 - 2 cos, in [0,4].
    """
    if form == "cosine":
        feature = F.normalize(at_least_float32(feature), dim=1, eps=1e-8)
        prototype = F.normalize(at_least_float32(prototype), dim=-1, eps=1e-8)
    return squared_distance(feature, prototype)


def similarity_from(distance: Tensor, form: str, scale: float) -> Tensor:
    """Turn distance into similarity; every form falls as the distance grows.

    With u = distance / scale: ``exp_l2`` is exp(-u), in (0,1]; ``log_l2`` is log((u + 1) / (u + 1e-4)), in (0,9.22];
    ``cosine`` is 1 - u / 2, for scale 1 the cosine in [-1,1].

    Args:
        distance: what :func:`prototype_distance` returns for the same form, any shape.
        form: one of ``SIMILARITIES``.
        scale: positive number that distances are divided by.

    Returns:
        Similarity of the same shape.
    """
    scaled = distance / scale
    if form == "exp_l2":
        return torch.exp(-scaled)
    if form == "log_l2":
        return torch.log((scaled + 1) / (scaled + 1e-4))
    return 1 - scaled / 2


def _expanded(feature: Tensor, prototype: Tensor) -> Tensor:
    places = at_least_float32(feature).flatten(2)
    vectors = at_least_float32(prototype).to(places.dtype)
    if vectors.dim() == 2:
        vectors = vectors.unsqueeze(0).expand(places.shape[0], -1, -1)
    norms = places.square().sum(1, keepdim=True) + vectors.square().sum(2, keepdim=True)
    distance = norms.baddbmm_(
        vectors, places, alpha=-2.0
    )  # in place: maps are large, copies cost as much as the product
    return distance.clamp_(min=0.0).view(feature.shape[0], -1, feature.shape[2], feature.shape[3])
