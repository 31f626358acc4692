"""A plain classifier over the whole image: accurate, and unable to say why.

Source: Wang et al., "An Interpretable and Accurate Deep-Learning Diagnosis Framework Modeled With Fully and
Semi-Supervised Reciprocal Learning", IEEE TMI 43(1), 2024.
"""

# No postponed annotations in this file: TorchScript must see the return types.

from collections.abc import Sequence
from pathlib import Path
from typing import Dict  # noqa: UP035 - TorchScript reads this spelling

import torch
from torch import Tensor, nn

from common.layers.image_normalisation import ImageNormalisation
from common.networks.trunks import build_trunk, own_parts
from common.utils.precision import at_least_float32

__all__ = ["GlobalNet"]


class GlobalNet(nn.Module):
    """Feature extractor, global average pooling, and two fully connected layers.

    Args:
        backbone: see :func:`common.networks.trunks.build_trunk`.
        in_channels: image channels.
        num_classes: number of classes C.
        hidden: width of the layer between. Published: 4096.
        dropout: share of features dropped before the first and before the second layer. Published: 0.2 and 0.5.
        mean: channel means subtracted from the image, one number or one per channel; None for 0.
        std: channel standard deviations that the image is divided by; None for 1.
        weights: start weights of the backbone.
        dense: twice as fine a feature map.
        shared: ``"nothing"`` for a network on images; ``"stem"`` or ``"trunk"`` for a branch that is given what a stem
            or a whole trunk outside has made of them.

    Raises:
        ValueError: if an option is out of range or unknown.
    """

    def __init__(
        self,
        backbone: str = "efficientnet-b0",
        in_channels: int = 3,
        num_classes: int = 2,
        hidden: int = 4096,
        dropout: Sequence[float] = (0.2, 0.5),
        mean: float | Sequence[float] | None = None,
        std: float | Sequence[float] | None = None,
        weights: str | Path | None = None,
        dense: bool = False,
        shared: str = "nothing",
    ) -> None:
        super().__init__()
        if num_classes < 1 or hidden < 1:
            raise ValueError(f"num_classes is {num_classes} and hidden is {hidden}, expected positive numbers")
        if len(dropout) != 2 or not all(0 <= share < 1 for share in dropout):
            raise ValueError(f"dropout is {list(dropout)}, expected two shares from 0 up to, not including, 1")
        trunk = build_trunk(backbone, in_channels, weights, dense)
        self.stem, self.trunk = own_parts(trunk, shared, ImageNormalisation(in_channels, mean, std))
        self.head = nn.Sequential(
            nn.AdaptiveAvgPool2d(1),
            nn.Flatten(),
            nn.Dropout(dropout[0]),
            nn.Linear(trunk.channels, hidden),
            nn.ReLU(),
            nn.Dropout(dropout[1]),
            nn.Linear(hidden, num_classes),
        )

    def forward(self, image: Tensor) -> Tensor:
        """Predict logits (B,C) for images (B,3,H,W) in [0,1], or for what is shared with other branches."""
        return self.head(self.trunk(self.stem(image)))

    @torch.jit.export
    def explain(self, image: Tensor) -> Dict[str, Tensor]:  # noqa: UP006
        """Return ``logits`` and ``probability`` (B,C), their softmax; there is nothing else to say."""
        logits = at_least_float32(self.forward(image))
        return {"logits": logits, "probability": torch.softmax(logits, dim=1)}
