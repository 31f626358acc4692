"""The section of a report about corrupted images: what a network loses, and whether it notices."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

from common.explain.blocks import Block, Cell, Column, Figures, Picture, Prose, Section, Table
from common.explain.metric_facts import title_of
from common.explain.metric_table import number
from common.explain.run_folder import RunFolder
from common.explain.section_parts import picture, splits_in, word
from common.explain.uncertainty_figures import robustness_figure

FIRST = ("mean_uncertainty", "mean_pixel_uncertainty", "accuracy", "auroc", "dice", "error_auroc")
MOST_OPEN = 6
KINDS = {"jpeg": "JPEG"}

Values = Mapping[str, Sequence[Any]]
"""Of one corruption: "strength", and each metric at every strength; None where it is undefined."""


def robustness_section(run: RunFolder) -> Section | None:
    """Return every metric against the strength of corruptions, for the first split that has them."""
    for split in splits_in(run.curves):
        table: Mapping[str, Values] = run.curves[split].get("robustness") or {}
        found = dict.fromkeys(name for values in table.values() for name in values if name != "strength")
        names = sorted(found, key=_rank)
        if not names:
            continue
        pictures = [_picture(run, table, name) for name in names]
        shown = min(sum(_rank(name) < len(FIRST) for name in names), MOST_OPEN) or 1
        note = f"{split.capitalize()} split. Strength 0 is the image as it is."
        figures = Figures(pictures[:shown], note, pictures[shown:], "All other metrics")
        tables = [_table(kind, values, names) for kind, values in table.items()]
        return Section("robustness", "When images get worse", [*_noticing_words(table), figures, *tables])
    return None


def _rank(name: str) -> int:
    base = name.partition("/")[0]
    return FIRST.index(base) if base in FIRST else len(FIRST)


def _kind(name: str) -> str:
    return KINDS.get(name, name.replace("_", " ").capitalize())


def _picture(run: RunFolder, table: Mapping[str, Values], name: str) -> Picture:
    lines = {_kind(kind): (values["strength"], values[name]) for kind, values in table.items() if name in values}
    told = ", ".join(f"{kind} {number(values[-1])}" for kind, (_, values) in lines.items())
    _, first = next(iter(lines.values()))
    alt = f"{title_of(name)} against the strength of corruptions: {number(first[0])} as it is; at the strongest {told}."
    return picture(run, robustness_figure(title_of(name), lines), f"robustness_{word(name)}", alt)


def _table(kind: str, values: Values, names: Sequence[str]) -> Table:
    columns = [Column("Metric", numeric=False), *(Column(f"Strength {strength:g}") for strength in values["strength"])]
    rows = [[Cell(title_of(name), title_of(name)), *map(_cell, values[name])] for name in names if name in values]
    return Table(f"{_kind(kind)}: every metric", columns, rows, folded=True)


def _cell(value: float | None) -> Cell:
    return Cell(number(value), float("-inf") if value is None else value)


def _noticing_words(table: Mapping[str, Values]) -> list[Block]:
    """Say for which corruptions the mean uncertainty rises with every step."""
    steady: dict[str, bool] = {}
    for kind, values in table.items():
        known = [value for value in values.get("mean_uncertainty", []) if value is not None]
        if len(known) > 1:
            steady[_kind(kind)] = all(after > before for before, after in pairwise(known))
    rising, others = (", ".join(kind for kind, rises in steady.items() if rises is wanted) for wanted in (True, False))
    words: list[Block] = [Prose(f"Mean uncertainty rises with every step of: {rising}.")] if rising else []
    return words + ([Prose(f"Mean uncertainty does not rise with every step of: {others}.", True)] if others else [])
