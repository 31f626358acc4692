"""Retrieval in metrics.json and retrieval.json."""

import json

import pytest
import torch

from common.handlers import RetrievalReport
from tests.handlers.exam_steps import Named, items, step
from tests.handlers.replay import replay


def run(folder, steps, **options):
    replay([RetrievalReport(folder, "test", Named(), **options)], steps)
    metrics = json.loads((folder / "metrics.json").read_text())["test"]
    return {name: entry["value"] for name, entry in metrics.items()}, json.loads(
        (folder / "retrieval.json").read_text()
    )


def test_single_findings_find_their_reports(tmp_path):
    """Exams 1, 2, 4 and 8 have one finding each, so their reports are one sentence along one axis."""
    batches = [step(1, first=first) for first in (1, 2, 4, 8)]
    metrics, shown = run(tmp_path, batches, items=items(9), ranks=[1], examples=2)
    assert metrics["retrieval_r1"] == metrics["retrieval_report_to_exam_r1"] == 1.0
    assert metrics["retrieval_chance_r1"] == 0.25
    assert metrics["retrieval_median_rank"] == 1
    assert shown["split"] == "test"
    assert [example["case_id"] for example in shown["examples"]] == ["e1", "e8"]
    first = shown["examples"][0]
    assert first["report"] == "Report 1."
    assert first["rank"] == 1
    assert first["top"][0] == {"case_id": "e1", "report": "Report 1.", "score": 1.0}
    assert len(first["top"]) == 4


@pytest.mark.parametrize("level", ["side", "exam"])
def test_equal_reports_count_where_it_is_said(tmp_path, level):
    """Two exams with the same finding cannot be told apart."""
    again = step(1, first=1)
    again[0]["case_id"] = ["other"]
    metrics, _ = run(tmp_path, [step(1, first=1), again, step(1, first=2)], level=level, ranks=[1, 2])
    assert metrics["retrieval_r1"] == pytest.approx((0.5 + 0.5 + 1) / 3)
    assert metrics["retrieval_r1_same_text"] == 1.0
    assert metrics["retrieval_r2"] == 1.0
    assert metrics["retrieval_chance_r1_same_text"] == pytest.approx((2 / 3 + 2 / 3 + 1 / 3) / 3)


def test_exams_without_a_report_take_no_part(tmp_path):
    """Exam 0 has no finding and so no sentence; one batch has no other."""
    metrics, shown = run(tmp_path, [step(1), step(4)], ranks=[1])
    assert metrics["retrieval_chance_r1"] == pytest.approx(1 / 3)
    assert [example["case_id"] for example in shown["examples"]] == ["e1", "e2", "e3"]


def test_the_sides_of_sentences_matter(tmp_path):
    """Left and right mass have the same words here; the side that a sentence speaks of tells them apart."""
    batches = []
    for first in (1, 4):
        batch, output = step(1, first=first)
        batch["token"][batch["token"] == 3] = 1
        vector = torch.eye(8)[[7, 7]]
        vector[0 if first == 1 else 1] = torch.eye(8)[0]
        output["side_vector"] = vector[None]
        output["exam_vector"] = torch.nn.functional.normalize(vector.sum(0), dim=0)[None]
        batches.append((batch, output))
    assert run(tmp_path / "a", batches, ranks=[1])[0]["retrieval_r1"] == 1.0
    assert run(tmp_path / "b", batches, ranks=[1], level="exam")[0]["retrieval_r1"] == 0.5


def test_what_is_wrong_is_said(tmp_path):
    batch, output = step(2)
    del batch["sentence_side"]
    with pytest.raises(ValueError, match="TokenizeReportd"):
        run(tmp_path, [(batch, output)])
    with pytest.raises(ValueError, match="level"):
        RetrievalReport(tmp_path, "test", Named(), level="breast")
    with pytest.raises(ValueError, match="ranks from 1 on"):
        RetrievalReport(tmp_path, "test", Named(), ranks=[0])
