"""Joining word pieces by scatter-add is joining them one after the other."""

import pytest
import torch

from common.layers import join_words, trim_padding

WORD = torch.tensor([[-1, 0, 1, 1, 2, -1], [-1, 0, -1, -1, -1, -1], [-1, -1, -1, -1, -1, -1]])
PIECE = torch.arange(1.0, 19.0).view(3, 6, 1) * torch.tensor([1.0, -2.0])


@pytest.mark.parametrize(("reduce", "joined"), [("sum", 7.0), ("mean", 3.5)])
def test_by_hand(reduce, joined):
    vector, mask = join_words(PIECE, WORD, reduce)
    expected = torch.zeros(3, 6, 2)
    expected[0, :3, 0] = torch.tensor([2.0, joined, 5.0])
    expected[1, 0, 0] = 8.0
    expected[..., 1] = -2 * expected[..., 0]
    assert vector.equal(expected)
    assert mask.tolist() == [[True] * 3 + [False] * 3, [True] + [False] * 5, [False] * 6]


@pytest.mark.parametrize("reduce", ["sum", "mean"])
def test_equals_a_loop(reduce):
    generator = torch.Generator().manual_seed(1)
    piece = torch.randn(4, 9, 5, generator=generator, dtype=torch.float64)
    word = (torch.rand(4, 9, generator=generator) < 0.6).cumsum(1) - 1
    vector, mask = join_words(piece, word, reduce)
    for row in range(4):
        for number in range(9):
            pieces = piece[row][word[row] == number]
            assert bool(mask[row, number]) == (len(pieces) > 0)
            expected = pieces.sum(0) / (max(1, len(pieces)) if reduce == "mean" else 1)
            torch.testing.assert_close(vector[row, number], expected, rtol=1e-14, atol=1e-14)


def test_gradients_reach_every_piece_of_a_word_and_no_other():
    piece = PIECE.clone().requires_grad_()
    join_words(piece, WORD, "mean")[0][..., 0].sum().backward()
    expected = torch.tensor([[0, 1, 0.5, 0.5, 1, 0], [0, 1, 0, 0, 0, 0], [0, 0, 0, 0, 0, 0]])
    assert piece.grad is not None
    assert piece.grad[..., 0].equal(expected)
    assert not piece.grad[..., 1].any()


def test_padding_that_all_rows_share_is_cut_off():
    token = torch.tensor([[[2, 5, 3, 0, 0], [2, 3, 0, 0, 0]], [[0, 0, 0, 0, 0], [2, 3, 0, 0, 0]]])
    word = torch.where(token > 3, 0, -1)
    short, numbers = trim_padding(token, word)
    assert short.equal(token[..., :3])
    assert numbers.equal(word[..., :3])
    assert trim_padding(torch.zeros_like(token), word)[0].shape == (2, 2, 1)
