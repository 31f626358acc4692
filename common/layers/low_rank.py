"""Two linear maps in a row are one."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

__all__ = ["LowRankProjection"]


class LowRankProjection(nn.Module):
    """Two 1x1 convolutions without bias and with nothing in between, applied as the one convolution that they are.

    Args:
        in_channels: channels D of the feature.
        hidden_channels: channels between the two, the rank of the map.
        out_channels: channels of the result.
    """

    def __init__(self, in_channels: int, hidden_channels: int, out_channels: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(in_channels, hidden_channels, kernel_size=1, bias=False)
        self.second = nn.Conv2d(hidden_channels, out_channels, kernel_size=1, bias=False)

    def forward(self, feature: Tensor) -> Tensor:
        """Project a feature (B,D,h,w) to (B,D',h,w)."""
        weight = self.second.weight.flatten(1) @ self.first.weight.flatten(1)
        return F.conv2d(feature, weight.view(weight.shape[0], -1, 1, 1))
