"""Which class's map is asked for."""

import numpy as np
import pytest
import torch

from common.handlers.findings import asked_classes, indices_of

CLASSES = ["normal", "drusen", "cnv"]
PROBABILITY = torch.tensor([[0.7, 0.1, 0.2], [0.1, 0.6, 0.3]])


ITEMS = [{"label": 0}, {"label": 2, "mask": "a.png"}, {"label": 1, "boxes": []}, {"label": 2, "boxes": [[0, 0, 1, 1]]}]


def test_findings_by_name_or_those_that_are_outlined():
    assert indices_of(["cnv", "drusen"], CLASSES, ITEMS) == [2, 1]
    assert indices_of(None, CLASSES, ITEMS) == [2]
    assert indices_of(None, CLASSES, [{"label": np.array([0.0, 1.0, 1.0]), "mask": "a.png"}]) == [1, 2]
    assert indices_of(None, CLASSES, ITEMS[:1]) == [0, 1, 2]


@pytest.mark.parametrize(
    ("label", "asked", "present"),
    [
        ([1, 1], [1, 1], [True, True]),  # what the case has, whatever is predicted
        ([2, 2], [2, 2], [True, True]),
        ([0, 0], [2, 1], [False, False]),  # nothing: the most probable finding, never "normal"
    ],
)
def test_exclusive_classes(label, asked, present):
    index, has = asked_classes(PROBABILITY, torch.tensor(label), [1, 2])
    assert (index.tolist(), has.tolist()) == (asked, present)


def test_several_labels():
    """Of two findings the more probable one; of none the most probable; of one that one."""
    index, has = asked_classes(PROBABILITY, torch.tensor([[0, 1, 1], [1, 0, 0]]), [1, 2])
    assert (index.tolist(), has.tolist()) == ([2, 1], [True, False])
    index, has = asked_classes(PROBABILITY, torch.tensor([[0, 1, 0], [0, 0, 1]]), [1, 2])
    assert (index.tolist(), has.tolist()) == ([1, 2], [True, True])
