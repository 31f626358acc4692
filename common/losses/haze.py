"""A map of what is abnormal, learned by explaining the image as haze over an enhanced one.

Source: Yang et al., "Visualize What You Learn": image = M · Y + (1 - M) · A, with transmission M, enhanced image Y and
air light A. M = 1 and Y = image solve that for any image, so their two terms alone do not make M mean anything; the
others here do.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from common.utils.precision import at_least_float32

__all__ = ["abnormality", "agreement", "reconstruction", "roughness"]

SMALLEST = 1e-8


def reconstruction(transmission: Tensor, enhanced: Tensor, image: Tensor, air: float = 1.0) -> Tensor:
    """Compute the mean of (M · Y + (1 - M) · A - image)² over the pixels.

    Args:
        transmission: M (E,V,H,W) in (0,1).
        enhanced: Y (E,V,H,W) in (0,1).
        image: (E,V,H,W) in [0,1].
        air: A.

    Returns:
        (E,V).
    """
    clear, haze = at_least_float32(transmission), at_least_float32(enhanced)
    return (clear * haze + (1 - clear) * air - at_least_float32(image)).square().mean((2, 3))


def roughness(transmission: Tensor, size: int = 5) -> Tensor:
    """Compute the mean of (M - mean of M around)² where the box of the mean lies within the map.

    Args:
        transmission: M (E,V,H,W).
        size: side of the box in pixels, odd.

    Returns:
        (E,V).
    """
    clear = at_least_float32(transmission)
    edge = size // 2
    inner = clear[:, :, edge : clear.shape[2] - edge, edge : clear.shape[3] - edge]
    return (inner - F.avg_pool2d(clear, size, 1)).square().mean((2, 3))


def abnormality(transmission: Tensor, mask: Tensor) -> Tensor:
    """Compute the mean of 1 - M over a part of each view.

    Args:
        transmission: M (E,V,H,W).
        mask: (E,V,H,W) bool, such as the breast, or what is outside of it.

    Returns:
        (E,V), 0 where the part is empty.
    """
    return ((1 - at_least_float32(transmission)) * mask).sum((2, 3)) / mask.sum((2, 3)).clamp(min=1)


def agreement(abnormal: Tensor, attention: Tensor, region_mask: Tensor) -> Tensor:
    """Compare what is abnormal with what the words for findings look at: 1 - cosine over the regions.

    Args:
        abnormal: 1 - M at the regions (B,R).
        attention: (B,R), 0 or more, of any scale; no gradient flows into it.
        region_mask: (B,R) bool.

    Returns:
        (B,) in [0, 1]; 1 where there is no attention.
    """
    ours = at_least_float32(abnormal) * region_mask
    target = at_least_float32(attention.detach()) * region_mask
    lengths = ours.square().sum(1).clamp(min=SMALLEST**2).sqrt() * torch.linalg.vector_norm(target, dim=1)
    return 1 - (ours * target).sum(1) / lengths.clamp(min=SMALLEST)
