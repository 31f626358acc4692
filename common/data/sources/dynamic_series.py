"""A contrast-enhanced examination: the same slices several times, and the tumour drawn on them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from common.data.errors import CaseError

CHOICES = ("tumour", "even")


@dataclass(frozen=True, eq=False)
class DynamicSeries:
    """One examination.

    Args:
        source: its folder, for messages.
        phases: (P, Z, H, W) float32, in order of time; rows downwards, columns to the right as a viewer shows them.
        tumour: (Z, H, W) bool.
    """

    source: Path
    phases: NDArray[np.float32]
    tumour: NDArray[np.bool_]

    def __post_init__(self) -> None:
        if self.phases.shape[1:] != self.tumour.shape:
            sizes = [" x ".join(map(str, shape)) for shape in (self.tumour.shape, self.phases.shape[1:])]
            what = f"the tumour mask has {sizes[0]} voxels (slices, rows, columns), the images {sizes[1]}"
            raise CaseError(str(self.source), what, "Export both on the same grid")
        if not np.isfinite(self.phases).all():
            raise CaseError(str(self.source), "it has voxels that are NaN or infinite", "Export it again")


def choose_slices(examination: DynamicSeries, count: int, choose: str) -> list[int]:
    """Return the slices to take from an examination, ascending.

    Args:
        examination: the examination.
        count: how many.
        choose: "tumour" takes neighbours, with the slice of the largest tumour area in their middle unless that is too
            close to an end of the volume; "even" spreads them evenly over the volume, without looking at the mask.

    Raises:
        CaseError: if there are fewer slices, or no tumour to choose by.
    """
    areas = examination.tumour.sum((1, 2))
    depth = len(areas)
    if depth < count:
        what = f"it has {depth} slices, {count} were asked for"
        raise CaseError(str(examination.source), what, f"Ask for {depth} or fewer (--slices), or leave the case out")
    if choose == "even":
        return [int((position + 0.5) * depth / count) for position in range(count)]
    if not areas.any():
        remedy = "Correct it, leave the case out, or use --choose even"
        raise CaseError(str(examination.source), "its tumour mask is empty, so no slice can be chosen by it", remedy)
    start = min(max(int(areas.argmax()) - count // 2, 0), depth - count)
    return list(range(start, start + count))


def to_bytes(examination: DynamicSeries, percentiles: Sequence[float]) -> NDArray[np.uint8]:
    """Scale an examination to 0..255, (P, Z, H, W).

    The two percentiles are taken over all phases and slices together, so that the enhancement from phase to phase and
    the differences between slices remain.

    Raises:
        CaseError: if the percentiles are equal, as in a constant volume.
    """
    low, high = np.percentile(examination.phases, percentiles)
    if high <= low:
        what = f"its percentiles {percentiles[0]} and {percentiles[1]} are both {low:g}, so there is nothing to see"
        raise CaseError(str(examination.source), what, "Check the images in a viewer, or widen --percentiles")
    return np.rint(np.clip((examination.phases - low) / (high - low), 0, 1) * 255).astype(np.uint8)
