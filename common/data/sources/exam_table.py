"""Read an exam manifest: one row an exam, as CSV or spreadsheet, or the same as JSON."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from common.data.errors import DatalistError
from common.data.tables import Row, read_table

NAMES = ("exams.csv", "exams.json", "exams.xlsx")


def find_manifest(folder: Path, table: str | None) -> Path:
    """Return the manifest: the one named, absolute or in the folder, or else exams.csv, exams.json or exams.xlsx there.

    Raises:
        DatalistError: if there is none.
    """
    if table is not None:
        return folder / table
    found = next((folder / name for name in NAMES if (folder / name).is_file()), None)
    if found is None:
        raise DatalistError(f"'{folder}' has no {', '.join(NAMES[:-1])} or {NAMES[-1]}; name the manifest with --table")
    return found


def read_manifest(path: Path) -> list[Row]:
    """Return the rows of a manifest as texts, by column name; all have the same columns.

    A JSON manifest is a list of objects with the columns' names as keys. Their ``views`` may be an object of paths,
    their ``report`` a list of texts, and their ``masks`` an object of paths, or of objects of paths by finding.

    Raises:
        DatalistError: if it cannot be read.
    """
    if path.suffix.lower() != ".json":
        return read_table(path)
    if not path.is_file():
        raise DatalistError(f"manifest '{path}' does not exist; name an existing .csv, .xlsx or .json file")
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise DatalistError(f"manifest '{path}' is not valid JSON ({error})") from None
    exams = content.get("exams") if isinstance(content, dict) else content
    if not isinstance(exams, list) or not exams or not all(isinstance(exam, dict) for exam in exams):
        raise DatalistError(f"manifest '{path}' holds no list of objects, one an exam")
    rows = [dict(_cells(exam, path)) for exam in exams]
    columns = list(dict.fromkeys(column for row in rows for column in row))
    return [{column: row.get(column, "") for column in columns} for row in rows]


def _cells(exam: Mapping[str, Any], path: Path) -> Iterator[tuple[str, str]]:
    """Yield the cells of an exam: column and text."""
    for key, value in exam.items():
        if key == "views" and isinstance(value, Mapping):
            yield from ((view, str(part or "")) for view, part in value.items())
        elif key == "masks" and isinstance(value, Mapping):
            for view, part in value.items():
                nested = part if isinstance(part, Mapping) else {"": part}
                yield from (("_".join(filter(None, (view, name, "mask"))), str(mask)) for name, mask in nested.items())
        elif key == "report" and isinstance(value, list):
            yield from ((f"report_{n}" if n > 1 else "report", str(text)) for n, text in enumerate(value, start=1))
        elif isinstance(value, bool):
            yield key, str(int(value))
        elif isinstance(value, Mapping | list):
            if not key.endswith("_json"):
                raise DatalistError(f"manifest '{path}' has {value!r} under '{key}', expected one text or number")
        else:
            yield key, "" if value is None else str(value).strip()
