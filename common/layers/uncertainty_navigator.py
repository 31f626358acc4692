"""Uncertainty navigator: pixels that the mutual branch is unsure about count less in the segmentation.

Source: KarryRen/UML of 2024, an attention gate after Oktay et al., "Attention U-Net", MIDL 2018.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from common.layers.normalisation import make_norm
from common.layers.resizing import resize

__all__ = ["UncertaintyNavigator"]


class UncertaintyNavigator(nn.Module):
    """x -> x exp(-u) g, with the gate g = σ(norm(w·ReLU(norm(W_x x exp(-u) + b) + norm(W_m m + b')) + b'')).

    exp(-u) lies in [0.37,1): even total ignorance only attenuates. The mutual feature m is repeated along the channels
    until it has those of x; instead, W_m is summed over the repeats. exp(-u) is one number per pixel, so it is applied
    after W_x, and x is multiplied by one map only.

    Args:
        channels: channels D of the feature x, a multiple of ``mutual_channels``.
        mutual_channels: channels M of the mutual feature.
        norm: ``"batch"`` or ``"group"``.

    Raises:
        ValueError: if the mutual feature cannot be repeated to the feature's channels.
    """

    def __init__(self, channels: int, mutual_channels: int, norm: str = "batch") -> None:
        super().__init__()
        if channels < 2 or channels % mutual_channels:
            raise ValueError(
                f"channels is {channels}, expected a multiple of mutual_channels ({mutual_channels}), at least 2"
            )
        hidden = channels // 2
        self.repeats = channels // mutual_channels
        self.from_feature = nn.Conv2d(channels, hidden, kernel_size=1)
        self.norm_feature = make_norm(norm, hidden)
        self.from_mutual = nn.Conv2d(channels, hidden, kernel_size=1)
        self.norm_mutual = make_norm(norm, hidden)
        self.gate = nn.Conv2d(hidden, 1, kernel_size=1)
        self.norm_gate = make_norm(norm, 1)

    def forward(self, feature: Tensor, mutual: Tensor, uncertainty: Tensor) -> Tensor:
        """Attenuate a feature.

        Args:
            feature: x (B,D,h,w).
            mutual: m (B,M,H,W), resized here.
            uncertainty: u (B,1,H,W) in (0,1], resized here.

        Returns:
            The attenuated feature (B,D,h,w).
        """
        height, width = feature.shape[2], feature.shape[3]
        certainty = torch.exp(-resize(uncertainty, height, width))
        weight = self.from_mutual.weight.unflatten(1, [self.repeats, -1]).sum(dim=1)
        from_mutual = self.norm_mutual.convolve(resize(mutual, height, width), weight, self.from_mutual.bias, 1, 0)
        bias = self.from_feature.bias
        assert bias is not None
        from_feature = torch.addcmul(bias.view(1, -1, 1, 1), F.conv2d(feature, self.from_feature.weight), certainty)
        hidden = F.relu(self.norm_feature(from_feature).add_(from_mutual), inplace=True)
        gate = torch.sigmoid(self.norm_gate.convolve(hidden, self.gate.weight, self.gate.bias, 1, 0))
        return feature * (certainty * gate)
