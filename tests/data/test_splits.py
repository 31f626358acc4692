"""Splits: disjoint, complete, grouped, balanced, repeatable, whatever the order."""

import json
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from common.data import fold_split, grouped_split, subset

FRACTIONS = {"training": 0.6, "validation": 0.2, "test": 0.2}


@st.composite
def cohorts(draw):
    """Labels and patients of cases, with at least three patients."""
    cases = draw(st.lists(st.tuples(st.integers(0, 2), st.integers(0, 9)), min_size=6, max_size=40))
    cases += [(0, 100), (1, 101), (2, 102)]
    return [label for label, _ in cases], [f"p{patient}" for _, patient in cases]


@settings(max_examples=60, deadline=None)
@given(cohorts(), st.integers(0, 5))
def test_split_is_complete_disjoint_and_keeps_patients_together(cohort, seed):
    labels, patients = cohort
    split = grouped_split(labels, patients, FRACTIONS, seed)
    assert sorted(index for part in split.values() for index in part) == list(range(len(labels)))
    assert all(split.values())
    places = [{patients[index] for index in part} for part in split.values()]
    assert len(set.union(*places)) == sum(map(len, places))


@settings(max_examples=60, deadline=None)
@given(cohorts(), st.randoms(use_true_random=False), st.integers(0, 3))
def test_split_depends_on_the_cases_not_on_their_order(cohort, random, seed):
    labels, patients = cohort
    order = random.sample(range(len(labels)), len(labels))
    one = grouped_split(labels, patients, FRACTIONS, seed)
    two = grouped_split([labels[i] for i in order], [patients[i] for i in order], FRACTIONS, seed)
    for name in FRACTIONS:
        assert {patients[i] for i in one[name]} == {patients[order[i]] for i in two[name]}


@settings(max_examples=30, deadline=None)
@given(st.integers(10, 60), st.randoms(use_true_random=False), st.integers(0, 3))
def test_cases_as_their_own_groups_do_not_depend_on_order_either(count, random, seed):
    names = [f"case{index}" for index in range(count)]
    order = random.sample(range(count), count)
    labels = [index % 2 for index in range(count)]
    one = grouped_split(labels, names, FRACTIONS, seed)
    two = grouped_split([labels[i] for i in order], [names[i] for i in order], FRACTIONS, seed)
    assert all({names[i] for i in one[name]} == {names[order[i]] for i in two[name]} for name in FRACTIONS)


def test_same_seed_same_split_other_seed_other_split():
    labels, patients = [index % 2 for index in range(60)], [f"p{index // 3}" for index in range(60)]
    assert grouped_split(labels, patients, seed=3) == grouped_split(labels, patients, seed=3)
    assert grouped_split(labels, patients, seed=3) != grouped_split(labels, patients, seed=4)


# fractions as shares of all cases; counts from the xML authors' published splits
REFERENCE = {
    "horses and zebras": ([0] * 324 + [1] * 345, (0.851 * 0.8, 0.851 * 0.2, 0.149), [455, 114, 100]),
    "cervix": ([0] * 1500 + [1] * 620, (0.76, 0.19, 0.05), [1611, 403, 106]),
}


@pytest.mark.parametrize(("labels", "shares", "counts"), REFERENCE.values(), ids=REFERENCE.keys())
def test_reference_counts(labels, shares, counts):
    split = grouped_split(labels, None, dict(zip(FRACTIONS, shares, strict=True)), seed=6)
    assert [len(part) for part in split.values()] == counts


def test_reference_counts_per_class():
    labels, shares, _ = REFERENCE["horses and zebras"]
    split = grouped_split(labels, None, dict(zip(FRACTIONS, shares, strict=True)), seed=6)
    counts = [Counter(labels[index] for index in part) for part in split.values()]
    assert [(count[0], count[1]) for count in counts] == [(221, 234), (55, 59), (48, 52)]


