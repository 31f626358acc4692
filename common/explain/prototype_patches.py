"""Pictures of what a prototype network compares: parts of images as the network saw them, all alike in size and side.

The network sees a test image and a training image through the same crop, mirror and size; so do these pictures, and a
part of one can be held against a part of the other.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch

from common.data import CaseError, ImageReader2D, Placement
from common.explain.activation import place_of
from common.explain.regions import FloatArray, Size

__all__ = ["Box", "Part", "Patch", "SourceImages", "cut_patch", "network_view", "part_in", "patch_side"]

KEPT_IMAGES = 8  # a mammogram takes some 20 MB
CONTEXT, SMALLEST = 1.6, 0.12

Box = tuple[float, float, float, float]


class Part(NamedTuple):
    """What a prototype responds to, in the pixels of an image.

    Attributes:
        box: x0, y0, x1, y1 of the active part.
        peak: x, y of the middle of the most similar place.
    """

    box: Box
    peak: tuple[float, float]


@dataclass(frozen=True)
class Patch:
    """A square part of an image, and the box in it.

    Attributes:
        picture: (D, side, side) in [0, 1], 0 beyond the image.
        box: x0, y0, x1, y1 in pixels of the picture.
        mirrored: whether left and right are exchanged against the image file.
    """

    picture: FloatArray
    box: Box
    mirrored: bool = False


class SourceImages:
    """Training images by the paths that a datalist gives; the last ones read are kept.

    Args:
        folders: where relative paths may begin, tried in order.
    """

    def __init__(self, folders: Sequence[str | Path]) -> None:
        self.folders = [Path(folder) for folder in folders]
        self._read = lru_cache(maxsize=KEPT_IMAGES)(read_image)

    def read(self, path: str, size: Size) -> FloatArray | None:
        """Return an image (D, H, W) in [0, 1]; None where it is not at hand, cannot be read or is another one.

        Args:
            path: as the datalist gives it.
            size: rows and columns that the image has; a file of another size under the same name is another image.
        """
        for folder in self.folders:
            if (folder / path).is_file():
                image = self._read(folder / path)
                return image if image is not None and image.shape[1:] == tuple(size) else None
        return None


def read_image(path: Path) -> FloatArray | None:
    """Return the image of a file (D, H, W) in [0, 1], or None if it is none."""
    try:
        pixels, _ = ImageReader2D().get_data(path)
    except CaseError:
        return None
    channels = pixels[None] if pixels.ndim == 2 else pixels.transpose(2, 0, 1)
    return np.clip(np.nan_to_num(channels), 0.0, 1.0).astype(np.float32)


def part_in(similarity_map: FloatArray, row: int, column: int, size: Size) -> Part:
    """Return what a prototype responds to on its map (h, w), in the pixels of an image of ``size`` under the map.

    Args:
        similarity_map: (h, w).
        row: of the cell that is most similar.
        column: of that cell.
        size: rows and columns of the image.
    """
    (x0, y0, x1, y1), (x, y), (rows, columns) = place_of(similarity_map, row, column)
    down, across = size[0] / rows, size[1] / columns
    return Part((x0 * across, y0 * down, x1 * across, y1 * down), ((x + 0.5) * across, (y + 0.5) * down))


def network_view(image: FloatArray, placement: Placement, size: Size) -> FloatArray:
    """Return an image as the network saw it: cropped, 0 beyond the image, mirrored where it was, resized.

    Args:
        image: (D, H, W), the whole source image.
        placement: which part of it the network saw.
        size: rows and columns of the result.
    """
    x0, y0, x1, y1 = placement.crop
    rows, columns = image.shape[-2:]
    inside = image[:, max(y0, 0) : min(y1, rows), max(x0, 0) : min(x1, columns)]
    beyond = ((0, 0), (max(-y0, 0), max(y1 - rows, 0)), (max(-x0, 0), max(x1 - columns, 0)))
    seen = np.pad(inside, beyond)
    seen = np.ascontiguousarray(seen[..., ::-1] if placement.flipped else seen)
    values = torch.from_numpy(seen)[None]
    return torch.nn.functional.interpolate(values, size=size, mode="bilinear", antialias=True)[0].numpy()


def patch_side(boxes: Sequence[Box], size: Size) -> int:
    """Return a side for square parts around boxes of an image of ``size``: something around each box can be seen.

    It is at most the image's shorter side; a box that is longer is cut.
    """
    longest = max(max(x1 - x0, y1 - y0) for x0, y0, x1, y1 in boxes)
    return max(round(min(max(CONTEXT * longest, SMALLEST * min(size)), min(size))), 1)


def cut_patch(image: FloatArray, part: Part, side: int, mirrored: bool = False) -> Patch:
    """Return a square of ``side`` pixels around a part of an image, moved so that it stays inside the image.

    Args:
        image: (D, H, W).
        part: what the square shows: the middle of its box in the middle, its peak not at the rim.
        side: of the square, at most the shorter side of the image.
        mirrored: noted in the result.
    """
    rows, columns = image.shape[-2:]
    x0, y0, x1, y1 = part.box
    left = _start(x0, x1, part.peak[0], side, columns)
    top = _start(y0, y1, part.peak[1], side, rows)
    picture = image[:, top : top + side, left : left + side]
    return Patch(picture, (x0 - left, y0 - top, x1 - left, y1 - top), mirrored)


def _start(low: float, high: float, peak: float, side: int, length: int) -> int:
    start, rim = (low + high - side) / 2, 0.2 * side
    start = min(max(start, peak + rim - side), peak - rim)
    return min(max(round(start), 0), max(length - side, 0))
