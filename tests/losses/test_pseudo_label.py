"""Labels from another network, and the cross entropy with them."""

import math

import pytest
import torch
import torch.nn.functional as F

from common.losses import pseudo_label, soft_cross_entropy
from common.losses.pseudo_label import target_of

LOGITS = torch.tensor([[2.0, 0.0, 0.0], [0.0, 0.1, 0.0]])


def test_hard_labels():
    target, weight = pseudo_label(LOGITS)
    assert target.tolist() == [[1, 0, 0], [0, 1, 0]]
    assert weight.tolist() == [1, 1]


def test_an_unsure_image_does_not_count():
    """Its largest probability is e^0.1 / (2 + e^0.1) = 0.356, the first image's e² / (2 + e²) = 0.787."""
    assert pseudo_label(LOGITS, threshold=0.357)[1].tolist() == [1, 0]
    assert pseudo_label(LOGITS, threshold=0.355)[1].tolist() == [1, 1]
    assert pseudo_label(LOGITS, threshold=0.788)[1].tolist() == [0, 0]


@pytest.mark.parametrize("temperature", [0.5, 1.0, 4.0])
def test_temperature(temperature):
    target, _ = pseudo_label(LOGITS, temperature=temperature)
    assert target[0, 0].item() == pytest.approx(1 / (1 + 2 * math.exp(-2 / temperature)))


def test_no_gradient_flows_through_a_pseudo_label():
    logits = LOGITS.clone().requires_grad_()
    assert not pseudo_label(logits, temperature=1.0)[0].requires_grad


def test_cross_entropy_is_that_of_pytorch():
    logits, target = torch.randn(5, 4), torch.rand(5, 4).softmax(1)
    torch.testing.assert_close(soft_cross_entropy(logits, target), F.cross_entropy(logits, target, reduction="none"))
    label = torch.tensor([0, 3, 1, 1, 2])
    hard = soft_cross_entropy(logits, F.one_hot(label, 4).float())
    torch.testing.assert_close(hard, F.cross_entropy(logits, label, reduction="none"))


def test_pseudo_labels_come_before_labels():
    soft = torch.tensor([[0.2, 0.3, 0.5], [1.0, 0.0, 0.0]])
    batch = {"label": torch.tensor([0, 1])}
    assert target_of(batch, LOGITS)[0].tolist() == [[1, 0, 0], [0, 1, 0]]
    target, weight = target_of({**batch, "target": soft, "target_weight": torch.tensor([0.0, 1.0])}, LOGITS)
    assert torch.equal(target, soft)
    assert weight.tolist() == [0, 1]


def test_neither_is_refused():
    with pytest.raises(ValueError, match="the loss needs 'label'"):
        target_of({"image": LOGITS}, LOGITS)
