"""Where an explanation map is bright, in the pixels of the source image.

A box is ``[x0, y0, x1, y1]`` in whole pixels with ``x1`` and ``y1`` just outside: ``image[y0:y1, x0:x1]`` is its
content. A map of h x w values lies over the part of the source image that the network saw so that their outer edges
agree; :class:`common.data.placement.Placement` says which part that is.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import ndimage

from common.data.placement import Placement

Size = tuple[int, int]
FloatArray = NDArray[np.float32]


class Region(NamedTuple):
    """One connected bright part of a map.

    Attributes:
        box: smallest box around the part, in the pixels of the map.
        peak: (x, y) of its largest value, in the pixels of the map.
        share: the part's sum divided by the sum of the whole map, in (0, 1].
        area: number of its pixels.
        mean: its mean value.
    """

    box: tuple[int, int, int, int]
    peak: tuple[int, int]
    share: float
    area: int
    mean: float


def resample_map(explanation: FloatArray, size: Size) -> FloatArray:
    """Return a map (h, w) in [0, 1] bilinearly resampled to ``size`` (rows, columns); averaged when it shrinks."""
    if explanation.shape == tuple(size):
        return explanation.astype(np.float32)
    values = torch.from_numpy(np.ascontiguousarray(explanation, dtype=np.float32))[None, None]
    resampled = torch.nn.functional.interpolate(values, size=size, mode="bilinear", antialias=True)
    return resampled[0, 0].clamp_(0.0, 1.0).numpy()


def covered_share(mask: NDArray[np.bool_], size: Size) -> FloatArray:
    """Return, for each pixel of an image of ``size``, the share of it inside a mask (H, W) over the same area."""
    values = torch.from_numpy(mask.astype(np.float32))[None, None]
    return torch.nn.functional.adaptive_avg_pool2d(values, size)[0, 0].numpy()


def whole_pixels(box: tuple[float, float, float, float], size: Size) -> list[int]:
    """Return the smallest box of whole pixels that covers ``box`` and lies inside an image of ``size``."""
    tolerance = 1e-6  # an edge that is whole but for rounding must not grow by a pixel
    x0, y0 = math.floor(box[0] + tolerance), math.floor(box[1] + tolerance)
    x1, y1 = math.ceil(box[2] - tolerance), math.ceil(box[3] - tolerance)
    return [max(x0, 0), max(y0, 0), min(x1, size[1]), min(y1, size[0])]


def box_in_source(box: tuple[float, float, float, float], size: Size, placement: Placement) -> list[int] | None:
    """Return the smallest box of whole source pixels over a box of a map of ``size``; None if all of it is padding."""
    x0, y0, x1, y1 = whole_pixels(placement.box_to_source(box, size), placement.source_size)
    return [x0, y0, x1, y1] if x0 < x1 and y0 < y1 else None


def point_in_source(point: tuple[int, int], size: Size, placement: Placement) -> list[int]:
    """Return the source pixel under the centre of pixel ``point`` (x, y) of a map of ``size``."""
    x0, y0, x1, y1 = placement.box_to_source((*point, point[0] + 1, point[1] + 1), size)
    rows, columns = placement.source_size
    return [min(int((x0 + x1) / 2), columns - 1), min(int((y0 + y1) / 2), rows - 1)]


def box_of(mask: NDArray[np.bool_]) -> tuple[int, int, int, int] | None:
    """Return the smallest box around the true pixels of a mask (H, W), or None where there are none."""
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    if rows.size == 0:
        return None
    return int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1


def find_regions(explanation: FloatArray, threshold: float) -> list[Region]:
    """Return the 8-connected parts of a map (h, w) at or above the threshold, the largest share first."""
    total = float(explanation.sum(dtype=np.float64))
    parts, count = ndimage.label(explanation >= threshold, structure=np.ones((3, 3), dtype=int))
    if count == 0 or total == 0.0:
        return []
    names = range(1, count + 1)
    sums = ndimage.sum_labels(explanation.astype(np.float64), parts, names)
    areas = np.bincount(parts.ravel())[1:]
    peaks = ndimage.maximum_position(explanation, parts, names)
    regions = []
    for window, energy, area, (row, column) in zip(ndimage.find_objects(parts), sums, areas, peaks, strict=True):
        box = (window[1].start, window[0].start, window[1].stop, window[0].stop)
        peak = (int(column), int(row))
        regions.append(Region(box, peak, float(energy) / total, int(area), float(energy) / int(area)))
    return sorted(regions, key=lambda region: -region.share)
