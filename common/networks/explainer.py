"""The explainer: image to one-channel relevance map.

Source: Rio-Torto, Fernandes, Teixeira, "Understanding the decisions of CNNs: An in-model approach",
Pattern Recognition Letters 133 (2020) 373-380.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from common.layers.convolution import double_conv
from common.layers.image_check import check_image

__all__ = ["ExplainerUNet"]


def _upsample(in_channels: int, out_channels: int) -> nn.ConvTranspose2d:
    return nn.ConvTranspose2d(in_channels, out_channels, kernel_size=2, stride=2)


def _he_init(module: nn.Module) -> None:
    """Draw weights He-normal; each output of a transposed convolution has one kernel position per input channel."""
    if isinstance(module, nn.Conv2d):
        nn.init.kaiming_normal_(module.weight, mode="fan_in", nonlinearity="relu")
    elif isinstance(module, nn.ConvTranspose2d):
        nn.init.normal_(module.weight, std=(2 / module.in_channels) ** 0.5)
    if isinstance(module, nn.Conv2d | nn.ConvTranspose2d) and module.bias is not None:
        nn.init.zeros_(module.bias)


class ExplainerUNet(nn.Module):
    """U-shaped network with additive skips whose head is BatchNorm → tanh → ReLU, so exact zeros are common.

    Where the normalised head is negative the map is 0 and so is its gradient: an explainer whose map has vanished
    everywhere cannot recover. An output pixel sees at most 35 pixels to each side.

    Args:
        in_channels: image channels C, 1 or 3 (any positive number works).
        init_bias: start value of the head's batch-norm bias. In eval mode the first map is about ``tanh(init_bias)``
            everywhere; 3 is the published value, 10 saturates tanh and nothing is learnt.
        he_init: draw the convolutions' weights He-normal. PyTorch's default, which the reference uses, shrinks the
            features from layer to layer, so that the deep path hardly reaches the map until late in a training.

    Attributes:
        initial_value: ``tanh(init_bias)``, the constant that the first map is close to.

    Raises:
        ValueError: if ``in_channels`` is not positive or ``init_bias`` is not finite.
    """

    def __init__(self, in_channels: int = 3, init_bias: float = 3.0, he_init: bool = False) -> None:
        super().__init__()
        if in_channels < 1:
            raise ValueError(f"in_channels is {in_channels}, expected a positive number of image channels")
        if not math.isfinite(init_bias):
            raise ValueError(f"init_bias is {init_bias}, expected a finite number; the published value is 3.0")
        self.in_channels = in_channels
        self.initial_value: float = math.tanh(init_bias)
        self.stride = 8  # three poolings by two
        self.encode_full = double_conv(in_channels, 32)
        self.encode_half = double_conv(32, 64)
        self.encode_quarter = double_conv(64, 128)
        self.up_quarter = _upsample(128, 128)
        self.decode_quarter = double_conv(128, 128)
        self.up_half = _upsample(128, 64)
        self.decode_half = double_conv(64, 64)
        self.up_full = _upsample(64, 32)
        self.decode_full = double_conv(32, 32)
        self.project = nn.Conv2d(32, 1, kernel_size=1)
        self.norm = nn.BatchNorm2d(1)
        if he_init:
            self.apply(_he_init)
        nn.init.constant_(self.norm.bias, init_bias)

    def forward(self, image: Tensor) -> Tensor:
        """Explain a batch of images.

        Args:
            image: images (B,C,H,W), float, any size from 32 pixels on.

        Returns:
            Relevance map (B,1,H,W) in [0,1); float32 also under autocast, since neighbour differences are small.

        Raises:
            ValueError: in eager mode, for a wrong number of channels or too small an image.
        """
        if not torch.jit.is_scripting():
            check_image(image, self.in_channels)
        height, width = image.shape[2], image.shape[3]
        # Border pixels are repeated at the bottom and right: zeros would draw a bright line into the map.
        padded = F.pad(image, [0, -width % self.stride, 0, -height % self.stride], mode="replicate")
        full = self.encode_full(padded)
        half = self.encode_half(F.max_pool2d(full, 2))
        quarter = self.encode_quarter(F.max_pool2d(half, 2))
        feature = F.max_pool2d(quarter, 2)
        feature = self.decode_quarter(self.up_quarter(feature) + quarter)
        feature = self.decode_half(self.up_half(feature) + half)
        feature = self.decode_full(self.up_full(feature) + full)
        score = self.norm(self.project(feature).to(self.norm.weight.dtype))
        return F.relu(torch.tanh(score))[:, :, :height, :width]
