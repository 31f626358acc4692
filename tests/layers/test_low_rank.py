"""Low-rank projection: one convolution equals the two."""

import torch

from common.layers import LowRankProjection


def test_one_is_two():
    layer = LowRankProjection(6, 3, 4).double()
    feature = torch.randn(2, 6, 3, 5, dtype=torch.float64)
    torch.testing.assert_close(layer(feature), layer.second(layer.first(feature)), rtol=1e-12, atol=1e-12)


def test_both_factors_learn():
    layer = LowRankProjection(6, 3, 4)
    layer(torch.rand(1, 6, 2, 2)).square().sum().backward()
    assert all(parameter.grad.abs().max() > 0 for parameter in layer.parameters())
