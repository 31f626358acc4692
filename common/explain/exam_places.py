"""Where a map over the views of an exam is bright, in the pixels of the views' files."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import ndimage

from common.data.placement import Placement
from common.explain.regions import FloatArray, box_in_source, box_of, point_in_source
from common.explain.schema import Evidence

__all__ = ["ViewPlace", "as_shown", "brightest_part", "place_evidence", "source_map"]

BRIGHT = 0.5  # of the largest value


class ViewPlace(NamedTuple):
    """The brightest part of a map, in pixels of the network's input.

    Attributes:
        view: number of the view.
        box: x0, y0, x1, y1 around the part connected with the peak that has at least half of its value.
        peak: x, y.
        share: the part's sum divided by that of the map over all views.
    """

    view: int
    box: tuple[int, int, int, int]
    peak: tuple[int, int]
    share: float


def brightest_part(maps: FloatArray) -> ViewPlace | None:
    """Return the brightest part of a map over several views (V, H, W); None where it is 0 everywhere."""
    view, row, column = (int(index) for index in np.unravel_index(int(maps.argmax()), maps.shape))
    highest = maps[view, row, column]
    if not highest > 0:
        return None
    parts, _ = ndimage.label(maps[view] >= BRIGHT * highest, structure=np.ones((3, 3), dtype=int))
    part = parts == parts[row, column]
    box = box_of(part)
    assert box is not None  # the peak is in it
    share = float(maps[view][part].sum(dtype=np.float64) / maps.sum(dtype=np.float64))
    return ViewPlace(view, box, (column, row), min(share, 1.0))


def place_evidence(item: Evidence, place: ViewPlace | None, size: tuple[int, int], placement: Placement | None) -> None:
    """Write a place into a piece of evidence, in pixels of the view's file; nothing where all of it is padding.

    Args:
        item: changed in place.
        place: None leaves it as it is.
        size: rows and columns of the network's input.
        placement: of the view.
    """
    if place is None or placement is None:
        return
    item["share"] = place.share
    box = box_in_source(place.box, size, placement)
    if box is None:
        return
    item["box"] = box
    x, y = point_in_source(place.peak, size, placement)
    item["peak"] = [max(x, 0), max(y, 0)]


def source_map(values: NDArray[np.floating], placement: Placement, fill: float = 0.0) -> FloatArray:
    """Return a map (H, W) over the network's input in the size of the view's file; ``fill`` where nothing was seen."""
    tensor = torch.from_numpy(np.array(values, dtype=np.float32))
    return placement.to_source(tensor, fill=fill).clamp_(0, 1).numpy()


def as_shown(values: NDArray[np.floating], placement: Placement) -> FloatArray:
    """Return an array (..., H, W) over the network's input turned as the view's file is."""
    shown = values[..., ::-1] if placement.flipped else values
    return np.ascontiguousarray(shown, dtype=np.float32)
