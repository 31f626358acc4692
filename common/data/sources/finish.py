"""What every converter does in the end: split the cases and write the datalist."""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from common.data.datalist import load_section, write_datalist
from common.data.datalist_checks import SECTIONS
from common.data.errors import DatalistError
from common.data.splits import grouped_split

logger = logging.getLogger(__name__)


def split_items(
    items: Sequence[Mapping[str, Any]], fractions: Sequence[float], seed: int, group: str | None = "patient_id"
) -> dict[str, list[Mapping[str, Any]]]:
    """Split items into training, validation and test.

    Args:
        items: with ``label`` and ``case_id``.
        fractions: shares of the three splits.
        seed: seed of the split.
        group: key whose values stay together; items without it are their own group. None splits the cases in their
            order, as published splits do.

    Raises:
        DatalistError: if there are no items, or the splits are impossible.
    """
    if not items:
        raise DatalistError("no case is left to split; check the options of the converter against the folder")
    shares = [float(share) for share in fractions]
    if len(shares) != len(SECTIONS):
        raise DatalistError(f"fractions are {shares}, expected three: {', '.join(SECTIONS)}, such as 0.7,0.15,0.15")
    # The prefix keeps a case without a patient apart from a patient who happens to be called the same.
    groups = None if group is None else [f"g:{i[group]}" if i.get(group) else f"c:{i['case_id']}" for i in items]
    try:
        split = grouped_split([item["label"] for item in items], groups, dict(zip(SECTIONS, shares, strict=True)), seed)
    except ValueError as error:
        raise DatalistError(f"the cases cannot be split: {error}") from None
    sections = {name: [items[index] for index in indices] for name, indices in split.items()}
    _warn_of_absent_labels(sections)
    return sections


def finish(
    root: Path, out: str | None, sections: Mapping[str, Sequence[Mapping[str, Any]]], meta: Mapping[str, Any]
) -> Path:
    """Write the datalist, check that its files exist, and return its path.

    Args:
        root: the folder that the items' paths start from.
        out: the JSON file; None takes ``datalist.json`` in root.
        sections: the splits.
        meta: see :func:`common.data.write_datalist`; the root is added where the datalist lies elsewhere.

    Raises:
        DatalistError: if the content cannot be used, or files are missing.
    """
    path = Path(out) if out is not None else root / "datalist.json"
    if path.suffix != ".json":
        raise DatalistError(f"out is '{path}', expected a file ending in .json")
    relative = os.path.relpath(root.resolve(), path.parent.resolve())
    write_datalist(path, sections, dict(meta) if relative == "." else {**meta, "root": Path(relative).as_posix()})
    for name, items in sections.items():
        if items:
            load_section(path, name)
    return path


def _warn_of_absent_labels(sections: Mapping[str, Sequence[Mapping[str, Any]]]) -> None:
    """Say which labels a split lacks, as where all cases of a class come from one patient."""
    found = {name: {json.dumps(item["label"]) for item in items} for name, items in sections.items() if items}
    for label in sorted(set().union(*found.values())):
        absent = [name for name, labels in found.items() if label not in labels]
        # Combinations of several labels are often unique; only a single label is a class.
        if absent and not label.startswith("["):
            logger.warning(
                "no case with label %s in %s: its cases are too few, or of too few patients, to be divided",
                label,
                ", ".join(absent),
            )
