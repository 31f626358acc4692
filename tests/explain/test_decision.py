import pytest

from common.explain.decision import confidence_of, error_of, outcome_of, predicted_classes, uncertainty_of, verdict
from common.explain.record import case_record
from common.explain.record_check import check_record

CLASSES = ["effusion", "nodule", "fibrosis"]


def a_case(**changes):
    given = {
        "method": "m",
        "how_to_read": "h",
        "case_id": "c",
        "image_path": "",
        "source_size": (4, 4),
        "classes": CLASSES,
        "probabilities": [0.9, 0.3, 0.6],
    }
    return case_record(**(given | changes))


def several(**changes):
    return a_case(task="multilabel", **changes)


NONE = "none of the classes"
ALL = "effusion (0.90), nodule (0.30), fibrosis (0.60)"


@pytest.mark.parametrize(
    ("record", "words", "outcome"),
    [
        (a_case(), "Predicted effusion (0.90)", ""),
        (a_case(label=0), "Predicted effusion (0.90), true effusion", "correct"),
        (several(), "Predicted effusion (0.90), fibrosis (0.60)", ""),
        (several(label=[1, 0, 1]), "Predicted effusion (0.90), fibrosis (0.60), true effusion, fibrosis", "correct"),
        (several(label=[1, 0, 0]), "Predicted effusion (0.90), fibrosis (0.60), true effusion", "wrong"),
        (several(label=[0, 0, 0], threshold=0.95), f"Predicted {NONE}, true {NONE}", "correct"),
        (several(label=[0, 1, 0], threshold=0.3), f"Predicted {ALL}, true nodule", "wrong"),
    ],
)
def test_the_decision_in_words(record, words, outcome):
    assert verdict(record) == (words, outcome)
    assert outcome_of(record) == outcome


def test_how_sure_and_how_wrong():
    assert confidence_of(a_case()) == 0.9
    assert confidence_of(several()) == 0.6, "the answer it is least sure of is fibrosis"
    assert confidence_of(several(threshold=0.7)) == pytest.approx(0.4), "fibrosis is denied at 0.6"
    assert error_of(a_case(label=1)) == pytest.approx(0.7)
    assert error_of(several(label=[1, 1, 1])) == pytest.approx(0.7)
    assert error_of(several(label=[0, 0, 0])) == 0.9
    assert error_of(several()) is None


def test_uncertainty_is_that_of_the_decision():
    assert uncertainty_of(a_case()) is None
    assert uncertainty_of(a_case(uncertainty={"class": 0.25, "pixel_mean": 0.5})) == 0.25


def test_what_a_multi_label_record_holds():
    record = several(label=[1, 0, 1])
    assert record["prediction"]["classes"] == predicted_classes(record) == ["effusion", "fibrosis"]
    assert record["prediction"]["threshold"] == 0.5
    assert record["label"] == {"classes": ["effusion", "fibrosis"]}
    assert "class" not in record["prediction"]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"label": [1, 0, 1]}, "the label is .1, 0, 1., expected the index of one class; .* 'multilabel'"),
        ({"label": 0.5}, "the label is 0.5, expected the index of one class"),
        ({"task": "multilabel", "label": 2}, "the label is 2, expected 0 or 1 for each of the 3 classes"),
        ({"task": "multilabel", "label": [0, 2, 1]}, "expected 0 or 1 for each"),
        ({"task": "multi-label"}, "task is 'multi-label', expected one of .* did you mean 'multilabel'"),
    ],
)
def test_labels_that_do_not_fit_the_task_are_refused(changes, message):
    with pytest.raises(ValueError, match=message):
        a_case(**changes)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda r: r["prediction"].update(index=0), "x: prediction has .* expected classes in a multilabel task"),
        (lambda r: r["prediction"]["classes"].remove("fibrosis"), r"expected \['effusion', 'fibrosis'\], those from"),
        (lambda r: r["label"]["classes"].append("fibosis"), "label.classes names 'fibosis'; did you mean 'fibrosis'"),
        (lambda r: r.update(task="multiclass"), "expected index and class in a multiclass task"),
        (lambda r: r.update(beliefs=dict.fromkeys(CLASSES, 0.2)), "beliefs and uncertainty.class add up to nan"),
        (
            lambda r: r.update(beliefs=dict.fromkeys(CLASSES, 0.2), uncertainty={"class": 0.5}),
            "add up to 1.1, expected",
        ),
        (lambda r: r.update(beliefs={"effusion": 1.0}), r"beliefs names \['effusion'\], expected the classes"),
        (lambda r: r.update(files={"a": {"file": "a.png", "values": "labels"}}), "files.a.values is 'labels'"),
    ],
)
def test_a_broken_multi_label_record_is_named(change, message):
    record = several(label=[1, 0, 1])
    change(record)
    with pytest.raises(ValueError, match=message):
        check_record(record, "x")
