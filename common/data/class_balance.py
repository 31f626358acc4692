"""Two remedies for rare classes: weigh their cases more in the loss, or draw them more often. Use one of them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch.distributed as dist
from torch.utils.data import Dataset, WeightedRandomSampler

from common.data.datalist import load_datalist
from common.data.errors import DatalistError
from common.utils.distributed import is_distributed
from common.utils.messages import did_you_mean

__all__ = ["BalancedSampler", "class_weights"]


def class_weights(datalist: str | Path, section: str = "training", power: float = 1.0) -> list[float]:
    """Compute weights for a loss, from how often the classes occur.

    Args:
        datalist: the JSON file.
        section: the split to count in.
        power: 1 gives all classes the same share in the loss, 0 all cases, 0.5 is in between.

    Returns:
        (N / (C n_c))^power for every class c, in the order of the network's outputs. With power 1 the weights of all
        cases add up to their number.

    Raises:
        DatalistError: if the section is unknown, a class has no case in it, or cases can have several classes.
        ValueError: if the power is not in [0,1].
    """
    _check_power(power)
    content = load_datalist(datalist)
    sections = [name for name, items in content.items() if isinstance(items, list)]
    if section not in sections:
        raise DatalistError(f"datalist '{datalist}' has no section '{section}'{did_you_mean(section, sections)}")
    classes = content["meta"]["classes"]
    labels = _labels(content[section], f"section '{section}' of datalist '{datalist}'")
    missing = [name for index, name in enumerate(classes) if index not in labels]
    if missing:
        raise DatalistError(
            f"section '{section}' of datalist '{datalist}' has no case of {', '.join(missing)}, so the class has no "
            "weight; split the data anew, or write class_weights into the configuration"
        )
    counts = Counter(labels)
    return [(len(labels) / (len(classes) * counts[index])) ** power for index in range(len(classes))]


class BalancedSampler(WeightedRandomSampler):
    """Draw cases with replacement, those of rare classes more often.

    An epoch has as many cases as without it; where several processes train, each draws its share. The order comes from
    PyTorch's global generator, which :class:`common.handlers.SeedEpoch` seeds for every epoch and process: a resumed
    training draws the same cases.

    Args:
        dataset: a MONAI dataset, its ``data`` being items with ``label``.
        power: 1 draws all classes equally often, 0 all cases, 0.5 is in between.

    Raises:
        DatalistError: if an item has no label, or several.
        ValueError: if the power is not in [0,1].
    """

    def __init__(self, dataset: Dataset, power: float = 1.0) -> None:
        _check_power(power)
        labels = _labels(dataset.data, "the dataset")  # type: ignore[attr-defined]  # MONAI's datasets have it
        counts = Counter(labels)
        processes = dist.get_world_size() if is_distributed() else 1
        super().__init__([counts[label] ** -power for label in labels], -(-len(labels) // processes), replacement=True)


def _labels(items: Sequence[Any], where: str) -> list[int]:
    """Return the class of every item."""
    labels = [item.get("label") for item in items]
    for item, label in zip(items, labels, strict=True):
        if not isinstance(label, int):
            raise DatalistError(
                f"{where}: the label of case '{item.get('case_id', '?')}' is {label}, but balancing classes needs one "
                "class index for each case"
            )
    return labels


def _check_power(power: float) -> None:
    if not 0 <= power <= 1:
        raise ValueError(f"power is {power}, expected 0 (no balance) to 1 (full balance)")
