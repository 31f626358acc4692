import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics as sk
from sklearn.calibration import calibration_curve

from common.metrics.bootstrap import bootstrap_interval
from common.metrics.calibration import (
    TEMPERATURES,
    calibration_scores,
    calibration_table,
    fit_temperature,
    label_calibration_table,
    reliability_curve,
    scale_temperature,
)


def _case(n, classes, seed, sharpness=2.0):
    rng = np.random.default_rng(seed)
    labels = rng.integers(classes, size=n)
    logits = sharpness * (rng.normal(size=(n, classes)) + np.eye(classes)[labels])
    probabilities = np.exp(logits)
    return probabilities / probabilities.sum(axis=1, keepdims=True), labels


def _plain_errors(probabilities, labels, bins):
    """Calibration errors written down as in the paper, one case and one bin after the other."""
    gaps, weights = [], []
    for index in range(bins):
        inside = [
            (row.max(), float(row.argmax() == label))
            for row, label in zip(probabilities, labels, strict=True)
            if index / bins <= row.max() < (index + 1) / bins or (index == bins - 1 and row.max() == 1)
        ]
        if inside:
            confidence, accuracy = np.mean(inside, axis=0)
            gaps.append(abs(confidence - accuracy))
            weights.append(len(inside) / len(labels))
    return np.dot(gaps, weights), max(gaps)


def test_four_cases_by_pencil():
    # bins of width 1/2: .6 right, .6 wrong, .8 right, 1 right, all in the upper one: confidence 3/4, accuracy 3/4
    probabilities = np.array([[0.6, 0.4], [0.6, 0.4], [0.2, 0.8], [1.0, 0.0]])
    labels = [0, 1, 1, 0]
    assert calibration_scores(probabilities, labels, bins=2) == pytest.approx(
        {
            "ece": 0.0,
            "mce": 0.0,
            "brier": (2 * 0.16 + 2 * 0.36 + 2 * 0.04 + 0) / 4,
            "nll": -(np.log(0.6) + np.log(0.4) + np.log(0.8)) / 4,
        },
        abs=1e-12,
    )
    # bins of width 1/5: [.6, .8) has confidence .6 and accuracy .5, [.8, 1] has .9 and 1
    five = calibration_scores(probabilities, labels, bins=5)
    assert (five["ece"], five["mce"]) == pytest.approx((0.1, 0.1))
    assert reliability_curve(probabilities, labels, bins=5) == {
        "confidence": pytest.approx([0.6, 0.9]),
        "accuracy": [0.5, 1.0],
        "count": [2, 2],
    }


@pytest.mark.parametrize(("classes", "seed"), [(2, 0), (2, 1), (4, 2)])
def test_errors_are_those_of_the_definition(classes, seed):
    probabilities, labels = _case(80, classes, seed)
    scores = calibration_scores(probabilities, labels)
    assert (scores["ece"], scores["mce"]) == pytest.approx(_plain_errors(probabilities, labels, 15))


@pytest.mark.parametrize("seed", range(3))
def test_proper_scores_and_bins_are_scikit_learns(seed):
    probabilities, labels = _case(60, 2, seed)
    scores = calibration_scores(probabilities, labels)
    assert scores["nll"] == pytest.approx(sk.log_loss(labels, probabilities))
    assert scores["brier"] == pytest.approx(2 * sk.brier_score_loss(labels, probabilities[:, 1]))
    confidence = probabilities.max(axis=1)
    accuracy, mean = calibration_curve(probabilities.argmax(axis=1) == labels, confidence, n_bins=15)
    curve = reliability_curve(probabilities, labels)
    assert curve["accuracy"] == pytest.approx(accuracy)
    assert curve["confidence"] == pytest.approx(mean)
    assert sum(curve["count"]) == 60


def test_scores_of_several_classes_are_scikit_learns():
    probabilities, labels = _case(60, 4, 3)
    scores = calibration_scores(probabilities, labels)
    assert scores["nll"] == pytest.approx(sk.log_loss(labels, probabilities, labels=range(4)))
    assert scores["brier"] == pytest.approx(
        sk.brier_score_loss(labels, probabilities, labels=range(4), scale_by_half=False)
    )


def test_intervals_are_those_of_resampling_and_scoring_each():
    probabilities, labels = _case(30, 3, 4)
    patients = np.arange(30) // 2
    table = calibration_table(probabilities, labels, patients, seed=5, n_resamples=60, bins=10)
    for name in ("ece", "mce", "brier", "nll"):
        slow = bootstrap_interval(
            lambda p, y, name=name: calibration_scores(p, y, bins=10)[name],
            probabilities,
            labels,
            groups=patients,
            n_resamples=60,
            seed=5,
        )
        assert table[name] == pytest.approx(slow.as_record())


