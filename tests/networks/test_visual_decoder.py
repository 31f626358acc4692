"""Both decoders: published size, cost, sizes, ranges."""

import pytest
import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from common.networks.view_trunk import CHANNELS
from common.networks.visual_decoder import VisualDecoder

TAPS = CHANNELS["resnet50"][:4]


def on_meta(form: str) -> VisualDecoder:
    with torch.device("meta"):
        return VisualDecoder(TAPS, form)


def features(channels: list[int], height: int, width: int, device: str = "cpu") -> list[Tensor]:
    maps = []
    for count in channels:
        height, width = -(-height // 2), -(-width // 2)
        maps.append(torch.rand(2, count, height, width, device=device))
    return maps


def cost(form: str) -> int:
    with FlopCounterMode(display=False) as counter:
        on_meta(form)(features(TAPS, 512, 512, "meta"), (512, 512))
    return counter.get_total_flops() // 2 // 2  # two views, two operations per multiply-add


def test_published_number_of_weights():
    count = sum(parameter.numel() for parameter in on_meta("paper").parameters())
    assert count == 73_931_204  # source: the sheet of yawwG/Visualize-what-you-learn


def test_cost():
    """Published: about 324 billion multiply-adds for a view of 512 x 512 pixels, with one head."""
    paper, light = cost("paper"), cost("light")
    head = 512 * 512 * 32 * (9 * 64 + 2)  # of both heads' mean width
    assert paper - head == pytest.approx(324e9, rel=0.002)
    assert light * 20 < paper


@torch.no_grad()
@pytest.mark.parametrize(("form", "channels"), [("light", [32, 64, 96]), ("light", [4] * 5), ("paper", [4, 8, 8])])
@pytest.mark.parametrize("size", [(64, 64), (37, 50)])
def test_any_size(form, channels, size):
    decoder = VisualDecoder(channels, form).eval()
    maps = features(channels, *size)
    outputs = decoder(maps, size)
    for image in outputs:
        assert image.shape == (2, *size)
        assert image.dtype == torch.float32
        assert image.min() > 0
        assert image.max() < 1
    scripted = torch.jit.script(decoder)(maps, size)
    for image, other in zip(outputs, scripted, strict=True):
        torch.testing.assert_close(other, image)


@pytest.mark.parametrize("form", ["light", "paper"])
def test_both_heads_read_all_maps(form):
    decoder = VisualDecoder([4, 8, 8], form).eval()
    for head in range(2):
        maps = [feature.requires_grad_() for feature in features([4, 8, 8], 32, 32)]
        decoder(maps, (32, 32))[head].sum().backward()
        assert all(torch.count_nonzero(feature.grad) for feature in maps)


def test_published_enhanced_image_has_three_channels():
    layers = [layer for layer in VisualDecoder([4, 8], "paper").enhanced_head if isinstance(layer, nn.Conv2d)]
    assert layers[-1].out_channels == 3


@pytest.mark.parametrize(
    ("channels", "form", "message"),
    [([4, 8], "heavy", "decoder is 'heavy', expected one of light, paper"), ([4], "light", r"channels is \[4\]")],
)
def test_refuses(channels, form, message):
    with pytest.raises(ValueError, match=message):
        VisualDecoder(channels, form)
