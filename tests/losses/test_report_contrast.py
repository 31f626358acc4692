"""Contrast, ranking, view contrast and haze: golden, pencil and looped values."""

import itertools
import math

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from common.losses import (
    abnormality,
    agreement,
    ranking,
    reconstruction,
    region_profile,
    roughness,
    row_contrast,
    shared_count,
    two_way_contrast,
    view_contrast,
)
from common.losses.report_contrast import equal_sets, key_sets, report_scores, same_key_sites

#: Similarities of five images and captions, before the factor 10 (source: yawwG/Visualize-what-you-learn).
LOCAL = [
    [4.46200837, 3.84477891, 3.79559811, 3.86704846, 3.29008942],
    [4.5501068, 4.02475876, 3.41717437, 4.15333521, 4.03998178],
    [4.36267601, 3.81222486, 3.02322986, 4.25238231, 3.76448208],
    [4.31560475, 3.64077759, 2.74372877, 4.67130504, 3.91572962],
    [4.25603197, 3.8962708, 3.0620498, 4.25050878, 4.05295084],
]
#: Symmetrised similarities of the pairs of exams (0,1), (0,2) and (1,2), times 10 (same source).
PAIRS = {(0, 1): -1.4235735051069125, (0, 2): -0.010176375975198285, (1, 2): -0.13075218898743102}
KEYWORDS = {
    "distinct": [
        "mass spiculated left birads5",
        "mass spiculated right birads5 calcification",
        "calcification right normal",
    ],
    "one_tie": ["mass left", "mass right", "calcification right mass left"],
    "all_equal": ["mass", "calcification", "distortion"],
    "duplicate_word": ["mass mass left", "mass right", "cyst right"],
}
RANKED = {"distinct": 1.307267137230963, "one_tie": 0.23016583167665006, "all_equal": 0.0}


