"""Polarized attention: pooled forms against the convolutions of the definition."""

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from common.layers import PolarizedAttention


def convolved(attention: PolarizedAttention, feature: Tensor) -> Tensor:
    """The definition, with a 1x1 convolution for every matrix."""

    def conv(layer: nn.Linear, x: Tensor) -> Tensor:
        return F.conv2d(x, layer.weight[:, :, None, None], layer.bias)

    query = conv(attention.channel_query, feature).flatten(2).softmax(dim=2)
    value = conv(attention.channel_value, feature).flatten(2)
    attended = torch.einsum("bcp,bqp->bc", value, query)[:, :, None, None]
    gate = attention.norm(conv(attention.channel_gate, attended)[:, :, 0, 0]).sigmoid()
    gated = feature * gate[:, :, None, None]
    query = conv(attention.spatial_query, gated).mean(dim=(2, 3))
    spatial = torch.einsum("bc,bchw->bhw", query, conv(attention.spatial_value, gated)).sigmoid()
    return gated * (1 + spatial[:, None])


def test_pooled_forms_are_the_convolutions():
    torch.manual_seed(0)
    attention = PolarizedAttention(8).double()
    for parameter in attention.parameters():
        nn.init.normal_(parameter, std=0.5)
    feature = torch.randn(2, 8, 5, 6, dtype=torch.float64)
    torch.testing.assert_close(attention(feature), convolved(attention, feature), rtol=1e-12, atol=1e-12)


def test_all_weights_zero_on_paper():
    attention = PolarizedAttention(4)
    for parameter in attention.parameters():
        nn.init.zeros_(parameter)
    feature = torch.rand(1, 4, 3, 3)
    torch.testing.assert_close(attention(feature), 0.75 * feature)  # σ(0) (1 + σ(0))


def test_gates_have_their_ranges():
    """The channel gate is in (0,1), the spatial factor in (1,2): nothing is more than doubled."""
    attention = PolarizedAttention(6)
    feature = torch.rand(2, 6, 4, 4) + 0.1
    ratio = attention(feature) / feature
    assert 0 < ratio.min() <= ratio.max() < 2


def test_parameters_of_the_published_width():
    count = sum(parameter.numel() for parameter in PolarizedAttention(512).parameters())
    assert count == 527_105 - 1  # KarryRen/UML, less the query's bias: the softmax cancels it


@pytest.mark.parametrize("channels", [0, 7])
def test_odd_channels(channels):
    with pytest.raises(ValueError, match=f"channels is {channels}, expected a positive even number"):
        PolarizedAttention(channels)
