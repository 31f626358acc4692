"""CIPL's network: shapes, sums, the background, and every way to run it."""

import pytest
import torch
from torch import nn
from torchvision.models import densenet121

from common.networks import CIPLNet


def build(**options) -> CIPLNet:
    settings = {"backbone": "small", "num_classes": 3, "prototypes_per_class": [2, 4, 3, 2], "prototype_channels": 8}
    return CIPLNet(**{**settings, **options}).eval()


@torch.no_grad()
def test_outputs():
    network, image = build(), torch.rand(2, 3, 64, 96)
    outputs = network.explain(image)
    each = dict.fromkeys(["distance", "similarity", "location", "contribution"], (2, 11))
    assert {name: tuple(value.shape) for name, value in outputs.items()} == {
        **{"logits": (2, 3), "probability": (2, 3), "class_logits": (2, 4)},
        **{**each, "similarity_map": (2, 11, 4, 6)},
    }
    assert torch.equal(network(image), outputs["logits"])
    assert torch.equal(network.classify(network.feature(image))["logits"], outputs["logits"])
    assert outputs["location"].dtype == torch.int64


@torch.no_grad()
def test_a_disease_is_judged_against_the_background():
    network = build()
    nn.init.uniform_(network.last_layer.weight)
    outputs = network.explain(torch.rand(2, 3, 64, 64))
    sums = [outputs["contribution"][:, network.prototypes.class_map == index].sum(1) for index in range(4)]
    torch.testing.assert_close(torch.stack(sums, 1), outputs["class_logits"])
    difference = outputs["class_logits"][:, :3] - outputs["class_logits"][:, 3:]
    assert torch.equal(outputs["logits"], difference)
    torch.testing.assert_close(outputs["probability"], 1 / (1 + (-difference).exp()))


@torch.no_grad()
def test_equal_numbers_of_prototypes_make_a_matrix_of_weights():
    """The published form: logit_c = Σ_k W_ck s_ck."""
    network = build(prototypes_per_class=3)
    nn.init.uniform_(network.last_layer.weight)
    outputs = network.explain(torch.rand(2, 3, 64, 64))
    matrix = network.last_layer.weight.view(4, 3)
    expected = (outputs["similarity"].view(2, 4, 3) * matrix).sum(2)
    torch.testing.assert_close(outputs["class_logits"], expected)


@torch.no_grad()
def test_a_prototype_put_on_a_place_is_found_there():
    network, image = build(), torch.rand(1, 3, 64, 96)
    feature = network.feature(image)
    network.prototypes.vectors[5] = feature[0, :, 2, 3]
    outputs = network.explain(image)
    assert outputs["location"][0, 5] == 2 * feature.shape[3] + 3
    assert outputs["distance"][0, 5] < 1e-5


@torch.no_grad()
def test_densenet_ends_with_its_last_dense_block():
    """Before the final norm and ReLU: negative values are there, and 6.95 million weights (source: the sheet)."""
    network = build(backbone="densenet121")
    plain = densenet121().eval()
    parts = list(plain.features.children())[:-1]
    bare = nn.Sequential(network.trunk[1], network.trunk[2])
    for own, theirs in zip([*network.trunk[1], *network.trunk[2]], parts, strict=True):
        own.load_state_dict(theirs.state_dict())
    image = torch.rand(1, 3, 64, 64)
    feature = bare(image)
    assert torch.equal(feature, nn.Sequential(*parts)(image))
    assert feature.min() < 0
    assert sum(parameter.numel() for parameter in bare.parameters()) == 6_953_856 - 2 * 1024


def test_published_size():
    network = CIPLNet()
    assert network.prototypes.vectors.shape == (750, 256)
    assert network.prototypes.scale == 256
    assert network.last_layer.weight.tolist() == [1.0] * 750
    assert network.prototypes.class_map.tolist() == [index // 50 for index in range(750)]


@torch.no_grad()
@pytest.mark.parametrize("similarity", ["exp_l2", "log_l2", "cosine"])
def test_every_method_is_scripted(similarity):
    network, image = build(similarity=similarity, mean=0.4, std=0.3), torch.rand(2, 3, 64, 96)
    scripted = torch.jit.script(network)
    torch.testing.assert_close(scripted(image), network(image))
    feature = network.feature(image)
    pairs = [(scripted.explain(image), network.explain(image))]
    pairs += [
        (getattr(scripted, name)(feature), getattr(network, name)(feature)) for name in ("classify", "explain_feature")
    ]
    for outputs, expected in pairs:
        assert set(outputs) == set(expected)
        for name, value in expected.items():
            torch.testing.assert_close(outputs[name], value, rtol=1e-5, atol=1e-5, msg=name)


@torch.no_grad()
@pytest.mark.slow
@pytest.mark.parametrize("backbone", ["densenet121", "convnext_tiny"])
def test_large_backbones_are_scripted_and_exported(backbone):
    network, image = build(backbone=backbone, dense=backbone == "densenet121"), torch.rand(2, 3, 64, 32)
    expected = network(image)
    torch.testing.assert_close(torch.jit.script(network)(image), expected)
    torch.testing.assert_close(torch.export.export(network, (image,)).module()(image), expected)


@torch.no_grad()
def test_decides_in_full_precision_under_autocast():
    network = build()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        outputs = network.explain(torch.rand(2, 3, 64, 64))
    assert {value.dtype for value in outputs.values()} == {torch.float32, torch.int64}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"num_classes": 0}, "num_classes is 0, expected the number of diseases"),
        ({"prototypes_per_class": [2, 2, 2]}, r"prototypes_per_class is \[2, 2, 2\] for 4 classes"),
        ({"backbone": "densenet"}, "backbone is 'densenet', expected one of .*did you mean 'densenet"),
        ({"similarity": "l2"}, "similarity is 'l2'"),
        ({"backbone": "small", "weights": "IMAGENET1K_V1"}, "no trained weights exist for 'small'"),
    ],
)
def test_refuses(options, message):
    with pytest.raises(ValueError, match=message):
        build(**options)
