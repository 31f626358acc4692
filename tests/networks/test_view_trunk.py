"""Maps of all sizes, and where their regions lie."""

import pytest
import torch
from torch import nn

from common.networks.view_trunk import VIEW_TRUNKS, build_view_trunk

WINDOWS = (nn.Conv2d, nn.MaxPool2d, nn.AvgPool2d)


def number(value) -> int:
    return value if isinstance(value, int) else value[0]


@torch.no_grad()
@pytest.mark.parametrize("name", VIEW_TRUNKS)
def test_maps(name):
    trunk = build_view_trunk(name).eval()
    maps = trunk(torch.rand(2, 1, 64, 96))
    for level, feature in enumerate(maps):
        stride, _ = trunk.stride_of(level)
        assert feature.shape == (2, trunk.channels[level], 64 // stride, 96 // stride)
    assert maps[-1].min() >= 0
    assert len(maps) == len(trunk.channels)


@pytest.mark.parametrize("name", VIEW_TRUNKS)
def test_offsets_by_arithmetic_of_receptive_fields(name):
    """A window of k pixels with stride s and padding p moves the first centre by ((k - 1) / 2 - p) steps."""
    trunk = build_view_trunk(name)
    centre, step = 0.0, 1
    for level, stage in enumerate(trunk.stages):
        for layer_name, layer in stage.named_modules():
            if isinstance(layer, WINDOWS) and "downsample" not in layer_name:
                centre += ((number(layer.kernel_size) - 1) / 2 - number(layer.padding)) * step
                step *= number(layer.stride)
        assert trunk.stride_of(level)[0] == step
        assert abs(trunk.stride_of(level)[1] - centre) <= 0.5, level


def test_a_region_looks_at_its_centre():
    trunk = build_view_trunk("tiny").eval()
    image = torch.rand(1, 1, 96, 96, requires_grad=True)
    trunk(image)[2][0, :, 4, 6].sum().backward()
    seen = image.grad[0, 0].nonzero()
    assert ((seen.amin(0) + seen.amax(0)) / 2).tolist() == [32.0, 48.0]


def test_tiny_has_no_published_weights():
    with pytest.raises(ValueError, match="no trained weights exist for 'tiny'"):
        build_view_trunk("tiny", weights="IMAGENET1K_V1")
    with pytest.raises(ValueError, match="image encoder is 'resnet19', expected one of"):
        build_view_trunk("resnet19")
