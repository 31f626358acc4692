"""Read the labels of a table: one class a row, several columns of 0 and 1, or a list of names in one column."""

from __future__ import annotations

import ast
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from common.data.datalist_checks import suggestion
from common.data.errors import DatalistError
from common.data.sources.problems import Problems
from common.data.tables import Row

__all__ = ["LabelRules", "read_labels", "refuse_empty"]

LIST = "list"  # separator of cells like "['edema', 'mass']"
FLAGS = {"1": 1, "1.0": 1, "0": 0, "0.0": 0}
UNCERTAIN = {"-1", "-1.0"}
# What the options for single cells may be, and the value that stands for it; None leaves the case out.
POLICIES: dict[str, int | None] = {"zero": 0, "one": 1, "skip": None}


@dataclass(frozen=True)
class LabelRules:
    """How the labels of a table are to be understood.

    Args:
        columns: one column with the class, or several with 0 or 1.
        separator: what stands between names in the one column; "list" for lists in brackets; None for one class.
        classes: names in the wanted order; empty takes those found, or the columns'.
        background: name in the list, or further column, that says that there is no finding; None if nothing says so.
        uncertain: what -1 means: "refuse", "zero", "one" or "skip" (leave the case out).
        blank: what an empty cell means: "refuse", "zero" or "skip".
        unknown: what to do with names that are no class: "refuse" or "ignore".

    Raises:
        DatalistError: if a choice is unknown, or does not fit the kind of label.
    """

    columns: Sequence[str]
    separator: str | None = None
    classes: Sequence[str] = ()
    background: str | None = None
    uncertain: str = "refuse"
    blank: str = "refuse"
    unknown: str = "refuse"

    def __post_init__(self) -> None:
        choices = {
            "uncertain": ("refuse", *POLICIES),
            "blank": ("refuse", "zero", "skip"),
            "unknown": ("refuse", "ignore"),
        }
        for name, known in choices.items():
            given = getattr(self, name)
            if given not in known:
                raise DatalistError(f"{name} is '{given}'{suggestion(given, known)}")
        if self.unknown == "ignore" and (self.separator is None or not self.classes):
            raise DatalistError(
                "unknown is 'ignore', which needs a column with several names (--separator) and --classes"
            )
        if self.background is not None and len(self.columns) == 1 and self.separator is None:
            raise DatalistError("background is given, but each case has exactly one class; name it as a class instead")


def read_labels(
    rows: Sequence[Row], names: Sequence[str], rules: LabelRules, source: Path, problems: Problems
) -> tuple[list[Any], list[str], str]:
    """Return the labels as the datalist wants them, None for rows to leave out; the names of the classes; the task.

    Args:
        rows: of the table.
        names: of the rows' cases, for messages.
        rules: how to understand them.
        source: the table.
        problems: where to note rows that contradict themselves, or say nothing.

    Raises:
        DatalistError: for unknown names and codes.
    """
    if len(rules.columns) == 1 and rules.separator is None:
        return _single(rows, rules, source)
    if len(rules.columns) > 1:
        if rules.classes and len(rules.classes) != len(rules.columns):
            raise DatalistError(
                f"there are {len(rules.columns)} label columns and {len(rules.classes)} classes; give one name each"
            )
        classes = list(rules.classes or rules.columns)
        labels = [_flags(row, rules, source) for row in rows]
        healthy = [_flag(row, rules.background, rules, source) == 1 if rules.background else None for row in rows]
    else:
        present = [_parts(row[rules.columns[0]], rules.separator or "", source) for row in rows]
        found = set().union(*present) - {rules.background}
        classes = list(rules.classes or sorted(found, key=_natural))
        unknown = sorted(found - {*classes})
        if unknown and rules.unknown == "refuse":
            raise _unknown_label(unknown[0], classes, source)
        labels = [[int(name in parts) for name in classes] for parts in present]
        healthy = [rules.background in parts if rules.background else None for parts in present]
    for position, (name, told) in enumerate(zip(names, healthy, strict=True)):
        label = labels[position]
        if label is not None and told is not None and told == any(label):
            what = f"rows with a label and '{rules.background}'"
            problems.add(what if told else f"rows with neither a label nor '{rules.background}'", name)
            labels[position] = None
    return labels, classes, "multilabel"


def refuse_empty(rows: Sequence[Row], columns: Sequence[str], source: Path) -> None:
    """Refuse columns with empty cells.

    Raises:
        DatalistError: names the first of them and its rows.
    """
    for column in columns:
        empty = [str(number) for number, row in enumerate(rows, start=2) if not row[column]]
        if empty:
            more = ", ..." if len(empty) > 3 else ""
            raise DatalistError(
                f"column '{column}' of '{source}' is empty in {len(empty)} rows ({', '.join(empty[:3])}{more}); "
                "fill them or remove those rows"
            )


def _single(rows: Sequence[Row], rules: LabelRules, source: Path) -> tuple[list[Any], list[str], str]:
    column = rules.columns[0]
    refuse_empty(rows, [column], source)
    classes = list(rules.classes or sorted({row[column] for row in rows}, key=_natural))
    for row in rows:
        if row[column] not in classes:
            raise _unknown_label(row[column], classes, source)
    return [classes.index(row[column]) for row in rows], classes, "multiclass"


def _flags(row: Row, rules: LabelRules, source: Path) -> list[int] | None:
    """Return a label of several columns; None if one of them says to leave the case out."""
    flags = [_flag(row, column, rules, source) for column in rules.columns]
    certain = [flag for flag in flags if flag is not None]
    return certain if len(certain) == len(flags) else None


def _flag(row: Row, column: str, rules: LabelRules, source: Path) -> int | None:
    cell = row[column]
    if cell in FLAGS:
        return FLAGS[cell]
    if column == rules.background and not cell:
        return 0  # only what is said counts: a case is not healthy because nobody said anything
    policy = rules.uncertain if cell in UNCERTAIN else "refuse" if cell else rules.blank
    if policy == "refuse":
        hint = {"": "--blank zero takes it for 0"}.get(cell, "convert other codes first")
        hint = "--uncertain zero, one or skip says what it means" if cell in UNCERTAIN else hint
        raise DatalistError(f"column '{column}' of '{source}' holds '{cell}', expected 0 or 1; {hint}")
    return POLICIES[policy]


def _parts(cell: str, separator: str, source: Path) -> set[str]:
    """Return the names in a cell."""
    if separator != LIST:
        return {part.strip() for part in cell.split(separator) if part.strip()}
    if not cell or cell == "nan":
        return set()
    try:
        parts = ast.literal_eval(cell)
    except (ValueError, SyntaxError):
        parts = None
    if not isinstance(parts, list | tuple):
        raise DatalistError(f"'{source}' has the cell {cell!r}, expected a list such as ['edema', 'mass']")
    return {str(part).strip() for part in parts if str(part).strip()}


def _natural(text: str) -> tuple[float, str]:
    """Sort numbers by value, before words."""
    try:
        return float(text), text
    except ValueError:
        return float("inf"), text


def _unknown_label(text: str, names: Sequence[str], source: Path) -> DatalistError:
    return DatalistError(f"'{source}' has the unknown label '{text}'{suggestion(text, names)}")
