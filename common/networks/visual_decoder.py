"""What a view would look like through a haze that is its abnormality: transmission and enhanced image.

Source: the decoder of yawwG/Visualize-what-you-learn (form ``paper``, its trunk run once instead of twice).
"""

# No postponed annotations in this file: TorchScript must see the result types.

from collections.abc import Sequence
from itertools import pairwise
from typing import List  # noqa: UP035 - TorchScript reads this spelling

import torch
from torch import Tensor, nn

from common.layers.region_grid import upsample_regions
from common.utils.choices import check_choice
from common.utils.precision import at_least_float32

__all__ = ["DECODERS", "VisualDecoder"]

DECODERS = ("light", "paper")
#: Channels at the coarsest level, the next finer one, ... of the light form.
LIGHT_WIDTHS = (128, 96, 64, 32)
HEAD_WIDTH = {"light": 16, "paper": 32}


class _LightStep(nn.Module):
    """Reduce the finer feature, resize the coarse one, convolve both."""

    def __init__(self, in_channels: int, skip_channels: int, out_channels: int) -> None:
        super().__init__()
        self.reduce = nn.Conv2d(skip_channels, out_channels, kernel_size=1)
        self.merge = nn.Sequential(
            nn.Conv2d(in_channels + out_channels, out_channels, 3, padding=1, bias=False),
            nn.BatchNorm2d(out_channels),
            nn.ReLU(),
        )

    def forward(self, low: Tensor, skip: Tensor) -> Tensor:
        low = upsample_regions(low, (skip.shape[2], skip.shape[3]), 2)
        return self.merge(torch.cat([low, self.reduce(skip)], dim=1))


class _PaperStep(nn.Module):
    """Convolve, shuffle pixels to twice the size, join the finer feature."""

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        self.up = _shuffling(in_channels, out_channels)

    def forward(self, low: Tensor, skip: Tensor) -> Tensor:
        return torch.cat([self.up(low)[:, :, : skip.shape[2], : skip.shape[3]], skip], dim=1)


class VisualDecoder(nn.Module):
    """U-shaped decoder with two heads, on the feature maps of the image encoder.

    Args:
        channels: channels of the maps, the finest (half the image's size) first; published: 64, 256, 512, 1024.
        form: ``"light"`` (1x1 reductions, bilinear resizing, 3x3 convolutions) or ``"paper"`` (pixel shuffle,
            73,931,204 weights on a ResNet-50; its enhanced image is the mean of three channels).

    Raises:
        ValueError: for an unknown form or fewer than two maps.
    """

    def __init__(self, channels: Sequence[int], form: str = "light") -> None:
        super().__init__()
        check_choice("decoder", form, DECODERS)
        if len(channels) < 2:
            raise ValueError(f"channels is {list(channels)}, expected those of two feature maps or more")
        self.form = form
        coarse_first = list(channels)[::-1]
        if form == "light":
            widths = [min(c, w) for c, w in zip(coarse_first, _light_widths(len(channels)), strict=True)]
            self.start: nn.Module = nn.Conv2d(coarse_first[0], widths[0], kernel_size=1)
            steps: list[nn.Module] = [
                _LightStep(before, skip, after)
                for (before, after), skip in zip(pairwise(widths), coarse_first[1:], strict=True)
            ]
            self.end: nn.Module = nn.Identity()
            last = widths[-1]
        else:
            self.start = nn.Identity()
            outs = [coarse_first[0], *coarse_first[1:-1]]
            ins = [coarse_first[0], *(out + skip for out, skip in zip(outs, coarse_first[1:], strict=False))]
            steps = [_PaperStep(before, after) for before, after in zip(ins, outs, strict=False)]
            last = coarse_first[-1]
            self.end = _shuffling(outs[-1] + last, last)
        self.steps = nn.ModuleList(steps)
        self.transmission_head = _head(last, form, 1)
        self.enhanced_head = _head(last, form, 3 if form == "paper" else 1)

    def forward(self, features: List[Tensor], size: tuple[int, int]) -> tuple[Tensor, Tensor]:  # noqa: UP006
        """Decode.

        Args:
            features: maps (P,C_l,h_l,w_l), the finest first, each half as large as the one before, rounded up.
            size: rows H and columns W of the image.

        Returns:
            transmission: (P,H,W) in (0,1), low where something is abnormal.
            enhanced: (P,H,W) in (0,1), the image without the haze. Both float32.
        """
        feature = self.start(features[-1])
        for number, step in enumerate(self.steps):
            feature = step(feature, features[len(features) - 2 - number])
        if self.form == "light":
            feature = upsample_regions(feature, size, 2)
        else:
            feature = self.end(feature)[:, :, : size[0], : size[1]]
        transmission = torch.sigmoid(at_least_float32(self.transmission_head(feature)))
        enhanced = torch.sigmoid(at_least_float32(self.enhanced_head(feature)))
        return transmission.squeeze(1), enhanced.mean(1)


def _light_widths(levels: int) -> list[int]:
    """Repeat the last width where there are more levels than widths."""
    return [LIGHT_WIDTHS[min(level, len(LIGHT_WIDTHS) - 1)] for level in range(levels)]


def _shuffling(in_channels: int, out_channels: int) -> nn.Sequential:
    """Make a published block: 3x3 convolution to four times the channels, norm, ReLU, pixel shuffle, norm, ReLU."""
    return nn.Sequential(
        nn.Conv2d(in_channels, 4 * out_channels, 3, padding=1, bias=False),
        nn.BatchNorm2d(4 * out_channels),
        nn.ReLU(),
        nn.PixelShuffle(2),
        nn.BatchNorm2d(out_channels),
        nn.ReLU(),
    )


def _head(in_channels: int, form: str, out_channels: int) -> nn.Sequential:
    width = HEAD_WIDTH[form]
    return nn.Sequential(
        nn.Conv2d(in_channels, width, 3, padding=1), nn.BatchNorm2d(width), nn.ReLU(), nn.Conv2d(width, out_channels, 1)
    )
