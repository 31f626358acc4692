"""What a report says of sentences asked without labels, and of filters that learned nothing."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from common.explain import write_report
from common.explain.blocks import Listing, Prose, Table
from common.explain.run_folder import RunFolder, read_run_folder
from common.explain.sections import metrics_section
from common.explain.zero_shot_section import label_efficiency_section, zero_shot_section


def entry(value: float, half: float = 0.02, n: int = 1000) -> dict[str, Any]:
    return {"value": value, "low": value - half, "high": min(value + half, 1.0), "n": n}


METRICS = {
    "zero_shot_auroc": entry(0.97),
    "zero_shot_auroc/mass": entry(0.95),
    "zero_shot_auroc/mass/brightest_spot": entry(0.72),
    "zero_shot_auroc/mass/bright_specks": entry(0.56),
    "zero_shot_auroc/calcification": entry(0.99),
    "zero_shot_auroc/calcification/brightest_spot": entry(0.6),
    "zero_shot_auroc/calcification/bright_specks": entry(0.984),
    "zero_shot_auroc/side_mass": entry(0.98, n=243),
    "zero_shot_text_side/mass": entry(0.94),
    "sentence_pointing/mass": entry(0.82),
    "word_pointing/mass": entry(0.83),
    "word_pointing/mass/difference_of_gaussians": entry(0.58),
    "word_pointing_chance/mass": entry(0.083),
    "sentence_pointing/calcification": entry(0.7),
    "word_pointing/calcification": entry(0.5),
    "word_pointing/calcification/bright_specks": entry(0.95),
    "retrieval_r1": entry(0.1),
    "retrieval_r5": entry(0.3),
    "retrieval_chance_r5": {"value": 0.01, "low": 0.01, "high": 0.01, "n": 500},
    "map_auprc": entry(0.2),
    "map_auprc/brightness": entry(0.3),
    "map_dice": entry(0.25),
    "map_dice/otsu": entry(0.1),
    "map_auprc_chance": entry(0.02),
}
EXAMPLE = {
    "case_id": "e1",
    "report": "A mass.",
    "rank": 2,
    "top": [
        {"case_id": "e7", "report": "Two masses.", "score": 0.8},
        {"case_id": "e1", "report": "A mass.", "score": 0.7},
    ],
}
CURVES = {
    "fractions": [0.01, 0.1, 1.0],
    "metric": "AUROC",
    "pretrained": [entry(0.9), entry(0.93), entry(0.95)],
    "random": [entry(0.6), entry(0.7), entry(0.95)],
}


def folder(path: Path, **files: Any) -> RunFolder:
    for name, content in files.items():
        (path / f"{name}.json").write_text(json.dumps(content))
    return read_run_folder(path)


@pytest.fixture
def full(tmp_path: Path) -> RunFolder:
    return folder(tmp_path, metrics={"test": METRICS}, retrieval={"examples": [EXAMPLE]}, label_efficiency=CURVES)


def rows_of(table: Table) -> dict[str, list[str]]:
    return {row[0].text: [cell.text for cell in row[1:]] for row in table.rows}


def test_learned_numbers_stand_beside_filters(full: RunFolder) -> None:
    section = zero_shot_section(full)
    assert section is not None
    auroc, pointing, retrieval, abnormality, others = (block for block in section.blocks if isinstance(block, Table))
    assert others.folded
    assert [row[0].text for row in others.rows] == ["Side by words, mass"]
    assert metrics_section(full) is None, "all that was measured is shown here"
    assert [column.title for column in auroc.columns] == [
        "AUROC of",
        "Sentences",
        "Brightest spot",
        "Bright specks",
        "Cases",
    ]
    assert rows_of(auroc)["mass"] == ["0.950", "0.720", "0.560", "1000"]
    assert rows_of(auroc)["side of the mass"] == ["0.980", "–", "–", "243"]
    assert rows_of(auroc)["all findings, mean"][0] == "0.970"
    assert rows_of(pointing)["calcification"] == ["0.700", "0.500", "–", "0.950", "–"]
    best = {row[0].text: [cell.best for cell in row[1:5]] for row in pointing.rows}
    assert best == {"mass": [False, True, False, False], "calcification": [False, False, False, True]}
    assert rows_of(retrieval) == {"Exam finds its report": ["0.100", "0.300", "–"], "Chance": ["–", "0.010", "–"]}
    assert rows_of(abnormality)["Brightness"] == ["0.300", "–"]
    assert rows_of(abnormality)["Otsu's threshold of brightness"] == ["–", "0.100"]


def test_intervals_decide_what_is_said(full: RunFolder) -> None:
    section = zero_shot_section(full)
    assert section is not None
    said = [(block.text, block.notice) for block in section.blocks if isinstance(block, Prose)]
    assert said == [
        ("Sentences tell mass better than every filter that learned nothing.", False),
        ("Not to be told from the best filter, whose interval overlaps: calcification.", True),
        ("Sentences point at mass better than every filter that learned nothing.", False),
        ("A filter that learned nothing is better than sentences: calcification.", True),
    ]


def test_examples_of_retrieval(full: RunFolder) -> None:
    section = zero_shot_section(full)
    assert section is not None
    (example,) = (block for block in section.blocks if isinstance(block, Listing))
    assert example.title == "Exam e1: its own report is number 2"
    assert example.text.splitlines()[2:] == ["1. 0.800 (of e7)  Two masses.", "2. 0.700 (its own)  A mass."]


def test_label_efficiency_is_a_curve_and_a_table(full: RunFolder) -> None:
    section = label_efficiency_section(full)
    assert section is not None
    table = next(block for block in section.blocks if isinstance(block, Table))
    assert rows_of(table)["1 %"] == ["0.900", "0.600"]
    assert (full.path / "figures" / "label_efficiency.svg").is_file()


def test_the_page_shows_each_number_once(full: RunFolder) -> None:
    page = write_report(full.path).read_text()
    assert "What do sentences tell without labels?" in page
    assert "How many labels does it need?" in page
    assert page.count(">0.984<") == 1, "not again in the table of all metrics"


def test_files_without_what_they_should_hold_are_told(tmp_path: Path) -> None:
    run = folder(
        tmp_path,
        metrics={"test": {"retrieval_r1": entry(0.1)}},
        retrieval={"examples": [{"case_id": "e1"}]},
        label_efficiency={"fractions": [0.1], "pretrained": [], "random": []},
    )
    section = zero_shot_section(run)
    assert section is not None
    assert not [block for block in section.blocks if isinstance(block, Listing)]
    assert label_efficiency_section(run) is None
    assert [problem.split()[0] for problem in run.problems] == ["retrieval.json", "label_efficiency.json"]


def test_other_runs_have_no_such_section(tmp_path: Path) -> None:
    run = folder(tmp_path, metrics={"test": {"accuracy": entry(0.9)}})
    assert zero_shot_section(run) is None
    assert label_efficiency_section(run) is None
