"""Views to sides: what counts, and how much."""

import pytest
import torch

from common.networks.exam_fusion import ViewFusion, kinds_of, membership_of

SIDES = (0, 0, 1, 1)


def test_slots():
    assert kinds_of(SIDES) == [0, 1, 0, 1]
    assert kinds_of([0, 0]) == [0, 1]
    assert kinds_of([1, 0, 0, 1, 0]) == [0, 0, 1, 1, 2]
    assert membership_of([0, 1, 1]).tolist() == [[True, False, False], [False, True, True]]
    for wrong in ([], [0, 2], [1, 1]):
        with pytest.raises(ValueError, match="view_side is"):
            membership_of(wrong)


def test_mean_by_pencil():
    """Two channels of maxima, two of means; the right side has one view, the third exam's left side none."""
    feature = torch.tensor([[[4.0, 1.0, 2.0, 6.0], [3.0, 5.0, 4.0, 0.0], [1.0, 1.0, 1.0, 1.0], [0.0, 0.0, 0.0, 0.0]]])
    mask = torch.tensor([[True, True, True, False]])
    side, weight = ViewFusion(4, SIDES)(feature, mask)
    assert side.tolist() == [[[4.0, 5.0, 3.0, 3.0], [1.0, 1.0, 1.0, 1.0]]]
    assert weight.tolist() == [[[0.5, 0.5, 0.0, 0.0], [0.0, 0.0, 1.0, 0.0]]]
    feature[0, 0, 1] = 7.0  # now the first view has both maxima
    assert ViewFusion(4, SIDES)(feature, mask)[1][0, 0].tolist() == [0.75, 0.25, 0.0, 0.0]


@torch.no_grad()
def test_attention_weighs_both_halves():
    fusion = ViewFusion(6, SIDES, "attention")
    feature, mask = torch.rand(3, 4, 6), torch.rand(3, 4) > 0.3
    mask[0] = True
    side, weight = fusion(feature, mask)
    torch.testing.assert_close(side, torch.einsum("esv,evc->esc", weight, feature))
    assert (weight[:, 0, 2:] == 0).all()
    assert (weight[:, 1, :2] == 0).all()
    torch.testing.assert_close(weight[0].sum(1), torch.ones(2))
    assert not torch.allclose(weight[0, 0, :2], torch.tensor(0.5))


@pytest.mark.parametrize("fusion", ["mean", "attention"])
def test_a_side_without_views_is_zero(fusion):
    side, weight = ViewFusion(6, SIDES, fusion)(torch.rand(1, 4, 6), torch.tensor([[False, False, True, True]]))
    assert (side[0, 0] == 0).all()
    assert (weight[0, 0] == 0).all()
    torch.testing.assert_close(weight[0, 1].sum(), torch.tensor(1.0))


def test_refuses_other_names():
    with pytest.raises(ValueError, match="fusion is 'max', expected one of mean, attention"):
        ViewFusion(4, SIDES, "max")
