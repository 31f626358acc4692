"""A plain classifier of several labels, as a black box to compare with: accurate, and unable to say why."""

# No postponed annotations in this file: TorchScript must see the return types.

from collections.abc import Sequence
from pathlib import Path
from typing import Dict  # noqa: UP035 - TorchScript reads this spelling

import torch
from torch import Tensor, nn

from common.layers.image_normalisation import ImageNormalisation
from common.networks.trunks import build_trunk
from common.utils.precision import at_least_float32

__all__ = ["PlainClassifier"]


class PlainClassifier(nn.Module):
    """Feature extractor, global average pooling and one fully connected layer, such as DenseNet-121 in CheXNet.

    Source: Rajpurkar et al., "CheXNet: Radiologist-Level Pneumonia Detection on Chest X-Rays with Deep Learning", 2017.

    Args:
        backbone: see :func:`common.networks.trunks.build_trunk`.
        in_channels: image channels.
        num_classes: number of labels C, each by itself.
        mean: channel means subtracted from the image, one number or one per channel; None for 0.
        std: channel standard deviations that the image is divided by; None for 1.
        weights: start weights of the backbone.
        dense: twice as fine a feature map.

    Raises:
        ValueError: if an option is out of range or unknown.
    """

    def __init__(
        self,
        backbone: str = "densenet121",
        in_channels: int = 3,
        num_classes: int = 14,
        mean: float | Sequence[float] | None = None,
        std: float | Sequence[float] | None = None,
        weights: str | Path | None = None,
        dense: bool = False,
    ) -> None:
        super().__init__()
        if num_classes < 1:
            raise ValueError(f"num_classes is {num_classes}, expected the number of labels, at least 1")
        stem, body, channels = build_trunk(backbone, in_channels, weights, dense)
        self.trunk = nn.Sequential(ImageNormalisation(in_channels, mean, std), stem, body)
        self.head = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(channels, num_classes))

    def forward(self, image: Tensor) -> Tensor:
        """Predict logits (B,C) for images (B,3,H,W) in [0,1]."""
        return self.head(self.trunk(image))

    @torch.jit.export
    def explain(self, image: Tensor) -> Dict[str, Tensor]:  # noqa: UP006
        """Return ``logits`` and ``probability`` (B,C), their sigmoid; there is nothing else to say."""
        logits = at_least_float32(self.forward(image))
        return {"logits": logits, "probability": torch.sigmoid(logits)}
