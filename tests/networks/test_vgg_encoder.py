"""VGG encoder: torchvision's features at any width and depth."""

import pytest
import torch
from torch import nn
from torchvision.models import vgg

from common.networks import VGGEncoder, build_encoder


@torch.no_grad()
def test_published_weights_give_torchvisions_features(tmp_path):
    torch.manual_seed(0)
    features = vgg.make_layers(vgg.cfgs["D"], batch_norm=True).eval()
    for layer in features:
        if isinstance(layer, nn.BatchNorm2d):
            layer.running_mean.normal_(0, 0.1)
            layer.running_var.uniform_(0.5, 2)
    state = {f"features.{key}": value for key, value in features.state_dict().items()}
    torch.save({**state, "classifier.0.weight": torch.zeros(1)}, tmp_path / "vgg16_bn.pth")
    encoder = build_encoder("vgg16", weights=tmp_path / "vgg16_bn.pth").eval()
    image = torch.rand(1, 3, 32, 40)
    expected, feature = [], image
    for layer in features:
        if isinstance(layer, nn.MaxPool2d):
            expected.append(feature)
        feature = layer(feature)
    for one, other in zip(encoder(image), expected[:4], strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-4)


def test_parameters_are_those_of_the_used_stages():
    count = sum(parameter.numel() for parameter in VGGEncoder(norm="frozen").parameters())
    assert count == 14_714_688 - 7_079_424  # KarryRen/UML, less the stage that is never called


@pytest.mark.parametrize("stem_stride", [1, 2])
def test_widths_depths_and_sizes(stem_stride):
    encoder = VGGEncoder(1, (2, 3, 4, 5), (1, 2, 1, 1), stem_stride)
    sizes = [tuple(feature.shape[1:]) for feature in encoder(torch.rand(2, 1, 32, 48))]
    assert sizes == [(c, 32 // stem_stride // s, 48 // stem_stride // s) for c, s in ((2, 1), (3, 2), (4, 4), (5, 8))]
    assert [len(stage) for stage in encoder.stages] == [1, 2, 1, 1]
