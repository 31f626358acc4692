"""Weights of labels and of cases: golden and pencil values, reproducible draws, refusals."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from monai.data import Dataset

from common.data import DatalistError, LabelSampler, label_weights, write_datalist
from common.data.label_balance import case_weights, label_members

#: Golden: cwangrun/CIPL, training eyes of ODIR-5K with diabetic retinopathy ... other diseases, and normal ones.
ODIR = (1801, 326, 313, 280, 193, 268, 1200, 3095)
ODIR_WEIGHTS = (4.15102721, 22.93251534, 23.88498403, 26.7, 38.7357513, 27.89552239, 6.23, 2.41550889)


def items(labels: list[Any]) -> list[dict[str, Any]]:
    return [{"case_id": f"case{i}", "image": f"case{i}.png", "label": label} for i, label in enumerate(labels)]


def written(folder: Path, labels: list[list[int]], names: list[str]) -> Path:
    meta = {"name": "eyes", "task": "multilabel", "classes": names}
    return write_datalist(folder / "datalist.json", {"training": items(labels)}, meta)


@pytest.fixture
def datalist(tmp_path: Path) -> Path:
    """Mass twice, effusion once, nothing three times: six labels."""
    return written(tmp_path, [[1, 1], [1, 0], [0, 0], [0, 0], [0, 0]], ["mass", "effusion"])


def test_golden_weights_of_odir(tmp_path):
    labels = [[int(c == index) for c in range(7)] for index, count in enumerate(ODIR) for _ in range(count)]
    path = written(tmp_path, labels, list("DGCAHMO"))
    assert label_weights(path) == pytest.approx(ODIR_WEIGHTS)
    assert label_weights(path, background_factor=3.0)[-1] == pytest.approx(3 * ODIR_WEIGHTS[-1])


def test_golden_weight_of_a_case():
    """Atelectasis and effusion of ChestX-ray14's training list: the mean of their weights."""
    weights = [104_470 / 8280, 104_470 / 8659, 6.2]
    member = label_members(items([[1, 1], [1, 0], [0, 0]]))
    assert case_weights(member, weights).tolist() == pytest.approx([12.341026663, 12.617149758, 6.2])


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({}, [3.0, 6.0, 2.0]),
        ({"background_factor": 2.0}, [3.0, 6.0, 4.0]),
        ({"overrides": {"effusion": 4.5}}, [3.0, 4.5, 2.0]),
        ({"overrides": {"background": 1.0}, "background_factor": 7.0}, [3.0, 6.0, 1.0]),
    ],
)
def test_weights(datalist, options, expected):
    assert label_weights(datalist, **options) == expected


def test_members_have_the_background_where_there_is_no_label():
    arrays = [np.array(label, dtype=np.float32) for label in ([1, 0], [0, 0])]
    assert label_members(items(arrays)).tolist() == [[True, False, False], [False, False, True]]


def test_draws_follow_the_weights_and_the_seed():
    dataset = Dataset(items([[1, 0]] + [[0, 0]] * 99))
    sampler = LabelSampler(dataset, [99.0, 1.0, 1.0])
    first, second = list(sampler), list(sampler)
    torch.manual_seed(0)
    assert list(LabelSampler(dataset, [99.0, 1.0, 1.0])) == first != second
    assert len(first) == 100
    assert 35 < first.count(0) < 65
    assert list(LabelSampler(dataset)).count(0) < 6


def test_a_class_without_cases_has_no_weight(tmp_path):
    path = written(tmp_path, [[1, 0], [0, 0]], ["mass", "hernia"])
    with pytest.raises(DatalistError, match=r"has no case of hernia, .* leave the class out, or write its weight"):
        label_weights(path)
    assert label_weights(path, overrides={"hernia": 5.0}) == [2.0, 5.0, 2.0]


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"section": "trainng"}, DatalistError, "has no section 'trainng'; did you mean 'training'"),
        (
            {"overrides": {"efusion": 1.0}},
            ValueError,
            "overrides name 'efusion', expected some of mass, effusion, backg",
        ),
        ({"overrides": {"mass": 0.0}}, ValueError, r"the weight of mass is 0\.0"),
        ({"background_factor": -1.0}, ValueError, r"the weight of background_factor is -1\.0"),
    ],
)
def test_refuses(datalist, options, error, message):
    with pytest.raises(error, match=message):
        label_weights(datalist, **options)


@pytest.mark.parametrize("label", [1, None, [[1, 0]]])
def test_other_labels_are_refused_by_case(label):
    with pytest.raises(DatalistError, match=r"the label of case 'case1' is .* needs 0 or 1 for each class"):
        label_members(items([[1, 0], label]))


def test_a_wrong_number_of_weights_is_refused():
    with pytest.raises(ValueError, match="got 2 weights for 3 classes, expected one per class, the background last"):
        LabelSampler(Dataset(items([[1, 0]])), [1.0, 2.0])
