import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics as sk

from common.metrics.bootstrap import bootstrap_interval
from common.metrics.classification import (
    average_precision_by_class,
    classification_scores,
    classification_table,
    roc_area_by_class,
    targets_of,
)


def _case(n, classes, seed):
    rng = np.random.default_rng(seed)
    labels = np.concatenate([np.arange(classes), rng.integers(classes, size=n - classes)])
    scores = np.round(rng.random((n, classes)) + 0.4 * np.eye(classes)[labels], 1)  # rounded: many ties
    return scores / scores.sum(axis=1, keepdims=True), labels


def test_four_cases_by_pencil():
    # negatives .1 .6, positives .4 .8: 3 of 4 pairs in order; AP = (1/1 + 2/3) / 2; at .5 TP 1, FP 1, FN 1
    positive = np.array([0.1, 0.6, 0.4, 0.8])
    scores = classification_scores(np.stack([1 - positive, positive], axis=1), [0, 0, 1, 1])
    assert scores == pytest.approx(
        {"accuracy": 0.5, "balanced_accuracy": 0.5, "kappa": 0, "auroc": 0.75, "average_precision": 5 / 6, "f1": 0.5}
    )


@pytest.mark.parametrize("seed", range(3))
def test_two_classes_are_scikit_learns(seed):
    probabilities, labels = _case(40, 2, seed)
    predicted = probabilities.argmax(axis=1)
    assert classification_scores(probabilities, labels) == pytest.approx(
        {
            "accuracy": sk.accuracy_score(labels, predicted),
            "balanced_accuracy": sk.balanced_accuracy_score(labels, predicted),
            "kappa": sk.cohen_kappa_score(labels, predicted),
            "auroc": sk.roc_auc_score(labels, probabilities[:, 1]),
            "average_precision": sk.average_precision_score(labels, probabilities[:, 1]),
            "f1": sk.f1_score(labels, predicted),
        }
    )


@pytest.mark.parametrize("seed", range(3))
def test_four_classes_are_scikit_learns_macro_means(seed):
    probabilities, labels = _case(60, 4, seed)
    predicted = probabilities.argmax(axis=1)
    assert classification_scores(probabilities, labels) == pytest.approx(
        {
            "accuracy": sk.accuracy_score(labels, predicted),
            "balanced_accuracy": sk.balanced_accuracy_score(labels, predicted),
            "kappa": sk.cohen_kappa_score(labels, predicted),
            "auroc": sk.roc_auc_score(labels, probabilities, multi_class="ovr", average="macro"),
            "average_precision": sk.average_precision_score(np.eye(4)[labels], probabilities, average="macro"),
            "f1": sk.f1_score(labels, predicted, average="macro"),
        }
    )


def test_several_labels_at_once_are_scikit_learns():
    rng = np.random.default_rng(5)
    labels = rng.integers(2, size=(50, 3))
    probabilities = np.clip(labels * 0.3 + rng.random((50, 3)) * 0.7, 0, 1)
    predicted = (probabilities >= 0.5).astype(int)
    assert classification_scores(probabilities, labels) == pytest.approx(
        {
            "accuracy": (predicted == labels).mean(),
            "auroc": sk.roc_auc_score(labels, probabilities, average="macro"),
            "average_precision": sk.average_precision_score(labels, probabilities, average="macro"),
            "f1": sk.f1_score(labels, predicted, average="macro"),
        }
    )


@settings(deadline=None, max_examples=30)
@given(seed=st.integers(0, 10_000), n=st.integers(4, 25))
def test_whole_weights_are_repetitions(seed, n):
    probabilities, labels = _case(n, 3, seed)
    weights = np.random.default_rng(seed).integers(4, size=n)
    weights[:3] += 1  # every class occurs
    repeated = np.repeat(np.arange(n), weights)
    targets = targets_of(labels, 3)
    for by_class, reference in (
        (roc_area_by_class, sk.roc_auc_score),
        (average_precision_by_class, sk.average_precision_score),
    ):
        weighted = by_class(probabilities, targets, weights[None].astype(float))[0]
        assert weighted == pytest.approx(reference(targets[repeated], probabilities[repeated], average=None))


