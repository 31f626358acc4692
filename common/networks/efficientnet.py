"""EfficientNet's feature maps, from MONAI's implementation.

MONAI pads as TensorFlow does, one row more at the bottom than at the top, like the weights that everybody uses;
torchvision pads symmetrically and gives other values with them.
"""

from __future__ import annotations

import logging
import re
from collections import OrderedDict
from pathlib import Path
from typing import Any

from monai.networks.nets.efficientnet import EfficientNetBN, MBConvBlock, url_map
from torch import Tensor, nn
from torch.hub import load_state_dict_from_url

from common.utils.checkpoint import load_state, load_weights_only, tensors_of
from common.utils.choices import check_choice
from common.utils.messages import did_you_mean

__all__ = ["EFFICIENTNETS", "split_efficientnet"]

EFFICIENTNETS = tuple(f"efficientnet-b{number}" for number in range(8))
IMAGENET = "IMAGENET1K"
STRIDED_STACK = 5  # of the seven, the last one with a stride
#: MONAI nests the blocks, _blocks.5.11.x; the weight files count them through, _blocks.11.x.
NESTED = re.compile(r"^_blocks\.\d+\.(\d+\..+)$")

logger = logging.getLogger(__name__)


def split_efficientnet(
    name: str = "efficientnet-b0", in_channels: int = 3, weights: str | Path | None = None, dense: bool = False
) -> tuple[nn.Module, nn.Module, int]:
    """Cut an EfficientNet into its stem and the body that makes the feature map.

    Args:
        name: one of ``EFFICIENTNETS``.
        in_channels: image channels C.
        weights: None for random weights, the path of a state dict (keys as MONAI or lukemelas/EfficientNet-PyTorch
            write them), or ``"IMAGENET1K"`` (fetched to torch's cache on first use). They expect three channels.
        dense: let the last stage compute its map at every place, stride 16 instead of 32, from the same weights.

    Returns:
        stem: images (B,C,H,W) to (B,D',H/2,W/2).
        body: what the stem returns to the feature map (B,D,H/32,W/32), the sizes rounded up.
        D, the channels of the feature map, 1280 for B0.

    Raises:
        ValueError: for an unknown name, or weights that do not fit.
        FileNotFoundError: if ``weights`` is a path that does not exist.
        ConnectionError: if the weights cannot be fetched.
    """
    check_choice("backbone", name, EFFICIENTNETS)
    if in_channels < 1:
        raise ValueError(f"in_channels is {in_channels}, expected a positive number of image channels")
    network = EfficientNetBN(name, pretrained=False, in_channels=in_channels)
    if weights is not None:
        _load(network, name, weights)
    for block in network.modules():
        if isinstance(block, MBConvBlock):
            block._swish = nn.SiLU()  # the same function, fused; MONAI's own does not script
    if dense:
        _remove_stride(list(network._blocks.children()))
    stem = OrderedDict(padding=network._conv_stem_padding, conv=network._conv_stem, norm=network._bn0, swish=nn.SiLU())
    head = OrderedDict(blocks=network._blocks, conv=network._conv_head, norm=network._bn1, swish=nn.SiLU())
    return nn.Sequential(stem), nn.Sequential(head), network._conv_head.out_channels


def _remove_stride(stacks: list[nn.Module]) -> None:
    """Take the last stride away and let all depthwise convolutions after it reach twice as far."""
    blocks: list[Any] = [block for stack in stacks[STRIDED_STACK:] for block in stack.children()]
    for number, block in enumerate(blocks):
        convolution = block._depthwise_conv
        size = convolution.kernel_size[0]
        if number == 0:
            before = int(block._depthwise_conv_padding.padding[0])  # windows start where they started
            after = size - 1 - before
            convolution.stride, block.stride = (1, 1), 1
        else:
            before = after = size - 1
            convolution.dilation = (2, 2)
        block._depthwise_conv_padding = nn.ConstantPad2d((before, after, before, after), 0.0)


def _load(network: nn.Module, name: str, weights: str | Path) -> None:
    """Load a state dict strictly but for the classifier, and log the report."""
    state = _read(name, weights)
    own = network.state_dict()
    renamed = {NESTED.sub(r"_blocks.\1", key): key for key in own}
    fitted = {key if key in own else renamed.get(key, key): value for key, value in state.items()}
    last = ("_fc.weight", "_fc.bias")
    logger.info("%s", load_state(network, fitted, f"{name} weights {weights}", skip=last))


def _read(name: str, weights: str | Path) -> dict[str, Tensor]:
    """Read a state dict from a file, or fetch the one trained on ImageNet."""
    if str(weights) == IMAGENET:
        url = url_map[name]
        try:
            return dict(load_state_dict_from_url(url, progress=False, check_hash=True, weights_only=True))
        except OSError as error:
            raise ConnectionError(
                f"could not fetch {weights} for {name} ({error}); download {url} on a machine with a network and give "
                "the file's path as weights"
            ) from error
    if not Path(weights).exists():
        raise FileNotFoundError(
            f"weights is {str(weights)!r}, neither a file nor {IMAGENET}{did_you_mean(str(weights), [IMAGENET])}"
        )
    return tensors_of(load_weights_only(weights), source=str(weights))
