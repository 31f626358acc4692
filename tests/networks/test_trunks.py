"""Feature extractors by name: sizes, strides, weights, and the same map made finer."""

import logging
import re

import pytest
import torch
from monai.networks.nets import EfficientNetBN
from torch import nn
from torchvision import models

from common.networks import TRUNKS, PlainClassifier, build_trunk
from common.networks.trunks import own_parts

#: Channels of the feature map, stride of the stem and of the map.
FACTS = {
    "tiny": (48, 2, 8),
    "small": (64, 2, 16),
    "efficientnet-b0": (1280, 2, 32),
    "resnet18": (512, 4, 32),
    "resnet50": (2048, 4, 32),
    "densenet121": (1024, 4, 32),
    "convnext_tiny": (768, 4, 32),
}


def settle(network: nn.Module) -> nn.Module:
    """Give the batch norms of a new EfficientNet statistics that let signals through."""
    with torch.no_grad():
        for layer in network.modules():
            if isinstance(layer, nn.BatchNorm2d):
                layer.running_var.fill_(0.05)
    return network.eval()


def parameters_of(*modules: nn.Module) -> int:
    return sum(parameter.numel() for module in modules for parameter in module.parameters())


@torch.no_grad()
@pytest.mark.parametrize("name", FACTS)
def test_facts(name):
    channels, first, stride = FACTS[name]
    trunk = build_trunk(name)
    stem, body = trunk.stem.eval(), trunk.body.eval()
    feature = stem(torch.rand(2, 3, 128, 64))
    assert feature.shape[2:] == (128 // first, 64 // first)
    assert body(feature).shape == (2, channels, 128 // stride, 64 // stride)
    assert trunk.channels == channels


@torch.no_grad()
@pytest.mark.parametrize("name", [name for name in FACTS if name != "efficientnet-b0"])
def test_every_second_place_of_the_finer_map_is_the_map(name):
    """Not so for EfficientNet, whose channels are weighed by means over all places."""
    torch.manual_seed(0)
    coarse = build_trunk(name)
    torch.manual_seed(0)
    fine = build_trunk(name, dense=True)
    image = torch.rand(1, 3, 96, 64)
    maps = [trunk.body.eval()(trunk.stem.eval()(image)) for trunk in (coarse, fine)]
    assert maps[1].shape[2:] == tuple(2 * side for side in maps[0].shape[2:])
    assert maps[0].std() > 1e-3
    scale = maps[0].abs().max()
    torch.testing.assert_close(maps[1][:, :, ::2, ::2] / scale, maps[0] / scale, rtol=1e-4, atol=1e-5)


@torch.no_grad()
def test_finer_efficientnet_sees_windows_where_they_were():
    """With its channel weights out of the way, the finer map holds the map as all others do."""
    maps = []
    for dense in (False, True):
        torch.manual_seed(0)
        trunk = build_trunk("efficientnet-b0", dense=dense)
        for block in trunk.body.modules():
            if hasattr(block, "_se_expand"):
                nn.init.zeros_(block._se_expand.weight)  # every channel's weight becomes sigmoid(0)
        maps.append(settle(trunk.body)(settle(trunk.stem)(torch.ones(1, 3, 96, 64).cumsum(2) / 96)))
    assert maps[1].shape == (1, 1280, 6, 4)
    scale = maps[0].abs().max()
    torch.testing.assert_close(maps[1][:, :, ::2, ::2] / scale, maps[0] / scale, rtol=1e-3, atol=1e-5)


@pytest.fixture(scope="module")
def efficientnet() -> nn.Module:
    return settle(EfficientNetBN("efficientnet-b0", pretrained=False, num_classes=7))


@torch.no_grad()
@pytest.mark.parametrize("flat", [False, True], ids=["MONAI's keys", "keys of the published files"])
def test_efficientnet_is_monais_with_weights_from_a_file(efficientnet, tmp_path, caplog, flat):
    state = efficientnet.state_dict()
    if flat:
        state = {re.sub(r"^(_blocks)\.\d+", r"\1", key): value for key, value in state.items()}
    torch.save(state, tmp_path / "b0.pth")
    with caplog.at_level(logging.INFO):
        trunk = build_trunk("efficientnet-b0", weights=tmp_path / "b0.pth")
    seen: list[torch.Tensor] = []
    efficientnet._avg_pooling.register_forward_pre_hook(lambda module, inputs: seen.append(inputs[0]))
    image = torch.rand(1, 3, 96, 64)
    efficientnet(image)
    feature = trunk.body.eval()(trunk.stem.eval()(image))
    torch.testing.assert_close(feature, seen[0], rtol=1e-5, atol=1e-6)
    assert "loaded 358 tensors from efficientnet-b0 weights" in caplog.text


@torch.no_grad()
@pytest.mark.parametrize(
    ("name", "features"),
    [("densenet121", lambda n: nn.Sequential(n.features, nn.ReLU())), ("convnext_tiny", lambda n: n.features)],
)
def test_torchvision_weights_from_a_file(name, features, tmp_path):
    """DenseNet's under the names that its published file has."""
    network = models.get_model(name, num_classes=5).eval()
    renamed = re.compile(r"(denselayer\d+\.(?:norm|conv))([12]\.)")
    torch.save({renamed.sub(r"\1.\2", key): value for key, value in network.state_dict().items()}, tmp_path / "w.pth")
    trunk = build_trunk(name, weights=tmp_path / "w.pth")
    image = torch.rand(1, 3, 64, 64)
    torch.testing.assert_close(trunk.body.eval()(trunk.stem.eval()(image)), features(network)(image))


@torch.no_grad()
@pytest.mark.parametrize("name", ["tiny", "densenet121"])
def test_the_trunk_of_a_plain_network(name, tmp_path):
    plain = PlainClassifier(name, num_classes=3).eval()
    torch.save(plain.state_dict(), tmp_path / "model.pt")
    trunk = build_trunk(name, weights=tmp_path / "model.pt")
    image = torch.rand(1, 3, 64, 64)
    torch.testing.assert_close(trunk.body.eval()(trunk.stem.eval()(image)), plain.trunk[1:](image))
    with pytest.raises(ValueError, match="the trunk of"):
        build_trunk("small", weights=tmp_path / "model.pt")


@pytest.mark.parametrize(("name", "pixels"), [("tiny", 39), ("small", 87)])
def test_what_a_place_sees(name, pixels):
    """Whatever the weights: all that the middle of the map depends on, if no ReLU closes."""
    trunk = build_trunk(name)
    network = nn.Sequential(trunk.stem, trunk.body).eval()
    for parent in list(network.modules()):
        for child, layer in parent.named_children():
            if isinstance(layer, nn.ReLU):
                setattr(parent, child, nn.Identity())
    image = torch.rand(1, 3, 192, 192, requires_grad=True)
    feature = network(image)
    feature[:, :, feature.shape[2] // 2, feature.shape[3] // 2].sum().backward()
    seen = torch.nonzero(image.grad[0].abs().sum(0))
    assert (seen.max(0).values - seen.min(0).values + 1).tolist() == [pixels, pixels]


@pytest.mark.parametrize("name", ["small", "efficientnet-b0", "resnet18", "densenet121", "convnext_tiny"])
def test_grey_images(name):
    trunk = build_trunk(name, in_channels=1)
    assert trunk.stem(torch.rand(2, 1, 32, 32)).shape[0] == 2


def test_weights_of_the_parts():
    """Golden: sendyma/Medical-XAI's stem and trunk; the small network stays small."""
    trunk = build_trunk("efficientnet-b0")
    assert (parameters_of(trunk.stem), parameters_of(trunk.body)) == (928, 4_006_620)
    assert parameters_of(build_trunk("densenet121").body, build_trunk("densenet121").stem) == 6_953_856
    assert parameters_of(build_trunk("small").body, build_trunk("small").stem) < 130_000


@pytest.mark.parametrize(
    ("shared", "stem", "body"), [("nothing", True, True), ("stem", False, True), ("trunk", False, False)]
)
def test_a_branch_has_what_it_does_not_share(shared, stem, body):
    parts = own_parts(build_trunk("small"), shared, nn.Identity())
    assert [parameters_of(part) > 0 for part in parts] == [stem, body]


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"name": "resnet-18"}, ValueError, "backbone is 'resnet-18', expected one of small.*did you mean 'resnet18'"),
        ({"name": "small", "weights": "IMAGENET1K"}, ValueError, "no trained weights exist for 'small'"),
        ({"name": "small", "in_channels": 0}, ValueError, "in_channels is 0"),
        ({"name": "densenet121", "in_channels": 2}, ValueError, "in_channels is 2, expected 1"),
        (
            {"name": "efficientnet-b0", "weights": "imagenet1k"},
            FileNotFoundError,
            "weights is 'imagenet1k', neither a file nor IMAGENET1K",
        ),
    ],
)
def test_refuses(options, error, message):
    with pytest.raises(error, match=message):
        build_trunk(**options)


def test_weights_of_another_network_are_refused(tmp_path):
    torch.save(models.resnet18().state_dict(), tmp_path / "other.pth")
    with pytest.raises(ValueError, match=r"does not fit EfficientNetBN: .* missing"):
        build_trunk("efficientnet-b0", weights=tmp_path / "other.pth")


def test_a_failed_fetch_says_where_the_file_is(monkeypatch):
    def offline(*args, **kwargs):
        raise OSError("no route")

    monkeypatch.setattr("common.networks.efficientnet.load_state_dict_from_url", offline)
    with pytest.raises(ConnectionError, match=r"could not fetch IMAGENET1K .*efficientnet-b3.*\.pth.*as weights"):
        build_trunk("efficientnet-b3", weights="IMAGENET1K")


def test_names_are_distinct():
    assert len(set(TRUNKS)) == len(TRUNKS)