def test_blocks_of_one_class_are_shared_out_evenly():
    # ten blocks of ten cases for each of three classes: 6, 2 and 2 blocks of each
    labels = [block // 10 for block in range(30) for _ in range(10)]
    blocks = [f"b{block}" for block in range(30) for _ in range(10)]
    split = grouped_split(labels, blocks, FRACTIONS, seed=0)
    counts = {name: Counter(labels[index] for index in part) for name, part in split.items()}
    assert counts == {
        name: Counter(dict.fromkeys(range(3), n)) for name, n in zip(FRACTIONS, (60, 20, 20), strict=True)
    }


def test_patients_are_balanced_by_label_about():
    labels, patients = [int(index % 4 == 0) for index in range(800)], [f"p{index // 4}" for index in range(800)]
    split = grouped_split(labels, patients, {"training": 0.7, "validation": 0.15, "test": 0.15})
    sizes = [len(part) / 800 for part in split.values()]
    assert sizes == pytest.approx([0.7, 0.15, 0.15], abs=0.005)
    assert all(sum(labels[i] for i in part) / len(part) == pytest.approx(0.25, abs=0.02) for part in split.values())


def test_large_and_small_patients_are_dealt_out_to_fit():
    # one patient with 60 cases, 40 with one each: the large one can only go to training
    labels, patients = [0, 1] * 50, ["large"] * 60 + [f"p{index}" for index in range(40)]
    split = grouped_split(labels, patients, FRACTIONS)
    assert [len(part) for part in split.values()] == [60, 20, 20]
    assert [sum(labels[i] for i in part) for part in split.values()] == [30, 10, 10]


def test_multilabel_combinations_are_balanced_and_rare_ones_do_no_harm():
    labels = [[1, 0]] * 40 + [[0, 1]] * 40 + [[1, 1]]
    split = grouped_split(labels, None, FRACTIONS)
    first = [sum(labels[i] == [1, 0] for i in part) for part in split.values()]
    assert first == pytest.approx([24, 8, 8], abs=1)
    assert sum(map(len, split.values())) == 81


def test_a_share_of_zero_leaves_its_split_empty():
    split = grouped_split([0, 1] * 10, None, {"training": 0.5, "validation": 0.0, "test": 0.5})
    assert [len(part) for part in split.values()] == [10, 0, 10]


def test_too_few_cases_to_balance_is_said(caplog):
    split = grouped_split([0, 1, 2, 3, 4] * 2, None, FRACTIONS)
    assert [len(part) for part in split.values()] == [6, 2, 2]
    assert "too few cases to balance 5 classes" in caplog.text


def test_a_class_with_one_case_does_not_spoil_the_balance_of_the_others(caplog):
    split = grouped_split([0] * 10 + [1] * 10 + [2], None, FRACTIONS)
    zeros = [sum(index < 10 for index in part) for part in split.values()]
    assert zeros == pytest.approx([6, 2, 2], abs=1)
    assert not caplog.text


@pytest.mark.parametrize(
    ("labels", "groups", "fractions", "words"),
    [
        ([0, 1], None, {"a": 0.5, "b": 0.6}, "expected values of 0 or more that add up to 1"),
        ([0, 1], None, {"a": -0.5, "b": 1.5}, "expected values of 0 or more"),
        ([0, 1], ["x"], {"a": 0.5, "b": 0.5}, "2 labels and 1 groups"),
        ([0, 1], None, FRACTIONS, "2 cases cannot be divided into 3 splits"),
        ([0, 1, 0, 1], ["x", "x", "y", "y"], FRACTIONS, r"2 groups \(patients\) cannot be divided into 3 splits"),
    ],
)
def test_impossible_splits_are_refused(labels, groups, fractions, words):
    with pytest.raises(ValueError, match=words):
        grouped_split(labels, groups, fractions)


@settings(max_examples=30, deadline=None)
@given(st.lists(st.integers(1, 4), min_size=12, max_size=20), st.integers(3, 5), st.integers(0, 3))
def test_folds_test_every_case_once_and_keep_patients_together(sizes, folds, seed):
    patients = [f"p{number}" for number, size in enumerate(sizes) for _ in range(size)]
    labels = [int(patient[1:]) % 2 for patient in patients]
    parts = [fold_split(labels, patients, folds, fold, seed) for fold in range(folds)]
    assert sorted(index for part in parts for index in part["test"]) == list(range(len(labels)))
    for fold, part in enumerate(parts):
        assert part["validation"] == parts[(fold + 1) % folds]["test"]
        assert sorted(index for indices in part.values() for index in indices) == list(range(len(labels)))
        places = [{patients[index] for index in indices} for indices in part.values()]
        assert len(set.union(*places)) == sum(map(len, places))


def test_folds_are_balanced_and_do_not_depend_on_the_order():
    patients = [f"p{number}" for number in range(30) for _ in range(2)]
    labels = [int(int(patient[1:]) < 9) for patient in patients]
    split = fold_split(labels, patients, 3)
    assert [sum(labels[i] for i in part) for part in split.values()] == [6, 6, 6]
    turned = fold_split(labels[::-1], patients[::-1], 3)
    assert {patients[i] for i in split["test"]} == {patients[::-1][i] for i in turned["test"]}
    assert fold_split(labels, patients, 3, seed=1)["test"] != split["test"]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"folds": 2}, "folds is 2 and fold is 0, expected at least 3 folds"),
        ({"folds": 3, "fold": 3}, "fold is 3"),
        ({"folds": 5}, r"label 1 occurs in 4 groups \(patients\), too few for 5 folds"),
    ],
)
def test_impossible_folds_are_refused(options, words):
    with pytest.raises(ValueError, match=words):
        fold_split([0] * 6 + [1] * 4, list(range(10)), **options)
    with pytest.raises(ValueError, match="10 labels and 1 groups"):
        fold_split([0] * 10, ["p"], 3)


def _items(count):
    return [{"case_id": f"c{index:03d}", "label": index % 3} for index in range(count)]


def test_subset_keeps_the_share_of_every_class_and_smaller_lies_within_larger():
    sections = {"training": _items(90), "test": _items(30)}
    quarter, half = (subset(sections, fraction=share, seed=1) for share in (0.25, 0.5))
    assert {name: Counter(i["label"] for i in part) for name, part in half.items()} == {
        "training": Counter({0: 15, 1: 15, 2: 15}),
        "test": Counter({0: 5, 1: 5, 2: 5}),
    }
    names = [{i["case_id"] for i in part["training"]} for part in (quarter, half)]
    assert names[0] < names[1]
    assert len(names[0]) == 24  # 7.5 of each class, rounded up


def test_subset_caps_classes_and_keeps_order_and_does_not_depend_on_it():
    sections = {"training": _items(30)}
    kept = subset(sections, max_per_class=4)["training"]
    assert Counter(item["label"] for item in kept) == {0: 4, 1: 4, 2: 4}
    assert kept == sorted(kept, key=lambda item: item["case_id"])
    turned = subset({"training": sections["training"][::-1]}, max_per_class=4)["training"]
    assert sorted(map(json.dumps, turned)) == sorted(map(json.dumps, kept))


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"fraction": 0}, "fraction is 0"),
        ({"fraction": 1.5}, "fraction is 1.5"),
        ({"max_per_class": 0}, "max_per_class is 0"),
    ],
)
def test_subset_refuses_impossible_options(options, words):
    with pytest.raises(ValueError, match=words):
        subset({"training": _items(3)}, **options)
