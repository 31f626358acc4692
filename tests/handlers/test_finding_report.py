"""AUROC of the findings of each side, both sides together, by hand."""

import json

import pytest
import torch

from common.handlers import FindingReport
from tests.handlers.replay import replay

# Three exams, two sides, one finding; the second side of the last exam has no view, and a logit that says nothing.
LOGITS = torch.tensor([[2.0, -1.0], [0.5, 1.0], [-2.0, 9.0]])
LABEL = torch.tensor([[1.0, 0.0], [0.0, 1.0], [0.0, 0.0]])
PRESENT = torch.tensor([[True, True], [True, True], [True, False]])


def steps(logits=LOGITS):
    for rows in (slice(2), slice(2, 3)):
        names = [f"e{row}" for row in range(3)][rows]
        yield {"case_id": names, "label": LABEL[rows]}, {"logits": logits[rows], "side_mask": PRESENT[rows]}


def written(folder, logits=LOGITS):
    replay([FindingReport(folder, "test", ["left", "right"], ["mass"])], list(steps(logits)))
    return json.loads((folder / "metrics.json").read_text())["test"]


def test_sides_are_cases_and_absent_ones_are_left_out(tmp_path):
    table = written(tmp_path)
    # Present: 2.0 and 1.0 have it; -1.0, 0.5 and -2.0 do not.
    assert (table["finding_auroc/mass"]["value"], table["finding_auroc/mass"]["n"]) == (1.0, 5)
    assert table["finding_auroc"]["value"] == 1.0
    assert table["finding_prevalence/mass"]["value"] == pytest.approx(2 / 5)
    assert (table["finding_auroc/side_mass"]["value"], table["finding_auroc/side_mass"]["n"]) == (1.0, 2)
    assert not [name for name in table if name.startswith("zero_shot")]


def test_a_wrong_order_costs_its_pairs(tmp_path):
    logits = LOGITS.clone()
    logits[1, 0] = 1.5  # above one of the two that have it: 5 of 6 pairs are right
    assert written(tmp_path, logits)["finding_auroc/mass"]["value"] == pytest.approx(5 / 6)


def test_logits_of_other_sides_and_findings_are_refused(tmp_path):
    with pytest.raises(ValueError, match="one value for each of 2 sides and 1 findings"):
        written(tmp_path, torch.zeros(3, 3))
