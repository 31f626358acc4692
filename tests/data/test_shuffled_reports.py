"""Reports given to other exams: none keeps its own, nothing else changes."""

import pytest

from common.data import DatalistError, shuffle_reports

ITEMS = [{"case_id": f"c{i}", "label": [i % 2], "report": [f"report {i}", f"again {i}"]} for i in range(7)]


@pytest.mark.parametrize("seed", range(5))
def test_every_exam_gets_the_report_of_another(seed):
    shuffled = shuffle_reports(ITEMS, seed)
    assert sorted(item["report"] for item in shuffled) == sorted(item["report"] for item in ITEMS)
    for item, other in zip(ITEMS, shuffled, strict=True):
        assert item["report"] != other["report"]
        assert {**other, "report": None} == {**item, "report": None}
    assert shuffle_reports(ITEMS, seed) == shuffled


def test_the_seed_matters_and_the_items_stay():
    before = [dict(item) for item in ITEMS]
    assert shuffle_reports(ITEMS, 0) != shuffle_reports(ITEMS, 1)
    assert before == ITEMS


def test_exams_without_a_report_stay_without():
    silent = [{"case_id": "s"}, {"case_id": "t", "report": ""}]
    shuffled = shuffle_reports([*silent, *ITEMS[:2]])
    assert shuffled[:2] == silent
    assert [item["report"] for item in shuffled[2:]] == [ITEMS[1]["report"], ITEMS[0]["report"]]


def test_one_report_cannot_be_exchanged():
    with pytest.raises(DatalistError, match="1 exam\\(s\\) have a report"):
        shuffle_reports(ITEMS[:1])
