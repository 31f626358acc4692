"""ResNet whose features are multiplied by a relevance map.

Source: Rio-Torto, Fernandes, Teixeira, "Understanding the decisions of CNNs: An in-model approach",
Pattern Recognition Letters 133 (2020) 373-380.
"""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor, nn

from common.layers.gating import GatedStage, gate
from common.layers.image_check import check_image
from common.networks.backbones import build_resnet
from common.utils.choices import check_choice

__all__ = ["GatedResNet"]

GATE_POSITIONS = ("block", "stage")


class GatedResNet(nn.Module):
    """torchvision's ResNet with gates; parameters, buffers and state-dict keys are the same as torchvision's.

    A gate of ones gives torchvision's logits bit for bit, a gate of zeros gives the last layer's bias for any image.
    A constant gate g acts roughly as g to the power ``gate_count``, so grey maps kill the signal.

    Args:
        name: ``resnet18``, ``resnet34``, ``resnet50``, ``resnet101`` or ``resnet152``.
        in_channels: image channels C, 1 or 3.
        num_classes: number of classes K.
        gate_positions: ``"block"`` gates after the stem and after every residual block (the reference's code),
            ``"stage"`` after the stem and after each of the four stages (the reference's text).
        weights: start weights: None for random ones, the path of a state dict, or torchvision's name of a weight set
            (see :func:`common.networks.backbones.build_resnet`).

    Attributes:
        gate_count: number of multiplications by the map on the way from image to logits.

    Raises:
        ValueError: for an unknown name or gate position, or weights that do not fit.
    """

    def __init__(
        self,
        name: str = "resnet18",
        in_channels: int = 3,
        num_classes: int = 2,
        gate_positions: str = "block",
        weights: str | Path | None = None,
    ) -> None:
        super().__init__()
        check_choice("gate_positions", gate_positions, GATE_POSITIONS)
        every_block = gate_positions == "block"
        plain = build_resnet(name, in_channels, num_classes, weights)
        self.in_channels = in_channels
        self.conv1 = plain.conv1
        self.bn1 = plain.bn1
        self.relu = plain.relu
        self.maxpool = plain.maxpool
        self.layer1 = GatedStage(*plain.layer1, every_block=every_block)
        self.layer2 = GatedStage(*plain.layer2, every_block=every_block)
        self.layer3 = GatedStage(*plain.layer3, every_block=every_block)
        self.layer4 = GatedStage(*plain.layer4, every_block=every_block)
        self.avgpool = plain.avgpool
        self.fc = plain.fc
        stages = (self.layer1, self.layer2, self.layer3, self.layer4)
        self.gate_count: int = 1 + (sum(len(stage) for stage in stages) if every_block else len(stages))

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
        feature = self.maxpool(self.relu(self.bn1(self.conv1(image))))
        feature = gate(feature, explanation)
        feature = self.layer1(feature, explanation)
        feature = self.layer2(feature, explanation)
        feature = self.layer3(feature, explanation)
        feature = self.layer4(feature, explanation)
        return self.fc(torch.flatten(self.avgpool(feature), 1))
