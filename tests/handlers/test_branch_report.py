"""Every branch by itself, from probabilities small enough to be scored by hand."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from common.handlers import BranchReport
from tests.handlers.replay import replay

CLASSES = ["benign", "malignant"]
ITEMS = [{"case_id": f"c{index}", "patient_id": f"p{index // 2}"} for index in range(4)]
LABEL = torch.tensor([0, 0, 1, 1])
# the student ranks one of four pairs wrongly and is wrong twice, the teacher makes no error
STUDENT = torch.tensor([0.2, 0.6, 0.4, 0.9])
TEACHER = torch.tensor([0.1, 0.2, 0.8, 0.9])


def both(positive: torch.Tensor) -> torch.Tensor:
    return torch.stack([1 - positive, positive], dim=1)


def steps(label: torch.Tensor = LABEL) -> list[tuple[dict[str, Any], dict[str, Any]]]:
    """Two batches of two cases."""
    outputs = {"student_probability": both(STUDENT), "teacher_probability": both(TEACHER)}
    return [
        (
            {"label": label[rows], "case_id": [item["case_id"] for item in ITEMS[rows]]},
            {name: values[rows] for name, values in outputs.items()},
        )
        for rows in (slice(0, 2), slice(2, 4))
    ]


def written(folder: Path, **options: Any) -> dict[str, Any]:
    replay([BranchReport(folder, "test", CLASSES, items=ITEMS, **options)], steps())
    return json.loads((folder / "metrics.json").read_text())["test"]


def test_each_branch_by_pencil(tmp_path: Path) -> None:
    found = written(tmp_path)
    names = ("accuracy", "auroc", "brier")
    assert [found[f"student/{name}"]["value"] for name in names] == pytest.approx(
        [2 / 4, 3 / 4, 2 * (0.04 + 0.36 + 0.36 + 0.01) / 4], abs=1e-6
    )
    assert [found[f"teacher/{name}"]["value"] for name in names] == pytest.approx(
        [1, 1, 2 * (0.01 + 0.04 + 0.04 + 0.01) / 4], abs=1e-6
    )
    assert found["student/auroc/malignant"]["value"] == found["student/auroc"]["value"]
    assert {entry["n"] for entry in found.values()} == {4}


def test_the_branches_agree_on_half_of_the_cases(tmp_path: Path) -> None:
    """On c0 and c3: one case of each of the two patients, so every resample of patients has one half."""
    found = written(tmp_path)["branch_agreement"]
    assert (found["value"], found["low"], found["high"]) == (0.5, 0.5, 0.5)


def test_one_branch_agrees_with_nobody(tmp_path: Path) -> None:
    found = written(tmp_path, branches=["teacher"])
    assert {name.partition("/")[0] for name in found} == {"teacher"}


def test_operating_points(tmp_path: Path) -> None:
    """With no false alarm allowed the student finds one of two; to find both it must let one of two pass."""
    found = written(tmp_path, operating_points=[0.9])
    assert found["student/sensitivity_at_specificity/0.9"]["value"] == 0.5
    assert found["student/specificity_at_sensitivity/0.9"]["value"] == 0.5
    assert found["teacher/sensitivity_at_specificity/0.9"]["value"] == 1


def test_several_labels_have_no_calibration(tmp_path: Path) -> None:
    labels = torch.stack([1 - LABEL, LABEL], dim=1)
    replay([BranchReport(tmp_path, "test", CLASSES, items=ITEMS)], steps(labels))
    found = json.loads((tmp_path / "metrics.json").read_text())["test"]
    assert "student/auroc" in found
    assert "student/ece" not in found
    assert found["branch_agreement"]["value"] == 0.5


def test_a_second_run_forgets_the_first(tmp_path: Path) -> None:
    report = BranchReport(tmp_path, "test", CLASSES)
    replay([report], steps())
    replay([report], steps())
    found = json.loads((tmp_path / "metrics.json").read_text())["test"]
    assert found["student/accuracy"]["n"] == 4


def test_a_missing_branch_is_named(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="expected 'global_probability' among them: correct branches"):
        replay([BranchReport(tmp_path, "test", CLASSES, ["global"])], steps())
    with pytest.raises(ValueError, match="branches is empty"):
        BranchReport(tmp_path, "test", CLASSES, [])
