"""Scores of words and regions against plain loops, and what must not matter."""

import pytest
import torch
from torch import Tensor

from common.losses import cosine_scores, double_softmax_scores, sentence_attention, sentence_scores, word_attention
from common.losses import double_softmax as double_softmax_module

FORMS = {"double_softmax": double_softmax_scores, "cosine": cosine_scores}


def numbers(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def attended(form: str, region: Tensor, words: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
    """Attention and cosines of the words (T,D) of a text with the regions (D,R) of an image, word by word."""
    region = region[:, mask]
    shared = (words @ region).softmax(0)
    attention, cosines = [], []
    for index, word in enumerate(words):
        if form == "double_softmax":
            weight = (4 * shared[index]).softmax(0)
        else:
            weight = (10 * torch.cosine_similarity(word[:, None], region, dim=0)).softmax(0)
        context = sum(w * vector for w, vector in zip(weight, region.T, strict=True))
        attention.append(weight)
        cosines.append(word @ context / word.norm() / context.norm())
    return torch.stack(attention), torch.stack(cosines)


def by_hand(form: str, region: Tensor, word: Tensor, lengths: list[int], mask: Tensor, joining: str) -> Tensor:
    rows = []
    for image, counts in zip(region, mask, strict=True):
        cosines = [attended(form, image, w[:n], counts)[1] for w, n in zip(word, lengths, strict=True)]
        joined = [(5 * c).exp().sum() if joining == "sum" else (5 * c).exp().mean() for c in cosines]
        rows.append(torch.stack(joined).log() / (1 if form == "double_softmax" else 5))
    return torch.stack(rows)


@pytest.mark.parametrize("joining", ["sum", "mean"])
@pytest.mark.parametrize("budget", [2**19, 20], ids=["at once", "in groups"])
@pytest.mark.parametrize("regions", [5, 12], ids=["by Gram", "by context"])
@pytest.mark.parametrize("kept", [2**26, 0], ids=["kept", "again"])
@pytest.mark.parametrize("form", FORMS)
def test_scores_and_gradients_equal_loops(form, kept, regions, budget, joining, monkeypatch):
    monkeypatch.setattr(double_softmax_module, "KEPT", kept)
    region, word, lengths = numbers(4, 6, regions), numbers(3, 4, 6, seed=1), [4, 1, 3]
    mask = torch.ones(4, regions, dtype=torch.bool)
    mask[1, 2:4] = False
    word_mask = torch.arange(4) < torch.tensor(lengths).unsqueeze(1)
    word[~word_mask] = float("nan")  # what stands in padding does not matter
    factor, results = numbers(4, 3, seed=2), []
    for function in (
        lambda r, w: FORMS[form](r, w, word_mask, mask, budget=budget, joining=joining),
        lambda r, w: by_hand(form, r, w, lengths, mask, joining),
    ):
        leaves = [values.clone().requires_grad_() for values in (region, word)]
        scores = function(*leaves)
        results.append((scores, *torch.autograd.grad((scores * factor).sum(), leaves)))
    for ours, expected in zip(*results, strict=True):
        torch.testing.assert_close(ours, expected.nan_to_num(0.0), rtol=1e-9, atol=1e-9)


def test_gram_and_context_are_both_in_use():
    """The shapes above take both ways; which is cheaper depends on words, regions and channels."""
    words = numbers(12, 6)
    assert double_softmax_module._gram_is_cheaper(numbers(4, 6, 5), words)
    assert not double_softmax_module._gram_is_cheaper(numbers(4, 6, 12), words)


def test_word_attention_equals_loops():
    region, word = numbers(2, 6, 5), numbers(2, 3, 6, seed=1)
    word_mask = torch.tensor([[True, True, True], [True, True, False]])
    mask = torch.tensor([[True] * 5, [True, False, True, True, True]])
    actual = word_attention(region, word, word_mask, mask)
    for index, length in enumerate((3, 2)):
        expected = attended("double_softmax", region[index], word[index, :length], mask[index])[0]
        torch.testing.assert_close(actual[index, :length][:, mask[index]], expected)
    assert actual[1, 2].tolist() == [0.0] * 5
    assert actual[1, :, 1].tolist() == [0.0] * 3


@pytest.mark.parametrize(("regions", "expected"), [(361, 0.13168932381579487), (1024, 0.050666521682006346)])
def test_golden_largest_attention(regions, expected):
    """Source: yawwG/Visualize-what-you-learn; a word that owns a region completely and no other one at all."""
    region = torch.zeros(1, 2, regions, dtype=torch.float64)
    region[0, 0] = -1000.0
    region[0, 0, 7] = 1000.0
    word = torch.tensor([[[1.0, 0.0], [0.0, 1.0]]], dtype=torch.float64)
    attention = word_attention(region, word, torch.ones(1, 2, dtype=torch.bool))
    assert attention[0, 0, 7].item() == pytest.approx(expected, rel=1e-9)


def test_sentence_scores_pencil_value():
    """Cosines 1 and 0 with sharpness log 3: weights 3/4 and 1/4."""
    region = torch.eye(2).unsqueeze(0)
    sharpness = torch.tensor(3.0).log()
    assert sentence_scores(region, torch.tensor([[1.0, 0.0]]), sharpness=sharpness).item() == pytest.approx(0.75)
    seen = torch.tensor([[False, True]])
    assert sentence_scores(region, torch.tensor([[1.0, 0.0]]), seen, sharpness).item() == pytest.approx(0.0)
    weight = sentence_attention(region, torch.tensor([[[1.0, 0.0]]]), torch.ones(1, 1, 2).bool(), sharpness)
    torch.testing.assert_close(weight, torch.tensor([[[0.75, 0.25]]]))


def test_sentences_in_chunks_are_the_same_and_sharpness_learns():
    region, sentence = numbers(3, 4, 5), numbers(6, 4, seed=1)
    results = []
    for budget in (2**22, 30):
        sharpness = torch.tensor(2.0, dtype=torch.float64, requires_grad=True)
        scores = sentence_scores(region, sentence, sharpness=sharpness, budget=budget)
        scores.square().sum().backward()
        results.append((scores, sharpness.grad))
    torch.testing.assert_close(*results)
    assert results[0][1].abs() > 0.01


@pytest.mark.parametrize("form", FORMS)
def test_what_is_empty_scores_0_and_breaks_no_gradient(form):
    region, word = numbers(2, 4, 3).requires_grad_(), numbers(2, 2, 4).requires_grad_()
    word_mask, mask = torch.tensor([[True, True], [False, False]]), torch.tensor([[True] * 3, [False] * 3])
    scores = FORMS[form](region, word, word_mask, mask)
    assert scores[0, 0] != 0
    assert (scores[1].tolist(), scores[0, 1].item()) == ([0.0, 0.0], 0.0)
    gradients = torch.autograd.grad(scores.sum(), [region, word])
    assert all(torch.isfinite(gradient).all() for gradient in gradients)
    assert gradients[0][1].abs().max() == 0


@pytest.mark.parametrize("form", FORMS)
def test_half_precision_and_autocast_are_computed_in_float32(form):
    region, word, mask = numbers(2, 4, 3).bfloat16(), numbers(2, 2, 4).bfloat16(), torch.ones(2, 2, dtype=torch.bool)
    expected = FORMS[form](region.float(), word.float(), mask)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        actual = FORMS[form](region, word, mask)
        sentences = sentence_scores(region, word[:, 0])
    assert actual.dtype == sentences.dtype == torch.float32
    torch.testing.assert_close(actual, expected)
    torch.testing.assert_close(sentences, sentence_scores(region.float(), word[:, 0].float()))


def test_shapes_that_do_not_fit_are_named():
    mask = torch.ones(2, 2, dtype=torch.bool)
    with pytest.raises(ValueError, match=r"regions of shape \(2, 4, 3\), words of shape \(2, 2, 5\)"):
        double_softmax_scores(numbers(2, 4, 3), numbers(2, 2, 5), mask)
    with pytest.raises(ValueError, match=r"region mask of shape \(2, 4\)"):
        cosine_scores(numbers(2, 4, 3), numbers(2, 2, 4), mask, torch.ones(2, 4).bool())
    with pytest.raises(ValueError, match="joining is 'max'"):
        cosine_scores(numbers(2, 4, 3), numbers(2, 2, 4), mask, joining="max")
    with pytest.raises(ValueError, match=r"expected \(B,D,R\) and \(M,D\)"):
        sentence_scores(numbers(2, 4, 3), numbers(2, 5))
