"""Expected cross entropy, divergence from no evidence, annealing: golden rows, PyTorch's Dirichlet, invariants."""

import hypothesis.strategies as st
import pytest
import torch
from hypothesis import given, settings
from torch import Tensor
from torch.distributions import Dirichlet, kl_divergence

from common.losses import annealing, divergence_from_flat, expected_cross_entropy
from tests.golden_evidence import EVIDENCE, LABEL, close

LOSSES = [expected_cross_entropy, divergence_from_flat]


def drawn(seed: int, classes: int = 3) -> tuple[Tensor, Tensor]:
    """Evidence (2,C,3,2) and true classes (2,3,2)."""
    generator = torch.Generator().manual_seed(seed)
    evidence = torch.rand(2, classes, 3, 2, generator=generator, dtype=torch.float64) * 6
    return evidence, torch.randint(classes, (2, 3, 2), generator=generator)


def test_golden_rows():
    expected = [1.0260006344, 0.3488687126, 0.9245136944, 1.4946370591, 0.1660703006, 0.2702370514]
    close(expected_cross_entropy(EVIDENCE, LABEL), expected)
    expected = [0.0019885222, 0.0007081861, 0.000084683, 0.3434153061, 0.0008429286, 0.0002054535]
    close(divergence_from_flat(EVIDENCE, LABEL), expected)


@pytest.mark.parametrize(
    ("weight", "expected"),
    [
        (0.2, [[-0.1658220508, 0.1042073803], [0.0485165765, -0.0195446107], [0.1013183408, -0.1407935937]]),
        (1.0, [[-0.1658220508, 0.1119317393], [0.0532876319, -0.0195446107], [0.1030236437, -0.1407935937]]),
    ],
)
def test_golden_gradients(weight, expected):
    evidence = EVIDENCE.clone().requires_grad_(True)
    loss = expected_cross_entropy(evidence, LABEL) + weight * divergence_from_flat(evidence, LABEL)
    loss.mean().backward()
    close(evidence.grad[:3], expected)


@pytest.mark.parametrize(("classes", "expected"), [(2, 1.0), (3, 1.5), (5, 25 / 12)])
def test_without_evidence(classes, expected):
    """The cross entropy of the flat distribution is 1 + 1/2 + ... + 1/(C-1), the divergence nothing."""
    evidence, target = torch.zeros(2, classes, dtype=torch.float64), torch.tensor([0, classes - 1])
    torch.testing.assert_close(expected_cross_entropy(evidence, target), torch.full((2,), expected).double())
    torch.testing.assert_close(divergence_from_flat(evidence, target), torch.zeros(2).double(), rtol=0, atol=1e-14)


def test_cross_entropy_is_that_of_samples():
    evidence = torch.tensor([[0.5, 3.0, 1.0]], dtype=torch.float64)
    samples = Dirichlet(evidence[0] + 1).sample((200_000,))
    for label in range(3):
        expected = -samples[:, label].log().mean().item()
        assert expected_cross_entropy(evidence, torch.tensor([label])).item() == pytest.approx(expected, rel=2e-2)


@given(seed=st.integers(0, 2**16), classes=st.integers(2, 5))
@settings(max_examples=20, deadline=None)
def test_divergence_is_pytorchs(seed, classes):
    """The reference's form: Dirichlet parameters with the true class's set to 1, classes last."""
    evidence, target = drawn(seed, classes)
    true = torch.nn.functional.one_hot(target, classes)
    parameters = evidence.movedim(1, -1) * (1 - true) + 1
    expected = kl_divergence(Dirichlet(parameters), Dirichlet(torch.ones_like(parameters)))
    torch.testing.assert_close(divergence_from_flat(evidence, target), expected, rtol=1e-9, atol=1e-12)


@given(seed=st.integers(0, 2**16))
@settings(max_examples=20, deadline=None)
def test_divergence_is_never_negative_and_ignores_the_true_class(seed):
    evidence, target = drawn(seed)
    assert (divergence_from_flat(evidence, target) > 0).all()
    right = torch.zeros_like(evidence).scatter(1, target.unsqueeze(1), 7.0)
    assert divergence_from_flat(right, target).abs().max() < 1e-13
    torch.testing.assert_close(divergence_from_flat(evidence + right, target), divergence_from_flat(evidence, target))
    assert (expected_cross_entropy(evidence + right, target) < expected_cross_entropy(evidence, target)).all()


@pytest.mark.parametrize("loss", LOSSES)
def test_classes_have_no_order_and_pixels_no_place(loss):
    evidence, target = drawn(3)
    order = torch.tensor([2, 0, 1])
    torch.testing.assert_close(loss(evidence[:, order], order.argsort()[target]), loss(evidence, target))
    torch.testing.assert_close(loss(evidence.flip(-1), target.flip(-1)), loss(evidence, target).flip(-1))
    image_level = torch.stack([loss(evidence[:, :, i, j], target[:, i, j]) for i in range(3) for j in range(2)], dim=1)
    torch.testing.assert_close(image_level.view(2, 3, 2), loss(evidence, target))


@pytest.mark.parametrize("loss", LOSSES)
def test_gradient(loss):
    evidence, target = drawn(1)
    assert torch.autograd.gradcheck(lambda e: loss(e, target), evidence.requires_grad_(True))


@pytest.mark.parametrize("loss", LOSSES)
def test_float32_under_autocast(loss):
    evidence, target = drawn(2)
    half = evidence.bfloat16()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        value = loss(half, target)
    assert value.dtype == torch.float32
    torch.testing.assert_close(value, loss(half.double(), target).float(), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("epoch", "epochs", "expected"), [(0, 50, 0.0), (10, 50, 0.2), (50, 50, 1.0), (80, 50, 1.0), (0, 0, 1.0)]
)
def test_annealing(epoch, epochs, expected):
    assert annealing(epoch, epochs) == expected


def test_annealing_refuses_negative_epochs():
    with pytest.raises(ValueError, match="epoch is -1 of 50 annealing epochs, expected 0 or more"):
        annealing(-1)


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize(
    ("evidence", "target", "message"),
    [
        (
            torch.ones(4, 2),
            torch.zeros(4, 1).long(),
            r"got labels of shape \(4, 1\) .* expected \(4,\): one class index",
        ),
        (torch.ones(2, 3, 4, 4), torch.zeros(2, 1, 4, 4).long(), r"expected \(2, 4, 4\): one class index per pixel"),
        (torch.ones(4, 2), torch.zeros(4), "got labels of type torch.float32, expected class indices"),
        (torch.ones(4, 2), torch.zeros(4).bool(), "got labels of type torch.bool"),
        (torch.ones(2, 2), torch.tensor([0, 2]), "got labels from 0 to 2, expected 0 to 1; check the labels"),
        (torch.ones(2, 2), torch.tensor([-1, 1]), "got labels from -1 to 1"),
        (torch.ones(0, 2), torch.zeros(0).long(), "got an empty batch"),
        (torch.ones(2), torch.zeros(2).long(), r"got class scores of shape \(2,\), expected \(B,C\)"),
        (
            torch.tensor([[0.5, -3.25]]),
            torch.tensor([0]),
            "got evidence down to -3.25, expected 0 or more; common.layers",
        ),
    ],
)
def test_unfit_input_is_refused(loss, evidence, target, message):
    with pytest.raises(ValueError, match=message):
        loss(evidence, target)
