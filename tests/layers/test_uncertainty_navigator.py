"""Uncertainty navigator: the gate of the definition, without repeating the mutual feature."""

import copy
import math

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from common.layers import UncertaintyNavigator


def obvious(navigator: UncertaintyNavigator, feature: Tensor, mutual: Tensor, uncertainty: Tensor) -> Tensor:
    """The definition: attenuate, repeat, gate."""
    size = feature.shape[2:]
    certainty = torch.exp(-F.interpolate(uncertainty, size, mode="bilinear", align_corners=True))
    mutual = F.interpolate(mutual, size, mode="bilinear", align_corners=True)
    mutual = mutual.repeat(1, feature.shape[1] // mutual.shape[1], 1, 1)
    attenuated = feature * certainty
    from_feature = navigator.norm_feature(navigator.from_feature(attenuated))
    hidden = F.relu(from_feature + navigator.norm_mutual(navigator.from_mutual(mutual)))
    return attenuated * torch.sigmoid(navigator.norm_gate(navigator.gate(hidden)))


@pytest.mark.parametrize("norm", ["batch", "group"])
@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize(("channels", "mutual_channels", "scale"), [(8, 4, 1), (16, 4, 2), (4, 4, 1)])
def test_it_is_the_definition(norm, training, channels, mutual_channels, scale):
    torch.manual_seed(0)
    navigator = UncertaintyNavigator(channels, mutual_channels, norm).double().train(training)
    for value in navigator.state_dict().values():
        if value.is_floating_point():
            value.uniform_(0.2, 1.2)
    feature = torch.randn(2, channels, 6, 8, dtype=torch.float64)
    mutual = torch.randn(2, mutual_channels, 6 * scale, 8 * scale, dtype=torch.float64)
    uncertainty = torch.rand(2, 1, 6 * scale, 8 * scale, dtype=torch.float64)
    expected = obvious(copy.deepcopy(navigator), feature, mutual, uncertainty)
    torch.testing.assert_close(navigator(feature, mutual, uncertainty), expected, rtol=1e-11, atol=1e-11)


@pytest.mark.parametrize(("uncertainty", "factor"), [(0.0, 1.0), (0.5, math.exp(-0.5)), (1.0, math.exp(-1))])
def test_with_an_open_gate_only_uncertainty_attenuates(uncertainty, factor):
    navigator = UncertaintyNavigator(4, 2).eval()
    nn.init.constant_(navigator.norm_gate.bias, 50.0)
    feature = torch.rand(1, 4, 3, 3)
    result = navigator(feature, torch.rand(1, 2, 3, 3), torch.full((1, 1, 3, 3), uncertainty))
    torch.testing.assert_close(result, factor * feature)


def test_a_closed_gate_lets_nothing_pass():
    navigator = UncertaintyNavigator(4, 2).eval()
    nn.init.constant_(navigator.norm_gate.bias, -200.0)
    result = navigator(torch.rand(1, 4, 3, 3), torch.rand(1, 2, 3, 3), torch.rand(1, 1, 3, 3))
    assert result.abs().max() < 1e-30


@pytest.mark.parametrize(("channels", "count"), [(64, 4_323), (128, 16_835), (256, 66_435)])
def test_parameters_of_the_published_widths(channels, count):
    navigator = UncertaintyNavigator(channels, 64)
    assert sum(parameter.numel() for parameter in navigator.parameters()) == count  # KarryRen/UML


def test_mutual_feature_that_cannot_be_repeated():
    with pytest.raises(ValueError, match=r"channels is 6, expected a multiple of mutual_channels \(4\)"):
        UncertaintyNavigator(6, 4)
