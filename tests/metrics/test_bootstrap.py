import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from common.metrics.bootstrap import bootstrap_interval, bootstrap_weighted, mean_interval, resample_counts


def test_interval_of_a_mean_agrees_with_the_normal_approximation():
    values = np.random.default_rng(0).normal(3.0, 2.0, 400)
    interval = mean_interval(values, n_resamples=4000)
    half_width = 1.96 * values.std() / math.sqrt(400)
    assert interval.value == pytest.approx(values.mean())
    assert interval.low == pytest.approx(values.mean() - half_width, abs=0.1 * half_width)
    assert interval.high == pytest.approx(values.mean() + half_width, abs=0.1 * half_width)
    assert interval.n == 400


def test_two_cases_by_pencil():
    # resamples (0,0), (0,1), (1,0), (1,1): mean 0, .5, .5, 1 with 1/4, 1/2, 1/4
    interval = mean_interval([0.0, 1.0])
    assert (interval.value, interval.low, interval.high) == (0.5, 0.0, 1.0)
    means = resample_counts(2, n_resamples=4000) @ np.array([0.0, 0.5])
    assert [float((means == mean).mean()) for mean in (0.0, 0.5, 1.0)] == pytest.approx([0.25, 0.5, 0.25], abs=0.03)


def test_patients_are_drawn_whole():
    # 2 patients x 50 equal cases carry as much information as 2 cases: the interval is that of the pencil case
    interval = mean_interval([0.0] * 50 + [1.0] * 50, groups=["a"] * 50 + ["b"] * 50)
    assert (interval.low, interval.high) == (0.0, 1.0)
    alone = mean_interval([0.0] * 50 + [1.0] * 50)
    assert 0.38 < alone.low < alone.high < 0.62


@settings(deadline=None)
@given(
    groups=st.lists(st.integers(0, 5), min_size=1, max_size=20),
    n_resamples=st.integers(1, 20),
    seed=st.integers(0, 9),
)
def test_counts_of_a_patients_cases_are_equal_and_add_up(groups, n_resamples, seed):
    counts = resample_counts(len(groups), groups, n_resamples, seed)
    units, first = np.unique(groups, return_index=True)
    assert counts.shape == (n_resamples, len(groups))
    assert (counts[:, first].sum(axis=1) == len(units)).all()
    for unit in units:
        columns = counts[:, np.asarray(groups) == unit]
        assert (columns == columns[:, :1]).all()


def test_both_ways_give_one_answer():
    values = np.random.default_rng(1).random(30)
    groups = np.arange(30) // 3
    slow = bootstrap_interval(np.mean, values, groups=groups, n_resamples=200, seed=4)
    fast = bootstrap_weighted(
        lambda array, weights: weights @ array / weights.sum(1), values, groups=groups, n_resamples=200, seed=4
    )
    assert (slow.value, slow.low, slow.high) == pytest.approx((fast.value, fast.low, fast.high))


def test_several_arrays_are_resampled_together():
    values = np.arange(10.0)
    interval = bootstrap_interval(lambda one, other: float(np.abs(one - other).max()), values, values, n_resamples=50)
    assert (interval.value, interval.low, interval.high) == (0.0, 0.0, 0.0)


def test_degenerate_resamples_are_ignored_and_counted():
    def spread(labels):
        if len(set(labels)) < 2:
            raise ValueError("one class")
        return 1.0

    interval = bootstrap_interval(spread, np.array([0, 1, 1]), n_resamples=1000)
    # P(only ones) + P(only zeros) = (2/3)^3 + (1/3)^3 = 1/3
    assert interval.ignored == pytest.approx(333, abs=50)
    assert (interval.value, interval.low, interval.high) == (1.0, 1.0, 1.0)


def test_an_undefined_value_becomes_null():
    assert mean_interval([math.nan]).as_record() == {"value": None, "low": None, "high": None, "n": 0}
    mostly_undefined = bootstrap_interval(lambda a: 1.0 if len(set(a)) == 4 else math.nan, [1, 2, 3, 4])
    assert mostly_undefined.as_record() == {"value": 1.0, "low": None, "high": None, "n": 4}


def test_cases_without_a_number_are_left_out_with_their_patients():
    interval = mean_interval([1.0, math.nan, 3.0], groups=["a", "b", "a"])
    assert interval.as_record() == {"value": 2.0, "low": 2.0, "high": 2.0, "n": 2}


def test_same_seed_same_interval_other_seed_other_interval():
    values = np.random.default_rng(2).random(50)
    assert mean_interval(values, seed=1) == mean_interval(values, seed=1)
    assert mean_interval(values, seed=1) != mean_interval(values, seed=2)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: resample_counts(0), "got 0 cases"),
        (lambda: resample_counts(3, n_resamples=0), "n_resamples 0"),
        (lambda: resample_counts(3, ["a", "b"]), "groups names a unit for 2 cases, expected one for each of the 3"),
        (lambda: mean_interval([1.0, 2.0], groups=["a"]), "groups names a unit for 1 cases"),
        (lambda: mean_interval([[1.0]]), r"shape \(1, 1\)"),
        (lambda: bootstrap_interval(np.mean), "at least one array"),
        (lambda: bootstrap_interval(np.mean, [1, 2], [1]), r"lengths \[2, 1\]"),
    ],
)
def test_bad_input_is_named(call, message):
    with pytest.raises(ValueError, match=message):
        call()