def test_intervals_are_those_of_resampling_and_scoring_each():
    probabilities, labels = _case(30, 2, 7)
    patients = np.arange(30) // 2
    table = classification_table(probabilities, labels, ["benign", "malignant"], patients, seed=3, n_resamples=150)
    slow = bootstrap_interval(
        lambda p, y: sk.roc_auc_score(y, p[:, 1]), probabilities, labels, groups=patients, n_resamples=150, seed=3
    )
    assert table["auroc"] == pytest.approx(slow.as_record())
    assert table["auroc"] == pytest.approx(table["auroc/malignant"])
    assert set(table) == {
        *("accuracy", "balanced_accuracy", "kappa", "auroc", "average_precision", "f1"),
        *("auroc/benign", "auroc/malignant"),
    }
    for record in table.values():
        assert record["low"] <= record["value"] <= record["high"]
        assert record["n"] == 30


def test_one_class_leaves_ranking_undefined_and_accuracy_defined():
    probabilities = np.array([[0.9, 0.1], [0.2, 0.8]])
    assert set(classification_scores(probabilities, [0, 0])) == {"accuracy", "balanced_accuracy", "kappa", "f1"}
    table = classification_table(probabilities, [0, 0], ["a", "b"], n_resamples=20)
    assert table["auroc"] == {"value": None, "low": None, "high": None, "n": 2}
    assert table["accuracy"]["value"] == 0.5


def test_kappa_intervals_are_those_of_resampling_and_scoring_each():
    probabilities, labels = _case(30, 3, 8)
    table = classification_table(probabilities, labels, ["a", "b", "c"], seed=2, n_resamples=100)
    slow = bootstrap_interval(
        lambda p, y: sk.cohen_kappa_score(y, p.argmax(axis=1)), probabilities, labels, n_resamples=100, seed=2
    )
    assert table["kappa"] == pytest.approx(slow.as_record())


def test_auroc_of_an_opinion_is_that_of_its_mean():
    """Evidence 0.6 against 0 is a clearer opinion than 32 against 29; a softmax of evidence says the opposite."""
    alpha = np.array([[1.2, 2.0], [5.0, 7.5], [30.0, 33.0], [1.0, 1.6], [9.0, 4.0]])
    labels = [1, 0, 0, 1, 0]
    softmax = np.exp(alpha) / np.exp(alpha).sum(axis=1, keepdims=True)
    # source of both values: KarryRen/UML
    assert classification_scores(alpha / alpha.sum(axis=1, keepdims=True), labels)["auroc"] == 1.0
    assert classification_scores(softmax, labels)["auroc"] == pytest.approx(0.33333333333333337)


def test_better_scores_never_lower_the_area():
    scores = np.array([[0.5, 0.5], [0.4, 0.6], [0.6, 0.4], [0.3, 0.7]])
    labels = [0, 1, 0, 1]
    assert classification_scores(scores, labels)["auroc"] == 1.0
    assert classification_scores(scores[:, ::-1], labels)["auroc"] == 0.0
    assert classification_scores(np.full((4, 2), 0.5), labels)["auroc"] == 0.5


@pytest.mark.parametrize(
    ("probabilities", "labels", "message"),
    [
        ([[0.5, 0.5]], [2], "label 2 is none of the 2 classes"),
        ([[0.5, 0.5]], [-1], "label -1"),
        ([[0.5, 0.5]], [0, 1], "2 labels for 1 cases"),
        ([[np.nan, 0.5], [0.5, 0.5]], [0, 1], "1 of 2 cases are not numbers"),
        ([0.5, 0.5], [0, 1], r"shape \(2,\)"),
        ([[0.5, 0.5]], [[0, 2]], "0 or 1"),
        ([[0.5, 0.5]], [[[0]]], r"shape \(1, 1, 1\)"),
    ],
)
def test_bad_input_is_named(probabilities, labels, message):
    with pytest.raises(ValueError, match=message):
        classification_scores(probabilities, labels)


def test_class_names_must_fit():
    with pytest.raises(ValueError, match="3 class names"):
        classification_table([[0.5, 0.5]], [0], ["a", "b", "c"])
