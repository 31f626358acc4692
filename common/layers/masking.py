"""Softmax and mean over what is there, where something may be missing."""

# No postponed annotations in this file: TorchScript compiles its functions.

import torch
from torch import Tensor

__all__ = ["masked_mean", "masked_softmax"]


def masked_softmax(score: Tensor, mask: Tensor, dim: int = -1) -> Tensor:
    """Compute a softmax over the places that exist.

    Args:
        score: any shape, float32 or float64.
        mask: bool, of a shape that broadcasts to that of the scores; False where there is nothing.
        dim: axis of the softmax.

    Returns:
        Weights of the scores' shape, which sum to 1 along the axis; 0 where there is nothing, also if that is
        everywhere.
    """
    # Low enough for a weight of exactly 0 beside any score, and finite: -inf in all places would give NaN.
    weight = torch.softmax(score.masked_fill(~mask, -1e30), dim=dim)
    return weight * mask.to(weight.dtype)


def masked_mean(values: Tensor, mask: Tensor, dim: int) -> Tensor:
    """Average the values that exist.

    Args:
        values: any shape.
        mask: bool, of a shape that broadcasts to that of the values; False where there is nothing.
        dim: axis of the mean, at least 0.

    Returns:
        The mean without that axis, 0 where nothing exists.
    """
    weight = mask.to(values.dtype)
    return (values * weight).sum(dim) / weight.sum(dim).clamp_min(1.0)
