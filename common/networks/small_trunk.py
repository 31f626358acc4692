"""Small convolutional networks for demonstrations on a CPU."""

from __future__ import annotations

from itertools import pairwise

from torch import Tensor, nn

from common.layers.dilation import remove_stride

__all__ = ["WIDTHS", "split_small"]

#: Channels of the stem and of each stage. A place of the last map sees 87 (``small``) or 39 (``tiny``) pixels each way.
WIDTHS = {"small": (16, 32, 48, 64), "tiny": (16, 32, 48)}


class _Residual(nn.Module):
    """Two 3x3 convolutions beside a shortcut; the map becomes half as large."""

    def __init__(self, in_channels: int, channels: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(in_channels, channels, 3, stride=2, padding=1, bias=False)
        self.first_norm = nn.BatchNorm2d(channels)
        self.relu = nn.ReLU()
        self.second = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        self.second_norm = nn.BatchNorm2d(channels)
        self.shortcut = nn.Conv2d(in_channels, channels, 1, stride=2, bias=False)
        self.shortcut_norm = nn.BatchNorm2d(channels)
        self.relu_out = nn.ReLU()

    def forward(self, feature: Tensor) -> Tensor:
        """Transform a feature (B,D',h,w) into (B,D,h/2,w/2), the sizes rounded up."""
        inner = self.relu(self.first_norm(self.first(feature)))
        inner = self.second_norm(self.second(inner))
        return self.relu_out(inner + self.shortcut_norm(self.shortcut(feature)))


def split_small(name: str = "small", in_channels: int = 3, dense: bool = False) -> tuple[nn.Module, nn.Module, int]:
    """Build a residual network of 0.05 or 0.12 million weights, already cut into stem and body.

    Args:
        name: ``"small"``, or ``"tiny"`` without its last stage: for findings that are small in the image, since what a
            place responds to lies nearer to it.
        in_channels: image channels C.
        dense: let the last stage compute its map at every place, twice as finely, from the same weights.

    Returns:
        stem: images (B,C,H,W) to (B,16,H/2,W/2), the sizes rounded up.
        body: what the stem returns to the feature map, (B,64,H/16,W/16), of ``tiny`` (B,48,H/8,W/8).
        64 or 48, the channels of the feature map.

    Raises:
        ValueError: if the number of channels is not positive.
    """
    if in_channels < 1:
        raise ValueError(f"in_channels is {in_channels}, expected a positive number of image channels")
    widths = WIDTHS[name]
    first = nn.Conv2d(in_channels, widths[0], 3, stride=2, padding=1, bias=False)
    stem = nn.Sequential(first, nn.BatchNorm2d(widths[0]), nn.ReLU())
    stages = [_Residual(before, after) for before, after in pairwise(widths)]
    for layer in [first, *(layer for stage in stages for layer in stage.modules())]:
        if isinstance(layer, nn.Conv2d):
            nn.init.kaiming_normal_(layer.weight, mode="fan_out", nonlinearity="relu")
    if dense:
        remove_stride(stages[-1])
    return stem, nn.Sequential(*stages), widths[-1]
