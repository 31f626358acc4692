"""Uncertainty instructor: the segmentation's last feature modulates the classifier.

Source: KarryRen/UML (class head with separable convolutions after DSI, modulated by the segmentation branch).
"""

from __future__ import annotations

from itertools import pairwise

from torch import Tensor, nn

from common.layers.normalised_convolution import DoubleConv, SeparableConv

__all__ = ["SeparableStack", "UncertaintyInstructor"]


class SeparableStack(nn.Sequential):
    """Four dilated separable convolutions, channels D -> F -> F/2 -> F/2 -> F.

    Args:
        in_channels: channels D of the feature.
        channels: channels F of the result.
        norm: see :class:`common.layers.NormalisedConv`.
        dropout: probability of dropping a channel after each, in [0,1).
    """

    def __init__(self, in_channels: int, channels: int, norm: str = "batch", dropout: float = 0.0) -> None:
        steps = [in_channels, channels, channels // 2, channels // 2, channels]
        super().__init__(*(SeparableConv(before, after, norm, dropout) for before, after in pairwise(steps)))


class UncertaintyInstructor(nn.Module):
    """Class scores W mean(h (1 + r)): h from the encoder's deepest feature, r from the segmentation's last feature.

    Args:
        in_channels: channels D of the deepest feature.
        instruction_channels: channels E of the instructing feature.
        channels: channels F of h and r; 1024 in the reference.
        classes: image-level classes C.
        norm: see :class:`common.layers.NormalisedConv`.
        dropout: probability of dropping a channel in r, in [0,1).
        separable_dropout: the same in h.
        dropout_twice: see :class:`common.layers.DoubleConv`.
    """

    def __init__(
        self,
        in_channels: int,
        instruction_channels: int,
        channels: int,
        classes: int,
        norm: str = "batch",
        dropout: float = 0.0,
        separable_dropout: float = 0.0,
        dropout_twice: bool = False,
    ) -> None:
        super().__init__()
        self.separable = SeparableStack(in_channels, channels, norm, separable_dropout)
        self.instruct = DoubleConv(instruction_channels, channels, norm, dropout, dropout_twice)
        self.score = nn.Linear(channels, classes, bias=False)

    def forward(self, feature: Tensor, instruction: Tensor) -> Tensor:
        """Score.

        Args:
            feature: the deepest feature (B,D,h,w).
            instruction: the instructing feature (B,E,h,w), of the same size.

        Returns:
            Raw class scores (B,C), any real numbers.
        """
        modulated = self.separable(feature) * (1 + self.instruct(instruction))
        return self.score(modulated.mean(dim=(2, 3)))
