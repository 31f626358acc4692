"""Find the breast in a mammogram, whatever its resolution."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import ndimage
from torch.nn import functional as F

LONGEST = 256  # pixels; the breast is looked for in a reduced image, so that its size does not matter
BORDER = 0.01  # of height and width; frames and light leaks at the edge of the film are not breast
OPENING = np.ones((3, 3), dtype=bool)  # cuts off labels that touch the breast
BOTH = 0.3  # a second region with this share of the first one's area is the other breast
SMALLEST = 0.02  # of the image; what is smaller is a label or dust
OUTER, SHORT = 0.1, 0.5  # columns at both ends of a pair of breasts, and how tall they are compared with the tallest
BROAD = 0.8  # a pair of breasts is wider than this share of its height; one breast is narrower, or tall at one end
LEANING = 0.05  # a breast has this much more area on its chest wall's side

Mask = NDArray[np.bool_]


def breast_regions(image: NDArray[np.floating], threshold: float = 5 / 255) -> list[Mask]:
    """Return what may be a breast, the brightest region in all first.

    The image is reduced to at most 256 pixels, its outer hundredth blanked, what is above the threshold opened by 3 x 3
    pixels and divided into 8-connected regions, which are filled. Regions below a fiftieth of the image are left out.
    Follows the crop of the InterNRL code (Wang et al., doi:10.1109/TMI.2023.3306781), with sizes relative to the image.

    Args:
        image: (H, W), 0 for air.
        threshold: grey value above which there is tissue.

    Returns:
        Masks (h, w) of the reduced image.
    """
    rows, columns = image.shape
    reduction = max(rows, columns) / LONGEST
    small = np.asarray(image, dtype=np.float32)
    if reduction > 1:
        size = (max(round(rows / reduction), 1), max(round(columns / reduction), 1))
        small = F.interpolate(torch.from_numpy(small)[None, None], size=size, mode="area")[0, 0].numpy()
    bright = small > threshold
    edge_y, edge_x = (max(round(BORDER * length), 1) for length in bright.shape)
    bright[:edge_y] = bright[-edge_y:] = bright[:, :edge_x] = bright[:, -edge_x:] = False
    labels, count = ndimage.label(ndimage.binary_opening(bright, OPENING), np.ones((3, 3)))
    numbers = [number for number in range(1, count + 1) if (labels == number).sum() >= SMALLEST * labels.size]
    numbers.sort(key=lambda number: -float(small[labels == number].sum()))
    return [ndimage.binary_fill_holes(labels == number) for number in numbers]


def shows_both_breasts(regions: list[Mask]) -> bool:
    """Return whether there are two regions of similar size, or one that tapers off to both sides.

    Args:
        regions: of :func:`breast_regions`, at least one.
    """
    sizes = [int(region.sum()) for region in regions]
    if any(size >= BOTH * sizes[0] for size in sizes[1:]):
        return True
    x0, y0, x1, y1 = bounding_box(regions[0])
    heights = regions[0][:, x0:x1].sum(0)
    outer = max(round(OUTER * (x1 - x0)), 1)
    tallest = heights.max()
    tapers = max(heights[:outer].mean(), heights[-outer:].mean()) < SHORT * tallest
    return bool(tapers and x1 - x0 > BROAD * (y1 - y0))


def chest_side(region: Mask) -> str | None:
    """Return the side of the chest wall, "left" or "right": where the region has more area; None if that is unclear.

    Args:
        region: (h, w) the breast.
    """
    x0, _, x1, _ = bounding_box(region)
    heights = region[:, x0:x1].sum(0)
    half = len(heights) // 2
    left, right = float(heights[:half].sum()), float(heights[len(heights) - half :].sum())
    if abs(left - right) <= LEANING * (left + right):
        return None
    return "left" if left > right else "right"


def bounding_box(region: Mask) -> tuple[int, int, int, int]:
    """Return x0, y0, x1, y1 of a region, x1 and y1 excluded.

    Args:
        region: (h, w), not empty.
    """
    x, y = (np.flatnonzero(region.any(axis)) for axis in (0, 1))
    return int(x[0]), int(y[0]), int(x[-1]) + 1, int(y[-1]) + 1
