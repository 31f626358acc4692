"""Read what a run left in its folder; what is missing stays empty, what is broken is told."""

from __future__ import annotations

import csv
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from common.explain.record import load_record
from common.explain.schema import ExplanationRecord


@dataclass(frozen=True)
class RunFolder:
    """The content of a run folder.

    Attributes:
        path: the folder.
        run: run.json.
        configs: each config*.json by its name, resolved.
        metrics: metrics.json.
        curves: curves.json.
        cooccurrence: cooccurrence.json, which diseases occur together.
        prototype_table: prototype_table.json, what the prototypes of each disease answer to.
        retrieval: retrieval.json, exams and the reports that fit them.
        label_efficiency: label_efficiency.json, what training with few labels comes to.
        history: rows of metrics.csv; numbers are floats, empty cells None.
        explanations: record and card (None where there is none) of each explained case.
        data: ``meta`` of the datalist that the run names.
        problems: one sentence for each file that could not be read.
    """

    path: Path
    run: dict[str, Any] = field(default_factory=dict)
    configs: dict[str, Any] = field(default_factory=dict)
    metrics: dict[str, dict[str, Any]] = field(default_factory=dict)
    curves: dict[str, dict[str, Any]] = field(default_factory=dict)
    cooccurrence: dict[str, Any] = field(default_factory=dict)
    prototype_table: dict[str, Any] = field(default_factory=dict)
    retrieval: dict[str, Any] = field(default_factory=dict)
    label_efficiency: dict[str, Any] = field(default_factory=dict)
    history: list[dict[str, Any]] = field(default_factory=list)
    explanations: list[tuple[ExplanationRecord, Path | None]] = field(default_factory=list)
    data: dict[str, Any] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)

    def failures(self) -> list[dict[str, str]]:
        """Return case, message and workflow of every case that a workflow of this run had to leave out."""
        return [
            {"case": str(failure.get("case", "")), "message": str(failure.get("message", "")), "workflow": name}
            for name, workflow in self.run.get("workflows", {}).items()
            for failure in workflow.get("failures", [])
        ]


def read_run_folder(path: str | Path) -> RunFolder:
    """Read a run folder.

    Raises:
        FileNotFoundError: if there is no such folder.
    """
    folder = Path(path)
    if not folder.is_dir():
        raise FileNotFoundError(f"{folder}: no such run folder; give the output_dir of a training or evaluation")
    problems: list[str] = []
    run = _read_object(folder / "run.json", problems)
    configs = {file.name: _read_object(file, problems) for file in sorted(folder.glob("config*.json"))}
    return RunFolder(
        path=folder,
        run=run,
        configs=configs,
        metrics=_read_object(folder / "metrics.json", problems),
        curves=_read_object(folder / "curves.json", problems),
        cooccurrence=_read_object(folder / "cooccurrence.json", problems),
        prototype_table=_read_object(folder / "prototype_table.json", problems),
        retrieval=_read_object(folder / "retrieval.json", problems),
        label_efficiency=_read_object(folder / "label_efficiency.json", problems),
        history=read_history(folder / "metrics.csv", problems),
        explanations=_read_explanations(folder / "explanations", problems),
        data=_data_of(run, problems),
        problems=problems,
    )


def read_history(path: Path, problems: list[str]) -> list[dict[str, Any]]:
    """Return the rows of metrics.csv, or none where there is no such file."""
    if not path.is_file():
        return []
    try:
        with path.open(newline="", encoding="utf-8") as file:
            rows = [{name: _number(text) for name, text in row.items()} for row in csv.DictReader(file)]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        problems.append(f"{path.name} could not be read: {error}")
        return []
    if rows and not all(isinstance(row.get("epoch"), float) for row in rows):
        problems.append(f"{path.name} has no number in its column 'epoch'; the training history was left out")
        return []
    return rows


def _number(text: str | None) -> float | str | None:
    try:
        return float(text) if text else None
    except ValueError:
        return text


def _read_object(path: Path, problems: list[str]) -> dict[str, Any]:
    if not path.is_file():
        return {}
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        problems.append(f"{path.name} could not be read: {error}")
        return {}
    if not isinstance(content, dict):
        problems.append(f"{path.name} holds a {type(content).__name__}, expected an object")
        return {}
    return content


def _read_explanations(folder: Path, problems: list[str]) -> list[tuple[ExplanationRecord, Path | None]]:
    found: list[tuple[ExplanationRecord, Path | None]] = []
    for file in sorted(folder.glob("*/explanation.json")):
        card = file.parent / "card.png"
        try:
            found.append((load_record(file), card if card.is_file() else None))
        except (OSError, ValueError) as error:
            problems.append(str(error).replace(str(folder), folder.name))
    return found


def _data_of(run: dict[str, Any], problems: list[str]) -> dict[str, Any]:
    """Return the meta of the first datalist that is still where the run found it."""
    for workflow in run.get("workflows", {}).values():
        path = Path(str(workflow.get("datalist", "")))
        if path.is_file():
            return dict(_read_object(path, problems).get("meta") or {})
    return {}
