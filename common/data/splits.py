"""Split cases into training, validation and test: stratified by label, grouped by patient, seeded."""

from __future__ import annotations

import json
import logging
import math
import warnings
from collections import Counter
from collections.abc import Hashable, Mapping, Sequence
from typing import Any

import numpy as np
from sklearn.model_selection import StratifiedGroupKFold, train_test_split

FRACTIONS = {"training": 0.7, "validation": 0.15, "test": 0.15}
MAX_FOLDS = 20  # groups are dealt out in steps of 1/20 at the finest
RARE = 10  # label combinations of a multi-label task with fewer cases are stratified together

logger = logging.getLogger(__name__)


def grouped_split(
    labels: Sequence[Any],
    groups: Sequence[Hashable] | None = None,
    fractions: Mapping[str, float] | None = None,
    seed: int = 0,
) -> dict[str, list[int]]:
    """Divide cases into splits that share no group and have about the same label frequencies.

    With groups, the result depends on the set of (group, label) pairs and the seed, not on the order of the cases;
    give each case its own name as its group where patients are unknown. Without groups it depends on the order.
    Cases that are their own groups are cut off split by split, the last one first, each by scikit-learn's stratified
    ``train_test_split`` with the share of what is left, rounded up. Otherwise its ``StratifiedGroupKFold`` deals the
    groups into up to 20 folds, which are shared out; sizes are then approximate.

    Args:
        labels: one label a case: an index, a name, or a list of 0/1.
        groups: one value a case; cases of the same group stay together.
        fractions: split name to share, adding up to 1; default 0.7, 0.15 and 0.15.
        seed: same seed, same split.

    Returns:
        Split name to ascending positions in labels; together all of them, each once.

    Raises:
        ValueError: if fractions do not add up to 1, lengths differ, or there are too few cases or groups.
    """
    shares = {name: float(share) for name, share in (fractions or FRACTIONS).items()}
    if any(share < 0 for share in shares.values()) or not math.isclose(sum(shares.values()), 1, abs_tol=1e-6):
        raise ValueError(f"fractions are {shares}, expected values of 0 or more that add up to 1")
    if groups is not None and len(groups) != len(labels):
        raise ValueError(f"there are {len(labels)} labels and {len(groups)} groups, expected one group a case")
    strata = _strata(labels)
    names = [str(group) for group in groups] if groups is not None else None
    units = len(labels) if names is None else len(set(names))
    active = [name for name, share in shares.items() if share > 0]
    if units < len(active):
        noun = "cases" if names is None else "groups (patients)"
        raise ValueError(f"{units} {noun} cannot be divided into {len(active)} splits; set fractions of some to 0")
    order = range(len(labels)) if names is None else sorted(range(len(labels)), key=lambda i: (names[i], strata[i]))
    if names is None or units == len(labels):
        parts = _split_cases(list(order), strata, {name: shares[name] for name in active}, seed)
    else:
        parts = _split_groups(list(order), strata, names, {name: shares[name] for name in active}, seed)
    return {name: sorted(parts.get(name, [])) for name in shares}


def subset(
    sections: Mapping[str, Sequence[Mapping[str, Any]]],
    fraction: float | None = None,
    max_per_class: int | None = None,
    seed: int = 0,
) -> dict[str, list[Mapping[str, Any]]]:
    """Keep a fixed random part of every class in every split.

    The choice depends on case ids and seed only, and a smaller part lies within a larger one.

    Args:
        sections: split name to items with ``case_id`` and ``label``.
        fraction: share to keep of each class, above 0 up to 1, rounded up.
        max_per_class: most cases to keep of each class.
        seed: same seed, same choice.

    Returns:
        The kept items, in their order.

    Raises:
        ValueError: if fraction or max_per_class is out of range.
    """
    if fraction is not None and not 0 < fraction <= 1:
        raise ValueError(f"fraction is {fraction}, expected above 0, up to 1")
    if max_per_class is not None and max_per_class < 1:
        raise ValueError(f"max_per_class is {max_per_class}, expected 1 or more")
    kept = {}
    for name, items in sections.items():
        chosen: set[str] = set()
        for label in sorted({json.dumps(item["label"]) for item in items}):
            ids = sorted(item["case_id"] for item in items if json.dumps(item["label"]) == label)
            count = len(ids) if fraction is None else math.ceil(fraction * len(ids) - 1e-9)
            shuffled = np.random.default_rng(seed).permutation(len(ids))
            chosen.update(ids[index] for index in shuffled[: min(count, max_per_class or count)])
        kept[name] = [item for item in items if item["case_id"] in chosen]
    return kept


