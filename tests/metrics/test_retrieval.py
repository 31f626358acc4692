"""Recall among reports, by hand, by drawing, and of networks that say the same to everything."""

import itertools

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

from common.metrics.retrieval import recall_at, report_similarity, retrieval_table, same_sets

SCORES = np.array([[0.9, 0.8, 0.1], [0.7, 0.6, 0.1], [0.3, 0.2, 0.1]])


def test_recall_by_hand():
    own = np.eye(3, dtype=bool)
    assert recall_at(SCORES, own, 1).tolist() == [1, 0, 0]
    assert recall_at(SCORES, own, 2).tolist() == [1, 1, 0]
    assert recall_at(SCORES, own, 9).tolist() == [1, 1, 1]


@given(st.lists(st.integers(0, 2), min_size=5, max_size=5), st.sets(st.integers(0, 4), min_size=1), st.integers(1, 5))
@settings(max_examples=40, deadline=None)
def test_equal_scores_are_drawn_in_any_order(scores, right, rank):
    """All orders of the answers that do not contradict the scores, counted."""
    pairs = itertools.pairwise
    orders = [
        order for order in itertools.permutations(range(5)) if all(scores[a] >= scores[b] for a, b in pairs(order))
    ]
    expected = np.mean([bool(right & set(order[:rank])) for order in orders])
    hits = np.isin(np.arange(5), list(right))
    assert recall_at([scores], [hits], rank)[0] == pytest.approx(expected)


def test_a_network_that_says_the_same_to_all_scores_chance():
    table = retrieval_table(np.ones((20, 20)), np.eye(20, dtype=bool), n_resamples=20)
    for rank in (1, 5, 10):
        assert table[f"retrieval_r{rank}"]["value"] == pytest.approx(rank / 20)
        assert table[f"retrieval_chance_r{rank}"] == table[f"retrieval_r{rank}"]
    assert table["retrieval_median_rank"]["value"] == 20


def test_both_directions_and_equal_reports():
    same = same_sets([frozenset({1, 2}), frozenset({2, 1}), frozenset({3})])
    assert same.tolist() == [[True, True, False], [True, True, False], [False, False, True]]
    table = {name: entry["value"] for name, entry in retrieval_table(SCORES, same, ranks=[1], n_resamples=20).items()}
    assert table == {
        "retrieval_r1": pytest.approx(1 / 3),
        "retrieval_report_to_exam_r1": pytest.approx((1 + 0 + 1 / 3) / 3),  # the last report is equally like all exams
        "retrieval_chance_r1": pytest.approx(1 / 3),
        "retrieval_r1_same_text": pytest.approx(2 / 3),
        "retrieval_report_to_exam_r1_same_text": pytest.approx((1 + 1 + 1 / 3) / 3),
        "retrieval_chance_r1_same_text": pytest.approx((2 / 3 + 2 / 3 + 1 / 3) / 3),
        "retrieval_median_rank": 2,
    }


def test_reports_without_keys_are_like_themselves_alone():
    assert np.array_equal(same_sets([frozenset(), frozenset()]), np.eye(2, dtype=bool))


def test_similarity_is_the_mean_over_sentences_of_the_cosine_with_their_side():
    generator = torch.Generator().manual_seed(0)
    image = F.normalize(torch.randn(3, 2, 6, generator=generator), dim=2)
    image[1, 1] = 0  # a side without an image
    sentence = F.normalize(torch.randn(4, 3, 6, generator=generator), dim=2)
    side = torch.tensor([[0, 1, -1], [1, 1, 0], [-1, -1, 0], [0, 0, 0]])
    mask = torch.tensor([[True] * 3, [True, True, False], [True, False, False], [False] * 3])
    expected = torch.zeros(3, 4)
    for exam, report in itertools.product(range(3), range(4)):
        found = []
        for n in mask[report].nonzero()[:, 0].tolist():
            cosines = image[exam] @ sentence[report, n]
            present = [0] if exam == 1 else [0, 1]
            found.append(cosines[present].mean() if side[report, n] < 0 else cosines[side[report, n]])
        expected[exam, report] = torch.stack(found).mean() if found else 0.0
    torch.testing.assert_close(report_similarity(image, sentence, side, mask), expected)


def test_what_cannot_be_scored_is_refused():
    with pytest.raises(ValueError, match="a right answer to every question"):
        recall_at(SCORES, np.zeros((3, 3), dtype=bool), 1)
    with pytest.raises(ValueError, match="rank is 0"):
        recall_at(SCORES, np.eye(3, dtype=bool), 0)
