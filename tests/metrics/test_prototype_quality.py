"""What prototypes are worth, of a few cases and prototypes whose numbers can be computed by hand."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import spearmanr
from sklearn.metrics import roc_auc_score

from common.metrics.prototype_quality import (
    class_specificity,
    coverage,
    nearest_share,
    order_stability,
    place_stability,
    spread,
    touches,
    uniqueness,
)

# four cases, the first two of class 0; prototype 0 of class 0, prototype 1 of class 1
SIMILARITY = np.array([[0.9, 0.1], [0.4, 0.6], [0.5, 0.6], [0.2, 0.7]])
MEMBER = np.array([[1, 0], [1, 0], [0, 1], [0, 1]], dtype=float)
ONCE = np.ones((1, 4))


def test_class_specificity_by_pencil():
    """Prototype 0: pairs 0.9 and 0.4 against 0.5 and 0.2, three of four right. Prototype 1: one tie, 3.5 of 4."""
    assert class_specificity(SIMILARITY, MEMBER, ONCE)[0] == pytest.approx((3 / 4 + 3.5 / 4) / 2)


def test_a_prototype_whose_class_does_not_occur_says_nothing():
    member = MEMBER * [1, 0]
    assert class_specificity(SIMILARITY, member, ONCE)[0] == pytest.approx(3 / 4)
    assert np.isnan(class_specificity(SIMILARITY, MEMBER * 0, ONCE)[0])


@settings(deadline=None, max_examples=20)
@given(st.integers(0, 1000))
def test_class_specificity_is_scikit_learns(seed):
    generator = np.random.default_rng(seed)
    similarity, label = generator.integers(0, 5, (9, 3)) / 4, np.r_[0, 1, generator.integers(0, 2, 7)]
    expected = np.mean([roc_auc_score(label, column) for column in similarity.T])
    member = np.repeat(label[:, None], 3, axis=1).astype(float)
    assert class_specificity(similarity, member, np.ones((1, 9)))[0] == pytest.approx(expected)


@pytest.mark.parametrize(
    ("nearest", "purity"),
    [
        (1, (1 + 1) / 2),
        (2, (1 / 2 + (1 + 1 / 2) / 2) / 2),  # 0.9, 0.5; and 0.7, then half of each of the two that tie at 0.6
        (3, (2 / 3 + 2 / 3) / 2),
        (4, 1 / 2),
        (9, 1 / 2),
    ],
)
def test_purity_by_pencil(nearest, purity):
    assert nearest_share(SIMILARITY, MEMBER, ONCE, nearest)[0] == pytest.approx(purity)


def test_a_case_drawn_twice_takes_two_places():
    """Prototype 0 with case 2 twice and case 0 never: 0.5, 0.5, of which none has its class."""
    weights = np.array([[0.0, 1, 2, 1]])
    assert nearest_share(SIMILARITY[:, :1], MEMBER[:, :1], weights, 2)[0] == 0
    assert nearest_share(SIMILARITY[:, :1], MEMBER[:, :1], weights, 3)[0] == pytest.approx(1 / 3)


def test_cases_that_are_not_to_be_asked_take_no_place():
    value = np.array([[np.nan, 0.0], [1.0, np.nan], [np.nan, np.nan], [np.nan, np.nan]])
    assert nearest_share(SIMILARITY, value, ONCE, 1)[0] == pytest.approx((1 + 0) / 2)
    assert np.isnan(nearest_share(SIMILARITY, np.full((4, 2), np.nan), ONCE, 1)[0])


def test_equal_similarities_give_what_chance_gives():
    assert nearest_share(np.zeros((4, 2)), MEMBER, ONCE, 1)[0] == pytest.approx(1 / 2)


def test_coverage_by_pencil():
    """Class 0: two prototypes that both like case 0 best leave one of two cases out; at most both could be covered.
    Class 1: its single prototype covers one case of two, which is all that it can."""
    similarity = np.array([[0.9, 0.8, 0.1], [0.4, 0.3, 0.6], [0.5, 0.5, 0.6], [0.2, 0.2, 0.7]])
    member = MEMBER[:, [0, 0, 1]]
    covered = coverage(similarity, member, [0, 0, 1], nearest=1)
    assert covered.tolist() == [1, 0, 0, 2]
    assert coverage(similarity, member, [0, 0, 1], nearest=2).tolist() == [1, 1, 1, 1]


def test_coverage_of_cases_of_several_classes_and_of_none():
    similarity = np.array([[0.9, 0.1], [0.2, 0.8], [0.5, 0.5]])
    member = np.array([[1.0, 1], [0, 1], [0, 0]])
    covered = coverage(similarity, member, [0, 1], nearest=1)
    assert covered[:2].tolist() == [(1 + 0) / 2, 2]
    assert np.isnan(covered[2])


@settings(deadline=None, max_examples=20)
@given(seed=st.integers(0, 1000), nearest=st.integers(1, 5))
def test_coverage_lies_between_0_and_1(seed, nearest):
    generator = np.random.default_rng(seed)
    label, class_map = np.r_[0, 1, generator.integers(0, 2, 8)], np.array([0, 0, 0, 1])
    similarity = generator.integers(0, 4, (10, 4)) / 3
    member = (label[:, None] == class_map).astype(float)
    covered = coverage(similarity, member, class_map, nearest)
    for index in (0, 1):
        assert 0 < covered[label == index].mean() <= 1 + 1e-12


def test_uniqueness_counts_copies_within_a_class():
    vectors = np.array([[0.0, 0], [0.0, 1e-4], [1.0, 0], [0.0, 0], [0.0, 0]])
    assert uniqueness(vectors, [0, 0, 0, 1, 1]) == pytest.approx(3 / 5)
    assert uniqueness(vectors[:3], [0, 1, 2]) == 1
    assert uniqueness(vectors[:1], [0]) == 1


def test_spread_by_pencil():
    """Class a: squared distances 1, 4, 1. Class b has one prototype. Between: 9, 16 and 25 from (0,0), (0,1), (0,2)."""
    vectors = np.array([[0.0, 0], [0, 1], [0, 2], [0, -3], [50, 50]])
    found = spread(vectors, [0, 0, 0, 1, 2], ["a", "b"])
    assert found == {"a": pytest.approx(2), "between": pytest.approx(50 / 3)}


def test_collapsed_prototypes_have_no_spread():
    assert spread(np.ones((3, 2)), [0, 0, 0], ["a"]) == {"a": 0}
    assert spread(np.ones((1, 2)), [0], ["a"]) == {}


def test_places_may_move_by_one_cell():
    """A map of 4 columns: 5 is row 1, column 1. To 10, row 2 and column 2; to 7, column 3; from 3 to 4 a row's end."""
    before = torch.tensor([[5, 5, 3, 0]])
    after = torch.tensor([[10, 7, 4, 0]])
    every = torch.tensor([[0, 1, 2, 3]])
    assert place_stability(before, after, every, columns=4).tolist() == [0.5]
    assert place_stability(before, after, every[:, :2], columns=4).tolist() == [0.5]
    assert place_stability(before, after, every, columns=4, reach=0).tolist() == [0.25]
    assert place_stability(before, after, every, columns=4, reach=3).tolist() == [1.0]


def test_order_by_pencil_and_by_scipy():
    contribution = torch.tensor([[3.0, 2.0, 1.0], [1.0, 1.0, 1.0], [1.0, 2.0, 2.0]])
    changed = torch.tensor([[0.3, 0.2, 0.1], [1.0, 2.0, 3.0], [5.0, 4.0, 6.0]])
    found = order_stability(contribution, changed)
    assert found[0] == pytest.approx(1)
    assert found[1].isnan()
    assert found[2] == pytest.approx(spearmanr([1, 2, 2], [5, 4, 6]).statistic)
    assert order_stability(contribution[:1], -changed[:1]).item() == pytest.approx(-1)


def test_cells_that_a_region_touches():
    mask = torch.zeros(2, 1, 4, 6)
    mask[0, 0, 1, 2] = 1
    assert touches(mask, (2, 3)).tolist() == [[0, 1, 0, 0, 0, 0], [0] * 6]


def test_no_case_is_too_few():
    with pytest.raises(ValueError, match="nearest is 0, expected 1 case or more"):
        nearest_share(SIMILARITY, MEMBER, ONCE, 0)
    with pytest.raises(ValueError, match="nearest is 0, expected 1 case or more"):
        coverage(SIMILARITY, MEMBER, [0, 1], 0)
