"""Norms that can be folded into the convolution before them: frozen, batch and group norm.

A norm with fixed statistics is a product and a sum per channel; put into the convolution's weight and bias, both cost
nothing and no second map is kept.
"""

# No postponed annotations in this file: TorchScript must see the class of the buffers.

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from common.utils.choices import check_choice

__all__ = ["NORMS", "BatchNorm2d", "FrozenNorm2d", "GroupNorm2d", "make_norm"]

NORMS = ("frozen", "batch", "group")
GROUPS = 8


class FrozenNorm2d(nn.Module):
    """Norm with the statistics and the affine map of pretrained weights, none of which is ever updated.

    y = x s + (bias - mean s) with s = weight / sqrt(variance), without an epsilon (KarryRen/UML). Before weights are
    loaded it changes nothing.

    Args:
        channels: channels D of the feature (B,D,h,w).
    """

    weight: Tensor
    bias: Tensor
    running_mean: Tensor
    running_var: Tensor

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.register_buffer("weight", torch.ones(channels))
        self.register_buffer("bias", torch.zeros(channels))
        self.register_buffer("running_mean", torch.zeros(channels))
        self.register_buffer("running_var", torch.ones(channels))

    def forward(self, feature: Tensor) -> Tensor:
        """Normalise a feature (B,D,h,w)."""
        scale = self.weight * self.running_var.rsqrt()
        shift = self.bias - self.running_mean * scale
        return feature * scale.view(1, -1, 1, 1) + shift.view(1, -1, 1, 1)

    @torch.jit.export
    def convolve(self, feature: Tensor, weight: Tensor, bias: Tensor | None, stride: int, padding: int) -> Tensor:
        """Convolve a feature (B,D',h',w') and normalise the result, in one pass.

        Args:
            feature: what is convolved.
            weight: the convolution's weight (D,D',k,k).
            bias: the convolution's bias (D,), if it has one.
            stride: the convolution's stride.
            padding: the convolution's padding.

        Returns:
            The normalised result (B,D,h,w).
        """
        scale = self.weight * self.running_var.rsqrt()
        shift = self.bias - self.running_mean * scale
        return _folded(feature, weight, bias, scale, shift, stride, padding)


class BatchNorm2d(nn.BatchNorm2d):
    """PyTorch's batch norm; in evaluation mode :meth:`convolve` folds it.

    Args:
        channels: channels D of the feature (B,D,h,w).
    """

    def __init__(self, channels: int) -> None:
        super().__init__(channels)

    @torch.jit.export
    def convolve(self, feature: Tensor, weight: Tensor, bias: Tensor | None, stride: int, padding: int) -> Tensor:
        """Convolve and normalise, see :meth:`FrozenNorm2d.convolve`."""
        mean, variance = self.running_mean, self.running_var
        if self.training or mean is None or variance is None:
            return self(F.conv2d(feature, weight, bias, stride, padding))
        scale = self.weight * (variance + self.eps).rsqrt()
        return _folded(feature, weight, bias, scale, self.bias - mean * scale, stride, padding)


class GroupNorm2d(nn.GroupNorm):
    """PyTorch's group norm in up to eight groups; does not depend on the batch, so it may be of any size.

    Args:
        channels: channels D of the feature (B,D,h,w).
    """

    def __init__(self, channels: int) -> None:
        super().__init__(math.gcd(GROUPS, channels), channels)

    @torch.jit.export
    def convolve(self, feature: Tensor, weight: Tensor, bias: Tensor | None, stride: int, padding: int) -> Tensor:
        """Convolve and normalise, see :meth:`FrozenNorm2d.convolve`."""
        return self(F.conv2d(feature, weight, bias, stride, padding))


def make_norm(kind: str, channels: int) -> FrozenNorm2d | BatchNorm2d | GroupNorm2d:
    """Make a norm by its name.

    Args:
        kind: one of ``NORMS``.
        channels: channels D of the feature (B,D,h,w).

    Returns:
        The norm.

    Raises:
        ValueError: for an unknown name.
    """
    check_choice("norm", kind, NORMS)
    if kind == "frozen":
        return FrozenNorm2d(channels)
    return BatchNorm2d(channels) if kind == "batch" else GroupNorm2d(channels)


def _folded(
    feature: Tensor, weight: Tensor, bias: Tensor | None, scale: Tensor, shift: Tensor, stride: int, padding: int
) -> Tensor:
    if bias is not None:
        shift = shift + bias * scale
    return F.conv2d(feature, weight * scale.view(-1, 1, 1, 1), shift, stride, padding)
