"""Convolution bricks: dropping before ReLU in place is dropping after it, and inputs stay as they are."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from common.layers import DoubleConv, NormalisedConv, SeparableConv, init_convolutions


@pytest.mark.parametrize("twice", [False, True])
@pytest.mark.parametrize("norm", ["batch", "group"])
def test_double_conv_is_convolution_norm_relu_dropout(twice, norm):
    layers = DoubleConv(3, 8, norm, dropout=0.5, dropout_twice=twice).train()
    image = torch.randn(4, 3, 6, 6)
    kept = image.clone()
    torch.manual_seed(1)
    result = layers(image)
    assert torch.equal(image, kept)
    torch.manual_seed(1)
    expected = image
    for index, layer in enumerate(layers):
        expected = F.relu(layer.norm(layer.conv(expected)))
        if twice or index == 1:
            expected = F.dropout2d(expected, 0.5)
    torch.testing.assert_close(result, expected)
    assert (result.amax(dim=(2, 3)) == 0).any()


def test_gradient_through_the_places_written_over():
    torch.manual_seed(0)
    layers = DoubleConv(2, 3, dropout=0.3, dropout_twice=True).double()
    image = torch.randn(2, 2, 4, 4, dtype=torch.float64, requires_grad=True)

    def seeded(x):
        torch.manual_seed(3)
        return layers(x)

    assert torch.autograd.gradcheck(seeded, (image,))


def test_separable_conv_is_depthwise_with_dilation_two_then_pointwise():
    layers = SeparableConv(4, 6).eval()
    image = torch.randn(1, 4, 7, 7)
    inner = F.conv2d(image, layers[0].weight, padding=2, dilation=2, groups=4)
    expected = F.relu(layers[1].norm(F.conv2d(inner, layers[1].conv.weight)))
    torch.testing.assert_close(layers(image), expected)
    assert [name for name, _ in layers.named_parameters() if "conv.bias" in name or name == "0.bias"] == []


def test_stride():
    assert NormalisedConv(3, 5, stride=2)(torch.rand(1, 3, 9, 8)).shape == (1, 5, 5, 4)


def test_init_is_he_normal_by_fan_out():
    layers = nn.Sequential(nn.Conv2d(64, 128, 3), nn.Linear(4, 4))
    linear = layers[1].weight.clone()
    torch.manual_seed(0)
    init_convolutions(layers)
    assert layers[0].weight.std().item() == pytest.approx((2 / (128 * 9)) ** 0.5, rel=0.02)
    assert torch.equal(layers[1].weight, linear)
