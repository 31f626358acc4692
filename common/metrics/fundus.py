"""The vertical cup-to-disc ratio of an eye's optic disc, and how far a segmentation misses it."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from common.metrics.segmentation import structure_masks

__all__ = ["cup_to_disc_ratio"]


def cup_to_disc_ratio(segmentation: Tensor, disc: Sequence[int] = (1, 2), cup: Sequence[int] = (2,)) -> Tensor:
    """Compute the vertical cup-to-disc ratio: height of the cup divided by height of the disc.

    A height is the largest number of pixels that a structure has in one column, so that specks elsewhere do not count.
    The ratio does not depend on the size the image is brought to.

    Source: the REFUGE challenge (Orlando et al., Medical Image Analysis 59 (2020) 101570), whose discs, unlike its
    rims, include the cup.

    Args:
        segmentation: values of structures (B,1,H,W), whole numbers, rows from top to bottom of the eye.
        disc: values that make up the whole disc.
        cup: values of the cup.

    Returns:
        (B,), 0 where there is a disc without a cup, NaN where there is no disc.

    Raises:
        ValueError: if the shape does not fit.
    """
    masks = structure_masks(segmentation, {"disc": disc, "cup": cup})
    height = masks.sum(dim=2).amax(dim=2).cpu().double()
    return torch.where(height[:, 0] > 0, height[:, 1] / height[:, 0], torch.nan)
