"""Plain backbones; the only file that knows torchvision."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from torch import Tensor, nn
from torchvision import models
from torchvision.models import ResNet
from torchvision.models.resnet import BasicBlock, Bottleneck

from common.layers.dilation import remove_stride
from common.utils.checkpoint import load_state, load_weights_only, tensors_of
from common.utils.choices import check_choice
from common.utils.messages import did_you_mean

__all__ = [
    "IMAGENET_MEAN",
    "IMAGENET_STD",
    "RESNETS",
    "SPLIT_BACKBONES",
    "build_resnet",
    "read_weights",
    "resnet_of",
    "split_backbone",
]

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)

logger = logging.getLogger(__name__)


class _BasicBlock(BasicBlock):
    """torchvision's block, but no activation is used twice: DeepLift and LRP keep one record per module."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.relu_out = nn.ReLU(inplace=True)

    def forward(self, x: Tensor) -> Tensor:
        identity = x if self.downsample is None else self.downsample(x)
        x = self.relu(self.bn1(self.conv1(x)))
        x = self.bn2(self.conv2(x))
        return self.relu_out(x + identity)


class _Bottleneck(Bottleneck):
    """torchvision's block, but no activation is used twice: DeepLift and LRP keep one record per module."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.relu_middle = nn.ReLU(inplace=True)
        self.relu_out = nn.ReLU(inplace=True)

    def forward(self, x: Tensor) -> Tensor:
        identity = x if self.downsample is None else self.downsample(x)
        x = self.relu(self.bn1(self.conv1(x)))
        x = self.relu_middle(self.bn2(self.conv2(x)))
        x = self.bn3(self.conv3(x))
        return self.relu_out(x + identity)


LAYOUTS = {
    "resnet18": (_BasicBlock, [2, 2, 2, 2]),
    "resnet34": (_BasicBlock, [3, 4, 6, 3]),
    "resnet50": (_Bottleneck, [3, 4, 6, 3]),
    "resnet101": (_Bottleneck, [3, 4, 23, 3]),
    "resnet152": (_Bottleneck, [3, 8, 36, 3]),
}
RESNETS = tuple(LAYOUTS)
DENSENETS = ("densenet121", "densenet161", "densenet169", "densenet201")
CONVNEXTS = ("convnext_tiny", "convnext_small", "convnext_base", "convnext_large")
SPLIT_BACKBONES = (*RESNETS, *DENSENETS, *CONVNEXTS)
#: torchvision's weight files write a dot where its networks have none: denselayer1.norm.1 is denselayer1.norm1.
DENSENET_KEY = re.compile(r"(denselayer\d+\.(?:norm|conv))\.([12]\.)")


def build_resnet(
    name: str = "resnet18", in_channels: int = 3, num_classes: int = 2, weights: str | Path | None = None
) -> ResNet:
    """Build torchvision's ResNet with another number of channels and classes, and load weights strictly.

    Nothing is fetched unless ``weights`` is the name of one of torchvision's weight sets. What was loaded, converted
    and skipped is logged: RGB weights are summed over the colours for one-channel images (a grey image then gives the
    features of the same image as RGB), and the last layer is skipped when its number of classes differs.

    Args:
        name: one of ``RESNETS``.
        in_channels: image channels C, 1 or 3.
        num_classes: number of classes K.
        weights: None for random weights, the path of a state dict with torchvision's keys, or torchvision's name of a
            weight set, e.g. ``"IMAGENET1K_V1"`` (fetched to torch's cache on first use).

    Returns:
        The network, He-normal initialised where no weights were loaded.

    Raises:
        ValueError: for an unknown name, a number of channels other than 1 or 3, or weights that do not fit.
        FileNotFoundError: if ``weights`` is a path that does not exist.
        ConnectionError: if a weight set cannot be fetched.
    """
    check_choice("ResNet name", name, RESNETS)
    if in_channels not in (1, 3):
        raise ValueError(f"in_channels is {in_channels}, expected 1 (grey) or 3 (RGB)")
    if num_classes < 1:
        raise ValueError(f"num_classes is {num_classes}, expected a positive number")
    block, blocks = LAYOUTS[name]
    network = ResNet(block, blocks, num_classes=num_classes)
    if in_channels != 3:
        network.conv1 = nn.Conv2d(in_channels, 64, kernel_size=7, stride=2, padding=3, bias=False)
        nn.init.kaiming_normal_(network.conv1.weight, mode="fan_out", nonlinearity="relu")
    if weights is not None:
        _load(network, read_weights(name, weights), source=f"{name} weights {weights}")
    return network


def resnet_of(
    block: type[nn.Module], blocks: Sequence[int], norm_layer: Callable[[int], nn.Module], base_width: int
) -> ResNet:
    """Build torchvision's ResNet out of other blocks, for RGB images.

    Args:
        block: takes the arguments of torchvision's ``Bottleneck``.
        blocks: number of blocks of the four stages, at least 1 each.
        norm_layer: makes a norm for a number of channels.
        base_width: handed to the blocks.

    Returns:
        The network, He-normal initialised.
    """
    return ResNet(block, list(blocks), width_per_group=base_width, norm_layer=norm_layer)  # type: ignore[arg-type]


def split_backbone(
    name: str, in_channels: int = 3, weights: str | Path | None = None, dense: bool = False
) -> tuple[nn.Module, nn.Module, int]:
    """Cut a ResNet, DenseNet or ConvNeXt into its stem and the body that makes the feature map.

    Args:
        name: one of ``SPLIT_BACKBONES``.
        in_channels: image channels C, 1 or 3.
        weights: see :func:`build_resnet`; the classifier at the end is not used.
        dense: let the last stage compute its map at every place, stride 16 instead of 32, from the same weights; every
            second row and column is the map of stride 32.

    Returns:
        stem: images (B,C,H,W) to (B,D',H/4,W/4).
        body: what the stem returns to the feature map (B,D,H/32,W/32), the sizes rounded up (ConvNeXt: down).
        D, the channels of the feature map.

    Raises:
        ValueError, FileNotFoundError, ConnectionError: as :func:`build_resnet`.
    """
    check_choice("backbone", name, SPLIT_BACKBONES)
    if name in RESNETS:
        network = build_resnet(name, in_channels, 1000, weights)
        stem = nn.Sequential(network.conv1, network.bn1, network.relu, network.maxpool)
        stages = [network.layer1, network.layer2, network.layer3, network.layer4]
        if dense:
            remove_stride(stages[-1])
        return stem, nn.Sequential(*stages), network.fc.in_features
    if in_channels not in (1, 3):
        raise ValueError(f"in_channels is {in_channels}, expected 1 (grey) or 3 (RGB)")
    return (_split_densenet if name in DENSENETS else _split_convnext)(name, in_channels, weights, dense)


def _split_densenet(
    name: str, in_channels: int, weights: str | Path | None, dense: bool
) -> tuple[nn.Module, nn.Module, int]:
    network = models.get_model(name)
    features = network.features
    if in_channels != 3:
        features.conv0 = nn.Conv2d(in_channels, features.conv0.out_channels, 7, stride=2, padding=3, bias=False)
    if weights is not None:
        state = {DENSENET_KEY.sub(r"\1\2", key): value for key, value in read_weights(name, weights).items()}
        _load(network, state, f"{name} weights {weights}", "features.conv0", "classifier")
    if dense:
        features.transition3.pool = nn.Sequential(nn.ReplicationPad2d((0, 1, 0, 1)), nn.AvgPool2d(2, stride=1))
        _dilate(features.denseblock4)
    parts = list(features.children())
    return nn.Sequential(*parts[:4]), nn.Sequential(*parts[4:], nn.ReLU()), network.classifier.in_features


def _split_convnext(
    name: str, in_channels: int, weights: str | Path | None, dense: bool
) -> tuple[nn.Module, nn.Module, int]:
    network = models.get_model(name)
    patches = network.features[0][0]
    if in_channels != 3:
        network.features[0][0] = nn.Conv2d(in_channels, patches.out_channels, 4, stride=4)
    if weights is not None:
        _load(network, read_weights(name, weights), f"{name} weights {weights}", "features.0.0", "classifier.2")
    if dense:
        norm, convolution = network.features[6]
        convolution.stride = (1, 1)
        network.features[6] = nn.Sequential(norm, nn.ReplicationPad2d((0, 1, 0, 1)), convolution)
        _dilate(network.features[7])
    return network.features[0], network.features[1:], network.classifier[2].in_features


def _dilate(stage: nn.Module) -> None:
    """Let the convolutions of a stage without stride reach twice as far."""
    for layer in stage.modules():
        if isinstance(layer, nn.Conv2d) and layer.kernel_size[0] > 1:
            layer.dilation, layer.padding = (2, 2), (2 * int(layer.padding[0]), 2 * int(layer.padding[1]))


def read_weights(name: str, weights: str | Path) -> dict[str, Tensor]:
    """Read a state dict from a file, or fetch one of torchvision's weight sets by its name.

    Args:
        name: torchvision's name of the network.
        weights: path of a file, or name of a weight set, see :func:`build_resnet`.

    Returns:
        Tensors by torchvision's keys.

    Raises:
        ValueError, FileNotFoundError, ConnectionError: as :func:`build_resnet`.
    """
    known = models.get_model_weights(name).__members__
    if str(weights) in known:
        weight_set = known[str(weights)]
        try:
            return dict(weight_set.get_state_dict(progress=False, check_hash=True))
        except OSError as error:
            raise ConnectionError(
                f"could not fetch {weights} for {name} ({error}); download {weight_set.url} on a machine with a "
                "network and give the file's path as weights"
            ) from error
    if not Path(weights).exists():
        raise FileNotFoundError(
            f"weights is {str(weights)!r}, neither a file nor one of torchvision's weight sets for {name}, "
            f"{', '.join(known)}{did_you_mean(str(weights), known)}"
        )
    return tensors_of(load_weights_only(weights), source=str(weights))


def _load(network: nn.Module, state: dict[str, Tensor], source: str, stem: str = "conv1", last: str = "fc") -> None:
    """Fit stem and last layer of a state dict to the network, load the rest strictly, log the report."""
    fitted = dict(state)
    notes: list[str] = []
    skip: tuple[str, ...] = ()
    first, head = network.get_submodule(stem), network.get_submodule(last)
    stem_weight, head_weight = state.get(f"{stem}.weight"), state.get(f"{last}.weight")
    if stem_weight is not None and stem_weight.ndim == 4 and stem_weight.shape[1] == 3 and first.in_channels == 1:
        fitted[f"{stem}.weight"] = stem_weight.sum(dim=1, keepdim=True)
        notes.append(f"{stem} summed over RGB for one-channel images")
    if head_weight is not None and len(head_weight) != head.out_features:
        skip = (f"{last}.weight", f"{last}.bias")
        notes.append(f"{last} skipped: {len(head_weight)} classes in the file, {head.out_features} wanted")
    report = load_state(network, fitted, source, skip)
    logger.info("%s", replace(report, notes=(*report.notes, *notes)))
