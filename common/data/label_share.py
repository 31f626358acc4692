"""Fine-tuning with few labels: a share of the training patients, chosen so that no class is forgotten."""

from __future__ import annotations

import logging
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from common.data.datalist import load_section
from common.data.errors import DatalistError

__all__ = ["label_share", "load_labelled"]

WAITING = 64  # patients that the next one is chosen from

logger = logging.getLogger(__name__)


def load_labelled(
    datalist: str | Path,
    share: float = 1.0,
    seed: int = 0,
    outlined: bool = False,
    section: str = "training",
    dataset_dir: str | Path | None = None,
) -> list[dict[str, Any]]:
    """Return the labelled cases of a fine-tuning; cases of other patients are left out.

    Args:
        datalist: the JSON file.
        share: share of the patients, see :func:`label_share`.
        seed: same seed, same choice.
        outlined: only the cases of which it is known where their findings are, those with the key ``masks``.
        section: "training", or any other list in the file.
        dataset_dir: the folder that relative paths start from, see :func:`common.data.load_section`.

    Returns:
        Items as of :func:`common.data.load_section`.

    Raises:
        DatalistError: if the datalist is wrong, a case has no label, or nothing is outlined that has to be.
        ValueError: if the share is out of range.
    """
    items = load_section(datalist, section, dataset_dir)
    if outlined:
        items = [item for item in items if item.get("masks") is not None]
        if not any(item["masks"] for item in items):
            raise DatalistError(
                f"section '{section}' of '{datalist}' outlines no finding, so that nothing could be segmented: add "
                "masks to its exams (of the exam phantom: --training_masks True)"
            )
    chosen = label_share(items, share, seed)
    logger.info("labels of %d of %d %s cases are used", len(chosen), len(items), section)
    return chosen


def label_share(items: Sequence[Mapping[str, Any]], share: float, seed: int = 0) -> list[dict[str, Any]]:
    """Choose whole patients so that each class is as frequent among them as among all, a small choice within a large.

    Patients are put into one order, of which a share takes the beginning: each next one, of the first that wait in a
    random order, brings the classes so far closest to their share (iterative stratification, Sechidis et al., ECML
    PKDD 2011, with the patient chosen instead of the fold). Unlike :func:`common.data.keep_labels`, which rounds up in
    every combination of labels, the number of patients is the one asked for, however many combinations there are; it
    is exceeded only until every class that occurs has a patient.

    Args:
        items: cases with ``label``, an index or 0/1 of each class, and ``case_id`` or ``patient_id``.
        share: of the patients, above 0 up to 1; rounded up.
        seed: same seed, same choice, whatever the order of the cases.

    Returns:
        The chosen cases, in their order.

    Raises:
        ValueError: if the share is out of range.
        DatalistError: if there are no cases, or one has no label.
    """
    if not 0 < share <= 1:
        raise ValueError(f"share is {share}, expected above 0 up to 1 (all patients)")
    if not items:
        raise DatalistError("there are no cases to choose from; give the section a share of the data")
    unlabelled = [str(item.get("case_id")) for item in items if item.get("label") is None]
    if unlabelled:
        raise DatalistError(f"case '{unlabelled[0]}' has no label, nor have {len(unlabelled) - 1} others: label them")
    if share == 1:
        return [dict(item) for item in items]
    names = sorted({_patient(item) for item in items})
    place = {name: row for row, name in enumerate(names)}
    label = _one_of_each_class([item["label"] for item in items])
    classes = np.zeros((len(names), label.shape[1]))
    for item, row in zip(items, label, strict=True):
        classes[place[_patient(item)]] = np.maximum(classes[place[_patient(item)]], row)
    chosen = {names[row] for row in _balanced_beginning(classes, math.ceil(share * len(names) - 1e-9), seed)}
    return [dict(item) for item in items if _patient(item) in chosen]


def _balanced_beginning(classes: NDArray[np.float64], count: int, seed: int) -> list[int]:
    """Return the first patients, rows of (P,C) 0/1, at least so many and until each class that occurs is there."""
    waiting = np.random.default_rng(seed).permutation(len(classes)).tolist()
    target, so_far = classes.mean(0), np.zeros(classes.shape[1])
    rare = 1 / np.sqrt(np.maximum(target * (1 - target), 1 / len(classes)))  # so that rare classes weigh as much
    chosen: list[int] = []
    while len(chosen) < count or (so_far[target > 0] == 0).any():
        near = waiting[:WAITING]
        if len(chosen) >= count:  # only who has a class that is missing
            near = [row for row in waiting if (classes[row][so_far == 0] > 0).any()]
        away = (so_far + classes[near] - target * (len(chosen) + 1)) * rare
        best = near[int(np.argmin((away**2).sum(1)))]
        waiting.remove(best)
        chosen.append(best)
        so_far = so_far + classes[best]
    return chosen


def _one_of_each_class(labels: Sequence[Any]) -> NDArray[np.float64]:
    """Return labels as rows of 0 and 1."""
    values = np.asarray(labels, dtype=np.float64)
    return values if values.ndim == 2 else (values[:, None] == np.unique(values)).astype(np.float64)


def _patient(item: Mapping[str, Any]) -> str:
    """Return who a case belongs to; a case of an unknown patient stands alone."""
    return next((f"{key} {item[key]}" for key in ("patient_id", "group", "case_id") if item.get(key) is not None), "")
