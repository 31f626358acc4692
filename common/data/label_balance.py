"""Remedies for rare labels where a case may have several: weights of the labels, and cases drawn by them.

A case without any label belongs to the background ("no finding", "normal"), the last of the C classes.
Source: Wang et al., "Cross- and Intra-image Prototypical Learning for Multi-label Disease Diagnosis and
Interpretation", IEEE TMI 2025.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.distributed as dist
from torch import Tensor
from torch.utils.data import Dataset, WeightedRandomSampler

from common.data.datalist import load_datalist
from common.data.errors import DatalistError
from common.utils.distributed import is_distributed
from common.utils.messages import did_you_mean

__all__ = ["BACKGROUND", "LabelSampler", "case_weights", "label_members", "label_weights"]

BACKGROUND = "background"


def label_weights(
    datalist: str | Path,
    section: str = "training",
    overrides: Mapping[str, float] | None = None,
    background_factor: float = 1.0,
) -> list[float]:
    """Compute how much rarer than the others each class is.

    Args:
        datalist: the JSON file of a multi-label task, ``meta.classes`` being the diseases.
        section: the split to count in.
        overrides: weights to set by hand, by class; ``"background"`` stands for the cases without a disease. Published
            for ChestX-ray14: 100 for Pneumonia and 150 for Hernia, which would be 119 and 741.
        background_factor: what the background's weight is multiplied by. Published: 2, in the joint stage 3.

    Returns:
        Weights (C,), the background's last: the number of all labels, cases without any counting as one, over that of
        the class.

    Raises:
        DatalistError: if the section is unknown, a class has no case in it, or the task is not multi-label.
        ValueError: if a class to override is unknown, or a number not positive.
    """
    content = load_datalist(datalist)
    sections = [name for name, items in content.items() if isinstance(items, list)]
    if section not in sections:
        raise DatalistError(f"datalist '{datalist}' has no section '{section}'{did_you_mean(section, sections)}")
    names = [*content["meta"]["classes"], BACKGROUND]
    changed = dict(overrides or {})
    unknown = [name for name in changed if name not in names]
    if unknown:
        raise ValueError(f"overrides name '{unknown[0]}', expected some of {', '.join(names)}")
    for name, value in {**changed, "background_factor": background_factor}.items():
        if not value > 0:
            raise ValueError(f"the weight of {name} is {value}, expected a positive number")
    counts = label_members(content[section], f"section '{section}' of datalist '{datalist}'").sum(0)
    missing = [name for name, count in zip(names, counts.tolist(), strict=True) if count == 0 and name not in changed]
    if missing:
        raise DatalistError(
            f"section '{section}' of datalist '{datalist}' has no case of {', '.join(missing)}, so the class has no "
            "weight; split the data anew, leave the class out, or write its weight into overrides"
        )
    weights = {name: float(counts.sum() / count) if count else 0.0 for name, count in zip(names, counts, strict=True)}
    weights[BACKGROUND] *= background_factor
    return [changed.get(name, value) for name, value in weights.items()]


def label_members(items: Sequence[Mapping[str, Any]], where: str = "the dataset") -> Tensor:
    """Say which classes each case belongs to.

    Args:
        items: cases with ``label``, 0 or 1 for each of C-1 diseases.
        where: named in the message.

    Returns:
        Membership (N,C), bool, the background last.

    Raises:
        DatalistError: if an item has no such label.
    """
    rows = [np.asarray(item.get("label")) for item in items]
    for item, row in zip(items, rows, strict=True):
        if row.ndim != 1 or row.shape != rows[0].shape or row.dtype == object:
            raise DatalistError(
                f"{where}: the label of case '{item.get('case_id', '?')}' is {item.get('label')}, but balancing labels "
                "needs 0 or 1 for each class; use common.data.BalancedSampler for classes that exclude each other"
            )
    if not rows:
        raise DatalistError(f"{where} has no cases; give the section a share of the data")
    diseases = torch.as_tensor(np.stack(rows)) > 0
    return torch.cat([diseases, ~diseases.any(1, keepdim=True)], dim=1)


def case_weights(member: Tensor, weights: Sequence[float]) -> Tensor:
    """Compute how often to draw each case: the mean weight of the classes it belongs to.

    Args:
        member: membership (N,C), bool, see :func:`label_members`.
        weights: of the classes (C,), see :func:`label_weights`.

    Returns:
        Weights (N,), float64.

    Raises:
        ValueError: if there are not as many weights as classes.
    """
    if len(weights) != member.shape[1]:
        raise ValueError(
            f"got {len(weights)} weights for {member.shape[1]} classes, expected one per class, the background last"
        )
    each = torch.as_tensor(weights, dtype=torch.float64)
    return (member * each).sum(1) / member.sum(1)


class LabelSampler(WeightedRandomSampler):
    """Draw cases with replacement, those with rare labels more often.

    An epoch has as many cases as without it; where several processes train, each draws its share. The order comes from
    PyTorch's global generator, which :class:`common.handlers.SeedEpoch` seeds for every epoch and process: a resumed
    training draws the same cases.

    Args:
        dataset: a MONAI dataset, its ``data`` being items with a ``label`` (C-1,) of 0 and 1.
        weights: of the classes (C,), see :func:`label_weights`; None draws all cases equally often.

    Raises:
        DatalistError: if an item has no such label.
        ValueError: if there are not as many weights as classes.
    """

    def __init__(self, dataset: Dataset, weights: Sequence[float] | None = None) -> None:
        member = label_members(dataset.data)  # type: ignore[attr-defined]  # MONAI's datasets have it
        each = case_weights(member, [1.0] * member.shape[1] if weights is None else weights)
        super().__init__(each.tolist(), share_of(len(member)), replacement=True)


def share_of(count: int) -> int:
    """Return how many of an epoch's cases each process draws."""
    return -(-count // dist.get_world_size()) if is_distributed() else count
