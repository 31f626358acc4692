"""Feature extractors that keep all their maps, for decoders that need the finer ones."""

# No postponed annotations in this file: TorchScript must see the result types.

from collections.abc import Sequence
from pathlib import Path
from typing import List  # noqa: UP035 - TorchScript reads this spelling

import torch
from torch import Tensor, nn

from common.layers.image_normalisation import ImageNormalisation
from common.layers.normalised_convolution import init_convolutions
from common.networks.backbones import split_backbone
from common.utils.choices import check_choice

__all__ = ["VIEW_TRUNKS", "ViewTrunk", "build_view_trunk"]

VIEW_TRUNKS = ("tiny", "resnet18", "resnet50", "densenet121")
#: Channels and strides of the six convolutions.
TINY = ((16, 2), (32, 1), (64, 2), (64, 1), (96, 2), (96, 1))
CHANNELS = {
    "tiny": [32, 64, 96],
    "resnet18": [64, 64, 128, 256, 512],
    "resnet50": [64, 256, 512, 1024, 2048],
    "densenet121": [64, 256, 512, 1024, 1024],
}
#: Pixel that the first region of each map is centred on: a DenseNet halves its maps by the mean of neighbours.
OFFSETS = {"densenet121": [0, 0, 2, 6, 14]}


class ViewTrunk(nn.Module):
    """Normalisation and stages, each of which halves the map.

    Args:
        normalise: applied to the image.
        stages: the first one makes a map of half the image's size.
        channels: channels of the stages' maps.
        offsets: pixel that the first region of each map is centred on.
        local_level: which map regions are taken from.
    """

    def __init__(
        self,
        normalise: nn.Module,
        stages: Sequence[nn.Module],
        channels: list[int],
        offsets: list[int],
        local_level: int,
    ) -> None:
        super().__init__()
        self.normalise = normalise
        self.stages = nn.ModuleList(stages)
        self.channels, self.offsets, self.local_level = channels, offsets, local_level

    def forward(self, image: Tensor) -> List[Tensor]:  # noqa: UP006
        """Compute all maps of images (B,C,H,W) in [0,1].

        Returns:
            Maps (B,C_l,H/2^l,W/2^l), l = 1, 2, ..., the sizes rounded up (DenseNet: partly down); the last one is at
            least 0.
        """
        feature = self.normalise(image)
        features: List[Tensor] = []  # noqa: UP006
        for stage in self.stages:
            feature = stage(feature)
            features.append(feature)
        return features

    @torch.jit.ignore
    def stride_of(self, level: int) -> tuple[int, int]:
        """Return stride and offset, in pixels, of the regions of a map."""
        return 2 ** (level + 1), self.offsets[level]


def build_view_trunk(
    name: str = "tiny",
    in_channels: int = 1,
    weights: str | Path | None = None,
    mean: float | Sequence[float] | None = None,
    std: float | Sequence[float] | None = None,
) -> ViewTrunk:
    """Build a feature extractor.

    Args:
        name: ``"tiny"``, six 3x3 convolutions with regions 8 pixels apart, ``"resnet18"``, ``"resnet50"`` (published)
            or ``"densenet121"``, whose regions are 16 pixels apart and whose last map, for what is pooled, 32.
        in_channels: image channels C.
        weights: start weights, see :func:`common.networks.backbones.split_backbone`; ``tiny`` has none.
        mean: channel means subtracted from the image; None for 0.
        std: channel standard deviations that the image is divided by; None for 1.

    Returns:
        The extractor.

    Raises:
        ValueError: for an unknown name, weights for ``tiny``, or weights that do not fit.
    """
    check_choice("image encoder", name, VIEW_TRUNKS)
    if name == "tiny":
        if weights is not None:
            raise ValueError(f"weights is {str(weights)!r}, but no trained weights exist for 'tiny'; use null")
        stages, local_level = _tiny(in_channels), 2
    else:
        stages, local_level = _published(name, in_channels, weights), 3
    channels = CHANNELS[name]
    offsets = OFFSETS.get(name, [0] * len(channels))
    return ViewTrunk(ImageNormalisation(in_channels, mean, std), stages, channels, offsets, local_level)


def _tiny(in_channels: int) -> list[nn.Module]:
    """Make three pairs of 3x3 convolutions with batch norm and ReLU, the first of each pair with stride 2."""
    layers: list[nn.Module] = []
    for channels, stride in TINY:
        layers.append(
            nn.Sequential(
                nn.Conv2d(in_channels, channels, 3, stride, padding=1, bias=False), nn.BatchNorm2d(channels), nn.ReLU()
            )
        )
        in_channels = channels
    stages: list[nn.Module] = [nn.Sequential(*layers[i : i + 2]) for i in (0, 2, 4)]
    for stage in stages:
        init_convolutions(stage)
    return stages


def _published(name: str, in_channels: int, weights: str | Path | None) -> list[nn.Module]:
    """Cut a ResNet or DenseNet before every place where its map becomes half as large."""
    stem, body, _ = split_backbone(name, in_channels, weights)
    first, pool, parts = nn.Sequential(*list(stem)[:-1]), list(stem)[-1], list(body)  # type: ignore[call-overload]
    if name == "densenet121":  # block, transition, block, transition, block, transition, block, norm, ReLU
        groups = [[pool, parts[0]], parts[1:3], parts[3:5], parts[5:]]
    else:
        groups = [[pool, parts[0]], *([part] for part in parts[1:])]
    return [first, *(nn.Sequential(*group) for group in groups)]