def _strata(labels: Sequence[Any]) -> list[str]:
    """Return what to balance; rare combinations of several labels are taken together."""
    keys = [json.dumps(list(label)) if isinstance(label, list | tuple) else str(label) for label in labels]
    counts = Counter(keys)
    return ["rare" if key.startswith("[") and counts[key] < RARE else key for key in keys]


def _split_cases(
    order: list[int], strata: Sequence[str], shares: Mapping[str, float], seed: int
) -> dict[str, list[int]]:
    """Cut off the last split, then the one before, and so on; the first keeps the rest."""
    first, *others = shares
    parts, rest, left = {}, order, 1.0
    for position, name in enumerate(reversed(others)):
        later = len(others) - position  # splits that still need a case each
        count = min(math.ceil(shares[name] / left * len(rest) - 1e-9), len(rest) - later)
        rest, parts[name] = train_test_split(
            rest, test_size=count, random_state=seed, stratify=_stratify([strata[i] for i in rest], count)
        )
        left -= shares[name]
    return {**parts, first: rest}


def _stratify(strata: list[str], count: int) -> list[str] | None:
    """Return the strata if they can be balanced over the two parts."""
    counts = Counter(strata)
    if min(counts.values()) >= 2 and len(counts) <= min(count, len(strata) - count):
        return strata
    logger.warning("too few cases of some class to balance the splits (%s); they are drawn at random", dict(counts))
    return None


def _split_groups(
    order: list[int], strata: Sequence[str], names: Sequence[str], shares: Mapping[str, float], seed: int
) -> dict[str, list[int]]:
    """Deal whole groups into balanced folds, then give each split its number of folds."""
    y = np.asarray([strata[i] for i in order])
    g = np.asarray([names[i] for i in order])
    most = min(MAX_FOLDS, len(set(names)), max(Counter(y.tolist()).values()))
    folds = _folds(shares, max(most, len(shares)))
    splitter = StratifiedGroupKFold(n_splits=sum(folds.values()), shuffle=True, random_state=seed)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="The least populated class")
        dealt = iter([part for _, part in splitter.split(y, y, g)])
    parts = {name: [order[i] for _ in range(count) for i in next(dealt)] for name, count in folds.items()}
    empty = [name for name, part in parts.items() if not part]
    if empty:
        raise ValueError(
            f"no group (patient) was left for {', '.join(empty)}: {len(set(names))} groups, the largest with "
            f"{max(Counter(names).values())} of {len(names)} cases; use fewer splits or another seed"
        )
    return parts


def _folds(shares: Mapping[str, float], most: int) -> dict[str, int]:
    """Return how many equal folds each split gets: the smallest total that comes closest to the shares."""

    def dealt(total: int) -> dict[str, int]:
        first, *others = shares
        counts = {name: max(1, round(shares[name] * total)) for name in others}
        return {first: total - sum(counts.values()), **counts}

    def error(counts: Mapping[str, int]) -> float:
        total = sum(counts.values())
        return round(max(abs(count / total - shares[name]) for name, count in counts.items()), 6)

    candidates = [counts for counts in map(dealt, range(len(shares), most + 1)) if min(counts.values()) >= 1]
    return min(candidates, key=lambda counts: (error(counts), sum(counts.values())))
