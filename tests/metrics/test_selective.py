import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import roc_auc_score

from common.metrics.bootstrap import bootstrap_interval
from common.metrics.selective import risk_coverage_curve, selective_scores, selective_table


def _plain_aurc(uncertainty, wrong):
    """The mean risk of the k most certain cases, k = 1 .. N, written down as it is defined; no ties."""
    ordered = np.asarray(wrong, dtype=float)[np.argsort(uncertainty)]
    return np.mean([ordered[:k].mean() for k in range(1, len(ordered) + 1)])


def test_four_cases_by_pencil():
    # from certain to uncertain: right, wrong, right, wrong; risks 0, 1/2, 1/3, 1/2; at best 0, 0, 1/3, 1/2
    scores = selective_scores([0.1, 0.2, 0.3, 0.4], [1, 0, 1, 0])
    assert scores == pytest.approx(
        {"aurc": (1 / 2 + 1 / 3 + 1 / 2) / 4, "excess_aurc": (1 / 2) / 4, "error_auroc": 3 / 4}
    )
    assert risk_coverage_curve([0.1, 0.2, 0.3, 0.4], [1, 0, 1, 0]) == {
        "coverage": [0.25, 0.5, 0.75, 1.0],
        "risk": pytest.approx([0, 1 / 2, 1 / 3, 1 / 2]),
    }


@settings(deadline=None, max_examples=40)
@given(seed=st.integers(0, 10_000), n=st.integers(2, 40))
def test_without_ties_it_is_the_definition(seed, n):
    rng = np.random.default_rng(seed)
    uncertainty, wrong = rng.permutation(n) / n, rng.integers(2, size=n)
    scores = selective_scores(uncertainty, 1 - wrong)
    assert scores["aurc"] == pytest.approx(_plain_aurc(uncertainty, wrong))
    assert scores["excess_aurc"] == pytest.approx(scores["aurc"] - _plain_aurc(wrong + np.arange(n) / 1000, wrong))
    assert scores["excess_aurc"] >= -1e-12
    if 0 < wrong.sum() < n:
        assert scores["error_auroc"] == pytest.approx(roc_auc_score(wrong, uncertainty))


def test_ties_are_the_mean_over_all_orders():
    wrong = np.array([0, 1, 1, 0, 1])
    orders = [_plain_aurc(np.array(order), wrong) for order in itertools.permutations(range(5))]
    assert selective_scores(np.full(5, 0.3), 1 - wrong)["aurc"] == pytest.approx(np.mean(orders))
    assert risk_coverage_curve(np.full(5, 0.3), 1 - wrong) == {"coverage": [1.0], "risk": [pytest.approx(0.6)]}
    # two levels: orders within each, the first three cases before the last two
    halves = itertools.product(itertools.permutations(range(3)), itertools.permutations((3, 4)))
    expected = np.mean([_plain_aurc(np.array([*first, *last]), wrong) for first, last in halves])
    assert selective_scores([0.1, 0.1, 0.1, 0.2, 0.2], 1 - wrong)["aurc"] == pytest.approx(expected)


def test_an_uncertainty_that_knows_every_error_has_no_excess():
    scores = selective_scores([0.1, 0.9, 0.2, 0.8], [1, 0, 1, 0])
    assert scores["excess_aurc"] == pytest.approx(0.0)
    assert scores["error_auroc"] == 1.0


def test_intervals_are_those_of_resampling_and_scoring_each():
    rng = np.random.default_rng(2)
    uncertainty, correct = rng.random(40), rng.integers(2, size=40)
    patients = np.arange(40) // 2
    table = selective_table(uncertainty, correct, patients, seed=1, n_resamples=60)
    for name, record in table.items():
        slow = bootstrap_interval(
            lambda u, c, name=name: selective_scores(u, c)[name],
            uncertainty,
            correct,
            groups=patients,
            n_resamples=60,
            seed=1,
        )
        assert record == pytest.approx(slow.as_record())
        assert record["low"] <= record["value"] <= record["high"]


def test_without_errors_there_is_nothing_to_detect():
    table = selective_table([0.1, 0.2, 0.3], [1, 1, 1], n_resamples=20)
    assert table["error_auroc"] == {"value": None, "low": None, "high": None, "n": 3}
    assert table["aurc"]["value"] == 0


@pytest.mark.parametrize(
    ("uncertainty", "message"),
    [([0.1], r"uncertainty has shape \(1,\) and correct \(2,\)"), ([0.1, np.nan], "1 of 2 cases is not a number")],
)
def test_bad_input_is_named(uncertainty, message):
    with pytest.raises(ValueError, match=message):
        selective_scores(uncertainty, [1, 0])
