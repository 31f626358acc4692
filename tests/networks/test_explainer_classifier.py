"""The joint model: its parts are wired as C(x, E(x)), its constant stage matches, its errors teach."""

import pytest
import torch
import torch.nn.functional as F

from common.networks import ExplainerClassifier
from common.networks.backbones import IMAGENET_MEAN, IMAGENET_STD

METHODS = ("explain", "explanation", "explain_constant")


def test_golden_weights_give_the_golden_cross_entropy(golden, golden_image):
    network = ExplainerClassifier("resnet18")
    golden(network.explainer)
    golden(network.classifier)
    with torch.no_grad():
        network.explainer.norm.weight.fill_(0.5)
        network.explainer.norm.bias.fill_(2.0)
        network.classifier.fc.weight.mul_(0.25)
        logits = network.eval()(golden_image)
    assert F.cross_entropy(logits, torch.tensor([0, 1])).item() == pytest.approx(0.704519, abs=1e-6)


@pytest.mark.parametrize(("classifier", "in_channels"), [("resnet18", 3), ("vgg", 1)])
def test_the_four_methods_agree(classifier, in_channels):
    network = ExplainerClassifier(classifier, in_channels, num_classes=3, init_bias=0.5, mean=0.4, std=0.2).eval()
    image = torch.rand(2, in_channels, 75, 101)
    with torch.no_grad():
        outputs = network.explain(image)
        assert set(outputs) == {"logits", "probability", "explanation"}
        assert torch.equal(outputs["logits"], network(image))
        assert torch.equal(outputs["explanation"], network.explanation(image))
        assert torch.equal(outputs["logits"], network.classify(image, outputs["explanation"]))
    torch.testing.assert_close(outputs["probability"], outputs["logits"].softmax(1))
    assert outputs["explanation"].shape == (2, 1, 75, 101)
    assert 0 <= outputs["explanation"].min() <= outputs["explanation"].max() < 1


def test_both_parts_see_the_normalised_image():
    network = ExplainerClassifier("vgg", mean=IMAGENET_MEAN, std=IMAGENET_STD, init_bias=0.5).eval()
    image = torch.rand(1, 3, 64, 64)
    normalised = (image - torch.tensor(IMAGENET_MEAN).view(3, 1, 1)) / torch.tensor(IMAGENET_STD).view(3, 1, 1)
    with torch.no_grad():
        explanation = network.explainer(normalised)
        torch.testing.assert_close(network.explanation(image), explanation)
        torch.testing.assert_close(network(image), network.classifier(normalised, explanation))


def test_normalisation_travels_with_the_weights():
    trained = ExplainerClassifier("vgg", mean=0.3, std=0.5)
    fresh = ExplainerClassifier("vgg")
    fresh.load_state_dict(trained.state_dict())
    assert torch.equal(fresh.mean, torch.full((1, 3, 1, 1), 0.3))
    assert torch.equal(fresh.std, torch.full((1, 3, 1, 1), 0.5))


def test_constant_map_is_what_stage_one_sees():
    """The untouched explainer's map differs from the constant by its head's random offset of about 0.1 only."""
    for seed in range(4):
        torch.manual_seed(seed)
        network = ExplainerClassifier("resnet18", init_bias=3.0).eval()
        image = torch.rand(1, 3, 64, 64)
        with torch.no_grad():
            run, constant = network.explain(image), network.explain_constant(image)
        assert torch.equal(constant["explanation"], torch.full((1, 1, 64, 64), 0.9950548))
        assert (run["explanation"] - constant["explanation"]).abs().max() < 0.0025  # 0.25 (1 - tanh²(3))
        assert (run["logits"] - constant["logits"]).abs().max() < 0.05 * constant["logits"].abs().max()


def test_constant_map_does_not_run_the_explainer(monkeypatch):
    network = ExplainerClassifier("vgg")
    monkeypatch.setattr(network.explainer, "forward", lambda image: pytest.fail("the explainer was run"))
    network.explain_constant(torch.rand(1, 3, 32, 32))["logits"].sum().backward()
    assert all(parameter.grad is None for parameter in network.explainer.parameters())


def test_frozen_explainer_stays_bit_identical_while_the_classifier_learns():
    network = ExplainerClassifier("resnet18").train()
    network.explainer.requires_grad_(False).eval()
    frozen = {key: value.clone() for key, value in network.explainer.state_dict().items()}
    learning = {key: value.clone() for key, value in network.classifier.state_dict().items()}
    optimizer = torch.optim.SGD(network.parameters(), lr=0.1, momentum=0.9, weight_decay=1e-4)
    F.cross_entropy(network(torch.rand(2, 3, 64, 64)), torch.tensor([0, 1])).backward()
    optimizer.step()
    assert all(torch.equal(value, frozen[key]) for key, value in network.explainer.state_dict().items())
    assert not any(torch.equal(value, learning[key]) for key, value in network.classifier.state_dict().items())


def test_autocast_keeps_the_map_in_float32():
    network = ExplainerClassifier("resnet18", init_bias=0.5).eval()
    image = torch.rand(1, 3, 64, 64)
    with torch.no_grad(), torch.autocast("cpu", dtype=torch.bfloat16):
        outputs = network.explain(image)
    assert outputs["explanation"].dtype == outputs["probability"].dtype == torch.float32
    assert outputs["logits"].dtype == torch.bfloat16
    with torch.no_grad():
        torch.testing.assert_close(outputs["explanation"], network.explanation(image), rtol=0, atol=0.02)


@pytest.mark.parametrize("method", ["forward", *METHODS])
def test_grey_image_for_a_colour_network_is_not_broadcast_in_silence(method):
    network = ExplainerClassifier("vgg", mean=IMAGENET_MEAN)
    with pytest.raises(ValueError, match="got 1 channels, network built for 3"):
        getattr(network, method)(torch.rand(1, 1, 64, 64))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"classifier": "vgg16"}, "classifier is 'vgg16', expected one of resnet18, .*, vgg; did you mean 'vgg'"),
        ({"classifier": "resnet5O"}, "did you mean 'resnet50'"),
        ({"mean": [0.5, 0.5]}, r"mean has 2 values, expected one number or one per channel \(3\)"),
        ({"std": 0.0}, "std is 0.0, expected positive numbers"),
        ({"classifier": "vgg", "weights": "IMAGENET1K_V1"}, "no trained weights exist for 'vgg'"),
        ({"gate_positions": "stages"}, "did you mean 'stage'"),
    ],
)
def test_impossible_options_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        ExplainerClassifier(**options)
