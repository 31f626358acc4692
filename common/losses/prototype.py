"""Where prototypes should lie: near their own class, away from the others, apart from each other.

Sources: Chen et al., "This Looks Like That: Deep Learning for Interpretable Image Recognition", NeurIPS 2019 (cluster
and separation); Wang et al., "Learning Support and Trivial Prototypes for Interpretable Image Classification", ICCV
2023 (orthogonality). Classes may exclude each other or not: an image is positive for one class, several or none.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from common.utils.precision import at_least_float32

__all__ = ["class_distance", "cluster", "orthogonality", "separation"]


def class_distance(distance: Tensor, class_map: Tensor, num_classes: int) -> Tensor:
    """Find the distance from each image to the nearest prototype of each class.

    Args:
        distance: smallest distance of each prototype on the image's map (B,P).
        class_map: class of each prototype (P,), int64.
        num_classes: C; every class has a prototype.

    Returns:
        Distance (B,C), float32.
    """
    member = class_map == torch.arange(num_classes, device=class_map.device).unsqueeze(1)
    return torch.where(member, at_least_float32(distance).unsqueeze(1), torch.inf).amin(2)


def cluster(nearest: Tensor, positive: Tensor) -> Tensor:
    """Compute how far an image is from the prototypes of its own classes.

    Args:
        nearest: what :func:`class_distance` returns (B,C).
        positive: whether the image has the class (B,C), bool.

    Returns:
        Sum over the image's classes of the distance to the nearest prototype (B,); with one class, that distance.
    """
    return torch.where(positive, nearest, 0.0).sum(1)


def separation(nearest: Tensor, positive: Tensor) -> Tensor:
    """Compute how far an image is from the prototypes of all other classes.

    Args:
        nearest: what :func:`class_distance` returns (B,C).
        positive: whether the image has the class (B,C), bool.

    Returns:
        Distance to the nearest prototype of a class that the image has not (B,); 0 for an image that has every class.
    """
    closest = torch.where(positive, torch.inf, nearest).amin(1)
    return torch.where(positive.all(1), 0.0, closest)


def orthogonality(prototype: Tensor, class_map: Tensor) -> Tensor:
    """Compute how far the prototypes of a class are from being orthogonal.

    Args:
        prototype: vectors (P,D); their lengths do not matter.
        class_map: class of each prototype (P,), int64.

    Returns:
        Scalar: sum over the classes of the absolute values in P_c P_cᵀ - I, with P_c the class's unit vectors.
    """
    unit = F.normalize(at_least_float32(prototype), dim=1)
    same = class_map.unsqueeze(0) == class_map.unsqueeze(1)
    overlap = unit @ unit.T - torch.eye(len(unit), dtype=unit.dtype, device=unit.device)
    return (overlap.abs() * same).sum()
