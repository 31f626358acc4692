"""Zero-shot scores of sides, by hand and against scikit-learn."""

import numpy as np
import pytest
from sklearn.metrics import average_precision_score, roc_auc_score

from common.metrics.zero_shot import ExamScores, held_out_table, side_table, zero_shot_table

FINDINGS = ["mass", "calcification"]


def exams(score, label, present=None, **options):
    score, label = np.asarray(score, dtype=float), np.asarray(label, dtype=float)
    present = np.ones(score.shape[:2], dtype=bool) if present is None else np.asarray(present)
    return ExamScores(score, label, present, FINDINGS, [str(i) for i in range(len(score))], n_resamples=50, **options)


def drawn(count=60):
    generator = np.random.default_rng(3)
    label = (generator.random((count, 2, 2)) < 0.4).astype(float)
    return label + generator.normal(size=label.shape), label


def test_sides_are_pooled_as_scikit_learn_scores_them():
    score, label = drawn()
    table = zero_shot_table(exams(score, label))
    flat = score.reshape(-1, 2), label.reshape(-1, 2)
    areas = [roc_auc_score(flat[1][:, k], flat[0][:, k]) for k in range(2)]
    for k, finding in enumerate(FINDINGS):
        assert table[f"zero_shot_auroc/{finding}"]["value"] == pytest.approx(areas[k])
        precision = average_precision_score(flat[1][:, k], flat[0][:, k])
        assert table[f"zero_shot_average_precision/{finding}"]["value"] == pytest.approx(precision)
        assert table[f"zero_shot_prevalence/{finding}"]["value"] == pytest.approx(flat[1][:, k].mean())
    assert table["zero_shot_auroc"]["value"] == pytest.approx(np.mean(areas))
    entry = table["zero_shot_auroc/mass"]
    assert entry["low"] < entry["value"] < entry["high"]
    assert entry["n"] == 120


def test_a_side_without_an_image_is_left_out():
    score, label = drawn(20)
    present = np.ones((20, 2), dtype=bool)
    present[:, 1] = False
    other = score.copy()
    other[:, 1] = 99.0
    assert zero_shot_table(exams(score, label, present)) == zero_shot_table(exams(other, label, present))
    assert zero_shot_table(exams(score, label, present))["zero_shot_auroc/mass"]["n"] == 20
    assert side_table(exams(score, label, present)) == {}


def test_which_side_a_finding_is_on():
    """Two exams with a mass on the left, one on the right, one on both and one on none, which do not count."""
    label = np.zeros((5, 2, 2))
    label[[0, 1], 0, 0] = label[2, 1, 0] = label[3, :, 0] = 1
    score = np.zeros((5, 2, 2))
    score[:, :, 0] = [[9, 8], [1, 3], [5, 6], [0, 9], [9, 0]]  # differences 1, -2 against -1
    table = side_table(exams(score, label))
    assert set(table) == {"zero_shot_auroc/side_mass"}
    assert table["zero_shot_auroc/side_mass"]["value"] == pytest.approx(0.5)
    assert table["zero_shot_auroc/side_mass"]["n"] == 3


def test_combinations_never_shown_are_held_against_sides_without_the_finding():
    label, score = np.zeros((3, 2, 2)), np.zeros((3, 2, 2))
    label[0, :, 0] = 1
    score[:, :, 0] = [[2, 5], [1, 3], [0, 4]]
    held_out = np.zeros((3, 2, 2), dtype=bool)
    held_out[0, 0, 0] = True
    table = held_out_table(exams(score, label), held_out)
    assert set(table) == {"zero_shot_auroc/held_out_mass"}
    assert table["zero_shot_auroc/held_out_mass"]["value"] == pytest.approx(2 / 4)  # 2 beats 1 and 0, not 3 and 4
    assert table["zero_shot_auroc/held_out_mass"]["n"] == 5


def test_one_score_for_all_findings():
    score, label = drawn(30)
    once = exams(score, label).scored_by(score[:, :, 0])
    table = zero_shot_table(once, "/spot")
    assert set(table) == {
        f"zero_shot_{kind}/{finding}/spot" for kind in ("auroc", "average_precision") for finding in FINDINGS
    }
    assert table["zero_shot_auroc/mass/spot"] == zero_shot_table(exams(score, label))["zero_shot_auroc/mass"]


def test_a_finding_that_never_occurs_is_undefined_and_not_in_the_mean():
    score, label = drawn(20)
    label[..., 1] = 0
    table = zero_shot_table(exams(score, label))
    assert table["zero_shot_auroc/calcification"]["value"] is None
    assert table["zero_shot_auroc"]["value"] == table["zero_shot_auroc/mass"]["value"]


def test_what_does_not_fit_is_refused():
    score, label = drawn(4)
    with pytest.raises(ValueError, match="expected \\(4, 2, 2\\)"):
        exams(score, label[:, :, :1])
    with pytest.raises(ValueError, match="not numbers"):
        exams(score * np.nan, label)
