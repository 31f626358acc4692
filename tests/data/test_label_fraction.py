"""Few labels: whole patients, every class, smaller choices within larger ones, and nothing leaks."""

from itertools import pairwise

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given, settings

from common.data import DatalistError, keep_labels, load_streams, write_datalist

META = {"name": "toy", "task": "multiclass", "classes": ["benign", "malignant"]}


def cases(patients: int, images: int = 2) -> list[dict]:
    """Every third patient is of class 1."""
    return [
        {"case_id": f"p{p}i{i}", "image": f"p{p}i{i}.png", "label": int(p % 3 == 0), "patient_id": f"p{p}"}
        for p in range(patients)
        for i in range(images)
    ]


def ids(items) -> set[str]:
    return {item["case_id"] for item in items}


@given(
    patients=st.integers(3, 40),
    fractions=st.lists(st.floats(0.01, 1.0), min_size=2, max_size=3).map(sorted),
    seed=st.integers(0, 99),
)
@settings(max_examples=40, deadline=None)
def test_smaller_choices_lie_within_larger_ones(patients, fractions, seed):
    items = cases(patients)
    chosen = []
    for fraction in fractions:
        kept, rest = keep_labels(items, fraction, seed)
        assert ids(kept) | ids(rest) == ids(items)
        assert not ids(kept) & ids(rest)
        assert not {item["patient_id"] for item in kept} & {item["patient_id"] for item in rest}
        assert {item["label"] for item in kept} == {0, 1}, "no class loses all its labels"
        chosen.append(ids(kept))
    assert all(small <= large for small, large in pairwise(chosen))


def test_every_class_keeps_the_same_share():
    kept, _ = keep_labels(cases(30, images=1), 0.2)
    labels = [item["label"] for item in kept]
    assert (labels.count(0), labels.count(1)) == (4, 2)


def test_the_order_of_the_cases_does_not_matter_but_the_seed_does():
    items = cases(30)
    assert ids(keep_labels(items, 0.3)[0]) == ids(keep_labels(items[::-1], 0.3)[0])
    assert ids(keep_labels(items, 0.3, seed=1)[0]) != ids(keep_labels(items, 0.3, seed=2)[0])


def test_all_labels_are_all_cases():
    kept, rest = keep_labels(cases(5), 1.0)
    assert (len(kept), rest) == (10, [])


def test_a_patient_with_images_of_both_classes_stays_whole():
    items = cases(12)
    for item in items[:6]:
        item["patient_id"] = "mixed"
    for seed in range(5):
        kept, _ = keep_labels(items, 0.5, seed)
        assert len(ids(kept) & ids(items[:6])) in (0, 6)


def test_rare_combinations_of_several_labels_are_drawn_from_together():
    items = [
        {"case_id": str(index), "label": np.asarray(label, dtype=np.float32)}
        for index, label in enumerate([[0, 0]] * 40 + [[1, 0]] * 3 + [[0, 1]] * 4 + [[1, 1]] * 3)
    ]
    kept, _ = keep_labels(items, 0.1)
    assert len(kept) == 4 + 1, "one of ten, not one of each combination"


@pytest.mark.parametrize("fraction", [0, -0.1, 1.5])
def test_a_fraction_out_of_range_is_refused(fraction):
    with pytest.raises(ValueError, match=r"label_fraction is .* expected above 0 up to 1"):
        keep_labels(cases(3), fraction)


def test_no_cases_are_refused():
    with pytest.raises(DatalistError, match="no training cases"):
        keep_labels([], 0.5)


@pytest.fixture
def datalist(tmp_path, picture):
    """Ten training patients, one for validation and test each, and three images without labels, one of a training
    patient."""
    training = [{**item, "boxes": [[1, 1, 5, 5]]} for item in cases(10, images=1)]
    others = [{"case_id": f"o{i}", "image": f"o{i}.png", "label": i % 2, "patient_id": f"o{i}"} for i in range(2)]
    owners = ("p0", "q1", "q2")
    more = [{"case_id": f"u{i}", "image": f"u{i}.png", "patient_id": owner} for i, owner in enumerate(owners)]
    for item in [*training, *others, *more]:
        picture(item["image"], seed=1)
    sections = {"training": training, "validation": others[:1], "test": others[1:], "unlabelled": more}
    return tmp_path / "datalist.json", sections


def test_streams(datalist):
    path, sections = datalist
    write_datalist(path, sections, META)
    streams = load_streams(path, label_fraction=0.3)
    assert len(streams["labelled"]) == 4  # two of six, rounded up, and two of four
    assert all(item["label_given"] for item in streams["labelled"])
    assert ids(streams["unlabelled"]) == ids(sections["training"]) | {"u0", "u1", "u2"}
    given = {item["case_id"] for item in streams["unlabelled"] if item["label_given"]}
    assert given == ids(streams["labelled"])


def test_nothing_is_left_of_a_hidden_label(datalist):
    path, sections = datalist
    write_datalist(path, sections, META)
    hidden = [item for item in load_streams(path, 0.3)["unlabelled"] if not item["label_given"]]
    assert len(hidden) == 6 + 3
    assert {item["label"] for item in hidden} == {0}
    assert not any({"boxes", "mask", "report"} & set(item) for item in hidden)


def test_with_all_labels_and_no_more_images_both_streams_are_the_training_set(datalist):
    path, sections = datalist
    write_datalist(path, {name: items for name, items in sections.items() if name != "unlabelled"}, META)
    streams = load_streams(path)
    assert ids(streams["labelled"]) == ids(streams["unlabelled"]) == ids(sections["training"])


@pytest.mark.parametrize("section", ["test", "validation"])
def test_unlabelled_images_of_patients_to_be_tested_are_refused(datalist, section):
    path, sections = datalist
    sections["unlabelled"][1]["patient_id"] = sections[section][0]["patient_id"]
    both = ", ".join(sorted([section, "unlabelled"]))
    with pytest.raises(DatalistError, match=rf"patient 'o\d' is in more than one split \({both}\)"):
        write_datalist(path, sections, META)


def test_the_same_image_with_and_without_label_is_refused(datalist):
    path, sections = datalist
    sections["unlabelled"][0]["image"] = sections["training"][0]["image"]
    with pytest.raises(DatalistError, match=r"image 'p0i0.png' is in more than one split \(training, unlabelled\)"):
        write_datalist(path, sections, META)
