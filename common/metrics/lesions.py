"""How well a probability map finds single lesions: each outlined, connected part of the truth is one.

Parts are 8-connected. Images without a lesion count too: what is drawn there is a false alarm.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import ndimage

from common.metrics.localisation import Detections, match_marks

__all__ = ["image_dice", "lesion_overlaps", "match_lesions"]

FloatArray = NDArray[np.float64]
BoolArray = NDArray[np.bool_]

CONNECTED = np.ones((3, 3), dtype=int)


def match_lesions(probability: ArrayLike, truth: BoolArray, distance: int = 4, floor: float = 0.01) -> Detections:
    """Mark the peaks of a map and match them with the lesions of an image, for a FROC curve.

    A peak is a pixel that no other within ``distance`` (in rows and columns) exceeds; of a flat one the middle is
    marked. Its score is the probability there. Which marks are right, :func:`common.metrics.match_marks` says, with the
    box around each lesion.

    Args:
        probability: (H,W) in [0,1].
        truth: (H,W), true inside lesions.
        distance: in pixels, 1 or more.
        floor: pixels below it are never marked.

    Returns:
        The hits, then the false marks.

    Raises:
        ValueError: if shapes differ or the distance is below 1.
    """
    values, _ = _checked(probability, truth)
    if distance < 1:
        raise ValueError(f"distance is {distance}, expected 1 pixel or more")
    highest = ndimage.maximum_filter(values, size=2 * distance + 1, mode="constant", cval=-np.inf)
    names, count = ndimage.label((values == highest) & (values >= floor), structure=CONNECTED)
    places = np.array(ndimage.center_of_mass(names > 0, names, range(1, count + 1))).reshape(-1, 2)
    score = np.asarray(ndimage.maximum(values, names, range(1, count + 1)), dtype=np.float64).reshape(-1)
    windows = ndimage.find_objects(ndimage.label(truth, structure=CONNECTED)[0])
    boxes = [[at[1].start, at[0].start, at[1].stop, at[0].stop] for at in windows]
    return match_marks(places[:, ::-1], score, np.array(boxes, dtype=np.float64))


def lesion_overlaps(drawn: BoolArray, truth: BoolArray) -> FloatArray:
    """Compute, for each lesion, the IoU with that connected part of what was drawn which overlaps it most.

    Args:
        drawn: (H,W), true inside what was drawn.
        truth: (H,W), true inside lesions.

    Returns:
        IoU (G,) of the G lesions; 0 where nothing was drawn on one.

    Raises:
        ValueError: if shapes differ.
    """
    given, true = _checked(drawn, truth)
    parts, made = ndimage.label(given > 0, structure=CONNECTED)
    lesions, count = ndimage.label(true, structure=CONNECTED)
    # Pixels of each pair of a lesion and a part; row and column 0 are outside of any.
    shared = np.bincount((lesions * (made + 1) + parts).ravel(), minlength=(count + 1) * (made + 1))
    pairs = shared.reshape(count + 1, made + 1).astype(np.float64)
    united = pairs.sum(1, keepdims=True) + pairs.sum(0, keepdims=True) - pairs
    return np.asarray((pairs / np.maximum(united, 1))[1:, 1:].max(axis=1, initial=0.0))


def image_dice(drawn: BoolArray, truth: BoolArray) -> float:
    """Compute Dice 2 |P ∩ T| / (|P| + |T|) of an image; 1 where there is no lesion and nothing is drawn."""
    given, true = _checked(drawn, truth)
    total = int((given > 0).sum() + true.sum())
    return 1.0 if total == 0 else float(2 * ((given > 0) & true).sum() / total)


def _checked(values: ArrayLike, truth: BoolArray) -> tuple[NDArray, BoolArray]:
    given = np.asarray(values)
    if given.ndim != 2 or given.shape != truth.shape:
        raise ValueError(f"got a map of shape {given.shape} and a truth of {truth.shape}, expected (H,W) for both")
    return given, truth.astype(bool)
