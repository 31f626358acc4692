"""Plain convolutions that several networks share."""

from __future__ import annotations

from torch import nn

__all__ = ["double_conv"]


def double_conv(in_channels: int, out_channels: int) -> nn.Sequential:
    """Make two 3x3 convolutions with bias, each followed by ReLU; the size of the feature is kept.

    Args:
        in_channels: channels of the input feature (B,D,h,w).
        out_channels: channels of both outputs.

    Returns:
        The layers, with PyTorch's default initialisation.
    """
    return nn.Sequential(
        nn.Conv2d(in_channels, out_channels, kernel_size=3, padding=1),
        nn.ReLU(),
        nn.Conv2d(out_channels, out_channels, kernel_size=3, padding=1),
        nn.ReLU(),
    )
