"""Small VGG-like classifier whose features are multiplied by a relevance map.

Source: Rio-Torto, Fernandes, Teixeira, "Understanding the decisions of CNNs: An in-model approach",
Pattern Recognition Letters 133 (2020) 373-380.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from common.layers.convolution import double_conv
from common.layers.gating import gate
from common.layers.image_check import check_image

__all__ = ["GatedVGG"]

CHANNELS = (32, 64, 128, 256)
HIDDEN = 128


class GatedVGG(nn.Module):
    """Four stages of two convolutions, each gated before its pooling; then global max-pooling and a sigmoid MLP.

    The reference pools with a fixed 14x14 window and so takes 224 pixels only; global max-pooling is identical there
    and takes any size.

    Args:
        in_channels: image channels C, 1 or 3 (any positive number works).
        num_classes: number of classes K.
        dropout: probability of dropping a hidden unit, in [0,1).

    Attributes:
        gate_count: number of multiplications by the map on the way from image to logits, 4.

    Raises:
        ValueError: if an argument is out of range.
    """

    def __init__(self, in_channels: int = 3, num_classes: int = 2, dropout: float = 0.3) -> None:
        super().__init__()
        if in_channels < 1 or num_classes < 1:
            raise ValueError(f"in_channels is {in_channels}, num_classes is {num_classes}; expected positive numbers")
        if not 0.0 <= dropout < 1.0:
            raise ValueError(f"dropout is {dropout}, expected a probability in [0,1)")
        self.in_channels = in_channels
        self.gate_count: int = len(CHANNELS)
        self.stages = nn.ModuleList(
            double_conv(before, after) for before, after in zip((in_channels, *CHANNELS[:-1]), CHANNELS, strict=True)
        )
        self.head = nn.Sequential(
            nn.Linear(CHANNELS[-1], HIDDEN),
            nn.Sigmoid(),
            nn.Dropout(dropout),
            nn.Linear(HIDDEN, HIDDEN),
            nn.Sigmoid(),
            nn.Dropout(dropout),
            nn.Linear(HIDDEN, num_classes),
        )
        for layer in self.head:
            if isinstance(layer, nn.Linear):
                nn.init.xavier_uniform_(layer.weight)
                nn.init.zeros_(layer.bias)

    def forward(self, image: Tensor, explanation: Tensor) -> Tensor:
        """Classify what the map leaves open.

        Args:
            image: images (B,C,H,W), any size from 32 pixels on.
            explanation: relevance map (B,1,H,W) in [0,1].

        Returns:
            Logits (B,K).

        Raises:
            ValueError: in eager mode, for a wrong number of channels or too small an image.
        """
        if not torch.jit.is_scripting():
            check_image(image, self.in_channels)
        feature = image
        for stage in self.stages:
            feature = F.max_pool2d(gate(stage(feature), explanation), 2)
        return self.head(feature.amax(dim=(2, 3)))
