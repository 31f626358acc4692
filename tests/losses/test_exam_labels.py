"""Cross entropy of the labels of sides that have an image."""

import math

import pytest
import torch

from common.losses import ExamLabelLoss


def batch(label, side_mask, logits):
    outputs = {"logits": torch.tensor(logits), "side_mask": torch.tensor(side_mask)}
    return outputs, {"label": torch.tensor(label)}


def test_value_by_hand_and_absent_sides_count_nothing():
    # Two sides of two findings; the second side of the second exam has no view.
    given = batch(
        [[1.0, 0.0, 0.0, 1.0], [0.0, 1.0, 1.0, 1.0]],
        [[True, True], [True, False]],
        [[0.0, 0.0, 0.0, 0.0], [0.0, math.log(3), 50.0, -50.0]],
    )
    terms = ExamLabelLoss().terms(*given)
    assert terms["labels"].tolist() == [4, 2]
    expected = [4 * math.log(2), math.log(2) + math.log(4 / 3)]
    torch.testing.assert_close(terms["classification"], torch.tensor(expected))
    assert ExamLabelLoss()(*given)["loss"].item() == pytest.approx(sum(expected) / 6)


def test_two_batches_together_are_their_loss_as_one():
    torch.manual_seed(0)
    logits, label = torch.randn(5, 6), torch.randint(0, 2, (5, 6)).float()
    side = torch.tensor([[True, True], [False, True], [True, True], [True, False], [False, False]])
    loss = ExamLabelLoss()
    parts = [
        loss.terms({"logits": logits[p], "side_mask": side[p]}, {"label": label[p]}) for p in (slice(2), slice(2, 5))
    ]
    joined = {name: torch.cat([part[name] for part in parts]) for name in parts[0]}
    whole = loss({"logits": logits, "side_mask": side}, {"label": label})
    torch.testing.assert_close(loss.reduce(joined), whole)


def test_nothing_to_learn_from_costs_nothing():
    given = batch([[1.0, 0.0]], [[False]], [[3.0, 3.0]])
    assert ExamLabelLoss()(*given)["loss"].item() == 0


def test_a_network_that_judges_exams_is_refused():
    with pytest.raises(ValueError, match="level: side"):
        ExamLabelLoss()(*batch([[1.0, 0.0, 1.0]], [[True, True]], [[0.0, 0.0, 0.0]]))
