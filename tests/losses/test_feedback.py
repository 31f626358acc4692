"""The four forms of feedback: pencil values, and what they measure."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from common.losses import cosine_feedback, difference_feedback, product_feedback

FIRST = [torch.tensor([1.0, 2.0]), None, torch.tensor([[3.0]])]
SECOND = [torch.tensor([0.5, -1.0]), torch.tensor([9.0]), torch.tensor([[4.0]])]


def test_pencil_values():
    """⟨g, g'⟩ = 0.5 - 2 + 12 = 10.5; |g|² = 14, |g'|² = 98.25; a parameter without a gradient counts as 0."""
    assert product_feedback(FIRST, SECOND).item() == pytest.approx(0.0105)
    assert product_feedback(FIRST, SECOND, scale=2.0).item() == pytest.approx(21.0)
    assert cosine_feedback(FIRST, SECOND, scale=1.0).item() == pytest.approx(10.5 / (14 * 98.25) ** 0.5)
    assert difference_feedback(torch.tensor(0.7), torch.tensor(0.5), scale=3.0).item() == pytest.approx(0.6)


def test_cosine_does_not_depend_on_the_size_of_gradients():
    larger = [None if gradient is None else 1e4 * gradient for gradient in FIRST]
    assert cosine_feedback(larger, SECOND).item() == pytest.approx(cosine_feedback(FIRST, SECOND).item())
    assert cosine_feedback(FIRST, FIRST, scale=0.3).item() == pytest.approx(0.3)
    assert cosine_feedback([torch.zeros(2)], [torch.ones(2)]).item() == 0


def test_no_gradient_at_all_is_no_feedback():
    assert product_feedback([None], [None]).item() == 0


@pytest.mark.parametrize("rate", [1e-3, 1e-4])
def test_difference_is_the_step_size_times_the_product(rate):
    """To first order, for a plain gradient step: the published form with the step size for its scale."""
    torch.manual_seed(0)
    network = nn.Sequential(nn.Linear(4, 5), nn.Tanh(), nn.Linear(5, 3)).double()
    parameters = list(network.parameters())
    pseudo, labelled = torch.rand(2, 8, 4).double()
    guess, label = torch.randint(3, (2, 8))
    gradients = torch.autograd.grad(F.cross_entropy(network(pseudo), guess), parameters)
    before = F.cross_entropy(network(labelled), label)
    with torch.no_grad():
        for parameter, gradient in zip(parameters, gradients, strict=True):
            parameter -= rate * gradient
    after = F.cross_entropy(network(labelled), label)
    product = product_feedback(gradients, torch.autograd.grad(after, parameters), scale=rate).item()
    assert abs(product) > 1e-3 * rate
    assert difference_feedback(before, after).item() == pytest.approx(product, rel=20 * rate)
