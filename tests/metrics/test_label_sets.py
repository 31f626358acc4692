"""Sets of labels: scikit-learn's answers, the cases it leaves undefined, and thresholds by hand."""

import numpy as np
import pytest
from sklearn import metrics as reference

from common.metrics.label_sets import best_thresholds, cooccurrence, label_ranking_table, label_set_table

NAMES = ["a", "b", "c", "d"]


def cases(seed=0, count=60):
    """Probabilities of two decimals, so that some tie, and labels that go with them; every case has some, not all."""
    rng = np.random.default_rng(seed)
    scores = rng.random((count, 4)).round(1)
    labels = (scores + rng.normal(0, 0.4, scores.shape) > 0.5).astype(int)
    return scores, labels


def values(table):
    return {name: entry["value"] for name, entry in table.items()}


@pytest.mark.parametrize("thresholds", [0.5, [0.2, 0.5, 0.6, 0.9]])
def test_sets_are_scored_as_scikit_learn_does(thresholds):
    scores, labels = cases()
    chosen = scores >= np.array(thresholds)
    found = values(label_set_table(scores, labels, NAMES, thresholds, n_resamples=3))
    f1 = reference.f1_score(labels, chosen, average=None)
    assert found == pytest.approx(
        {
            "subset_accuracy": reference.accuracy_score(labels, chosen),
            "hamming_loss": reference.hamming_loss(labels, chosen),
            "jaccard": reference.jaccard_score(labels, chosen, average="samples", zero_division=1),
            "f1": f1.mean(),
            "f1_micro": reference.f1_score(labels, chosen, average="micro"),
            **{f"f1/{name}": value for name, value in zip(NAMES, f1, strict=True)},
        }
    )


def test_labels_are_ranked_as_scikit_learn_does():
    scores, labels = cases(seed=1)
    some = (labels.sum(axis=1) > 0) & (labels.sum(axis=1) < 4)
    found = values(label_ranking_table(scores, labels, NAMES, n_resamples=3))
    precision = reference.average_precision_score(labels, scores, average=None)
    assert found == pytest.approx(
        {
            "ranking_loss": reference.label_ranking_loss(labels[some], scores[some]),
            "coverage_error": reference.coverage_error(labels[labels.any(axis=1)], scores[labels.any(axis=1)]),
            **{f"average_precision/{name}": value for name, value in zip(NAMES, precision, strict=True)},
        }
    )


def test_cases_without_any_label_count_where_there_is_a_right_answer():
    scores, labels = np.array([[0.1, 0.2], [0.9, 0.2], [0.9, 0.4]]), np.array([[0, 0], [0, 0], [1, 0]])
    found = label_set_table(scores, labels, NAMES[:2], n_resamples=3)
    assert values(found)["jaccard"] == pytest.approx(2 / 3)  # the first is right: nothing of nothing
    assert values(found)["f1"] == values(found)["f1/a"] == pytest.approx(2 / 3)  # b never occurs and is never chosen
    assert found["f1/b"]["value"] is None
    ranking = label_ranking_table(scores, labels, NAMES[:2], n_resamples=3)
    assert (ranking["ranking_loss"]["value"], ranking["ranking_loss"]["n"]) == (0.0, 1)
    assert (ranking["coverage_error"]["value"], ranking["coverage_error"]["n"]) == (1.0, 1)


def test_patients_are_drawn_as_a_whole():
    scores, labels = np.array([[0.9, 0.1]] * 2 + [[0.1, 0.9]] * 2), np.array([[1, 0]] * 4)
    alone = label_set_table(scores, labels, NAMES[:2], groups=["p"] * 4)["subset_accuracy"]
    assert (alone["low"], alone["high"]) == (0.5, 0.5)
    apart = label_set_table(scores, labels, NAMES[:2])["subset_accuracy"]
    assert apart["low"] < 0.5 < apart["high"]


def test_thresholds_have_the_largest_f1():
    scores = np.array([[0.9, 0.3, 0.2], [0.6, 0.3, 0.1], [0.4, 0.3, 0.4], [0.2, 0.3, 0.3]])
    labels = np.array([[1, 1, 0], [0, 0, 0], [1, 0, 0], [0, 0, 0]])
    # a: {0.9} 2/3, {0.9, 0.6} 1/2, down to 0.4 4/5; b: one score; c: never
    assert best_thresholds(scores, labels).tolist() == pytest.approx([0.3, 0.3, 0.5])


def test_no_threshold_on_these_cases_is_better():
    scores, labels = cases(seed=2)
    best = best_thresholds(scores, labels)
    for index in range(4):
        tried = [reference.f1_score(labels[:, index], scores[:, index] >= at) for at in np.linspace(0, 1, 41)]
        reached = reference.f1_score(labels[:, index], scores[:, index] >= best[index])
        assert reached == pytest.approx(max(tried))


def test_counts_of_labels_that_occur_together():
    assert cooccurrence([[1, 1, 0], [1, 0, 0], [1, 1, 1]]) == [[3, 2, 1], [2, 2, 1], [1, 1, 1]]


@pytest.mark.parametrize(
    ("labels", "names", "thresholds", "message"),
    [
        ([0, 1], ["a", "b"], 0.5, "expected 0/1 per class"),
        ([[0, 1], [1, 0]], ["a"], 0.5, "got 1 class names"),
        ([[0, 1], [1, 0]], ["a", "b"], [0.5], "one for each of 2 labels"),
    ],
)
def test_what_does_not_fit_is_refused(labels, names, thresholds, message):
    with pytest.raises(ValueError, match=message):
        label_set_table([[0.1, 0.9], [0.2, 0.3]], labels, names, thresholds)
