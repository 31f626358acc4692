"""Reliable mask: (s + e) exp(-u) on paper, and the feature that takes it in."""

import math

import torch
import torch.nn.functional as F
from torch import nn

from common.layers import ReliableMask


def test_mask_on_paper():
    layer = ReliableMask(2, 2).eval()
    layer.side.weight.data = torch.tensor([[1.0, 0.0], [0.0, -1.0]]).view(2, 2, 1, 1)
    feature = torch.tensor([3.0, 2.0]).view(1, 2, 1, 1)
    evidence = torch.tensor([1.0, 5.0]).view(1, 2, 1, 1)
    _, side, mask = layer(feature, evidence, torch.ones(1, 1, 1, 1))
    assert side.flatten().tolist() == [3.0, -2.0]
    torch.testing.assert_close(mask.flatten(), torch.tensor([4.0, 3.0]) * math.exp(-1))


def test_certain_masks_are_not_attenuated():
    layer = ReliableMask(3, 2).eval()
    _, side, mask = layer(torch.randn(1, 3, 2, 2), torch.zeros(1, 2, 4, 4), torch.zeros(1, 1, 4, 4))
    assert torch.equal(mask, side)


def test_the_lifted_mask_is_merged_with_the_feature():
    layer = ReliableMask(4, 3).eval()
    feature, evidence, uncertainty = torch.randn(2, 4, 3, 5), torch.rand(2, 3, 6, 10), torch.rand(2, 1, 6, 10)
    merged, side, mask = layer(feature, evidence, uncertainty)
    small = [F.interpolate(x, (3, 5), mode="bilinear", align_corners=True) for x in (evidence, uncertainty)]
    torch.testing.assert_close(mask, (layer.side(feature) + small[0]) * torch.exp(-small[1]))
    lifted = F.relu(layer.lift.norm(layer.lift.conv(mask)))
    torch.testing.assert_close(merged, F.conv2d(torch.cat([feature, lifted], dim=1), layer.merge.weight))
    assert side.shape == mask.shape == (2, 3, 3, 5)


def test_no_biases():
    layers = [layer for layer in ReliableMask(4, 3).modules() if isinstance(layer, nn.Conv2d)]
    assert [layer.bias for layer in layers] == [None, None, None]
