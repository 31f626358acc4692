"""Who keeps the labels of a fine-tuning: as many as asked for, balanced, nested, whole patients."""

import json
from itertools import pairwise

import numpy as np
import pytest

from common.data import DatalistError, label_share, load_labelled


def exams(count=400, seed=0):
    drawn = np.random.default_rng(seed).random((count, 6)) < [0.35, 0.35, 0.15, 0.35, 0.35, 0.15]
    return [{"case_id": f"e{i}", "patient_id": f"p{i}", "label": row.astype(float)} for i, row in enumerate(drawn)]


def ids(items):
    return {item["case_id"] for item in items}


@pytest.mark.parametrize(("share", "count"), [(0.02, 8), (0.1, 40), (0.101, 41), (1.0, 400)])
def test_as_many_as_asked_for_although_most_combinations_are_rare(share, count):
    assert len(label_share(exams(), share)) == count


def test_small_choices_lie_within_larger_ones():
    chosen = [ids(label_share(exams(), share, seed=3)) for share in (0.01, 0.05, 0.1, 0.5, 1.0)]
    assert all(small < large for small, large in pairwise(chosen))


@pytest.mark.parametrize("seed", range(4))
def test_every_class_is_as_frequent_as_among_all(seed):
    items = exams()
    all_of = np.stack([item["label"] for item in items]).mean(0)
    chosen = np.stack([item["label"] for item in label_share(items, 0.1, seed)]).mean(0)
    np.testing.assert_allclose(chosen, all_of, atol=0.05)  # a random tenth is off by up to 0.15


def test_the_order_of_the_cases_does_not_matter_but_the_seed_does():
    items = exams()
    assert ids(label_share(items[::-1], 0.05, 1)) == ids(label_share(items, 0.05, 1))
    assert ids(label_share(items, 0.05, 1)) != ids(label_share(items, 0.05, 2))


def test_a_class_that_one_patient_has_is_there_even_if_that_is_one_more():
    items = [{"case_id": f"e{i}", "label": [1, 0] if i else [1, 1]} for i in range(50)]
    chosen = label_share(items, 0.02)
    assert 1 <= len(chosen) <= 2
    assert "e0" in ids(chosen)


def test_whole_patients_are_chosen_and_cases_keep_their_order():
    items = [{"case_id": f"e{i}", "patient_id": f"p{i // 4}", "label": i % 2} for i in range(40)]
    chosen = label_share(items, 0.3)
    assert len(chosen) == 12
    assert len({item["patient_id"] for item in chosen}) == 3
    numbers = [int(item["case_id"][1:]) for item in chosen]
    assert numbers == sorted(numbers)


@pytest.mark.parametrize(
    ("items", "share", "message"),
    [
        ([{"case_id": "a", "label": 1}], 0.0, "share is 0.0, expected above 0 up to 1"),
        ([{"case_id": "a", "label": 1}], 1.5, "share is 1.5"),
        ([], 0.5, "there are no cases to choose from"),
        ([{"case_id": "a", "label": 1}, {"case_id": "b"}], 0.5, "case 'b' has no label"),
    ],
)
def test_what_cannot_be_chosen_from_is_refused(items, share, message):
    with pytest.raises((ValueError, DatalistError), match=message):
        label_share(items, share)


def test_cases_without_outlines_are_left_out_of_a_segmentation_and_none_at_all_is_refused(tmp_path):
    def write(masks):
        for name in ("a", "b", "m"):
            (tmp_path / f"{name}.png").write_bytes(b"")
        meta = {"task": "multilabel", "classes": ["mass"], "views": ["cc"], "sides": ["breast"], "findings": ["mass"]}
        training = [
            {"case_id": "a", "views": {"cc": "a.png"}, "label": [1]} | masks,
            {"case_id": "b", "views": {"cc": "b.png"}, "label": [0], "masks": {}},
        ]
        content = {"training": training, "validation": [], "test": [], "meta": {**meta, "view_side": [0]}}
        (tmp_path / "datalist.json").write_text(json.dumps(content))
        return tmp_path / "datalist.json"

    assert ids(load_labelled(write({"masks": {"cc": {"mass": "m.png"}}}), outlined=True)) == {"a", "b"}
    assert ids(load_labelled(write({}))) == {"a", "b"}
    with pytest.raises(DatalistError, match=r"outlines no finding.*--training_masks True"):
        load_labelled(write({}), outlined=True)
