"""Convolutions with a norm, channel dropout and ReLU: the bricks of encoders and decoders.

Source: KarryRen/UML (double convolution, separable convolution), written so that one map is kept for the norm and one
for everything after it: channel dropout and ReLU commute, so dropout comes first and both work in place.
"""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

from common.layers.normalisation import make_norm

__all__ = ["DoubleConv", "NormalisedConv", "SeparableConv", "init_convolutions"]


class NormalisedConv(nn.Module):
    """Convolution with padding, norm, channel dropout, ReLU.

    Args:
        in_channels: channels of the input feature.
        out_channels: channels of the result.
        kernel_size: side of the kernel, odd; the padding keeps the size.
        stride: of the convolution.
        norm: ``"batch"``, ``"group"`` or ``"frozen"``, see :func:`common.layers.normalisation.make_norm`.
        dropout: probability of dropping a channel, in [0,1).
        bias: give the convolution a bias.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int = 3,
        stride: int = 1,
        norm: str = "batch",
        dropout: float = 0.0,
        bias: bool = True,
    ) -> None:
        super().__init__()
        self.stride = stride
        self.padding = kernel_size // 2
        self.conv = nn.Conv2d(in_channels, out_channels, kernel_size, stride, self.padding, bias=bias)
        self.norm = make_norm(norm, out_channels)
        self.dropout = nn.Dropout2d(dropout, inplace=True)

    def forward(self, feature: Tensor) -> Tensor:
        """Turn a feature (B,D,h,w) into one of (B,D',h/stride,w/stride), at least 0."""
        feature = self.norm.convolve(feature, self.conv.weight, self.conv.bias, self.stride, self.padding)
        return F.relu(self.dropout(feature), inplace=True)


class DoubleConv(nn.Sequential):
    """Two 3x3 convolutions with bias, norm and ReLU.

    Args:
        in_channels: channels of the input feature.
        out_channels: channels of both results.
        norm: see :class:`NormalisedConv`.
        dropout: probability of dropping a channel, in [0,1).
        dropout_twice: drop after the first convolution too (2023), else after the second only (2024).
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        norm: str = "batch",
        dropout: float = 0.0,
        dropout_twice: bool = False,
    ) -> None:
        super().__init__(
            NormalisedConv(in_channels, out_channels, norm=norm, dropout=dropout if dropout_twice else 0.0),
            NormalisedConv(out_channels, out_channels, norm=norm, dropout=dropout),
        )


class SeparableConv(nn.Sequential):
    """Depthwise 3x3 convolution with dilation 2, then a 1x1 convolution with norm, channel dropout and ReLU; no biases.

    Args:
        in_channels: channels of the input feature.
        out_channels: channels of the result.
        norm: see :class:`NormalisedConv`.
        dropout: probability of dropping a channel, in [0,1).
    """

    def __init__(self, in_channels: int, out_channels: int, norm: str = "batch", dropout: float = 0.0) -> None:
        super().__init__(
            nn.Conv2d(in_channels, in_channels, 3, padding=2, dilation=2, groups=in_channels, bias=False),
            NormalisedConv(in_channels, out_channels, kernel_size=1, norm=norm, dropout=dropout, bias=False),
        )


def init_convolutions(module: nn.Module) -> None:
    """Draw every convolution's weight He-normal by fan-out, as the reference does; all else is left as it is.

    Args:
        module: changed in place, with all its sub-modules.
    """
    for layer in module.modules():
        if isinstance(layer, nn.Conv2d):
            nn.init.kaiming_normal_(layer.weight, mode="fan_out", nonlinearity="relu")
