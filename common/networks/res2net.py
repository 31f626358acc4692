"""Res2Net-50 v1b, 26 channels in 4 scales, up to its third stage: the encoder of UML.

Source: Gao et al., "Res2Net: a new multi-scale backbone architecture", IEEE TPAMI 43 (2021) 652-662. Parameters have
the names of the published file res2net50_v1b_26w_4s and of timm's res2net50d.
"""

# No postponed annotations in this file: TorchScript must see the result types.

from collections.abc import Callable
from functools import partial
from typing import Final

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from common.layers.normalisation import make_norm
from common.layers.normalised_convolution import init_convolutions
from common.networks.backbones import resnet_of

__all__ = ["Res2NetBlock", "Res2NetEncoder"]

SCALES = 4
SCALE_WIDTH = 26


class Res2NetBlock(nn.Module):
    """Bottleneck whose middle is four scales: each convolves its chunk of channels plus the result of the one before.

    In the first block of a stage the chunks stand alone and the last is averaged; elsewhere the last is passed through.
    Arguments are those that torchvision's ResNet gives to its blocks.

    Args:
        in_channels: channels of the input.
        planes: a quarter of the result's channels.
        stride: of the middle convolutions.
        downsample: given in the first block of a stage; an averaging shortcut is built in its place.
        groups: 1.
        base_width: channels of a scale in the first stage.
        dilation: 1.
        norm_layer: makes a norm for a number of channels.
    """

    expansion = 4
    first: Final[bool]

    def __init__(
        self,
        in_channels: int,
        planes: int,
        stride: int = 1,
        downsample: nn.Module | None = None,
        groups: int = 1,
        base_width: int = SCALE_WIDTH,
        dilation: int = 1,
        norm_layer: Callable[[int], nn.Module] = nn.BatchNorm2d,
    ) -> None:
        super().__init__()
        if (groups, dilation) != (1, 1):
            raise ValueError(f"groups is {groups}, dilation is {dilation}; this block knows 1 and 1 only")
        self.first = downsample is not None
        self.stride = stride
        width, out_channels = planes * base_width // 64, planes * self.expansion
        self.conv1 = nn.Conv2d(in_channels, SCALES * width, kernel_size=1, bias=False)
        self.bn1 = norm_layer(SCALES * width)
        convolutions = (nn.Conv2d(width, width, 3, stride, padding=1, bias=False) for _ in range(SCALES - 1))
        self.convs = nn.ModuleList(convolutions)
        self.bns = nn.ModuleList(norm_layer(width) for _ in range(SCALES - 1))
        self.conv3 = nn.Conv2d(SCALES * width, out_channels, kernel_size=1, bias=False)
        self.bn3 = norm_layer(out_channels)
        if self.first:
            self.pool = nn.AvgPool2d(3, stride, padding=1)
            self.downsample = nn.Sequential(
                nn.AvgPool2d(stride, stride, ceil_mode=True, count_include_pad=False),
                nn.Conv2d(in_channels, out_channels, kernel_size=1, bias=False),
                norm_layer(out_channels),
            )

    def forward(self, feature: Tensor) -> Tensor:
        """Turn a feature (B,D,h,w) into one of (B,4 planes,h/stride,w/stride), at least 0."""
        inner = F.relu(self.bn1.convolve(feature, self.conv1.weight, None, 1, 0), inplace=True)  # type: ignore[operator]
        chunks = inner.chunk(4, dim=1)
        scales: list[Tensor] = []
        for index, (conv, norm) in enumerate(zip(self.convs, self.bns)):  # noqa: B905 - TorchScript knows no strict
            chunk = chunks[index]
            if not self.first and index > 0:
                chunk = chunk + scales[-1]
            scales.append(F.relu(norm.convolve(chunk, conv.weight, None, self.stride, 1), inplace=True))  # type: ignore[operator]
        if self.first:
            scales.append(self.pool(chunks[3]))
            pooled = self.downsample[0](feature)
            shortcut = self.downsample[2].convolve(pooled, self.downsample[1].weight, None, 1, 0)  # type: ignore[operator]
        else:
            scales.append(chunks[3])
            shortcut = feature
        merged = self.bn3.convolve(torch.cat(scales, dim=1), self.conv3.weight, None, 1, 0)  # type: ignore[operator]
        return F.relu(merged.add_(shortcut), inplace=True)


class Res2NetEncoder(nn.Module):
    """Stem of three 3x3 convolutions and the first three stages.

    Args:
        in_channels: image channels C.
        stem_stride: 1 keeps the image's size in the first feature (UML), 2 is Res2Net's own stem and four times
            cheaper.
        norm: see :func:`common.layers.normalisation.make_norm`.

    Attributes:
        channels: channels of the four features.
    """

    def __init__(self, in_channels: int = 3, stem_stride: int = 1, norm: str = "batch") -> None:
        super().__init__()
        make = partial(make_norm, norm)
        # The shortest fourth stage that torchvision can build; it is thrown away.
        trunk = resnet_of(Res2NetBlock, (3, 4, 6, 1), make, SCALE_WIDTH)
        self.channels = (64, 256, 512, 1024)
        self.stem_stride = stem_stride
        self.conv1 = nn.Sequential(
            nn.Conv2d(in_channels, 32, 3, stem_stride, padding=1, bias=False),
            make(32),
            nn.ReLU(inplace=True),
            nn.Conv2d(32, 32, 3, padding=1, bias=False),
            make(32),
            nn.ReLU(inplace=True),
            nn.Conv2d(32, 64, 3, padding=1, bias=False),
        )
        init_convolutions(self.conv1)
        self.bn1 = trunk.bn1
        self.maxpool = trunk.maxpool
        self.layer1 = trunk.layer1
        self.layer2 = trunk.layer2
        self.layer3 = trunk.layer3

    def forward(self, image: Tensor) -> list[Tensor]:
        """Encode.

        Args:
            image: images (B,C,H,W).

        Returns:
            Four features of 64, 256, 512 and 1024 channels at 1, 1/2, 1/4 and 1/8 of the size after the stem.
        """
        stem = self.conv1
        feature = stem[1].convolve(image, stem[0].weight, None, self.stem_stride, 1)  # type: ignore[operator]
        feature = stem[4].convolve(stem[2](feature), stem[3].weight, None, 1, 1)  # type: ignore[operator]
        full = F.relu(self.bn1.convolve(stem[5](feature), stem[6].weight, None, 1, 1), inplace=True)
        half = self.layer1(self.maxpool(full))
        quarter = self.layer2(half)
        return [full, half, quarter, self.layer3(quarter)]
