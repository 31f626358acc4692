"""Two exams of two views of 12 x 12 pixels, by hand.

* a, view 0: a lesion of 4 x 4 of which the upper half is drawn; view 1: no lesion, a weak mark below the threshold.
* b, view 0: a lesion, nothing drawn; view 1: unknown, everything drawn.
"""

import json

import pytest
import torch

from common.handlers import LesionReport
from tests.handlers.replay import replay


def view(*boxes):
    values = torch.zeros(12, 12)
    for value, x0, y0, x1, y1 in boxes:
        values[y0:y1, x0:x1] = value
    return values


def step(case, maps, masks, given):
    batch = {
        "case_id": [case],
        "finding_mask": torch.stack(masks)[None, :, None],
        "finding_mask_given": torch.tensor(given)[None, :, None],
    }
    return batch, {"segmentation_probability": torch.stack(maps)[None]}


LESION = view((1, 2, 2, 6, 6))
A = step("a", [view((0.9, 2, 2, 6, 4)), view((0.4, 8, 8, 9, 9))], [LESION, view()], [True, True])
B = step("b", [view(), view((1.0, 0, 0, 12, 12))], [LESION, view()], [True, False])


def written(folder, *steps, **options):
    replay([LesionReport(folder, "test", **options)], steps)
    file = folder / "metrics.json"
    return json.loads(file.read_text())["test"] if file.is_file() else None


@pytest.mark.parametrize(
    ("name", "value", "n"),
    [
        ("lesion_iou", (8 / 16 + 0) / 2, 2),
        ("lesion_tiou/0.4", 0.5, 2),
        ("lesion_tiou/0.5", 0.0, 2),  # an overlap of exactly 0.5 is not above it
        ("lesion_dice", (2 * 8 / 24 + 0) / 2, 2),
        ("lesion_dice_all", (2 * 8 / 24 + 1 + 0) / 3, 3),
        ("lesion_silence", 1.0, 1),
        ("lesion_froc/0.25", 0.5, 3),
        ("lesion_froc/1", 0.5, 3),
    ],
)
def test_numbers_by_hand(tmp_path, name, value, n):
    entry = written(tmp_path, A, B)[name]
    assert entry["value"] == pytest.approx(value)
    assert entry["n"] == n


def test_the_curve_has_a_point_for_every_mark(tmp_path):
    written(tmp_path, A, B)
    curve = json.loads((tmp_path / "curves.json").read_text())["test"]["lesion_froc"]
    assert curve == {"x": [0.0, pytest.approx(1 / 3)], "y": [0.5, 0.5]}


def test_a_lower_threshold_draws_more(tmp_path):
    assert written(tmp_path, A, B, threshold=0.3)["lesion_silence"]["value"] == 0


def test_nothing_is_written_where_nothing_is_known(tmp_path):
    unknown = step("c", [view(), view()], [view(), view()], [False, False])
    assert written(tmp_path, unknown) is None


@pytest.mark.parametrize("options", [{"threshold": 1.0}, {"tious": [1.0]}])
def test_thresholds_out_of_range_are_refused(tmp_path, options):
    with pytest.raises(ValueError, match="expected a probability between 0 and 1"):
        LesionReport(tmp_path, "test", **options)
