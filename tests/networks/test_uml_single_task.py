"""Single-task relatives: UML's parts without the other task."""

import pytest
import torch

from common.networks import UMLClassifier, UMLNet, UMLSegmenter

SMALL = {"encoder": "small", "width": 0.125}


@pytest.mark.parametrize("stem_stride", [1, 2])
def test_classifier(stem_stride):
    network = UMLClassifier(**SMALL, num_classes=3, stem_stride=stem_stride, mean=0.5, std=0.2).eval()
    image = torch.rand(2, 3, 37, 50)
    outputs = network.explain(image)
    assert torch.equal(outputs["logits"], network(image))
    torch.testing.assert_close(outputs["probability"], outputs["logits"].softmax(1))
    torch.testing.assert_close(outputs["uncertainty"], 1 - outputs["probability"].max(1, keepdim=True).values)
    assert outputs["uncertainty"].shape == (2, 1)


@pytest.mark.parametrize("stem_stride", [1, 2])
def test_segmenter(stem_stride):
    network = UMLSegmenter(**SMALL, num_structures=4, stem_stride=stem_stride).eval()
    image = torch.rand(2, 3, 37, 50)
    outputs = network.explain(image)
    assert torch.equal(outputs["segmentation_logits"], network(image))
    assert outputs["segmentation_logits"].shape == (2, 4, 37, 50)
    probability = outputs["segmentation_probability"]
    torch.testing.assert_close(probability, outputs["segmentation_logits"].softmax(1))
    torch.testing.assert_close(outputs["pixel_uncertainty"], 1 - probability.max(1, keepdim=True).values)


@pytest.mark.parametrize("build", [UMLClassifier, UMLSegmenter])
@pytest.mark.parametrize("options", [{}, {"norm": "group"}])
def test_gradient_reaches_every_parameter(build, options):
    network = build(**SMALL, **options).eval()
    network(torch.rand(2, 3, 48, 48)).square().sum().backward()
    assert [n for n, p in network.named_parameters() if p.grad is None or not torch.count_nonzero(p.grad)] == []


@pytest.mark.parametrize("build", [UMLClassifier, UMLSegmenter])
@torch.no_grad()
def test_script_parity(build):
    network = build(**SMALL, stem_stride=2).eval()
    scripted = torch.jit.script(network)
    for size in ((48, 48), (37, 50)):
        image = torch.rand(1, 3, *size)
        for name, value in network.explain(image).items():
            torch.testing.assert_close(scripted.explain(image)[name], value)


def test_encoders_are_those_of_the_joint_network():
    joint, alone = UMLNet(**SMALL), (UMLClassifier(**SMALL), UMLSegmenter(**SMALL))
    for name, network in zip(("class_encoder", "segmentation_encoder"), alone, strict=True):
        shapes = [{key: value.shape for key, value in getattr(n, name).state_dict().items()} for n in (joint, network)]
        assert shapes[0] == shapes[1]


@pytest.mark.parametrize(
    ("build", "options", "message"),
    [
        (UMLClassifier, {"num_classes": 1}, "num_classes is 1, expected 2 or more"),
        (UMLSegmenter, {"num_structures": 1}, "num_structures is 1, expected 2 or more, the background counted"),
        (UMLSegmenter, {"dropout": -0.1}, "dropout is -0.1, expected a probability"),
        (UMLClassifier, {"norm": "frozen"}, "no published weights exist for the small encoder"),
    ],
)
def test_impossible_options(build, options, message):
    with pytest.raises(ValueError, match=message):
        build(**SMALL, **options)
