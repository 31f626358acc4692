"""The part of an image to which a prototype responds: the box around the peak of its similarity map."""

from __future__ import annotations

import numpy as np
import torch
from scipy import ndimage

from common.explain.regions import FloatArray, Size

__all__ = ["FINER", "PERCENTILE", "active_part", "enlarged", "place_of"]

PERCENTILE = 95.0
FINER = 5  # odd, so that the middle of every cell keeps its value

Box = tuple[int, int, int, int]


def active_part(activation: FloatArray, percentile: float = PERCENTILE, peak: tuple[int, int] | None = None) -> Box:
    """Find the most active part of a map: what reaches the percentile and is connected with the peak.

    Args:
        activation: (h, w), larger where the image is more similar.
        percentile: 95 keeps the most active twentieth of the map.
        peak: (x, y) in the map; None takes its first maximum.

    Returns:
        Box x0, y0, x1, y1 around the 8-connected part, in the pixels of the map.
    """
    row, column = divmod(int(activation.argmax()), activation.shape[1]) if peak is None else (peak[1], peak[0])
    # not above the peak, should it be one of many that are as high
    threshold = min(np.percentile(activation, percentile), activation[row, column])
    parts, _ = ndimage.label(activation >= threshold, structure=np.ones((3, 3), dtype=int))
    part = np.asarray(parts == parts[row, column])
    rows, columns = np.flatnonzero(part.any(axis=1)), np.flatnonzero(part.any(axis=0))
    return int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1


def enlarged(activation: FloatArray, size: Size | None = None) -> FloatArray:
    """Return a map (h, w) of any values bilinearly resampled, outer edges aligned.

    Args:
        activation: (h, w).
        size: rows and columns of the result; None for :data:`FINER` times those of the map.
    """
    rows, columns = activation.shape
    values = torch.from_numpy(np.ascontiguousarray(activation, dtype=np.float32))[None, None]
    wanted = (FINER * rows, FINER * columns) if size is None else tuple(size)
    return torch.nn.functional.interpolate(values, size=wanted, mode="bilinear")[0, 0].numpy()


def place_of(similarity_map: FloatArray, row: int, column: int) -> tuple[Box, tuple[int, int], Size]:
    """Return what a prototype responds to on a network's map, finer than its cells.

    Args:
        similarity_map: (h, w), of one prototype.
        row: of the cell that is most similar.
        column: of that cell.

    Returns:
        Box of the active part and its peak, the middle of that cell, in pixels of the third: the size that they count
        in, :data:`FINER` times that of the map.
    """
    fine = enlarged(similarity_map)
    peak = (FINER * column + FINER // 2, FINER * row + FINER // 2)
    return active_part(fine, peak=peak), peak, (fine.shape[0], fine.shape[1])
