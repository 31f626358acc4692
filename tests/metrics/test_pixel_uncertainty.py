import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import f1_score, roc_auc_score

from common.metrics.pixel_uncertainty import (
    REMOVED,
    overlap_at_thresholds,
    overlap_curve,
    overlap_interval,
    pixel_error_auroc,
    retention_scores,
)

# four pixels; the two most uncertain are one wrong and one right
UNCERTAINTY = torch.tensor([[[[0.9, 0.6], [0.3, 0.1]]]])
PREDICTION = torch.tensor([[[[1, 1], [1, 0]]]])
TRUTH = torch.tensor([[[[0, 1], [1, 0]]]])
ONE = {"lesion": [1]}


def random_maps(seed, size=6):
    generator = torch.Generator().manual_seed(seed)
    uncertainty = (torch.rand(2, 1, size, size, generator=generator) * 20).round() / 20  # many ties
    return uncertainty, torch.rand(2, 1, size, size, generator=generator) < 0.3


def test_four_pixels_by_pencil():
    wrong = PREDICTION != TRUTH
    # from .5 on two pixels are uncertain, one of them wrong: 2 / (2 + 1); from .8 on only the wrong one; from .95 none
    overlap = overlap_at_thresholds(UNCERTAINTY, wrong, (0.05, 0.5, 0.8, 0.95))
    assert overlap.tolist() == [pytest.approx([2 / 5, 2 / 3, 1.0, 0.0])]
    assert pixel_error_auroc(UNCERTAINTY, wrong).tolist() == [1.0]
    scores = retention_scores(UNCERTAINTY, PREDICTION, TRUTH, ONE, removed=(0.0, 0.25, 0.5, 0.75))
    assert scores["error"].tolist() == [[0.25, 0.0, 0.0, 0.0]]
    # Dice of all: 2 * 2 / (3 + 2); without the wrong pixel 1; the last pixel left is background in both
    assert scores["dice/lesion"].tolist() == [pytest.approx([0.8, 1.0, 1.0, math.nan], nan_ok=True)]


@settings(deadline=None, max_examples=20)
@given(seed=st.integers(0, 10_000))
def test_overlap_and_detection_are_scikit_learns(seed):
    uncertainty, wrong = random_maps(seed)
    thresholds = (0.05, 0.25, 0.5, 1.0)
    overlap, area = overlap_at_thresholds(uncertainty, wrong, thresholds), pixel_error_auroc(uncertainty, wrong)
    for case in range(2):
        target, score = wrong[case].flatten().numpy(), uncertainty[case].flatten().double().numpy()
        expected = [f1_score(target, score >= threshold, zero_division=0) for threshold in thresholds]
        assert overlap[case].tolist() == pytest.approx(expected)
        assert area[case].item() == pytest.approx(roc_auc_score(target, score))


def test_retention_is_a_plain_loop():
    generator = torch.Generator().manual_seed(1)
    uncertainty = torch.rand(2, 1, 10, 10, generator=generator)
    prediction, truth = torch.randint(0, 3, (2, 2, 1, 10, 10), generator=generator)
    scores = retention_scores(uncertainty, prediction, truth, {"rim": [1], "disc": [1, 2]})
    for case in range(2):
        order = uncertainty[case].flatten().argsort()
        for place, share in enumerate(REMOVED):
            kept = order[: round(100 * (1 - share))]
            ours, theirs = prediction[case].flatten()[kept], truth[case].flatten()[kept]
            assert scores["error"][case, place].item() == pytest.approx((ours != theirs).double().mean().item())
            expected = f1_score(theirs > 0, ours > 0)
            assert scores["dice/disc"][case, place].item() == pytest.approx(expected)


def test_one_threshold_serves_all_cases():
    overlap = np.array([[1.0, 0.2, 0.0], [0.0, 0.6, 1.0], [math.nan] * 3])
    assert overlap_interval(overlap, n_resamples=200)["value"] == pytest.approx(0.5)  # not 1, the mean of the best
    assert overlap_interval(overlap, n_resamples=200)["n"] == 2
    curve = overlap_curve(overlap, thresholds=(0.1, 0.2, 0.3))
    assert curve == {"threshold": [0.1, 0.2, 0.3], "overlap": pytest.approx([0.5, 0.4, 0.5])}


def test_one_patient_has_no_spread():
    overlap = [[0.2, 0.4], [0.6, 0.5]]
    record = overlap_interval(overlap, groups=["a", "a"], n_resamples=50)
    assert record == pytest.approx({"value": 0.45, "low": 0.45, "high": 0.45, "n": 2})


def test_a_case_without_errors_is_left_out():
    right = torch.zeros(1, 1, 2, 2, dtype=torch.bool)
    assert overlap_at_thresholds(UNCERTAINTY, right).isnan().all()
    assert pixel_error_auroc(UNCERTAINTY, right).isnan().all()
    assert pixel_error_auroc(UNCERTAINTY, ~right).isnan().all()
    nothing = overlap_at_thresholds(UNCERTAINTY, right)
    assert overlap_interval(nothing) == {"value": None, "low": None, "high": None, "n": 0}
    assert overlap_curve(nothing) == {"threshold": [], "overlap": []}


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: overlap_at_thresholds(UNCERTAINTY, TRUTH[0]), r"error \(1, 2, 2\), expected \(B,1,H,W\)"),
        (lambda: retention_scores(UNCERTAINTY, PREDICTION, TRUTH, ONE, removed=(1.0,)), r"removed is \[1.0\]"),
    ],
)
def test_bad_input_is_named(call, message):
    with pytest.raises(ValueError, match=message):
        call()
