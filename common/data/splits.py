"""Split cases into training, validation and test: stratified by label, grouped by patient, seeded."""

from __future__ import annotations

import json
import logging
import math
from collections import Counter
from collections.abc import Hashable, Mapping, Sequence
from typing import Any

import numpy as np
from sklearn.model_selection import StratifiedGroupKFold, train_test_split

FRACTIONS = {"training": 0.7, "validation": 0.15, "test": 0.15}
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
    ``train_test_split`` with the share of what is left, rounded up. Larger groups are dealt out whole, so sizes are as
    close to the fractions as the groups allow.

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


def fold_split(
    labels: Sequence[Any], groups: Sequence[Hashable], folds: int = 5, fold: int = 0, seed: int = 0
) -> dict[str, list[int]]:
    """Return one fold of a cross-validation: fold k tests, fold k + 1 validates, the others train.

    Over the folds 0 to folds - 1 every case is tested once. Groups stay together, and each fold has about the same
    label frequencies (scikit-learn's ``StratifiedGroupKFold``).

    Args:
        labels: one label a case.
        groups: one value a case, such as the patient; cases of the same group stay together.
        folds: number of parts, at least 3.
        fold: which of them to test, from 0.
        seed: same seed, same folds.

    Returns:
        Split name to ascending positions in labels.

    Raises:
        ValueError: if folds or fold is out of range, lengths differ, or a label has fewer groups than there are folds.
    """
    if folds < 3 or not 0 <= fold < folds:
        raise ValueError(f"folds is {folds} and fold is {fold}, expected at least 3 folds and fold from 0 to folds - 1")
    if len(groups) != len(labels):
        raise ValueError(f"there are {len(labels)} labels and {len(groups)} groups, expected one group a case")
    strata, names = _strata(labels), [str(group) for group in groups]
    for stratum in sorted(set(strata)):
        units = len({name for name, other in zip(names, strata, strict=True) if other == stratum})
        if units < folds:
            raise ValueError(
                f"label {stratum} occurs in {units} groups (patients), too few for {folds} folds; lower it"
            )
    order = sorted(range(len(labels)), key=lambda index: (names[index], strata[index]))  # not that of the cases
    y, g = [strata[index] for index in order], [names[index] for index in order]
    divider = StratifiedGroupKFold(folds, shuffle=True, random_state=seed)
    parts = [sorted(order[place] for place in part) for _, part in divider.split(y, y, g)]
    validation = (fold + 1) % folds
    training = sorted(index for number, part in enumerate(parts) if number not in (fold, validation) for index in part)
    return {"training": training, "validation": parts[validation], "test": parts[fold]}


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
    """Return the strata to balance over the two parts, None where one part is too small for all of them."""
    counts = Counter(strata)
    common = counts.most_common(1)[0][0]
    joined = [stratum if counts[stratum] > 1 else common for stratum in strata]  # a single case cannot be divided
    if len(set(joined)) <= min(count, len(strata) - count):
        return joined
    logger.warning("too few cases to balance %d classes over the splits; they are drawn at random", len(set(joined)))
    return None


def _split_groups(
    order: list[int], strata: Sequence[str], names: Sequence[str], shares: Mapping[str, float], seed: int
) -> dict[str, list[int]]:
    """Deal out whole groups, the largest first, each to the split where it disturbs the balance least.

    With n[s, c] cases of class c in split s of share p[s], and N[c] in all, the balance is the chi-square-like
    sum over s and c of n[s, c]^2 / (p[s] N[c]^2), smallest when every split has its share of every class.
    """
    classes, y = np.unique([strata[i] for i in order], return_inverse=True)
    groups, g = np.unique([names[i] for i in order], return_inverse=True)
    counts = np.zeros((len(groups), len(classes)))
    np.add.at(counts, (g, y), 1)
    share, total = np.array([*shares.values()])[:, np.newaxis], counts.sum(0)
    filled = np.zeros((len(shares), len(classes)))
    place = np.empty(len(groups), dtype=int)
    shuffled = np.random.default_rng(seed).permutation(len(groups))
    for left, group in enumerate(shuffled[np.argsort(-counts[shuffled].sum(1), kind="stable")]):
        growth = ((2 * filled + counts[group]) * counts[group] / (share * total**2)).sum(1)
        empty = filled.sum(1) == 0
        if empty.sum() == len(groups) - left:  # every split gets a group, be it small
            growth[~empty] = np.inf
        place[group] = growth.argmin()
        filled[place[group]] += counts[group]
    return {name: [i for i, k in zip(order, g, strict=True) if place[k] == s] for s, name in enumerate(shares)}
