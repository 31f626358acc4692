"""The breast of the exam phantom before any finding: outline, pectoral muscle, dense tissue in three dimensions."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, TypeVar

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

__all__ = [
    "Floats",
    "Frame",
    "Mask",
    "blurred_noise",
    "frame_of",
    "height_in",
    "paint_gland",
    "paint_muscle",
    "pixel_grid",
    "sample_layout",
]

Floats = NDArray[np.floating[Any]]
Mask = NDArray[np.bool_]
Coordinate = TypeVar("Coordinate", float, Floats)

FAT, GLAND, MUSCLE = 0.22, 0.24, 0.22  # brightness of fat, and what gland and muscle add
GLAND_SHARE = {"a": 0.12, "b": 0.30, "c": 0.50, "d": 0.70}
LAYOUT = 6  # cells along each axis of the volume that both views of a breast share
LAYOUT_WEIGHT = 0.55  # of the shared volume against what each view has of its own
SKIN = 0.08  # width of the soft border of the breast, in shares of its extent


@dataclass(frozen=True, eq=False)
class Frame:
    """Where the breast is in an image; the chest wall is at x = 0.

    Args:
        size: height and width of the image, in pixels.
        deep: distance of the nipple from the chest wall, in pixels.
        tall: half the height of the breast, in pixels.
        level: row of the nipple, in pixels.
        oblique: whether the view is MLO.
        muscle: corner of the pectoral muscle: x at the top, y at the chest wall, in pixels; 0, 0 where it is not seen.
    """

    size: int
    deep: float
    tall: float
    level: float
    oblique: bool
    muscle: tuple[float, float]

    def inside(self) -> Floats:
        """Return (H, W) from 0 in the air to 1 inside the skin."""
        x, y = pixel_grid(self.size)
        below = y > self.level
        # Towards the armpit the oblique view goes on to the border of the image.
        upper = 1.7 if self.oblique else 1.0
        vertical = np.where(below, (y - self.level) / self.tall, (self.level - y) / (upper * self.tall))
        return np.clip((1 - np.sqrt((x / self.deep) ** 2 + vertical**2)) / SKIN, 0, 1)

    def place(self, depth: float, outer: float, upper: float) -> tuple[float, float]:
        """Return x, y in pixels of a point of the breast; see :func:`height_in`."""
        room = math.sqrt(1 - depth**2)
        return depth * self.deep, self.level - height_in(self.oblique, outer, upper) * room * self.tall

    def project(self, offsets: Floats) -> Floats:
        """Return (n, 2) x, y of offsets (n, 3) depth, outer, upper; all in pixels."""
        return np.stack([offsets[:, 0], -height_in(self.oblique, offsets[:, 1], offsets[:, 2])], axis=1)


def height_in(oblique: bool, outer: Coordinate, upper: Coordinate) -> Coordinate:
    """Return how high up a point is in a view, in the units of its coordinates.

    CC looks down: what is outer is at the top of the image. MLO looks from the upper inner side to the lower outer one,
    so that its height is (outer + upper) / sqrt 2; what is upper and outer, where the armpit is, is at the top. Depth
    is the same in both.
    """
    return (outer + upper) / math.sqrt(2) if oblique else outer


def frame_of(size: int, oblique: bool, shape: Generator, position: Generator) -> Frame:
    """Draw the outline of a breast in a view.

    Args:
        size: height and width of the image, in pixels.
        oblique: MLO instead of CC.
        shape: source of randomness of what both views of a breast share.
        position: of what differs between them.
    """
    deep, tall = shape.uniform(0.62, 0.86) * size, shape.uniform(0.36, 0.44) * size
    deep, tall = deep * position.uniform(0.96, 1.04), tall * position.uniform(0.97, 1.03)
    across, down = position.uniform(0.28, 0.42) * size, position.uniform(0.4, 0.6) * size
    level = (position.uniform(0.52, 0.56) if oblique else position.uniform(0.48, 0.52)) * size
    return Frame(size, deep, tall, level, oblique, (across, down) if oblique else (0.0, 0.0))


def sample_layout(rng: Generator) -> Floats:
    """Return the coarse layout of dense tissue, (6, 6, 6) over depth, outer and upper."""
    return rng.standard_normal((LAYOUT,) * 3, dtype=np.float32)


def paint_gland(frame: Frame, layout: Floats, density: str, inside: Floats, rng: Generator) -> Floats:
    """Return dense tissue, (H, W) from 0 to 1.

    Args:
        frame: of the view.
        layout: volume from :func:`sample_layout`, shared by both views.
        density: a to d.
        inside: (H, W) of the frame.
        rng: source of randomness of the view.
    """
    size = frame.size
    x = np.arange(size, dtype=np.float32) / frame.deep
    height = (frame.level - np.arange(size, dtype=np.float32)) / frame.tall
    shared = project_layout(layout, frame.oblique)  # (height, depth)
    coarse = spline(height / 2 + 0.5, len(shared)) @ shared @ spline(x, LAYOUT).T
    own = blurred_noise(size, 7, rng) + 0.3 * blurred_noise(size, 14, rng) + 0.15 * blurred_noise(size, 40, rng)
    field = LAYOUT_WEIGHT * coarse / coarse.std() + (1 - LAYOUT_WEIGHT) * own / own.std()
    level = np.quantile(field[inside > 0.5], 1 - GLAND_SHARE[density])
    gland: Floats = 1 / (1 + np.exp(np.clip(-7 * (field - level), -30, 30)))
    return gland * (0.85 + 0.1 * own)


def paint_muscle(frame: Frame) -> Floats:
    """Return the pectoral muscle, (H, W) from 0 to 1; all 0 in CC."""
    x, y = pixel_grid(frame.size)
    across, down = frame.muscle
    if not across:
        return np.zeros((frame.size, frame.size), np.float32)
    return np.clip(0.5 + (across * (1 - y / down) - x) / (0.03 * frame.size), 0, 1)


def project_layout(layout: Floats, oblique: bool) -> Floats:
    """Return the mean of the volume along the rays of a view, (height, depth); height rises with the index."""
    if not oblique:
        return layout.mean(2).T
    outer, upper = np.indices((LAYOUT, LAYOUT))
    diagonal = (outer + upper).ravel()
    rays = np.zeros((2 * LAYOUT - 1, LAYOUT), np.float32)
    np.add.at(rays, diagonal, layout.transpose(1, 2, 0).reshape(-1, LAYOUT))
    # The outermost rays, which cross a cell or two, miss the breast.
    means = rays / np.bincount(diagonal)[:, None] ** 0.5 / LAYOUT**0.5
    return means[2:-2]


def blurred_noise(size: int, cells: int, rng: Generator) -> Floats:
    """Return noise without detail finer than the image's side / `cells`, (size, size)."""
    basis = _grid_spline(size, cells)
    return basis @ rng.standard_normal((cells, cells), dtype=np.float32) @ basis.T


def spline(positions: Floats, cells: int) -> Floats:
    """Return weights (n, cells) of cells at positions from 0 to 1: smooth bumps, constant beyond the ends."""
    distance = np.abs(np.clip(positions, 0, 1)[:, None] * (cells - 1) - np.arange(cells, dtype=np.float32))
    near, far = 2 / 3 - distance**2 + distance**3 / 2, np.clip(2 - distance, 0, None) ** 3 / 6
    return np.where(distance < 1, near, far).astype(np.float32)


@lru_cache
def _grid_spline(size: int, cells: int) -> Floats:
    return spline((np.arange(size, dtype=np.float32) + 0.5) / size, min(cells, size))


@lru_cache
def pixel_grid(size: int) -> tuple[Floats, Floats]:
    """Return the pixels' centres, x (1, W) and y (H, 1)."""
    centres = np.arange(size, dtype=np.float32) + 0.5
    return centres[None], centres[:, None]
