"""Weights are loaded strictly, converted in the open, and never fetched unasked."""

import logging
from urllib.error import URLError

import pytest
import torch
from torchvision import models

from common.networks.backbones import build_resnet


@pytest.fixture
def imagenet_file(tmp_path):
    """A state dict with torchvision's keys and 1000 classes, as a download would give it."""
    path = tmp_path / "resnet18.pth"
    torch.save(models.resnet18().state_dict(), path)
    return path


def test_nothing_is_fetched_by_default(monkeypatch):
    def refuse(*args, **kwargs):
        raise AssertionError("fetched")

    monkeypatch.setattr("torchvision.models._api.load_state_dict_from_url", refuse)
    assert build_resnet("resnet18").fc.out_features == 2


def test_file_is_loaded_but_for_the_last_layer_and_the_report_says_so(imagenet_file, caplog):
    with caplog.at_level(logging.INFO):
        network = build_resnet("resnet18", num_classes=3, weights=imagenet_file)
    stored = torch.load(imagenet_file, weights_only=True)
    assert all(torch.equal(value, stored[key]) for key, value in network.state_dict().items() if "fc" not in key)
    assert network.fc.out_features == 3
    assert "fc skipped: 1000 classes in the file, 3 wanted" in caplog.text
    assert f"loaded 120 tensors from resnet18 weights {imagenet_file}" in caplog.text


def test_last_layer_is_loaded_when_the_classes_agree(imagenet_file, caplog):
    with caplog.at_level(logging.INFO):
        network = build_resnet("resnet18", num_classes=1000, weights=str(imagenet_file))
    assert torch.equal(network.fc.weight, torch.load(imagenet_file, weights_only=True)["fc.weight"])
    assert "loaded 122 tensors" in caplog.text
    assert "skipped" not in caplog.text


def test_grey_network_sees_a_grey_image_as_the_colour_network_does(imagenet_file, caplog):
    with caplog.at_level(logging.INFO):
        grey = build_resnet("resnet18", in_channels=1, num_classes=1000, weights=imagenet_file).eval()
    colour = build_resnet("resnet18", in_channels=3, num_classes=1000, weights=imagenet_file).eval()
    image = torch.rand(1, 1, 64, 64)
    with torch.no_grad():
        torch.testing.assert_close(grey(image), colour(image.expand(1, 3, 64, 64)), rtol=1e-4, atol=1e-4)
    assert "conv1 summed over RGB" in caplog.text


def test_weight_set_is_fetched_when_named(monkeypatch):
    state = models.resnet18().state_dict()
    monkeypatch.setattr("torchvision.models._api.load_state_dict_from_url", lambda *args, **kwargs: state)
    network = build_resnet("resnet18", weights="IMAGENET1K_V1")
    assert torch.equal(network.conv1.weight, state["conv1.weight"])


def test_failed_fetch_says_where_the_file_is(monkeypatch):
    def offline(*args, **kwargs):
        raise URLError("no route")

    monkeypatch.setattr("torchvision.models._api.load_state_dict_from_url", offline)
    with pytest.raises(
        ConnectionError, match=r"could not fetch IMAGENET1K_V1 for resnet18 .*resnet18-\w+\.pth.*as weights"
    ):
        build_resnet("resnet18", weights="IMAGENET1K_V1")


def test_neither_file_nor_weight_set():
    message = "neither a file nor one of torchvision's weight sets for resnet50, .*; did you mean 'IMAGENET1K_V2'"
    with pytest.raises(FileNotFoundError, match=message):
        build_resnet("resnet50", weights="IMAGENET_V2")


def test_weights_of_another_architecture_are_refused(imagenet_file):
    with pytest.raises(
        ValueError, match=r"missing.*a resnet18 with 1000 classes, 3 image channels.*a resnet34 with 2 classes"
    ):
        build_resnet("resnet34", weights=imagenet_file)


def test_grey_weights_do_not_fit_a_colour_network(tmp_path):
    torch.save(build_resnet("resnet18", in_channels=1).state_dict(), tmp_path / "grey.pt")
    with pytest.raises(ValueError, match=r"conv1.weight is \(64, 1, 7, 7\), expected \(64, 3, 7, 7\)"):
        build_resnet("resnet18", in_channels=3, weights=tmp_path / "grey.pt")


def test_no_activation_is_used_twice():
    """DeepLift and LRP keep one record per module, so a module used twice would mix up two places."""
    network = build_resnet("resnet50").eval()
    calls: dict[str, int] = {}
    for name, module in network.named_modules():
        if isinstance(module, torch.nn.ReLU):
            module.register_forward_hook(lambda *_, name=name: calls.update({name: calls.get(name, 0) + 1}))
    network(torch.rand(1, 3, 32, 32))
    assert len(calls) == 1 + 3 * 16
    assert set(calls.values()) == {1}
