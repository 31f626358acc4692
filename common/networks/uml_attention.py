"""Decoders of UML's variant ``attention``: evidence at four levels, attention gates in the segmentation.

Source: KarryRen/UML, the network of 2024.
"""

# No postponed annotations in this file: TorchScript must see the result types.

from collections.abc import Sequence

from torch import Tensor, nn

from common.layers.decoder_block import ConvolvingStep
from common.layers.low_rank import LowRankProjection
from common.layers.uncertainty_navigator import UncertaintyNavigator

__all__ = ["AttentionSegmentationDecoder", "MutualDecoder", "reductions"]


def reductions(before: Sequence[int], after: Sequence[int]) -> nn.ModuleList:
    """Make a 1x1 convolution without bias for every level whose channels change, and nothing for the others.

    Args:
        before: channels of the levels.
        after: wanted channels of the levels.
    """
    pairs = zip(before, after, strict=True)
    return nn.ModuleList(nn.Identity() if b == a else nn.Conv2d(b, a, kernel_size=1, bias=False) for b, a in pairs)


class MutualDecoder(nn.Module):
    """Decodes the mixed features; raw pixel evidence at every level.

    Args:
        in_channels: channels of the four mixed features, finest first.
        channels: channels of the four decoded features, finest first.
        classes: pixel classes K.
        norm: see :class:`common.layers.NormalisedConv`.
        dropout: probability of dropping a channel, in [0,1).

    Attributes:
        out_channels: channels M of the finest decoded feature.
    """

    def __init__(
        self,
        in_channels: Sequence[int],
        channels: Sequence[int],
        classes: int,
        norm: str = "batch",
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        self.out_channels = channels[0]
        self.reduce = reductions(in_channels, channels)
        self.steps = nn.ModuleList(ConvolvingStep(channels[i + 1], channels[i], norm, dropout) for i in (2, 1, 0))
        self.heads = nn.ModuleList(LowRankProjection(c, c // 2, classes) for c in channels)

    def forward(self, mixed: list[Tensor], levels: bool) -> tuple[Tensor, list[Tensor]]:
        """Decode.

        Args:
            mixed: four features (B,Dᵢ,hᵢ,wᵢ), finest first.
            levels: compute the evidence of the three coarser levels too.

        Returns:
            The finest decoded feature (B,M,h,w), and raw evidence (B,K,hᵢ,wᵢ), finest first: of one level or of four.
        """
        reduced = [reduce(mixed[i]) for i, reduce in enumerate(self.reduce)]
        decoded = [reduced[3]]
        for i, step in enumerate(self.steps):
            decoded.append(step(decoded[-1], reduced[2 - i]))
        raw: list[Tensor] = []
        for i, head in enumerate(self.heads):
            if i == 0 or levels:
                raw.append(head(decoded[3 - i]))
        return decoded[3], raw


class AttentionSegmentationDecoder(nn.Module):
    """Decodes the segmentation encoder's features, each but the deepest through an uncertainty navigator.

    Args:
        in_channels: channels of the encoder's four features, finest first.
        channels: channels of the four decoded features, finest first.
        classes: pixel classes K.
        norm: see :class:`common.layers.NormalisedConv`.
        dropout: probability of dropping a channel, in [0,1).

    Attributes:
        out_channels: channels of the finest decoded feature.
    """

    def __init__(
        self,
        in_channels: Sequence[int],
        channels: Sequence[int],
        classes: int,
        norm: str = "batch",
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        self.out_channels = channels[0]
        self.reduce = reductions(in_channels, channels)
        self.navigators = nn.ModuleList(UncertaintyNavigator(channels[i], channels[0], norm) for i in (2, 1, 0))
        self.steps = nn.ModuleList(ConvolvingStep(channels[i + 1], channels[i], norm, dropout) for i in (2, 1, 0))
        self.head = nn.Conv2d(channels[0], classes, kernel_size=1, bias=False)

    def forward(
        self, features: list[Tensor], mixed: list[Tensor], mutual: Tensor, evidence: Tensor, uncertainty: Tensor
    ) -> tuple[Tensor, list[Tensor], list[Tensor]]:
        """Decode.

        Args:
            features: the encoder's four features (B,Dᵢ,hᵢ,wᵢ), finest first.
            mixed: not used by this variant.
            mutual: the mutual decoder's finest feature (B,M,h,w).
            evidence: not used by this variant.
            uncertainty: pixel uncertainty (B,1,h,w) in (0,1].

        Returns:
            The finest decoded feature (B,D',h,w); a list with the logits (B,K,h,w); an empty list, for the reliable
            masks of the other variant.
        """
        reduced = [reduce(features[i]) for i, reduce in enumerate(self.reduce)]
        feature = reduced[3]
        for i, (navigate, step) in enumerate(zip(self.navigators, self.steps)):  # noqa: B905 - see TorchScript
            feature = step(feature, navigate(reduced[2 - i], mutual, uncertainty))
        masks: list[Tensor] = []
        return feature, [self.head(feature)], masks
