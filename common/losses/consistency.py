"""Similarity maps should move with the image: affine consistency on the maps' own grid.

Source: Wang et al., "An Interpretable and Accurate Deep-Learning Diagnosis Framework Modeled With Fully and
Semi-Supervised Reciprocal Learning", IEEE TMI 43(1), 2024. Their code enlarges maps to the image's size, makes 8-bit
pictures of them and moves those; moving the maps themselves costs a thousandth of that.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from common.utils.precision import at_least_float32

__all__ = ["affine_consistency", "moved_maps"]


def affine_consistency(moved: Tensor, original: Tensor, affine: Tensor) -> Tensor:
    """Compare the maps of a moved image with the moved maps of the original image.

    Places that the movement brings in from outside the original do not count.

    Args:
        moved: maps (B,N,h,w) of the image after the movement.
        original: maps (B,N,h,w) of the image before it; no gradient flows into them.
        affine: the movement (B,2,3) that made the moved image, as :func:`torch.nn.functional.affine_grid` takes it:
            from normalised places of the moved image to those of the original, corners not aligned.

    Returns:
        Squared difference (B,), the mean over the N maps of the mean over the places that count; 0 where none does.
    """
    target, counts = moved_maps(original.detach(), affine, moved.shape[2], moved.shape[3])
    squared = (at_least_float32(moved) - target).square() * counts
    return (squared.sum((2, 3)) / counts.sum((2, 3)).clamp(min=1)).mean(1)


def moved_maps(maps: Tensor, affine: Tensor, height: int, width: int) -> tuple[Tensor, Tensor]:
    """Move maps as their image was moved.

    Args:
        maps: maps (B,N,h,w) of the image before the movement.
        affine: the movement (B,2,3), see :func:`affine_consistency`.
        height: rows h' of the result.
        width: columns w' of the result.

    Returns:
        Moved maps (B,N,h',w'), float32, and which of their places come from inside the image (B,1,h',w'), bool.
    """
    grid = _places(affine.float(), height, width)
    source = at_least_float32(maps)
    moved = F.grid_sample(source, grid.to(source.dtype), padding_mode="border", align_corners=False)
    return moved, (grid.abs() <= 1).all(3).unsqueeze(1)


def _places(affine: Tensor, height: int, width: int) -> Tensor:
    """Return where the centres of a map's places come from (B,h,w,2), without a product that autocast would round."""
    x = (2 * torch.arange(width, device=affine.device) + 1) / width - 1
    y = ((2 * torch.arange(height, device=affine.device) + 1) / height - 1).unsqueeze(1)
    across, down, offset = affine[:, None, None].unbind(-1)  # (B,1,1,2) each
    return across * x.expand(height, width).unsqueeze(2) + down * y.expand(height, width).unsqueeze(2) + offset
