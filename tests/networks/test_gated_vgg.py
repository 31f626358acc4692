"""The VGG-like classifier against a plain, slow rewrite of the reference's layer list."""

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from common.networks import GatedVGG


def test_parameters_are_those_of_the_reference():
    network = GatedVGG()
    assert sum(parameter.numel() for parameter in network.parameters()) == 1_221_922
    assert network.gate_count == 4


def test_hidden_layers_start_xavier_uniform_without_bias():
    for layer, fan in [(GatedVGG().head[0], 256 + 128), (GatedVGG().head[3], 128 + 128)]:
        bound = (6 / fan) ** 0.5
        assert torch.count_nonzero(layer.bias) == 0
        assert 0.95 * bound < layer.weight.abs().max().item() <= bound


def reference_forward(network: GatedVGG, image: Tensor, explanation: Tensor) -> Tensor:
    """Write the method sheet's list of layers down for 224 pixels: fixed windows, map copied for each channel."""
    feature = image
    for stage in network.stages:
        feature = F.relu(F.conv2d(feature, stage[0].weight, stage[0].bias, padding=1))
        feature = F.relu(F.conv2d(feature, stage[2].weight, stage[2].bias, padding=1))
        feature = F.max_pool2d(feature * explanation.repeat(1, feature.shape[1], 1, 1), 2)
        explanation = F.avg_pool2d(explanation, 2)
    hidden = F.max_pool2d(feature, 14).flatten(1)
    for layer in (network.head[0], network.head[3]):
        hidden = torch.sigmoid(F.linear(hidden, layer.weight, layer.bias))
    return F.linear(hidden, network.head[6].weight, network.head[6].bias)


def test_equals_the_reference_at_224_pixels(golden):
    network = golden(GatedVGG())
    image, explanation = torch.rand(1, 3, 224, 224), torch.rand(1, 1, 224, 224)
    with torch.no_grad():
        torch.testing.assert_close(network(image, explanation), reference_forward(network, image, explanation))


def test_gate_of_zeros_makes_all_images_alike():
    network = GatedVGG(num_classes=3).eval()
    with torch.no_grad():
        logits = network(torch.rand(2, 3, 64, 64), torch.zeros(2, 1, 64, 64))
    assert torch.equal(logits[0], logits[1])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"dropout": 1.0}, r"dropout is 1.0, expected a probability in \[0,1\)"),
        ({"num_classes": 0}, "num_classes is 0; expected positive numbers"),
        ({"in_channels": -1}, "in_channels is -1"),
    ],
)
def test_impossible_options_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        GatedVGG(**options)
