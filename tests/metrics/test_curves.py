import numpy as np
import pytest
import torch

from common.metrics import aopc_from_scores, classification_curves, mean_interval, perturbation_points


def test_four_cases_by_pencil():
    # descending: .8 positive, .6 negative, .4 positive, .1 negative
    positive = np.array([0.1, 0.6, 0.4, 0.8])
    curves = classification_curves(np.stack([1 - positive, positive], axis=1), [0, 0, 1, 1], ["no", "yes"])
    assert curves["roc"]["yes"] == {"x": [0, 0, 0.5, 0.5, 1], "y": [0, 0.5, 0.5, 1, 1]}
    recall, precision = curves["precision_recall"]["yes"]["x"], curves["precision_recall"]["yes"]["y"]
    assert recall == sorted(recall)
    assert dict(zip(recall, precision, strict=True))[0] == 1
    assert (0.5, 1) in zip(recall, precision, strict=True)
    assert (1, pytest.approx(2 / 3)) in zip(recall, precision, strict=True)


def test_a_class_that_never_occurs_has_no_curve():
    curves = classification_curves([[0.2, 0.7, 0.1], [0.6, 0.3, 0.1]], [1, 0], ["a", "b", "c"])
    assert set(curves["roc"]) == set(curves["precision_recall"]) == {"a", "b"}


def test_area_under_the_points_is_the_auroc():
    rng = np.random.default_rng(0)
    labels = rng.integers(2, size=50)
    positive = np.round(rng.random(50) * 0.7 + 0.3 * labels, 1)
    probabilities = np.stack([1 - positive, positive], axis=1)
    points = classification_curves(probabilities, labels, ["a", "b"])["roc"]["b"]
    pairs = positive[labels == 1][:, None] - positive[labels == 0][None]
    assert np.trapezoid(points["y"], points["x"]) == pytest.approx(((pairs > 0) + (pairs == 0) / 2).mean())


def test_perturbation_points_end_at_the_metric():
    scores = torch.rand(12, 7, dtype=torch.double)
    patients = np.arange(12) // 2
    points = perturbation_points(scores, patients, n_resamples=100, seed=2)
    metric = mean_interval(aopc_from_scores(scores), patients, n_resamples=100, seed=2)
    assert points["k"] == list(range(7))
    assert (points["mean"][0], points["low"][0], points["high"][0]) == (0, 0, 0)
    last = (points["mean"][-1], points["low"][-1], points["high"][-1])
    assert last == pytest.approx((metric.value, metric.low, metric.high))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: perturbation_points(torch.zeros(3)), r"expected \(N, L\+1\)"),
        (lambda: perturbation_points(torch.zeros(0, 4)), r"expected \(N, L\+1\)"),
        (lambda: classification_curves([[0.5, 0.5]], [0], ["a", "b", "c"]), r"ask for \(1, 3\)"),
    ],
)
def test_bad_input_is_named(call, message):
    with pytest.raises(ValueError, match=message):
        call()
