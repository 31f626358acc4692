"""Find the exams to predict: a section of a datalist, or a folder of exams, each a folder of its own."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from common.data.datalist import load_section
from common.data.errors import DatalistError
from common.data.exams import ExamLayout
from common.data.sources.exam_views import ViewFinder
from common.data.sources.problems import Problems

__all__ = ["list_exams"]


def list_exams(
    dataset_dir: str | Path,
    views: Sequence[str],
    sides: Sequence[str],
    datalist: str | Path | None = None,
    section: str = "test",
    keys: Sequence[str] | None = None,
    trust: str = "none",
    on_problem: str = "refuse",
) -> list[dict[str, Any]]:
    """Return items for inference and explanation.

    Args:
        dataset_dir: where there is no datalist: a folder of exams, one folder each. Which view a file shows is told by
            its DICOM tags or by its name, such as ``L_CC.png``.
        views: names of the views.
        sides: names of the sides, with which the names of their views begin.
        datalist: its section is used instead. Only the usual place, ``datalist.json`` in the folder, may be empty.
        section: the split to take from the datalist.
        keys: what to keep of each item; None keeps all.
        trust: see :class:`common.data.sources.exam_views.ViewFinder`.
        on_problem: what to do with folders that cannot be used: "refuse" them all, or "skip" them with a warning.

    Returns:
        Items with ``case_id`` and ``views``, and what else the datalist knows.

    Raises:
        DatalistError: if there is neither a datalist nor an exam, or files contradict themselves; all are named.
    """
    folder = Path(dataset_dir)
    if datalist is not None and (Path(datalist).is_file() or Path(datalist) != folder / "datalist.json"):
        items = load_section(datalist, section)
        return items if keys is None else [{key: item[key] for key in keys if key in item} for item in items]
    exams = sorted(path for path in folder.iterdir() if path.is_dir()) if folder.is_dir() else []
    if not exams:
        raise DatalistError(
            f"'{folder}' holds no datalist and no folders, expected one folder for each exam; or make a datalist with "
            "`python -m scripts.prepare exams --help`"
        )
    problems = Problems(on_problem)
    finder = ViewFinder(folder.resolve(), ExamLayout.named(views, sides, ["finding"]), trust, problems)
    found = {exam.name: finder.find(exam.name, {}, exam.name) for exam in exams}
    problems.settle(folder)
    return [
        {"case_id": name, "views": {view: str(folder.resolve() / path) for view, path in paths.items()}}
        for name, paths in found.items()
        if paths
    ]
