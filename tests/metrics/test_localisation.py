"""Boxes and marks against true ones: by pencil, against scikit-learn and against MONAI's FROC."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from monai.metrics import compute_froc_curve_data
from monai.metrics.froc import compute_fp_tp_probs_nd
from sklearn.metrics import average_precision_score

from common.metrics.localisation import (
    Detections,
    box_precision_table,
    froc_points,
    froc_table,
    match_boxes,
    match_marks,
    precision_recall_points,
    widened,
)

NOTHING = np.zeros((0, 4))
# IoU with TRUTH 0: A 60/140 = 3/7, B 100/200 = 1/2 (twice as tall), C 0; with TRUTH 1: C 1
TRUTH = np.array([[0, 0, 10, 10], [50, 50, 60, 60]])
A, B, C = [4, 0, 14, 10], [0, 0, 10, 20], [50, 50, 60, 60]


def detections(score, hit, targets):
    return Detections(np.array(score, dtype=float), np.array(hit, dtype=bool), targets)


def value(table):
    (entry,) = table.values()
    return entry["value"]


@pytest.mark.parametrize(
    ("iou", "hit"),
    [
        (0.1, [True, False, True]),  # A has taken the true box when B comes
        (0.45, [False, True, True]),
        (0.5, [False, True, True]),  # exactly one half is enough
        (0.6, [False, False, True]),
    ],
)
def test_boxes_take_their_true_box_in_order_of_their_scores(iou, hit):
    found = match_boxes([C, A, B], [0.3, 0.9, 0.8], TRUTH, [iou])[iou]
    assert found.score.tolist() == [0.9, 0.8, 0.3]
    assert found.hit.tolist() == hit
    assert found.targets == 2


@pytest.mark.parametrize(
    ("boxes", "truth", "hit", "targets"),
    [(NOTHING, TRUTH, [], 2), ([A], NOTHING, [False], 0), (NOTHING, NOTHING, [], 0)],
)
def test_images_without_boxes_or_without_findings(boxes, truth, hit, targets):
    found = match_boxes(boxes, np.full(len(boxes), 0.5), truth, [0.1])[0.1]
    assert (found.hit.tolist(), found.targets) == (hit, targets)


def test_average_precision_by_pencil():
    """Ranked 0.9 right, 0.8 wrong (an image without findings), 0.7 right, and one of three findings is never found.

    Precision 1 and 2/3 at the two gains of 1/3 in recall: (1 + 2/3) / 3.
    """
    images = [detections([0.9, 0.7], [1, 1], 3), detections([0.8], [0], 0), detections([], [], 0)]
    table = box_precision_table({0.25: images}, n_resamples=20)
    assert list(table) == ["pr_auc_iou/0.25"]
    assert value(table) == pytest.approx((1 + 2 / 3) / 3)
    assert table["pr_auc_iou/0.25"]["n"] == 3
    assert precision_recall_points(images) == {"x": [1 / 3, 1 / 3, 2 / 3], "y": [1, 1 / 2, pytest.approx(2 / 3)]}


def test_equal_scores_are_one_step_whatever_their_order():
    """One right and one wrong box of the same score: precision 1/2 at the only gain."""
    for hits in ([1, 0], [0, 1]):
        assert value(box_precision_table({0.5: [detections([0.5, 0.5], hits, 1)]}, n_resamples=5)) == 0.5


@pytest.mark.parametrize(
    ("images", "expected"),
    [
        ([detections([], [], 2)], 0.0),
        ([detections([0.5], [0], 1)], 0.0),
        ([detections([0.5], [1], 1)], 1.0),
        ([detections([0.5], [0], 0)], None),
        ([detections([], [], 0)], None),
    ],
)
def test_nothing_found_is_zero_and_nothing_to_find_is_undefined(images, expected):
    assert value(box_precision_table({0.1: images}, n_resamples=5)) == expected
    assert value(froc_table(images, [0.5], n_resamples=5)) == expected


@settings(deadline=None, max_examples=30)
@given(seed=st.integers(0, 10_000))
def test_as_scikit_learn_where_every_finding_is_found(seed):
    generator = np.random.default_rng(seed)
    score, hit = generator.integers(1, 6, 12) / 5, np.r_[1, generator.integers(0, 2, 11)]
    halves = [detections(score[:5], hit[:5], hit[:5].sum()), detections(score[5:], hit[5:], hit[5:].sum())]
    expected = average_precision_score(hit, score)
    assert value(box_precision_table({0.5: halves}, n_resamples=2)) == pytest.approx(expected)


def test_whole_patients_are_drawn_and_misses_count_with_them():
    """Patient one: a hit of one finding. Patient two: nothing of one finding. Drawn alone they score 1 and 0."""
    images = [detections([0.9], [1], 1), detections([], [], 1)]
    apart = box_precision_table({0.5: images}, n_resamples=200)["pr_auc_iou/0.5"]
    together = box_precision_table({0.5: images}, groups=["one", "one"], n_resamples=200)["pr_auc_iou/0.5"]
    assert (apart["value"], apart["low"], apart["high"]) == (0.5, 0, 1)
    assert (together["value"], together["low"], together["high"]) == (0.5, 0.5, 0.5)


FINDINGS = [[0, 0, 5, 5], [10, 0, 15, 3]]


def test_marks_hit_the_findings_they_lie_in():
    """Two findings: one with two marks, of which the surer counts and the other is no false alarm; one without."""
    found = match_marks([[1, 1], [3, 4], [2, 8]], [0.25, 0.75, 0.5], FINDINGS)
    assert list(zip(found.score, found.hit, strict=True)) == [(0.75, True), (0.5, False)]
    assert found.targets == 2


@pytest.mark.parametrize(("mark", "hit"), [([12, 1], True), ([1, 12], False), ([14, 2], True), ([15, 2], False)])
def test_x_is_across_and_the_last_column_is_excluded(mark, hit):
    assert match_marks([mark], [0.5], FINDINGS[1:]).hit.tolist() == [hit]


def test_a_mark_where_two_findings_overlap_hits_both():
    found = match_marks([[4, 4]], [0.5], [[0, 0, 5, 5], [4, 4, 9, 9]])
    assert (found.score.tolist(), found.hit.tolist()) == ([0.5, 0.5], [True, True])


def test_marks_without_findings_and_findings_without_marks():
    assert match_marks([[1, 1]], [0.5], NOTHING).hit.tolist() == [False]
    missed = match_marks(np.zeros((0, 2)), [], FINDINGS)
    assert (missed.score.tolist(), missed.hit.tolist(), missed.targets) == ([], [], 2)


@settings(deadline=None, max_examples=30)
@given(seed=st.integers(0, 10_000))
def test_marks_are_matched_as_monai_does(seed):
    generator = np.random.default_rng(seed)
    marks, score = generator.integers(0, 20, (12, 2)), generator.integers(1, 9, 12) / 8
    labels = np.zeros((20, 20), dtype=int)
    labels[0:5, 0:5], labels[0:3, 10:15] = 1, 2
    false, true, _ = compute_fp_tp_probs_nd(score, marks[:, ::-1], labels)
    found = match_marks(marks, score, FINDINGS)
    assert sorted(found.score[found.hit]) == sorted(true[true > 0])
    assert sorted(found.score[~found.hit]) == sorted(false)


def test_froc_by_pencil():
    """Four images. Ranked: hit, false (1/4 per image), hit, false and false again (3/4), hit; one finding is missed."""
    images = [
        detections([0.9, 0.8], [1, 0], 1),
        detections([0.7, 0.4], [1, 1], 3),
        detections([0.6], [0], 0),
        detections([0.5], [0], 0),
    ]
    table = froc_table(images, [0, 0.25, 0.5, 1], n_resamples=20)
    assert [entry["value"] for entry in table.values()] == [1 / 4, 2 / 4, 2 / 4, 3 / 4]
    assert list(table) == ["froc/0", "froc/0.25", "froc/0.5", "froc/1"]
    assert froc_points(images) == {
        "x": [0, 0.25, 0.25, 0.5, 0.75, 0.75],
        "y": [0.25, 0.25, 0.5, 0.5, 0.5, 0.75],
    }


@settings(deadline=None, max_examples=30)
@given(seed=st.integers(0, 10_000))
def test_the_froc_curve_is_monais(seed):
    """MONAI leaves out its lowest score, so it is given one more below all others."""
    generator = np.random.default_rng(seed)
    score, hit = generator.integers(1, 8, 10) / 8, generator.integers(0, 2, 10).astype(bool)
    images = [detections(score[:4], hit[:4], 5), detections(score[4:], hit[4:], 6)]
    true = np.r_[score[hit], np.zeros(11 - hit.sum())]
    false_per_image, sensitivity = compute_froc_curve_data(score[~hit], true, 11, 2)
    points = froc_points(images)
    assert points["x"] == pytest.approx(false_per_image[-2::-1])
    assert points["y"] == pytest.approx(sensitivity[-2::-1])


def region(*parts):
    mask = np.zeros((20, 20), dtype=bool)
    for x0, y0, x1, y1 in parts:
        mask[y0:y1, x0:x1] = True
    return mask


def test_near_misses_are_forgiven_up_to_the_tolerance():
    point = region((10, 10, 11, 11))
    near = widened(point, 2)
    assert near[10, 12]
    assert not near[12, 12], "round, not square: the distance is 2.8"
    assert near.sum() == 13
    assert widened(point, 0).sum() == 1
    assert not widened(region(), 5).any()


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: match_boxes([A, B], [0.5], TRUTH, [0.5]), "got 2 boxes and scores of shape"),
        (lambda: match_boxes([A], [0.5], TRUTH, [50]), "IoU threshold is 50, expected"),
        (lambda: match_marks([[1, 1]], [], TRUTH), "got 1 marks and scores of shape"),
        (lambda: froc_table([detections([], [], 1)], [-1]), "expected numbers of 0 or more"),
        (lambda: widened(region(), -1), "tolerance is -1"),
    ],
)
def test_bad_input_is_named(call, message):
    with pytest.raises(ValueError, match=message):
        call()
