"""Dice and cross entropy of the views whose lesions are known."""

import math

import pytest
import torch

from common.losses import ExamSegmentationLoss, lesion_target


def exam(mask, given):
    """Return a batch of one exam: masks (V,F,H,W) and given (V,F)."""
    return {"finding_mask": torch.tensor(mask)[None], "finding_mask_given": torch.tensor(given)[None]}


# Two views of 1 x 4 pixels and two findings: in the first view both are there and overlap in a pixel.
MASK = [[[[1, 1, 0, 0]], [[0, 1, 1, 0]]], [[[0, 0, 0, 0]], [[0, 0, 0, 0]]]]


@pytest.mark.parametrize(
    ("given", "lesion", "known"),
    [
        ([[True, True], [True, True]], [[1, 1, 1, 0], [0, 0, 0, 0]], [True, True]),
        ([[True, False], [True, True]], [[0, 0, 0, 0], [0, 0, 0, 0]], [False, True]),
    ],
)
def test_a_view_is_learned_from_if_all_its_findings_are_known(given, lesion, known):
    found, counts = lesion_target(exam(MASK, given))
    assert found[0, :, 0].int().tolist() == lesion
    assert counts[0].tolist() == known


def test_value_by_hand():
    batch = exam(MASK, [[True, True], [True, True]])
    logits = torch.zeros(1, 2, 1, 4)  # probability 1/2 everywhere: inside 1.5, true 3, predicted 4
    reduced = ExamSegmentationLoss(dice_weight=2, cross_entropy_weight=0.5)({"segmentation_logits": logits}, batch)
    assert reduced["dice"].item() == pytest.approx(1 - (3 + 1) / (3 + 4 + 1))
    assert reduced["cross_entropy"].item() == pytest.approx(math.log(2))
    assert reduced["loss"].item() == pytest.approx(2 * 0.5 + 0.5 * math.log(2))
    weighted = ExamSegmentationLoss(positive_weight=3)({"segmentation_logits": logits}, batch)
    assert weighted["cross_entropy"].item() == pytest.approx((3 * 3 + 5) / 8 * math.log(2))


def test_unknown_views_have_no_influence_and_silence_is_rewarded_in_empty_ones():
    batch = exam(MASK, [[True, True], [False, True]])
    logits = torch.randn(1, 2, 1, 4, generator=torch.Generator().manual_seed(0)).requires_grad_()
    loss = ExamSegmentationLoss()({"segmentation_logits": logits}, batch)["loss"]
    loss.backward()
    assert not logits.grad[0, 1].any()
    assert logits.grad[0, 0].all()
    empty = exam(MASK[1:], [[True, True]])
    loud, silent = (
        ExamSegmentationLoss()({"segmentation_logits": torch.full((1, 1, 1, 4), value)}, empty)["dice"].item()
        for value in (20.0, -20.0)
    )
    assert loud == pytest.approx(1 - 1 / 5)
    assert silent == pytest.approx(0, abs=1e-6)


def test_two_batches_together_are_their_loss_as_one():
    draw = torch.Generator().manual_seed(1)
    mask = torch.randint(0, 2, (5, 3, 2, 4, 4), generator=draw)
    given = torch.rand(5, 3, 2, generator=draw) > 0.2
    logits = torch.randn(5, 3, 4, 4, generator=draw)
    loss = ExamSegmentationLoss(positive_weight=2)

    def terms(part):
        batch = {"finding_mask": mask[part], "finding_mask_given": given[part]}
        return loss.terms({"segmentation_logits": logits[part]}, batch)

    parts = [terms(slice(2)), terms(slice(2, 5))]
    joined = {name: torch.cat([part[name] for part in parts]) for name in parts[0]}
    torch.testing.assert_close(loss.reduce(joined), loss.reduce(terms(slice(None))))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"dice_weight": 0, "cross_entropy_weight": 0}, "one of them above 0"),
        ({"dice_weight": -1}, "dice_weight is -1"),
        ({"positive_weight": 0}, "positive_weight is 0"),
    ],
)
def test_impossible_options_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        ExamSegmentationLoss(**options)


def test_what_does_not_fit_is_refused():
    batch = exam(MASK, [[True, True], [True, True]])
    with pytest.raises(ValueError, match=r"masks of shape \(1, 2, 1, 4\) for logits of shape \(1, 2, 2, 4\)"):
        ExamSegmentationLoss()({"segmentation_logits": torch.zeros(1, 2, 2, 4)}, batch)
    with pytest.raises(ValueError, match="LoadFindingMasksd"):
        ExamSegmentationLoss()({"segmentation_logits": torch.zeros(1, 2, 1, 4)}, {})
