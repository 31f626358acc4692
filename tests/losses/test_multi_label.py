"""Binary cross entropy of every class: pencil values, weights, torch's own, and refusals."""

import math

import pytest
import torch
import torch.nn.functional as F

from common.losses import MultiLabelLoss, multi_label_cross_entropy
from tests.golden_multi_label import LABEL, STUDENT


def test_golden_value():
    value = multi_label_cross_entropy(torch.tensor(STUDENT), torch.tensor(LABEL)).mean()
    assert value.item() == pytest.approx(1.3867226, abs=1e-6)


def test_pencil_values():
    """Undecided: ln 2. With p = 3/4, which is z = ln 3: ln 4/3 where present, ln 4 where not."""
    logits = torch.tensor([[0.0, 0.0], [math.log(3), math.log(3)]])
    value = multi_label_cross_entropy(logits, torch.tensor([[1, 0], [1, 0]]))
    assert value.tolist() == pytest.approx([math.log(2), (math.log(4 / 3) + math.log(4)) / 2])


def test_is_torchs_with_and_without_weights():
    logits, label, weights = torch.randn(5, 3), torch.tensor(LABEL[:5]).float()[:, :3], torch.tensor([1.0, 4.0, 0.5])
    for given in (None, weights):
        expected = F.binary_cross_entropy_with_logits(logits, label, pos_weight=given, reduction="none").mean(1)
        torch.testing.assert_close(multi_label_cross_entropy(logits, label, given), expected)


def test_large_logits_stay_finite():
    value = multi_label_cross_entropy(torch.tensor([[300.0, -300.0]]), torch.tensor([[0, 1]]))
    assert value.item() == 300.0


def test_batches_joined_are_one_batch():
    loss, logits, label = MultiLabelLoss([1.0, 2.0, 3.0, 4.0]), torch.tensor(STUDENT), torch.tensor(LABEL)
    parts = [loss.terms({"logits": logits[i::2]}, {"label": label[i::2]})["classification"] for i in range(2)]
    whole = loss({"logits": logits}, {"label": label})
    assert loss.reduce({"classification": torch.cat(parts)})["loss"].item() == pytest.approx(whole["loss"].item())
    assert whole["loss"] == whole["classification"]
    assert not loss.state_dict(), "an option, not a state"


@pytest.mark.parametrize(
    ("label", "message"),
    [
        (torch.tensor([0, 1]), r"got labels of shape \(2,\) for class scores of shape \(2, 4\)"),
        (torch.tensor([[0, 1, 2, 0], [0, 0, 0, 0]]), "got labels from 0 to 2, expected 0 or 1"),
        (torch.tensor([[0.5, 1, 0, 0], [0, 0, 0, 0]]), "expected 0 or 1 for every class"),
        (torch.zeros(2, 5), r"got labels of shape \(2, 5\)"),
    ],
)
def test_refuses_labels(label, message):
    with pytest.raises(ValueError, match=message):
        multi_label_cross_entropy(torch.zeros(2, 4), label)


@pytest.mark.parametrize(
    ("weights", "message"),
    [([1.0, 0.0, 1.0, 1.0], "expected one positive number per class"), ([1.0], "got 1 class_weights for 4 classes")],
)
def test_refuses_weights(weights, message):
    with pytest.raises(ValueError, match=message):
        MultiLabelLoss(weights)({"logits": torch.zeros(1, 4)}, {"label": torch.zeros(1, 4)})


def test_an_empty_batch_is_refused():
    with pytest.raises(ValueError, match="got an empty batch"):
        multi_label_cross_entropy(torch.zeros(0, 4), torch.zeros(0, 4))
