"""Reliable mask: what segmentation and mutual branch agree on, weighted by certainty.

Source: Ren et al., "Uncertainty-informed Mutual Learning for Joint Medical Image Classification and Segmentation",
MICCAI 2023 (KarryRen/UML of 2023).
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from common.layers.normalised_convolution import NormalisedConv
from common.layers.resizing import resize

__all__ = ["ReliableMask"]


class ReliableMask(nn.Module):
    """R = (s + e) exp(-u) with side logits s = W x, lifted back and merged with the feature x.

    Args:
        channels: channels D of the feature.
        classes: pixel classes K.
        norm: see :class:`common.layers.NormalisedConv`.
        dropout: probability of dropping a channel, in [0,1).
    """

    def __init__(self, channels: int, classes: int, norm: str = "batch", dropout: float = 0.0) -> None:
        super().__init__()
        self.side = nn.Conv2d(channels, classes, kernel_size=1, bias=False)
        self.lift = NormalisedConv(classes, channels, kernel_size=1, norm=norm, dropout=dropout, bias=False)
        self.merge = nn.Conv2d(2 * channels, channels, kernel_size=1, bias=False)

    def forward(self, feature: Tensor, evidence: Tensor, uncertainty: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Compute the mask and take it in.

        Args:
            feature: x (B,D,h,w).
            evidence: e (B,K,H,W) of the mutual branch, at least 0, resized here.
            uncertainty: u (B,1,H,W) of the mutual branch in (0,1], resized here.

        Returns:
            The merged feature (B,D,h,w), the side logits (B,K,h,w) and the reliable mask (B,K,h,w), any real numbers.
        """
        height, width = feature.shape[2], feature.shape[3]
        side = self.side(feature)
        certainty = torch.exp(-resize(uncertainty, height, width))
        mask = (side + resize(evidence, height, width)) * certainty
        return self.merge(torch.cat([feature, self.lift(mask)], dim=1)), side, mask