@settings(deadline=None, max_examples=25)
@given(seed=st.integers(0, 10_000), temperature=st.floats(0.3, 4))
def test_a_temperature_that_was_put_in_is_found_again(seed, temperature):
    rng = np.random.default_rng(seed)
    honest = rng.dirichlet([1.0, 1.0, 1.0], size=6000)
    labels = (rng.random((6000, 1)) > honest.cumsum(axis=1)).sum(axis=1)
    found = fit_temperature(scale_temperature(honest, 1 / temperature), labels)
    assert found == pytest.approx(temperature, rel=0.15)


def test_the_temperature_is_the_best_and_repairs_the_fit_set():
    probabilities, labels = _case(300, 3, 6, sharpness=6.0)  # far too sure
    temperature = fit_temperature(probabilities, labels)
    scaled = scale_temperature(probabilities, temperature)
    assert temperature > 2
    before, after = calibration_scores(probabilities, labels), calibration_scores(scaled, labels)
    assert after["nll"] < before["nll"]
    assert after["ece"] < before["ece"] / 2
    for other in (0.9, 1.1):
        assert calibration_scores(scale_temperature(scaled, other), labels)["nll"] > after["nll"]


def test_scaling_is_the_softmax_of_divided_logits():
    logits = np.array([[1.0, -2.0, 0.5], [0.0, 3.0, 3.5]])
    softmax = [np.exp(x) / np.exp(x).sum(axis=1, keepdims=True) for x in (logits, logits / 2.5)]
    assert scale_temperature(softmax[0], 2.5) == pytest.approx(softmax[1])
    assert scale_temperature(softmax[0], 1.0) == pytest.approx(softmax[0])
    assert scale_temperature([[1.0, 0.0]], 2.0) == pytest.approx(np.array([[1.0, 1e-6]]), abs=1e-6)


def test_without_errors_the_temperature_stays_within_bounds():
    assert TEMPERATURES[0] <= fit_temperature([[0.9, 0.1], [0.2, 0.8]], [0, 1]) < 0.1


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: calibration_scores([[0.5, 0.5]], [[0, 1]]), "one class per case"),
        (lambda: calibration_scores([[0.5, 0.5]], [0], bins=0), "bins is 0"),
        (lambda: reliability_curve([[0.5, np.nan]], [0]), "1 of 1 cases are not numbers"),
        (lambda: fit_temperature([[0.5, 0.5]], [2]), "label 2 is none of the 2 classes"),
        (lambda: scale_temperature([[0.5, 0.5]], 0), "temperature is 0, expected a positive"),
    ],
)
def test_bad_input_is_named(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_each_label_is_calibrated_by_itself():
    # bins of width 1/2. a: [0, .5) has .1, .3 and none of two, [.5, 1] has .8, .6 and one of two; b: .2 and one of four
    probabilities = [[0.1, 0.2], [0.3, 0.2], [0.8, 0.2], [0.6, 0.2]]
    labels = [[0, 0], [0, 1], [1, 0], [0, 0]]
    found = label_calibration_table(probabilities, labels, ["a", "b"], bins=2, n_resamples=5)
    values = {name: entry["value"] for name, entry in found.items()}
    a, b = (0.2 + 0.2) / 2, 0.05
    brier = {"a": (0.01 + 0.09 + 0.04 + 0.36) / 4, "b": (3 * 0.04 + 0.64) / 4}
    assert values == pytest.approx(
        {
            "ece": (a + b) / 2,
            "ece/a": a,
            "ece/b": b,
            "brier": sum(brier.values()) / 2,
            "brier/a": brier["a"],
            "brier/b": brier["b"],
        }
    )


def test_brier_of_a_label_is_scikit_learns():
    rng = np.random.default_rng(0)
    probabilities, labels = rng.random((30, 3)), rng.integers(2, size=(30, 3))
    found = label_calibration_table(probabilities, labels, ["a", "b", "c"], n_resamples=2)
    for index, name in enumerate("abc"):
        expected = sk.brier_score_loss(labels[:, index], probabilities[:, index])
        assert found[f"brier/{name}"]["value"] == pytest.approx(expected)


@pytest.mark.parametrize(("labels", "names"), [([0, 1], ["a", "b"]), ([[0, 1], [1, 1]], ["a"])])
def test_calibration_of_labels_needs_an_answer_and_a_name_for_each(labels, names):
    with pytest.raises(ValueError, match="expected 0/1 per class"):
        label_calibration_table([[0.1, 0.9], [0.2, 0.3]], labels, names)
