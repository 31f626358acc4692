"""Channel mixing: features of two encoders are shuffled into one and gated by polarized attention.

Source: KarryRen/UML (feature mixer), and an equal-result rewriting of it for large maps.
"""

# No postponed annotations in this file: TorchScript must see the class of the buffers.

from collections.abc import Sequence
from typing import Final

import torch
from torch import Tensor, nn

from common.layers.polarized_attention import PolarizedAttention

__all__ = ["ChannelMixer", "shuffle_channels"]

SHUFFLE_GROUPS = 4


def shuffle_channels(feature: Tensor, groups: int = SHUFFLE_GROUPS) -> Tensor:
    """Spread neighbouring channels over groups: output channel g D / groups + k is input channel groups k + g.

    Args:
        feature: feature (B,D,...), D a multiple of ``groups``.
        groups: number of groups.

    Returns:
        The same channels in another order; shuffling the result in D / groups groups undoes it.
    """
    return feature.unflatten(1, [-1, groups]).transpose(1, 2).flatten(1, 2)


class ChannelMixer(nn.Module):
    """Reduces two features of one size, concatenates and shuffles them, gates the result and projects it.

    Reductions, shuffle, channel gate and projection are linear, so where the map is large against its channels one
    matrix per image is applied to the encoders' features and the wide map never exists. Which form is run depends on
    the channels alone; both give the same result but for rounding.

    Args:
        first_channels: channels D1 of the first feature.
        second_channels: channels D2 of the second feature.
        hidden_channels: channels D that each feature is reduced to, even.
        out_channels: channels of the result; None keeps the 2D shuffled channels (no projection).

    Raises:
        ValueError: if ``hidden_channels`` is odd.
    """

    fused: Final[bool]

    def __init__(
        self, first_channels: int, second_channels: int, hidden_channels: int, out_channels: int | None
    ) -> None:
        super().__init__()
        wide = 2 * hidden_channels
        if wide % SHUFFLE_GROUPS:
            raise ValueError(f"hidden_channels is {hidden_channels}, expected an even number to shuffle them in groups")
        self.groups = SHUFFLE_GROUPS
        self.out_channels = out_channels or wide
        self.reduce_first = nn.Conv2d(first_channels, hidden_channels, kernel_size=1, bias=False)
        self.reduce_second = nn.Conv2d(second_channels, hidden_channels, kernel_size=1, bias=False)
        self.attention = PolarizedAttention(wide)
        self.project = nn.Conv2d(wide, out_channels, kernel_size=1, bias=False) if out_channels else nn.Identity()
        entering = first_channels + second_channels
        cost = hidden_channels * entering + wide * self.out_channels  # multiplications per pixel in the plain form
        self.fused = out_channels is not None and self.out_channels * entering < cost

    def forward(self, first: Tensor, second: Tensor) -> Tensor:
        """Mix features (B,D1,h,w) and (B,D2,h,w) into one (B,D',h,w)."""
        if self.fused:
            return self.mix_fused(first, second)
        return self.mix_plain(first, second)

    def mix_plain(self, first: Tensor, second: Tensor) -> Tensor:
        """Mix as the definition says; arguments and result as those of :meth:`forward`."""
        wide = torch.cat([self.reduce_first(first), self.reduce_second(second)], dim=1)
        return self.project(self.attention(shuffle_channels(wide, self.groups)))

    def mix_fused(self, first: Tensor, second: Tensor) -> Tensor:
        """Mix with one matrix per image, for mixers with a projection; as :meth:`forward`."""
        batch, height, width = first.shape[0], first.shape[2], first.shape[3]
        one, two = first.flatten(2), second.flatten(2)
        query_one, query_two = self._narrow(self.attention.channel_query.weight.expand(batch, 1, -1))
        query = torch.softmax(query_one @ one + query_two @ two, dim=2).transpose(1, 2)
        gate = self.attention.gate_channels(self._widen((one @ query).squeeze(2), (two @ query).squeeze(2)))
        key, offset = self.attention.spatial_key(gate * self._widen(one.mean(dim=2), two.mean(dim=2)))
        key_one, key_two = self._narrow((gate * key).unsqueeze(1))
        spatial = torch.sigmoid(key_one @ one + key_two @ two + offset.view(-1, 1, 1))
        mix_one, mix_two = self._narrow(self.project.weight.flatten(1) * gate.unsqueeze(1))  # type: ignore[operator]
        mixed = (mix_one @ one).add_(mix_two @ two) * (1 + spatial)
        return mixed.view(batch, -1, height, width)

    def _narrow(self, rows: Tensor) -> tuple[Tensor, Tensor]:
        """Turn rows (B,R,2D) that act on the wide map into rows (B,R,D1), (B,R,D2) that act on the two features."""
        unshuffled = shuffle_channels(rows.transpose(1, 2), rows.shape[2] // self.groups)
        one, two = unshuffled.transpose(1, 2).chunk(2, dim=2)
        return one @ self.reduce_first.weight.flatten(1), two @ self.reduce_second.weight.flatten(1)

    def _widen(self, one: Tensor, two: Tensor) -> Tensor:
        """Turn pooled features (B,D1), (B,D2) into the pooled wide map (B,2D)."""
        reduced = [one @ self.reduce_first.weight.flatten(1).t(), two @ self.reduce_second.weight.flatten(1).t()]
        return shuffle_channels(torch.cat(reduced, dim=1), self.groups)


class PyramidMixer(nn.Module):
    """A channel mixer for every level.

    Args:
        first_channels: channels of the first encoder's features, by level.
        second_channels: channels of the second encoder's features, by level.
        hidden_channels: channels that every feature is reduced to, even.
        out_channels: channels of the results, by level; None for no projection.

    Attributes:
        out_channels: channels of the results, by level.
    """

    def __init__(
        self,
        first_channels: Sequence[int],
        second_channels: Sequence[int],
        hidden_channels: int,
        out_channels: Sequence[int | None],
    ) -> None:
        super().__init__()
        levels = zip(first_channels, second_channels, out_channels, strict=True)
        self.levels = nn.ModuleList(ChannelMixer(one, two, hidden_channels, out) for one, two, out in levels)
        self.out_channels = tuple(out or 2 * hidden_channels for out in out_channels)

    def forward(self, first: list[Tensor], second: list[Tensor]) -> list[Tensor]:
        """Mix two lists of features (B,D1,h,w) and (B,D2,h,w), level by level, into one of (B,D',h,w)."""
        return [mix(first[i], second[i]) for i, mix in enumerate(self.levels)]
