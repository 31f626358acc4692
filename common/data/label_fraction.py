"""Training with few labels: some patients keep theirs, the images of the others are used without."""

from __future__ import annotations

import json
import logging
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from common.data.datalist import load_datalist, load_section
from common.data.errors import DatalistError

__all__ = ["keep_labels", "load_streams"]

UNLABELLED = "unlabelled"
RARE = 10  # combinations of several labels that fewer patients have are drawn from together

logger = logging.getLogger(__name__)


def load_streams(
    datalist: str | Path, label_fraction: float = 1.0, seed: int = 0, dataset_dir: str | Path | None = None
) -> dict[str, list[dict[str, Any]]]:
    """Return the labelled and the unlabelled stream of a training with pseudo labels.

    The labelled stream has the training cases that keep their labels. The unlabelled stream has all training cases
    and, where the datalist has one, its section "unlabelled"; a datalist in which that section shares a patient with
    validation or test is refused.

    Args:
        datalist: the JSON file.
        label_fraction: share of the training patients who keep their labels, see :func:`keep_labels`.
        seed: same seed, same choice.
        dataset_dir: the folder that relative paths start from, see :func:`common.data.load_section`.

    Returns:
        "labelled" and "unlabelled": items as of :func:`common.data.load_section`, with ``label_given``, a bool tensor.
        Where it is False the label is 0 and nothing of the true one is left in the item.

    Raises:
        DatalistError: if the datalist is wrong or has no training cases.
        ValueError: if the fraction is out of range.
    """
    training = load_section(datalist, "training", dataset_dir)
    labelled, rest = keep_labels(training, label_fraction, seed)
    if load_datalist(datalist).get(UNLABELLED):
        rest = [*rest, *load_section(datalist, UNLABELLED, dataset_dir)]
    given = [{**item, "label_given": torch.tensor(True)} for item in labelled]
    hidden = [_without_label(item, labelled[0]["label"]) for item in rest]
    logger.info("labels: %s; unlabelled stream: %d cases, %d of them labelled", *_summary(given, hidden))
    return {"labelled": given, UNLABELLED: [*given, *hidden]}


def keep_labels(
    items: Sequence[Mapping[str, Any]], fraction: float, seed: int = 0
) -> tuple[list[Mapping[str, Any]], list[Mapping[str, Any]]]:
    """Choose who keeps the labels: whole patients, of every class the same share, a smaller choice within a larger one.

    Args:
        items: cases with ``label`` and ``case_id`` and, where known, ``patient_id`` or ``group``.
        fraction: share of the patients of each class to choose, above 0 up to 1, rounded up. A patient with cases of
            several classes is drawn from among those with the same ones.
        seed: same seed, same choice, whatever the order of the cases.

    Returns:
        The chosen cases and the others, both in their order.

    Raises:
        ValueError: if the fraction is out of range.
        DatalistError: if there are no cases.
    """
    if not 0 < fraction <= 1:
        raise ValueError(f"label_fraction is {fraction}, expected above 0 up to 1 (all training cases)")
    if not items:
        raise DatalistError("there are no training cases to keep labels of; give the training section a share")
    labels: dict[str, set[str]] = {}
    for item in items:
        labels.setdefault(_patient(item), set()).add(json.dumps(np.asarray(item["label"]).tolist()))
    strata = {patient: " ".join(sorted(values)) for patient, values in labels.items()}
    counts = Counter(strata.values())
    chosen: set[str] = set()
    for stratum in sorted({_stratum(value, counts) for value in strata.values()}):
        patients = sorted(patient for patient, value in strata.items() if _stratum(value, counts) == stratum)
        order = np.random.default_rng(seed).permutation(len(patients))
        count = math.ceil(fraction * len(patients) - 1e-9)
        chosen.update(patients[index] for index in order[:count])
    kept = [item for item in items if _patient(item) in chosen]
    return kept, [item for item in items if _patient(item) not in chosen]


def _patient(item: Mapping[str, Any]) -> str:
    """Return who a case belongs to; a case of an unknown patient stands alone."""
    return next((f"{key} {item[key]}" for key in ("patient_id", "group", "case_id") if item.get(key) is not None), "")


def _stratum(value: str, counts: Mapping[str, int]) -> str:
    """Return what is balanced; rare combinations of several labels are taken together."""
    return "rare" if value.startswith("[") and counts[value] < RARE else value


def _without_label(item: Mapping[str, Any], example: Any) -> dict[str, Any]:
    """Return an item that does not know its label, nor where its finding is."""
    kept = {key: value for key, value in item.items() if key not in ("label", "mask", "boxes", "report")}
    nothing = 0 if isinstance(example, int) else np.zeros_like(example)
    return {**kept, "label": nothing, "label_given": torch.tensor(False)}


def _summary(given: Sequence[Mapping[str, Any]], hidden: Sequence[Any]) -> tuple[str, int, int]:
    counts = Counter(str(np.asarray(item["label"]).tolist()) for item in given)
    shown = ", ".join(f"{count} of class {label}" for label, count in sorted(counts.items()))
    return shown, len(given) + len(hidden), len(given)
