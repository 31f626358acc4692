"""Published checkpoints: a state dict of their layout, made here, becomes a network that computes the same."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import torch
from torch import Tensor
from torchvision.models import densenet121

from common.networks import CIPLNet, load_published_cipl

DISEASES, EACH, CHANNELS = 2, 2, 6


def network() -> CIPLNet:
    return CIPLNet("densenet121", 3, DISEASES, EACH, CHANNELS, mean=0.4, std=0.3).eval()


@pytest.fixture(scope="module")
def published() -> dict[str, Tensor]:
    """Keys as in the authors' files, teacher included; every prototype connected with its own class alone."""
    torch.manual_seed(3)
    state = {f"features.features.{key}": value for key, value in densenet121().features.state_dict().items()}
    layers = {
        "features.toplayer": (CHANNELS, 1024),
        "add_on_layers.0": (CHANNELS,) * 2,
        "add_on_layers.2": (CHANNELS,) * 2,
    }
    for name, (outputs, inputs) in layers.items():
        state[f"{name}.weight"], state[f"{name}.bias"] = torch.randn(outputs, inputs, 1, 1), torch.randn(outputs)
    count = (DISEASES + 1) * EACH
    state["prototype_vectors"], state["ones"] = torch.rand(count, CHANNELS, 1, 1), torch.ones(count, CHANNELS, 1, 1)
    state["last_layer.weight"] = torch.rand(DISEASES + 1, count) * (
        torch.arange(count) // EACH == torch.arange(3)[:, None]
    )
    taught = {re.sub(r"^(features|add_on_layers|last_layer)\.", r"\1_ema.", key): value for key, value in state.items()}
    taught["prototype_vectors_ema"] = taught.pop("prototype_vectors")
    return {**{key: torch.zeros_like(value) for key, value in taught.items()}, **state}


def written(state: dict[str, Tensor], folder: Path) -> Path:
    torch.save({f"module.{key}": value for key, value in state.items()}, folder / "nih.pth")
    return folder / "nih.pth"


@torch.no_grad()
def test_computes_what_the_published_network_computes(published, tmp_path):
    ours = network()
    ours.prototypes.projected.fill_(True)
    report = load_published_cipl(ours, written(published, tmp_path))
    plain = densenet121().eval()
    plain.features.load_state_dict(
        {
            key.removeprefix("features.features."): value
            for key, value in published.items()
            if "features.features" in key
        }
    )
    image = torch.rand(1, 3, 64, 64)
    feature = torch.nn.Sequential(*list(plain.features.children())[:-1])((image - 0.4) / 0.3)
    for index, name in enumerate(("features.toplayer", "add_on_layers.0", "add_on_layers.2")):
        feature = torch.conv2d(feature, published[f"{name}.weight"], published[f"{name}.bias"])
        feature = (lambda x: x, torch.relu, torch.sigmoid)[index](feature)
    distance = (feature.unsqueeze(1) - published["prototype_vectors"]).square().sum(2).flatten(2).amin(2)
    logits = (-distance / CHANNELS).exp() @ published["last_layer.weight"].T
    torch.testing.assert_close(ours.explain(image)["class_logits"], logits, rtol=1e-4, atol=1e-5)
    assert not bool(ours.prototypes.projected)
    assert "final norm, ones, moving average" in str(report)
    assert f"loaded {len(ours.state_dict())} tensors" in str(report)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda state: state.pop("features.toplayer.weight"), "1 missing: trunk.3.weight"),
        (lambda state: state.update({"head.weight": torch.ones(2)}), "1 unexpected: head.weight"),
        (lambda state: state["last_layer.weight"].add_(1), "connects prototypes with 12 classes that are not theirs"),
        (
            lambda state: state.update(prototype_vectors=torch.ones(4, 6, 1, 1)),
            r"prototypes.vectors is \(4, 6\), expected",
        ),
    ],
)
def test_anything_else_is_refused_and_changes_nothing(published, tmp_path, change, message):
    state = {key: value.clone() for key, value in published.items()}
    change(state)
    ours = network()
    before = {key: value.clone() for key, value in ours.state_dict().items()}
    with pytest.raises(ValueError, match=message):
        load_published_cipl(ours, written(state, tmp_path))
    assert all(torch.equal(value, before[key]) for key, value in ours.state_dict().items())
