"""Tables of what metrics.json holds disease by disease: one row each, one column per metric."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from common.explain.blocks import Cell, Column, Table
from common.explain.metric_facts import disease_of, fact_of, title_of
from common.explain.metric_table import number

__all__ = ["disease_tables"]

Metrics = Mapping[str, Mapping[str, Any]]

ANSWERS = ("auroc", "average_precision", "f1", "f1_tuned", "threshold", "ece", "brier")
PLACES = ("pointing_game", "pointing_chance", "energy_in_box", "t_iou")
PROTOTYPES = (
    "prototype_in_box",
    "prototype_in_box_chance",
    "entanglement",
    "entanglement_chance",
    "entanglement_absent",
)
CAPTIONS = {"Answers": ANSWERS, "Where the maps point": PLACES, "Where the prototypes look": PROTOTYPES}


def disease_tables(split: str, metrics: Metrics) -> list[Table]:
    """Return what is measured of each disease of a split; nothing where it is not measured by disease.

    Args:
        split: its name.
        metrics: of the split, ``{metric: entry}``.

    Returns:
        A table each of the answers, of where maps point and of where prototypes look. ``auroc/<class>`` alone, which
        every classification has, makes none.
    """
    entries: dict[str, dict[str, Mapping[str, Any]]] = {}
    for name, entry in metrics.items():
        disease = disease_of(name)
        if disease:
            entries.setdefault(name.removesuffix(f"/{disease}"), {})[disease] = entry
    if not entries:
        return []
    diseases = list(dict.fromkeys(disease for row in entries.values() for disease in row))
    found = {name.removeprefix("auroc/"): entry for name, entry in metrics.items() if name.startswith("auroc/")}
    entries["auroc"] = {disease: entry for disease, entry in found.items() if disease in diseases}
    made = (
        _table(f"{caption} by disease, {split} split", entries, diseases, bases) for caption, bases in CAPTIONS.items()
    )
    return [table for table in made if table is not None]


def _table(
    caption: str, entries: Mapping[str, Mapping[str, Mapping[str, Any]]], diseases: Sequence[str], bases: Sequence[str]
) -> Table | None:
    names = [name for base in bases for name in entries if name.partition("/")[0] == base and entries[name]]
    if not [name for name in names if name != "auroc"]:
        return None
    columns = [Column("Disease", numeric=False)]
    for name in names:
        fact = fact_of(name)
        columns.append(Column(title_of(name), better=fact.better if fact else "", hint=fact.hint if fact else ""))
    rows = [
        [Cell(disease, disease), *(_cell(entries[name].get(disease)) for name in names)]
        for disease in diseases
        if any(disease in entries[name] for name in names)
    ]
    return Table(caption, columns, rows, "The intervals are in metrics.json.")


def _cell(entry: Mapping[str, Any] | None) -> Cell:
    value = None if entry is None else entry.get("value")
    return Cell(number(value), value if isinstance(value, int | float) else float("-inf"))
