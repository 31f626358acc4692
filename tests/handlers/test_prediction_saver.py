"""predictions.csv."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from common.handlers import PredictionSaver
from tests.handlers.replay import player


def step(cases: dict[str, list[float]]) -> tuple[list[dict], list[dict]]:
    """Batch and output as MONAI's engines leave them after decollating."""
    return [{"case_id": name} for name in cases], [{"pred": torch.tensor(values)} for values in cases.values()]


def test_one_row_per_case_with_every_probability(tmp_path: Path) -> None:
    steps = [step({"b": [0.2, 0.5, 0.3], "a": [0.4, 0.4, 0.2]}), step({"c, d": [0.0, 1e-7, 0.9999999]})]
    player([PredictionSaver(tmp_path / "new", ["nevus", "melanoma", "other, rare"])]).run(steps, max_epochs=1)
    assert (tmp_path / "new" / "predictions.csv").read_text() == (
        'case_id,prediction,probability/nevus,probability/melanoma,"probability/other, rare"\n'
        "b,melanoma,0.200000,0.500000,0.300000\n"
        "a,nevus,0.400000,0.400000,0.200000\n"
        '"c, d","other, rare",0.000000,0.000000,1.000000\n'
    )


def test_a_second_run_starts_a_new_table(tmp_path: Path) -> None:
    engine = player([PredictionSaver(tmp_path, ["no", "yes"])])
    engine.run([step({"first": [1.0, 0.0]})], max_epochs=1)
    engine.run([step({"second": [0.0, 1.0]})], max_epochs=1)
    rows = (tmp_path / "predictions.csv").read_text().splitlines()[1:]
    assert rows == ["second,yes,0.000000,1.000000"]


def test_several_classes_of_a_case_stand_side_by_side(tmp_path: Path) -> None:
    saver = PredictionSaver(tmp_path, ["mass", "edema"], task="multilabel", background="No Finding", threshold=0.4)
    player([saver]).run([step({"both": [0.4, 0.9], "one": [0.1, 0.5], "none": [0.39, 0.0]})], max_epochs=1)
    rows = [line.split(",")[:2] for line in (tmp_path / "predictions.csv").read_text().splitlines()[1:]]
    assert rows == [["both", "mass|edema"], ["one", "edema"], ["none", "No Finding"]]


@pytest.mark.parametrize(("options", "named"), [({"task": "multi"}, "task"), ({"threshold": 1.5}, "threshold is 1.5")])
def test_impossible_options_are_refused(tmp_path: Path, options: dict, named: str) -> None:
    with pytest.raises(ValueError, match=named):
        PredictionSaver(tmp_path, ["no", "yes"], **options)


def test_nothing_is_said_of_a_side_without_a_view(tmp_path: Path) -> None:
    classes = ["left mass", "left cyst", "right mass", "right cyst"]
    saver = PredictionSaver(tmp_path, classes, task="multilabel", background="none", view_side=[0, 0, 1, 1])
    batch = [
        {"case_id": "left only", "view_mask": torch.tensor([True, False, False, False])},
        {"case_id": "both", "view_mask": torch.tensor([True, True, False, True])},
    ]
    output = [{"pred": torch.tensor([0.9, 0.1, 0.5, 0.5])}, {"pred": torch.tensor([0.1, 0.2, 0.3, 0.8])}]
    player([saver]).run([(batch, output)], max_epochs=1)
    assert (tmp_path / "predictions.csv").read_text().splitlines()[1:] == [
        "left only,left mass,0.900000,0.100000,,",
        "both,right cyst,0.100000,0.200000,0.300000,0.800000",
    ]
