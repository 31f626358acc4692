"""Softmax and mean over what exists."""

import pytest
import torch

from common.layers.masking import masked_mean, masked_softmax


def test_softmax_of_those_that_exist():
    score = torch.tensor([[1.0, 50.0, 2.0], [3.0, 4.0, 5.0]])
    mask = torch.tensor([[True, False, True], [False, False, False]])
    weight = masked_softmax(score, mask)
    expected = torch.softmax(torch.tensor([1.0, 2.0]), 0)
    torch.testing.assert_close(weight[0], torch.stack([expected[0], torch.tensor(0.0), expected[1]]))
    assert weight[1].tolist() == [0.0, 0.0, 0.0]


def test_gradient_of_an_empty_softmax_is_zero():
    score = torch.randn(2, 3, requires_grad=True)
    masked_softmax(score, torch.tensor([[True, True, False], [False, False, False]]))[:, 0].sum().backward()
    assert torch.isfinite(score.grad).all()
    assert score.grad[1].tolist() == [0.0, 0.0, 0.0]
    assert score.grad[0, 2] == 0
    assert score.grad[0, 0] > 0


@pytest.mark.parametrize("dim", [0, 1])
def test_mean_of_those_that_exist(dim):
    values, mask = torch.tensor([[1.0, 9.0], [3.0, 9.0]]), torch.tensor([[True, False], [True, False]])
    expected = {0: [2.0, 0.0], 1: [1.0, 3.0]}[dim]
    assert masked_mean(values, mask, dim).tolist() == expected
