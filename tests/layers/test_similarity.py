"""Distances and similarities: one product against the plain sum, forms against pencil values."""

import math

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from common.layers import SIMILARITIES, prototype_distance, similarity_from, squared_distance


def wave(*shape: int, pace: float) -> Tensor:
    """Values in (0,1) from a formula."""
    return torch.sin(torch.arange(math.prod(shape)) * pace).reshape(shape) * 0.45 + 0.5


def plain(feature: Tensor, prototype: Tensor) -> Tensor:
    """The sum of squared differences, written down."""
    return (feature.unsqueeze(1) - prototype[None, :, :, None, None]).square().sum(2)


@pytest.mark.parametrize("shape", [(2, 16, 6, 3), (1, 128, 4, 4), (3, 5, 1, 1)])
def test_expanded_is_the_sum_of_squared_differences(shape):
    feature, prototype = wave(*shape, pace=0.37), wave(7, shape[1], pace=0.11)
    distance = squared_distance(feature, prototype)
    assert distance.shape == (shape[0], 7, *shape[2:])
    torch.testing.assert_close(distance, plain(feature, prototype), rtol=1e-5, atol=1e-5)


def test_pencil_value():
    """|(1,2) - (0,0)|² = 5, |(1,2) - (1,0)|² = 4."""
    feature = torch.tensor([1.0, 2.0]).view(1, 2, 1, 1)
    distance = squared_distance(feature, torch.tensor([[0.0, 0.0], [1.0, 0.0]]))
    assert distance.flatten().tolist() == [5.0, 4.0]


def test_own_prototypes_of_each_image():
    feature, prototype = wave(2, 4, 3, 3, pace=0.7), wave(5, 4, pace=0.3)
    chosen = torch.tensor([[4, 0], [1, 1]])
    expected = squared_distance(feature, prototype)
    own = squared_distance(feature, prototype[chosen])
    for image, indices in enumerate(chosen):
        torch.testing.assert_close(own[image], expected[image, indices])


def test_never_negative_and_zero_at_the_prototype_itself():
    feature = wave(1, 128, 5, 5, pace=1.3)
    distance = squared_distance(feature, feature.flatten(2)[0].T)
    assert distance.min() >= 0
    assert distance.flatten(2)[0].diagonal().max() < 1e-4  # float32 sums of about 50


@pytest.mark.parametrize("form", SIMILARITIES)
def test_full_precision_under_autocast(form):
    """To the last digit what it is without; plain matrix products would be off by a per cent."""
    feature, prototype = wave(2, 128, 4, 4, pace=0.37), wave(7, 128, pace=0.11)
    expected = prototype_distance(feature, prototype, form)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert (prototype @ prototype.T).dtype == torch.bfloat16, "autocast is on"
        distance = prototype_distance(feature, prototype, form)
        half = prototype_distance(feature.bfloat16(), prototype, form)
    assert distance.dtype == half.dtype == torch.float32
    assert torch.equal(distance, expected)


def test_cosine_is_that_of_pytorch():
    feature, prototype = wave(2, 8, 3, 2, pace=0.9), wave(4, 8, pace=0.4) - 0.5
    similarity = similarity_from(prototype_distance(feature, prototype, "cosine"), "cosine", 1.0)
    expected = F.cosine_similarity(feature.unsqueeze(1), prototype[None, :, :, None, None], dim=2)
    torch.testing.assert_close(similarity, expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(
    ("form", "scale", "distance", "expected"),
    [
        ("exp_l2", 128.0, 0.0, 1.0),
        ("exp_l2", 128.0, 128.0, 0.36787944),
        ("log_l2", 1.0, 0.0, 9.21034037),
        ("log_l2", 1.0, 1.0, 0.69304718),
        ("log_l2", 2.0, 2.0, 0.69304718),
        ("cosine", 1.0, 2.0, 0.0),
        ("cosine", 1.0, 4.0, -1.0),
    ],
)
def test_forms(form, scale, distance, expected):
    assert similarity_from(torch.tensor(distance), form, scale).item() == pytest.approx(expected, abs=1e-5)


def test_golden_place():
    """sendyma/Medical-XAI: one place of a toy feature map, one prototype, and the three numbers made of them."""
    place = [0.048206, 0.30666, 0.927095, 0.333881, 0.543812, 0.260634, 0.261985, 0.981874]
    place += [0.680703, 0.057802, 0.450379, 0.076317, 0.94561, 0.843889, 0.405665, 0.971378]
    prototype = [0.885248, 0.090919, 0.983207, 0.677255, 0.794286, 0.866428, 0.732682, 0.284905]
    prototype += [0.627401, 0.36619, 0.179965, 0.840698, 0.249045, 0.461484, 0.771159, 0.072011]
    distance = squared_distance(torch.tensor(place).view(1, 16, 1, 1), torch.tensor([prototype]))
    assert distance.item() == pytest.approx(4.3345127, abs=1e-5)
    assert similarity_from(distance, "exp_l2", 128.0).item() == pytest.approx(0.9667036, abs=1e-6)
    assert similarity_from(distance, "log_l2", 1.0).item() == pytest.approx(0.2075652, abs=1e-6)


@pytest.mark.parametrize("form", SIMILARITIES)
def test_similarity_falls_with_the_distance(form):
    values = similarity_from(torch.linspace(0, 4, 50), form, 2.0)
    assert (values.diff() < 0).all()


def test_gradient_is_that_of_the_plain_sum():
    feature, prototype = wave(2, 6, 3, 2, pace=0.37).double(), wave(4, 6, pace=0.11).double()
    gradients = []
    for function in (squared_distance, plain):
        inputs = [feature.clone().requires_grad_(), prototype.clone().requires_grad_()]
        (function(*inputs).sin()).sum().backward()
        gradients.append([tensor.grad for tensor in inputs])
    for ours, expected in zip(*gradients, strict=True):
        torch.testing.assert_close(ours, expected)
