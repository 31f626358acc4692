"""The maps that reports measure: of prototypes on the scale of the explanations, and of attribution methods."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from common.explain import Attribution, AttributionRelevance, HeatmapRelevance
from common.explain.class_heatmap import class_heatmap, similarity_range
from common.explain.prototype_files import PrototypeBook, PrototypeSource, save_prototypes
from common.networks import InterNRL
from tests.explain.prototype_run_folder import small_network

IMAGE = torch.rand(3, 3, 64, 48, generator=torch.Generator().manual_seed(0))


@pytest.fixture(scope="module")
def network() -> InterNRL:
    return small_network()


@pytest.fixture(scope="module")
def output(network: InterNRL) -> dict[str, torch.Tensor]:
    with torch.no_grad():
        return network.explain(IMAGE)


def heatmap(network: InterNRL, output: dict, index: torch.Tensor, lowest: float) -> torch.Tensor:
    student = network.student
    weight, class_map = student.last_layer.weight.detach(), student.prototypes.class_map
    highest = similarity_range(student.prototypes)[1]
    return class_heatmap(output["similarity_map"], weight, class_map, index, lowest=lowest, highest=highest)


def relevance(network: InterNRL, folder: Path | None = None) -> HeatmapRelevance:
    return HeatmapRelevance(network.student.prototypes, network.student.last_layer, folder)


def book(vectors: np.ndarray) -> PrototypeBook:
    """Seven prototypes whose own images are as similar as 0.7 in most places."""
    maps = np.full((7, 4, 3), 0.7, dtype=np.float16)
    maps[:, 0, 0] = 1
    sources = [
        PrototypeSource(
            i, "a", 0, 1.0, "c", "c.png", 0, 0, 0.1, False, (0, 0, 8, 8), (4, 4), (64, 48), (0, 0, 48, 64), False
        )
        for i in range(7)
    ]
    return PrototypeBook(["a", "b"], "greedy", "none", sources, vectors, maps, np.array([0, 0, 0, 1, 1, 1, 1]))


def test_the_predicted_classes_or_those_asked_for(network: InterNRL, output: dict) -> None:
    lowest = similarity_range(network.student.prototypes)[0]
    predicted = output["probability"].argmax(1)
    drawn = relevance(network)(output, {"image": IMAGE})
    assert drawn.shape == (3, 1, 4, 3)
    torch.testing.assert_close(drawn[:, 0], heatmap(network, output, predicted, lowest))
    other = relevance(network)(output, {"image": IMAGE}, 1 - predicted)
    torch.testing.assert_close(other[:, 0], heatmap(network, output, 1 - predicted, lowest))
    assert not torch.equal(drawn, other)


def test_the_scale_is_that_of_the_projected_prototypes(network: InterNRL, output: dict, tmp_path: Path) -> None:
    """0 is how similar an ordinary place of their images is, but only if the files describe these prototypes."""
    vectors = network.student.prototypes.vectors.detach().numpy()
    index = torch.zeros(3, dtype=torch.int64)
    save_prototypes(tmp_path / "same", book(vectors))
    drawn = relevance(network, tmp_path / "same")(output, {"image": IMAGE}, index)
    torch.testing.assert_close(drawn[:, 0], heatmap(network, output, index, float(np.float16(0.7))))
    save_prototypes(tmp_path / "others", book(vectors + 0.1))
    plain = relevance(network)(output, {"image": IMAGE}, index)
    for folder in ("others", "absent"):
        assert torch.equal(relevance(network, tmp_path / folder)(output, {"image": IMAGE}, index), plain)


def test_a_baseline_of_the_teacher_alone(network: InterNRL, output: dict) -> None:
    """Stem and teacher in a row compute the teacher's logits; Grad-CAM of them is Grad-CAM of a network of its own."""
    teacher = nn.Sequential(network.stem, network.teacher).eval()
    torch.testing.assert_close(teacher(IMAGE), output["teacher_logits"])
    drawn = AttributionRelevance(teacher)(output, {"image": IMAGE}, torch.tensor([0, 1, 0]))
    assert drawn.shape == (3, 1, 64, 48)
    torch.testing.assert_close(drawn, Attribution("gradcam")(teacher, IMAGE, torch.tensor([0, 1, 0])))


@pytest.mark.parametrize("part", ["student", "whole"])
def test_gradients_reach_the_image_through_the_prototypes_too(network: InterNRL, part: str) -> None:
    """Saliency of the student and of both branches together is the gradient itself."""
    explained = nn.Sequential(network.stem, network.student).eval() if part == "student" else network
    image = IMAGE.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(explained(image)[:, 1].sum(), image)
    drawn = AttributionRelevance(explained, "saliency")({}, {"image": IMAGE}, torch.ones(3, dtype=torch.int64))
    torch.testing.assert_close(drawn, gradient.abs().sum(1, keepdim=True))


def test_a_student_has_no_pooling_for_grad_cam(network: InterNRL) -> None:
    student = nn.Sequential(network.stem, network.student).eval()
    with pytest.raises(ValueError, match="no global pooling over features, which Grad-CAM needs"):
        AttributionRelevance(student)({}, {"image": IMAGE})


def test_grad_cam_of_the_teacher_by_its_definition(network: InterNRL) -> None:
    """Feature maps, weighted by the mean gradient of the class's logit, and what is positive of their sum."""
    feature = network.teacher.trunk(network.stem(IMAGE)).detach().requires_grad_()
    logit = network.teacher.head(feature)[:, 1].sum()
    (gradient,) = torch.autograd.grad(logit, feature)
    cam = (gradient.mean((2, 3), keepdim=True) * feature).sum(1, keepdim=True).clamp(min=0).detach()
    expected = nn.functional.interpolate(cam, (64, 48), mode="bilinear")
    teacher = nn.Sequential(network.stem, network.teacher).eval()
    drawn = AttributionRelevance(teacher)({}, {"image": IMAGE}, torch.ones(3, dtype=torch.int64))
    torch.testing.assert_close(drawn, expected)


def test_refuses(network: InterNRL) -> None:
    with pytest.raises(ValueError, match="expected 'similarity_map' among them"):
        relevance(network)({"logits": torch.zeros(1, 2)}, {})
    with pytest.raises(ValueError, match="combine is 'median', expected one of max, mean"):
        HeatmapRelevance(network.student.prototypes, network.student.last_layer, combine="median")
    with pytest.raises(ValueError, match="did you mean 'gradcam'"):
        AttributionRelevance(network, "gradcm")
