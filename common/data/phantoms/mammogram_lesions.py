"""What a mammography phantom may hold: smooth and spiculated masses, islands of dense tissue, calcifications."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray
from scipy import ndimage

from common.data.phantoms.mammogram_tissue import Breast, Line, draw_lines

__all__ = ["Mass", "find_place", "paint_calcifications", "paint_island", "paint_mass", "sample_mass"]

VISIBLE = 0.3  # of the full brightness; what is fainter is not part of a mass's mask
HARMONICS = 7  # of the outline of a mass

Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Mass:
    """A mass at (0, 0); lengths in pixels.

    Args:
        radius: mean radius of its core.
        waves: (2, 7) relative amplitude of the cosine and sine waves along its outline, from 1 to 7 periods.
        softness: width of the core's border.
        spicules: lines from its core outwards; none for a smooth mass.
    """

    radius: float
    waves: Floats
    softness: float
    spicules: tuple[Line, ...]

    @property
    def malignant(self) -> bool:
        """Whether it has spicules."""
        return bool(self.spicules)


def sample_mass(
    radius: float, malignant: bool, spicules: tuple[int, int], reach: tuple[float, float], rng: Generator
) -> Mass:
    """Draw a mass at random: smooth, oval and sharp, or ragged, blurred and with spicules.

    Both kinds have the same sizes; they differ in the border alone.
    """
    periods = np.arange(1, HARMONICS + 1)
    fall = 0.12 / periods**0.7 if malignant else np.where(periods == 2, 0.06, 0.035 * (periods == 3))
    waves = rng.normal(size=(2, HARMONICS)) * fall
    if not malignant:
        return Mass(radius, waves, 0.18 * radius, ())
    count = int(rng.integers(*spicules, endpoint=True))
    angles = (np.arange(count) + rng.uniform(-0.3, 0.3, count)) * 2 * math.pi / count + rng.uniform(0, 2 * math.pi)
    lines = tuple(_spicule(radius, float(angle), rng.uniform(*reach), rng) for angle in angles)
    return Mass(radius, waves, 0.4 * radius, lines)


def find_place(breast: Breast, room: float, taken: Floats, rng: Generator) -> tuple[float, float]:
    """Return x, y of a random place in the breast, away from skin, chest wall and muscle.

    Args:
        breast: its anatomy.
        room: least distance from these, in pixels; less where the breast is slim.
        taken: (H, W) above 0 where something is already.
        rng: source of randomness.
    """
    columns = np.arange(breast.width)[None] + 0.5
    clear = ndimage.distance_transform_edt((breast.beyond_muscle(1.0) > 0.5) & (taken <= 0))
    room_there = np.minimum(np.minimum(breast.distance, columns), clear)
    largest = float(room_there.max())
    ys, xs = np.nonzero(room_there >= min(room, 0.9 * largest))
    choice = int(rng.integers(len(xs)))
    return float(xs[choice]) + 0.5, float(ys[choice]) + 0.5


def paint_mass(mass: Mass, place: tuple[float, float], size: tuple[int, int]) -> tuple[Floats, NDArray[np.bool_]]:
    """Return the brightness of a mass, (H, W) from 0 to 1, and where it can be seen, (H, W)."""
    height, width = size
    u, v = np.arange(width)[None] + 0.5 - place[0], np.arange(height)[:, None] + 0.5 - place[1]
    distance, angle = np.hypot(u, v), np.arctan2(v, u)
    outline = np.ones(size)
    for period, (cosine, sine) in enumerate(mass.waves.T, 1):
        outline += cosine * np.cos(period * angle) + sine * np.sin(period * angle)
    border = mass.radius * np.clip(outline, 0.6, 1.5)
    core = np.clip(0.5 + (border - distance) / mass.softness, 0, 1)
    core *= 1 - 0.15 * np.clip(distance / mass.radius, 0, 1) ** 2
    if not mass.spicules:
        return core, core > VISIBLE
    lines = draw_lines(size, [(points + np.array(place), widths, level) for points, widths, level in mass.spicules])
    fading = np.clip(1.15 - 0.35 * distance / mass.radius, 0.2, 1)
    return np.maximum(core, lines * fading), (core > VISIBLE) | (lines > VISIBLE)


def paint_island(place: tuple[float, float], radius: float, texture: Floats) -> Floats:
    """Return the brightness of an island of dense tissue, (H, W) from 0 to 1: no border, no rays.

    Args:
        place: x, y of its centre.
        radius: where it has faded to half, on average.
        texture: (H, W) noise of standard deviation 1, which makes its shape uneven.
    """
    height, width = texture.shape
    u, v = np.arange(width)[None] + 0.5 - place[0], np.arange(height)[:, None] + 0.5 - place[1]
    return 1 / (1 + np.exp(5 * (np.hypot(u, v * 0.8) / radius - 1 - 0.35 * texture)))


def paint_calcifications(places: Floats, radius: float, size: tuple[int, int]) -> Floats:
    """Return the brightness of coarse calcifications, (H, W) from 0 to 1.

    Args:
        places: (n, 2) x, y.
        radius: of each, in pixels.
        size: height and width of the image.
    """
    height, width = size
    picture = np.zeros(size)
    for x, y in places:
        u, v = np.arange(width)[None] + 0.5 - x, np.arange(height)[:, None] + 0.5 - y
        picture = np.maximum(picture, np.clip(0.5 + radius - np.hypot(u, v), 0, 1))
    return picture


def _spicule(radius: float, angle: float, reach: float, rng: Generator) -> Line:
    """Return a line from within the core outwards, slightly bent and tapering."""
    length = reach * radius * rng.uniform(0.6, 1.0)
    t = np.linspace(0, 1, 8)
    distance = 0.5 * radius + t * (length - 0.5 * radius)
    bent = angle + rng.normal(0, 0.18) * t**2
    points = np.stack([distance * np.cos(bent), distance * np.sin(bent)], axis=1)
    thick = max(0.24 * radius, 1.2)
    return points, np.linspace(thick, 0.35 * thick, len(t)), float(rng.uniform(0.55, 1.0))
