"""Decoders of UML's variant ``reliable_mask``: evidence at one level, reliable masks in the segmentation.

Source: Ren et al., "Uncertainty-informed Mutual Learning for Joint Medical Image Classification and Segmentation",
MICCAI 2023 (KarryRen/UML, the network of 2023).
"""

# No postponed annotations in this file: TorchScript must see the result types.

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from common.layers.decoder_block import ConcatenatingStep
from common.layers.low_rank import LowRankProjection
from common.layers.reliable_mask import ReliableMask
from common.layers.resizing import resize

__all__ = ["ConcatenatingMutualDecoder", "ReliableMaskDecoder"]


def _steps(deepest: int, skips: Sequence[int], base: int, norm: str, dropout: float) -> tuple[nn.ModuleList, list[int]]:
    """Make the three steps from the deepest feature; return them and the channels after each."""
    steps, channels = nn.ModuleList(), [deepest]
    for skip, out_channels in zip((skips[2], skips[1], skips[0]), (4 * base, 2 * base, base), strict=True):
        steps.append(ConcatenatingStep(channels[-1], out_channels, norm, dropout))
        channels.append(skip + out_channels)
    return steps, channels[1:]


class ConcatenatingMutualDecoder(nn.Module):
    """Decodes the mixed features; raw pixel evidence at the finest level.

    Args:
        in_channels: channels of the four mixed features, finest first.
        base_channels: channels that the finest step convolves to; the others have twice and four times as many.
        classes: pixel classes K.
        norm: see :class:`common.layers.NormalisedConv`.
        dropout: probability of dropping a channel, in [0,1).

    Attributes:
        out_channels: channels M of the finest decoded feature.
    """

    def __init__(
        self, in_channels: Sequence[int], base_channels: int, classes: int, norm: str = "batch", dropout: float = 0.0
    ) -> None:
        super().__init__()
        self.steps, channels = _steps(in_channels[3], in_channels, base_channels, norm, dropout)
        self.out_channels = channels[2]
        self.head = LowRankProjection(self.out_channels, self.out_channels // 4, classes)

    def forward(self, mixed: list[Tensor], levels: bool) -> tuple[Tensor, list[Tensor]]:
        """Decode.

        Args:
            mixed: four features (B,Dᵢ,hᵢ,wᵢ), finest first.
            levels: makes no difference in this variant.

        Returns:
            The finest decoded feature (B,M,h,w), and a list with its raw evidence (B,K,h,w).
        """
        feature = mixed[3]
        for i, step in enumerate(self.steps):
            feature = step(feature, mixed[2 - i])
        return feature, [self.head(feature)]


class ReliableMaskDecoder(nn.Module):
    """Decodes both branches' deepest features with reliable masks at the coarsest and at the finest level.

    Args:
        in_channels: channels of the encoder's four features, finest first.
        mixed_channels: channels of the deepest mixed feature.
        base_channels: channels that the finest step convolves to; the others have twice and four times as many.
        classes: pixel classes K.
        norm: see :class:`common.layers.NormalisedConv`.
        dropout: probability of dropping a channel, in [0,1).

    Attributes:
        out_channels: channels of the finest decoded feature.
    """

    def __init__(
        self,
        in_channels: Sequence[int],
        mixed_channels: int,
        base_channels: int,
        classes: int,
        norm: str = "batch",
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        deepest = 8 * base_channels
        self.start = nn.Conv2d(in_channels[3] + mixed_channels, deepest, kernel_size=1, bias=False)
        self.steps, channels = _steps(deepest, in_channels, base_channels, norm, dropout)
        self.out_channels = channels[2]
        self.coarse = ReliableMask(deepest, classes, norm, dropout)
        self.sides = nn.ModuleList(nn.Conv2d(c, classes, kernel_size=1, bias=False) for c in channels[:2])
        self.fine = ReliableMask(self.out_channels, classes, norm, dropout)

    def forward(
        self, features: list[Tensor], mixed: list[Tensor], mutual: Tensor, evidence: Tensor, uncertainty: Tensor
    ) -> tuple[Tensor, list[Tensor], list[Tensor]]:
        """Decode.

        Args:
            features: the encoder's four features (B,Dᵢ,hᵢ,wᵢ), finest first.
            mixed: the four mixed features; the deepest is used.
            mutual: not used by this variant.
            evidence: pixel evidence (B,K,h,w), at least 0.
            uncertainty: pixel uncertainty (B,1,h,w) in (0,1].

        Returns:
            The finest decoded feature (B,D',h,w); four side logits (B,K,hᵢ,wᵢ), finest first; the coarse and the fine
            reliable mask (B,K,hᵢ,wᵢ).
        """
        deepest = torch.cat([features[3], mixed[3]], dim=1)
        certainty = torch.exp(-resize(uncertainty, deepest.shape[2], deepest.shape[3])).to(deepest.dtype)
        feature, side, coarse = self.coarse(self.start(deepest) * certainty, evidence, uncertainty)
        sides = [side]
        for i, step in enumerate(self.steps):
            feature = step(feature, features[2 - i])
            for j, project in enumerate(self.sides):
                if i == j:
                    sides.append(project(feature))
        feature, side, fine = self.fine(feature, evidence, uncertainty)
        return feature, [side, sides[2], sides[1], sides[0]], [coarse, fine]
