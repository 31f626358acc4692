"""The black box that CIPL is compared with."""

from __future__ import annotations

import pytest
import torch
import torchvision

from common.networks import PlainClassifier


def test_it_is_densenet_with_as_many_outputs() -> None:
    """Against torchvision's own forward, with the same weights."""
    torch.manual_seed(0)
    reference = torchvision.models.densenet121(num_classes=5).eval()
    network = PlainClassifier("densenet121", num_classes=5).eval()
    own = {name: value for name, value in network.state_dict().items() if not name.startswith("trunk.0.")}
    state = dict(zip(own, reference.state_dict().values(), strict=True))
    assert [value.shape for value in own.values()] == [value.shape for value in state.values()]
    network.load_state_dict(state, strict=False)
    image = torch.rand(2, 3, 64, 64)
    with torch.no_grad():
        torch.testing.assert_close(network(image), reference(image))


def test_labels_are_independent_of_each_other() -> None:
    torch.manual_seed(0)
    network = PlainClassifier("tiny", num_classes=3).eval()
    with torch.no_grad():
        said = network.explain(torch.rand(2, 3, 32, 32))
    torch.testing.assert_close(said["probability"], torch.sigmoid(said["logits"]))
    assert said["logits"].shape == (2, 3)


def test_it_normalises_inside() -> None:
    torch.manual_seed(0)
    plain = PlainClassifier("tiny", num_classes=2).eval()
    shifted = PlainClassifier("tiny", num_classes=2, mean=0.5, std=0.25).eval()
    own = {name: value for name, value in plain.state_dict().items() if not name.startswith("trunk.0.")}
    shifted.load_state_dict(own, strict=False)
    image = torch.rand(1, 3, 32, 32)
    with torch.no_grad():
        torch.testing.assert_close(shifted(image), plain((image - 0.5) / 0.25))


def test_it_scripts() -> None:
    network = PlainClassifier("tiny", num_classes=2).eval()
    image = torch.rand(1, 3, 32, 32)
    scripted = torch.jit.script(network)
    torch.testing.assert_close(scripted(image), network(image))
    torch.testing.assert_close(scripted.explain(image)["probability"], network.explain(image)["probability"])


def test_no_label_is_refused() -> None:
    with pytest.raises(ValueError, match="num_classes is 0"):
        PlainClassifier(num_classes=0)
