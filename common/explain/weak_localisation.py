"""Boxes and a segmentation from a map that was learned from image labels alone.

A map is cut at a level: a share of its own range, the same for all images, or where Otsu's method puts it.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from common.explain.regions import FloatArray, find_regions

__all__ = ["boxes_of_map", "level_at", "otsu_level", "segmentation_of_map"]

BINS = 256
CONNECTED = np.ones((3, 3), dtype=int)


def level_at(heatmap: FloatArray, share: float) -> float:
    """Return the value at a share of the map's range: minimum + share · (maximum - minimum).

    Args:
        heatmap: (h,w).
        share: in (0,1].

    Raises:
        ValueError: if the share is out of range.
    """
    if not 0 < share <= 1:
        raise ValueError(f"the threshold is {share}, expected a share of the map's range above 0, at most 1")
    lowest, highest = float(heatmap.min()), float(heatmap.max())
    return lowest + share * (highest - lowest)


def otsu_level(heatmap: FloatArray) -> float:
    """Return the value that parts a map's pixels in two groups as far apart as can be, in 256 steps.

    Source: Otsu, "A threshold selection method from gray-level histograms", IEEE TSMC 9 (1979) 62-66: the largest
    variance between the groups; the first, if several are equal.

    Args:
        heatmap: (h,w).

    Returns:
        The lower edge of the brighter group; the map's value if it is constant.
    """
    lowest, highest = float(heatmap.min()), float(heatmap.max())
    if lowest == highest:
        return lowest
    count, edges = np.histogram(heatmap, bins=BINS, range=(lowest, highest))
    centre = (edges[:-1] + edges[1:]) / 2
    below, above = np.cumsum(count)[:-1], np.cumsum(count[::-1])[::-1][1:]
    total = np.cumsum(count * centre)
    apart = total[:-1] / below - (total[-1] - total[:-1]) / above  # both ends hold a pixel, so neither is empty
    return float(edges[1 + int(np.argmax(below * above * apart**2))])


def boxes_of_map(
    heatmap: FloatArray, level: float, smallest: float = 0.0
) -> tuple[NDArray[np.int64], NDArray[np.int64], FloatArray]:
    """Draw a box around each connected part of a map at or above a level.

    Args:
        heatmap: (H,W).
        level: see :func:`level_at` and :func:`otsu_level`.
        smallest: parts below this share of the image's area are left out.

    Returns:
        Boxes (M,4), x0, y0, x1, y1, x1 and y1 excluded; the place (M,2), x and y, and the value (M,) of each part's
        maximum. Nothing for a constant map: it points nowhere.
    """
    parts = [] if heatmap.min() == heatmap.max() else find_regions(heatmap, level)
    kept = [part for part in parts if part.area >= smallest * heatmap.size]
    boxes = np.array([part.box for part in kept], dtype=np.int64).reshape(-1, 4)
    peaks = np.array([part.peak for part in kept], dtype=np.int64).reshape(-1, 2)
    return boxes, peaks, heatmap[peaks[:, 1], peaks[:, 0]]


def segmentation_of_map(heatmap: FloatArray, level: float, parts: int | None = 1) -> NDArray[np.bool_]:
    """Segment what lies at or above a level: the largest connected parts, their holes filled.

    Args:
        heatmap: (H,W).
        level: see :func:`level_at` and :func:`otsu_level`.
        parts: how many parts are kept, the largest areas first; None keeps all.

    Returns:
        (H,W), true inside; empty for a constant map.

    Raises:
        ValueError: if ``parts`` is below 1.
    """
    if parts is not None and parts < 1:
        raise ValueError(f"parts is {parts}, expected 1 or more, or null for all")
    if heatmap.min() == heatmap.max():
        return np.zeros(heatmap.shape, dtype=bool)
    names, count = ndimage.label(heatmap >= level, structure=CONNECTED)
    inside = names > 0
    if parts is not None and count > parts:
        area = np.bincount(names.ravel())
        area[0] = 0
        inside = np.isin(names, np.argsort(-area, kind="stable")[:parts])
    return np.asarray(ndimage.binary_fill_holes(inside))
