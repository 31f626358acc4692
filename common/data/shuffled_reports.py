"""The control of a training on reports: every exam with the report of another one, from which nothing can be learned.

Do it before anything is made of the texts: keys and targets that were made of the right reports would give them away.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from common.data.errors import DatalistError

__all__ = ["shuffle_reports"]


def shuffle_reports(items: Sequence[Mapping[str, Any]], seed: int = 0, key: str = "report") -> list[dict[str, Any]]:
    """Give every exam the whole report of another exam, so that its sentences stay with the side they speak of.

    Args:
        items: exams (:func:`common.data.load_exams`); those without a report stay without, and a list of reports moves
            as one.
        seed: same seed, same exchange.
        key: the report.

    Returns:
        The exams in their order, otherwise unchanged. None keeps its own report, but where many are equal one may get
        the same words.

    Raises:
        DatalistError: if fewer than two exams have a report.
    """
    told = [index for index, item in enumerate(items) if item.get(key)]
    if len(told) < 2:
        raise DatalistError(f"{len(told)} exam(s) have a report, expected two or more to exchange them")
    circle = np.random.default_rng(seed).permutation(told).tolist()
    giver = dict(zip(circle, circle[1:] + circle[:1], strict=True))
    received = {index: items[other][key] for index, other in giver.items()}
    return [{**item, key: received[index]} if index in received else dict(item) for index, item in enumerate(items)]
