"""Sensitivity at fixed specificity and the reverse: by pencil, and from scikit-learn's ROC curve."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import roc_curve

from common.metrics.operating_point import (
    ROUNDING,
    operating_point_table,
    sensitivity_at_specificity,
    specificity_at_sensitivity,
)

# positives 0.9, 0.6, 0.4; negatives 0.8, 0.5, 0.4, 0.1: threshold -> sensitivity, specificity
# 0.9 -> 1/3, 1;  0.8 -> 1/3, 3/4;  0.6 -> 2/3, 3/4;  0.5 -> 2/3, 2/4;  0.4 -> 1, 1/4;  0.1 -> 1, 0
SCORE = np.array([0.9, 0.6, 0.4, 0.8, 0.5, 0.4, 0.1])
LABEL = np.array([1, 1, 1, 0, 0, 0, 0])
BOTH = np.stack([1 - SCORE, SCORE], axis=1)


def one(measure, score, label, level):
    return measure(score[:, None], label[:, None].astype(float), np.ones((1, len(score))), level)[0, 0]


@pytest.mark.parametrize(
    ("level", "sensitivity"),
    [(1.0, 1 / 3), (0.76, 1 / 3), (0.75, 2 / 3), (0.5, 2 / 3), (0.26, 2 / 3), (0.25, 1), (0, 1)],
)
def test_sensitivity_by_pencil(level, sensitivity):
    assert one(sensitivity_at_specificity, SCORE, LABEL, level) == pytest.approx(sensitivity)


@pytest.mark.parametrize(("level", "specificity"), [(1.0, 1 / 4), (0.67, 1 / 4), (0.66, 3 / 4), (1 / 3, 1), (0, 1)])
def test_specificity_by_pencil(level, specificity):
    assert one(specificity_at_sensitivity, SCORE, LABEL, level) == pytest.approx(specificity)


def test_equal_scores_leave_all_or_nothing():
    score, label = np.full(4, 0.5), np.array([1, 1, 0, 0])
    assert one(sensitivity_at_specificity, score, label, 0.1) == 0
    assert one(sensitivity_at_specificity, score, label, 0) == 1


@settings(deadline=None, max_examples=50)
@given(seed=st.integers(0, 10_000), level=st.floats(0, 1))
def test_as_read_off_the_roc_curve(seed, level):
    generator = np.random.default_rng(seed)
    score, label = generator.integers(0, 6, 12) / 5, np.r_[0, 1, generator.integers(0, 2, 10)]
    false, true, _ = roc_curve(label, score, drop_intermediate=False)
    assert one(sensitivity_at_specificity, score, label, level) == true[1 - false >= level - ROUNDING].max()
    assert one(specificity_at_sensitivity, score, label, level) == pytest.approx(
        1 - false[true >= level - ROUNDING].min()
    )


def test_weights_are_cases_drawn_several_times():
    weights = np.array([2.0, 0, 1, 1, 3, 0, 1])
    again = np.repeat(np.arange(7), weights.astype(int))
    drawn = sensitivity_at_specificity(SCORE[:, None], LABEL[:, None], weights[None], 0.6)[0, 0]
    assert drawn == one(sensitivity_at_specificity, SCORE[again], LABEL[again], 0.6)


def test_the_table_of_two_classes_is_that_of_the_second():
    table = operating_point_table(BOTH, LABEL, [0.75], n_resamples=50)
    assert list(table) == ["sensitivity_at_specificity/0.75", "specificity_at_sensitivity/0.75"]
    assert table["sensitivity_at_specificity/0.75"]["value"] == pytest.approx(2 / 3)
    assert table["specificity_at_sensitivity/0.75"]["value"] == pytest.approx(1 / 4)
    assert table["sensitivity_at_specificity/0.75"]["n"] == 7
    low, high = (table["sensitivity_at_specificity/0.75"][end] for end in ("low", "high"))
    assert 0 <= low < high <= 1


def test_of_several_labels_it_is_the_mean_over_the_classes():
    """The first class as above, 2/3; the second is ranked without an error, 1."""
    labels = np.stack([LABEL, SCORE > 0.45], axis=1)
    table = operating_point_table(np.stack([SCORE, SCORE], axis=1), labels, [0.75], n_resamples=10)
    assert table["sensitivity_at_specificity/0.75"]["value"] == pytest.approx((2 / 3 + 1) / 2)


def test_patients_are_drawn_whole():
    table = operating_point_table(BOTH, LABEL, [0.75], groups=["one"] * 7, n_resamples=20)
    entry = table["sensitivity_at_specificity/0.75"]
    assert entry["low"] == entry["high"] == entry["value"]


def test_one_class_alone_leaves_it_undefined():
    table = operating_point_table(BOTH[:3], LABEL[:3], [0.9], n_resamples=10)
    assert {entry["value"] for entry in table.values()} == {None}


def test_no_level_no_number():
    assert operating_point_table(BOTH, LABEL, []) == {}


def test_a_level_in_percent_is_refused():
    with pytest.raises(ValueError, match=r"level 90 is none, expected .* from 0 to 1, such as 0.9"):
        operating_point_table(BOTH, LABEL, [0.8, 90])
