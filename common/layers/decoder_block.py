"""Decoder steps of the two published networks: double the size, convolve, take in the feature of that size."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from common.layers.normalised_convolution import DoubleConv
from common.layers.resizing import resize

__all__ = ["ConcatenatingStep", "ConvolvingStep"]


class ConvolvingStep(nn.Module):
    """Step of 2024: resize, double convolution, concatenate [low, skip], double convolution.

    Args:
        in_channels: channels of the coarse feature.
        out_channels: channels of the finer feature and of the result.
        norm: see :class:`common.layers.NormalisedConv`.
        dropout: probability of dropping a channel, in [0,1).
    """

    def __init__(self, in_channels: int, out_channels: int, norm: str = "batch", dropout: float = 0.0) -> None:
        super().__init__()
        self.before = DoubleConv(in_channels, out_channels, norm, dropout)
        self.after = DoubleConv(2 * out_channels, out_channels, norm, dropout)

    def forward(self, low: Tensor, skip: Tensor) -> Tensor:
        """Decode.

        Args:
            low: coarse feature (B,D,h,w).
            skip: finer feature (B,D',H,W).

        Returns:
            The feature (B,D',H,W).
        """
        low = self.before(resize(low, skip.shape[2], skip.shape[3]))
        return self.after(torch.cat([low, skip], dim=1))


class ConcatenatingStep(nn.Module):
    """Step of 2023: resize, double convolution, concatenate [skip, low]; the next step convolves.

    Args:
        in_channels: channels of the coarse feature.
        out_channels: channels that it is convolved to; the result has those of the finer feature besides.
        norm: see :class:`common.layers.NormalisedConv`.
        dropout: probability of dropping a channel, in [0,1).
    """

    def __init__(self, in_channels: int, out_channels: int, norm: str = "batch", dropout: float = 0.0) -> None:
        super().__init__()
        self.before = DoubleConv(in_channels, out_channels, norm, dropout, dropout_twice=True)

    def forward(self, low: Tensor, skip: Tensor) -> Tensor:
        """Decode.

        Args:
            low: coarse feature (B,D,h,w).
            skip: finer feature (B,S,H,W).

        Returns:
            The feature (B,S+D',H,W).
        """
        return torch.cat([skip, self.before(resize(low, skip.shape[2], skip.shape[3]))], dim=1)