def numbers(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def test_golden_contrast():
    scores = 10 * torch.tensor(LOCAL, dtype=torch.float64)
    exam, own = torch.arange(5), torch.eye(5, dtype=torch.bool)
    ways = 4.355796351795444, 2.08925077302961
    assert row_contrast(scores, own)[0].mean().item() == pytest.approx(ways[0], abs=2e-7)
    assert row_contrast(scores.T, own)[0].mean().item() == pytest.approx(ways[1], abs=2e-7)
    assert two_way_contrast(scores, own, exam, exam, 5).mean().item() == pytest.approx(sum(ways), abs=2e-7)


def test_rows_share_their_target_and_choose_from_what_is_allowed():
    """Scores log 1, log 2, log 5: two right ones of three; then without the third; then nothing right."""
    scores = torch.tensor([[1.0, 2.0, 5.0]]).log().expand(3, 3)
    right = torch.tensor([[True, True, False], [True, False, True], [False, False, True]])
    allowed = torch.tensor([[True, True, True], [True, True, False], [True, True, False]])
    value, counts = row_contrast(scores, right, allowed)
    expected = [(math.log(8) + math.log(4)) / 2, math.log(3), 0.0]
    assert value.tolist() == pytest.approx(expected)
    assert counts.tolist() == [True, True, False]


def test_what_is_not_compared_has_no_gradient_and_breaks_none():
    scores = numbers(3, 4).requires_grad_()
    allowed = torch.tensor([[True, True, False, False]] * 2 + [[False] * 4])
    exam = torch.arange(3)
    right = torch.tensor([[True, False, False, False], [False, True, False, True], [True] * 4])
    two_way_contrast(scores, right, exam, torch.tensor([0, 1, 2, 2]), 3, allowed).sum().backward()
    assert torch.isfinite(scores.grad).all()
    assert scores.grad[:2, :2].abs().min() > 0
    assert scores.grad[:, 2:].abs().max() == scores.grad[2].abs().max() == 0


def test_shares_of_exams_have_the_mean_of_the_rows():
    scores, exam = numbers(4, 2), torch.tensor([0, 0, 0, 1])
    right = torch.stack([exam == 0, exam == 1], 1)
    each = two_way_contrast(scores, right, exam, torch.arange(2), 2)
    rows, columns = row_contrast(scores, right)[0], row_contrast(scores.T, right.T)[0]
    torch.testing.assert_close(each[0], 2 * (rows[:3].sum() / 4 + columns[0] / 2))
    torch.testing.assert_close(each.mean(), rows.mean() + columns.mean())


def test_keys_tell_which_sites_and_reports_are_equal():
    """Sites 0 and 2 both say {5, 7}; sentence 3 is about sites 1 and 2."""
    key = torch.tensor([5, 7, 7, 5, 9])
    owner = torch.tensor([[1, 0, 0], [1, 0, 0], [0, 0, 1], [0, 1, 1], [0, 1, 0]]).bool()
    five, seven = [True, True, True], [True, False, True]
    assert same_key_sites(key, owner).tolist() == [five, seven, seven, five, [False, True, False]]
    sets = key_sets(key, owner)
    assert sets.sum(1).tolist() == [2, 2, 2]
    assert equal_sets(sets).tolist() == [[True, False, True], [False, True, False], [True, False, True]]
    reports = report_scores(torch.arange(15.0).view(5, 3), owner)
    torch.testing.assert_close(reports[2], (torch.tensor([6.0, 7, 8]) + torch.tensor([9.0, 10, 11])) / 2)


@pytest.mark.parametrize("case", KEYWORDS)
def test_golden_ranking(case):
    """A repeated word counts once here; in "duplicate_word" that makes two pairs equal which were not."""
    scores = torch.zeros(3, 3, dtype=torch.float64)
    for (i, j), value in PAIRS.items():
        scores[i, j], scores[j, i] = value + 1, value - 1
    words = sorted({word for text in KEYWORDS[case] for word in text.split()})
    sets = torch.tensor([[word in text.split() for word in words] for text in KEYWORDS[case]])
    shared = shared_count(sets)
    pairs = list(itertools.combinations(range(3), 2))
    assert [shared[p].item() for p in pairs] == [
        len(set(KEYWORDS[case][i].split()) & set(KEYWORDS[case][j].split())) for i, j in pairs
    ]
    looped = [
        math.log1p(math.exp(PAIRS[low] - PAIRS[high]))
        for low, high in itertools.permutations(pairs, 2)
        if shared[low] < shared[high]
    ]
    expected = sum(looped) / max(len(looped), 1)
    assert expected == pytest.approx(RANKED.get(case, expected), abs=1e-12)
    for budget in (2**22, 1):
        assert ranking(scores, shared, budget=budget).sum().item() == pytest.approx(expected, abs=1e-9)


def test_ranking_of_some_pairs_and_of_none():
    scores, shared = numbers(4, 4), torch.tensor([[0, 1, 2, 0], [1, 0, 3, 0], [2, 3, 0, 1], [0, 0, 1, 0]])
    allowed = torch.ones(4, 4, dtype=torch.bool)
    allowed[3] = False
    torch.testing.assert_close(ranking(scores, shared, allowed)[:3], ranking(scores[:3, :3], shared[:3, :3]))
    assert ranking(scores, shared, torch.zeros(4, 4).bool()).tolist() == [0.0] * 4


@pytest.mark.parametrize("contralateral", [False, True])
def test_views_of_a_side_find_each_other(contralateral):
    """Three exams of four views; the second breast of exam 1 lacks a view."""
    vector, mask = numbers(3, 4, 6), torch.ones(3, 4, dtype=torch.bool)
    mask[1, 3] = False
    actual = view_contrast(vector, mask, (0, 0, 1, 1), contralateral=contralateral).mean()
    breasts = [(e, s) for e in range(3) for s in range(2) if (e, s) != (1, 1)]
    total = 0.0
    for here, there in ((0, 1), (1, 0)):
        for e, s in breasts:
            others = [(f, t) for f, t in breasts if f != e or t == s or contralateral]
            logits = [
                10 * F.cosine_similarity(vector[e, 2 * s + here], vector[f, 2 * t + there], dim=0) for f, t in others
            ]
            total += F.cross_entropy(torch.stack(logits), torch.tensor(others.index((e, s)))) / len(breasts)
    torch.testing.assert_close(actual, total)


def test_sides_of_one_view_have_no_view_contrast():
    assert view_contrast(numbers(3, 2, 4), torch.ones(3, 2).bool(), (0, 1)).tolist() == [0.0] * 3
    with pytest.raises(ValueError, match="view_side has 3 entries for 2 views"):
        view_contrast(numbers(3, 2, 4), torch.ones(3, 2).bool(), (0, 0, 1))


def test_profile_is_the_mean_over_the_rows_that_count():
    region = torch.tensor([[1.0, 2, 3], [5.0, 6, 7]]).view(1, 1, 1, 2, 3)
    mask = torch.tensor([[True, False, False], [True, True, False]]).view(1, 1, 2, 3)
    assert region_profile(region, mask).tolist() == [[[3.0, 6.0, 0.0]]]
    assert region_profile(region, mask, "flatten").tolist() == [[[1.0, 2, 3, 5, 6, 7]]]


def test_haze_pencil_values():
    clear, enhanced, image = (torch.full((1, 1, 2, 2), value) for value in (0.75, 0.4, 0.5))
    assert reconstruction(clear, enhanced, image).item() == pytest.approx((0.3 + 0.25 - 0.5) ** 2)
    assert reconstruction(torch.ones_like(clear), image, image).item() == 0.0, "the trivial answer"
    spot = torch.ones(1, 1, 7, 6)
    spot[0, 0, 3, 3] = 0.0  # inner pixels are 3 x 2: all see the spot, one is it
    assert roughness(spot).item() == pytest.approx((5 * 0.04**2 + 0.96**2) / 6)
    part = torch.tensor([[[[True, False], [False, False]]]])
    assert abnormality(clear * torch.tensor([[0.0, 1], [1, 1]]), part).item() == 1.0
    assert abnormality(clear, ~part).item() == pytest.approx(0.25)
    assert abnormality(clear, torch.zeros(1, 1, 2, 2).bool()).item() == 0.0


def test_agreement_is_of_any_scale_and_moves_only_the_map():
    abnormal = torch.tensor([[0.3, 0.4, 9.0], [0.0, 0.5, 0.0]], requires_grad=True)
    attention = torch.tensor([[3.0, 4.0, 0.0], [0.5, 0.0, 9.0]], requires_grad=True)
    value = agreement(abnormal, attention, torch.tensor([[True, True, False]] * 2))
    assert value.tolist() == pytest.approx([0.0, 1.0], abs=1e-6)
    value.sum().backward()
    assert attention.grad is None
    assert abnormal.grad[1, 0] < 0
    assert abnormal.grad[0, 2] == 0
