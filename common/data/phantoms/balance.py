"""Deal out classes so that their numbers are exact and the order tells nothing."""

from __future__ import annotations

import math

__all__ = ["balanced_label"]


def balanced_label(index: int, positive_fraction: float, toss: int) -> int:
    """Return the class of image number `index`, 0 or 1, without knowing the others.

    Images come in pairs (2k, 2k + 1). Positives are dealt out evenly to the pairs, so that the first n images (n even)
    hold round(n * positive_fraction) of them; which image of a pair is which is tossed, so that the class does not
    follow from the number being odd.

    Args:
        index: from 0.
        positive_fraction: share of positive images.
        toss: 0 or 1, the same for both images of a pair.
    """
    place = index ^ toss
    before, after = (math.floor(n * positive_fraction + 0.5) for n in (place, place + 1))
    return after - before
