"""Plain backbones; the only file that knows torchvision."""

from __future__ import annotations

import logging
from dataclasses import replace
from pathlib import Path
from typing import Any

from torch import Tensor, nn
from torchvision import models
from torchvision.models import ResNet
from torchvision.models.resnet import BasicBlock, Bottleneck

from common.utils.checkpoint import load_state, load_weights_only, tensors_of
from common.utils.choices import check_choice
from common.utils.messages import did_you_mean

__all__ = ["IMAGENET_MEAN", "IMAGENET_STD", "RESNETS", "build_resnet"]

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
        _load(network, _read(name, weights), source=f"{name} weights {weights}")
    return network


def _read(name: str, weights: str | Path) -> dict[str, Tensor]:
    """Read a state dict from a file, or fetch one of torchvision's weight sets by its name."""
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


def _load(network: ResNet, state: dict[str, Tensor], source: str) -> None:
    """Fit stem and last layer of a state dict to the network, load the rest strictly, log the report."""
    fitted = dict(state)
    notes: list[str] = []
    skip: tuple[str, ...] = ()
    stem, last = state.get("conv1.weight"), state.get("fc.weight")
    if stem is not None and stem.ndim == 4 and stem.shape[1] == 3 and network.conv1.in_channels == 1:
        fitted["conv1.weight"] = stem.sum(dim=1, keepdim=True)
        notes.append("conv1 summed over RGB for one-channel images")
    if last is not None and len(last) != network.fc.out_features:
        skip = ("fc.weight", "fc.bias")
        notes.append(f"fc skipped: {len(last)} classes in the file, {network.fc.out_features} wanted")
    report = load_state(network, fitted, source, skip)
    logger.info("%s", replace(report, notes=(*report.notes, *notes)))
