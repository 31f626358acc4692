"""What every converter of exams does in the end: write the datalist, and check that it can be loaded."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from common.data.datalist import write_datalist
from common.data.errors import DatalistError
from common.data.exams import ExamLayout, check_exams, load_exams


def finish_exams(
    root: Path,
    out: str | None,
    sections: Mapping[str, Sequence[Mapping[str, Any]]],
    layout: ExamLayout,
    meta: Mapping[str, Any],
    default: str = "datalist.json",
) -> Path:
    """Write the datalist, check that its files exist, and return its path.

    Args:
        root: the folder that the items' paths start from.
        out: the JSON file; None takes the default.
        sections: the splits.
        layout: views, sides and findings, which the meta gets.
        meta: further notes, such as name and licence; the root is added where the datalist lies elsewhere.
        default: name of the datalist in root.

    Raises:
        DatalistError: if the content cannot be used, or files are missing.
    """
    path = Path(out) if out is not None else root / default
    if path.suffix != ".json":
        raise DatalistError(f"out is '{path}', expected a file ending in .json")
    relative = os.path.relpath(root.resolve(), path.parent.resolve())
    notes = {**meta, **layout.meta()} | ({} if relative == "." else {"root": Path(relative).as_posix()})
    check_exams({**sections, "meta": notes}, str(path))
    write_datalist(path, sections, notes)
    for name, items in sections.items():
        if items:
            load_exams(path, name)
    return path


def names(value: str | Sequence[str]) -> tuple[str, ...]:
    """Return a list of names from what a command line gives: a text with commas, or a list."""
    parts = value.split(",") if isinstance(value, str) else value
    return tuple(str(part).strip() for part in parts if str(part).strip())
