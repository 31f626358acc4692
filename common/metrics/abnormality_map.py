"""How well the brightest part of a map, or of the image itself, meets the findings in an image."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from common.metrics.classification import average_precision_by_class

__all__ = ["SHARE", "dice_above", "highest_share", "pixel_precision"]

BoolArray = NDArray[np.bool_]

SHARE = 0.05
"""Share of the looked-at pixels that is drawn."""


def pixel_precision(score: ArrayLike, truth: BoolArray, area: BoolArray) -> float:
    """Compute the average precision of pixels: the area under their precision-recall curve.

    Args:
        score: (H,W), higher where a finding is more likely.
        truth: (H,W), true inside findings.
        area: (H,W), the pixels that count.

    Returns:
        In [0,1]; a constant score gives the share of the area that is inside. NaN where nothing is.
    """
    values = np.asarray(score, dtype=np.float64)[area][:, None]
    inside = truth[area].astype(np.float64)[:, None]
    return float(average_precision_by_class(values, inside, np.ones((1, len(values))))[0, 0])


def highest_share(score: ArrayLike, area: BoolArray, share: float = SHARE) -> float:
    """Return the level at or above which lies this share of the area's pixels, such as the brightest 5 %.

    Args:
        score: (H,W).
        area: (H,W), the pixels that count, at least one.
        share: in (0,1].

    Raises:
        ValueError: if the share is out of range.
    """
    if not 0 < share <= 1:
        raise ValueError(f"share is {share}, expected above 0, at most 1")
    return float(np.quantile(np.asarray(score, dtype=np.float64)[area], 1 - share, method="higher"))


def dice_above(score: ArrayLike, level: float, truth: BoolArray, area: BoolArray) -> float:
    """Compute Dice, 2 |drawn ∩ truth| / (|drawn| + |truth|), of the area's pixels at or above a level.

    Args:
        score: (H,W).
        level: in the score's own values.
        truth: (H,W), true inside findings.
        area: (H,W), the pixels that count.

    Returns:
        In [0,1]; NaN where there is neither.
    """
    drawn, inside = (np.asarray(score) >= level) & area, truth & area
    total = int(drawn.sum() + inside.sum())
    return 2 * int((drawn & inside).sum()) / total if total else float("nan")
