"""VGG-like encoder: stages of 3x3 convolutions with max-pooling between them, at any width and depth.

Source: Simonyan and Zisserman, "Very deep convolutional networks for large-scale image recognition", ICLR 2015.
"""

# No postponed annotations in this file: TorchScript must see the result types.

from collections.abc import Sequence

import torch.nn.functional as F
from torch import Tensor, nn

from common.layers.normalised_convolution import NormalisedConv, init_convolutions

__all__ = ["VGG16_CHANNELS", "VGG16_DEPTHS", "VGGEncoder"]

VGG16_CHANNELS = (64, 128, 256, 512)
VGG16_DEPTHS = (2, 2, 3, 3)


class VGGEncoder(nn.Module):
    """Four stages; with the defaults those of VGG16 with norms, whose fifth stage is left out.

    Args:
        in_channels: image channels C.
        channels: channels of the four features.
        depths: convolutions of the four stages.
        stem_stride: stride of the first convolution, 1 or 2.
        norm: see :func:`common.layers.normalisation.make_norm`.

    Attributes:
        channels: channels of the four features.
    """

    def __init__(
        self,
        in_channels: int = 3,
        channels: Sequence[int] = VGG16_CHANNELS,
        depths: Sequence[int] = VGG16_DEPTHS,
        stem_stride: int = 1,
        norm: str = "batch",
    ) -> None:
        super().__init__()
        self.channels = tuple(channels)
        self.stages = nn.ModuleList()
        before, stride = in_channels, stem_stride
        for after, depth in zip(channels, depths, strict=True):
            stage = nn.Sequential()
            for _ in range(depth):
                stage.append(NormalisedConv(before, after, stride=stride, norm=norm))
                before, stride = after, 1
            self.stages.append(stage)
        init_convolutions(self)

    def forward(self, image: Tensor) -> list[Tensor]:
        """Encode.

        Args:
            image: images (B,C,H,W).

        Returns:
            Four features of ``channels`` channels at 1, 1/2, 1/4 and 1/8 of the size after the first convolution.
        """
        features: list[Tensor] = []
        feature = image
        for index, stage in enumerate(self.stages):
            if index > 0:
                feature = F.max_pool2d(feature, 2)
            feature = stage(feature)
            features.append(feature)
        return features
