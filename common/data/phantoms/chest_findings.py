"""What the chest phantom may hold: fluid, air and shadows in the lungs, each with the pixels it covers."""

from __future__ import annotations

import math

import numpy as np
from numpy.random import Generator
from scipy.ndimage import distance_transform_edt, gaussian_filter

from common.data.phantoms.chest_anatomy import Chest, Floats, Mask, grid
from common.data.phantoms.mammogram_tissue import smooth_noise

__all__ = [
    "Shadow",
    "enlarged_heart",
    "find_room",
    "lung_edge",
    "paint_cloud",
    "paint_round",
    "pleural_air",
    "pleural_fluid",
]

VISIBLE = 0.3  # of the full density; what is fainter is not part of a finding
LOBES = np.arange(2, 6)  # periods of the waves along a mass's outline

Shadow = tuple[Floats, Mask]
"""What a finding adds, (H, W) from 0 to 1, and where it can be seen, (H, W)."""


def enlarged_heart(chest: Chest, size: int) -> Mask:
    """Return the heart's outline as far as it stands above the diaphragm."""
    x, y = grid(size)
    above = y < np.minimum(chest.floor(x, 0), chest.floor(x, 1)) + 0.02
    return (chest.heart_radius(x, y) < 1) & above


def pleural_fluid(chest: Chest, side: int, size: int, rng: Generator) -> Shadow:
    """Return fluid beside the heart, in the lower part of one side: it rises outwards and hides the diaphragm.

    Args:
        chest: its anatomy.
        side: 0 right, 1 left.
        size: of the image, in pixels.
        rng: source of randomness.
    """
    x, y = grid(size)
    lung = chest.lung(size, side) & (chest.heart_radius(x, y) > 1)
    outward = np.clip((x - chest.middle) * (1 if side else -1) / chest.half, 0, 1)
    surface = chest.base[side] - 0.01 - rng.uniform(0.2, 0.34) * outward**2.3
    depth = np.clip((y - surface) / 0.035, 0, 1)
    fluid = lung & (y > surface)
    return gaussian_filter(depth * lung, 0.005 * size), fluid & (depth > VISIBLE)


def pleural_air(chest: Chest, side: int, size: int, rng: Generator) -> Mask:
    """Return where air has pushed the lung off the chest wall: widest at the upper end, tapering at the side."""
    x, y = grid(size)
    away = (x - chest.middle) * (1 if side else -1)
    outer = chest.edges(y)[1]
    t = np.clip((y - chest.apex) / (chest.base[side] - chest.apex), 0, 1)
    thickness = chest.half * rng.uniform(0.28, 0.45)
    reach = rng.uniform(0.4, 0.55)
    border = outer - thickness * np.clip(1 - t / reach, 0, 1) ** 0.6
    return chest.lung(size, side) & ((away > border) | (y < chest.apex + 0.42 * thickness)) & (t < reach)


def lung_edge(air: Mask, lung: Mask) -> Floats:
    """Return the fine line of the lung's own border next to air, (H, W) from 0 to 1."""
    inside = distance_transform_edt(~air)
    width = max(0.004 * len(air), 0.8)
    deep = distance_transform_edt(lung) > 2 * width
    return np.asarray(np.exp(-(((inside - width) / width) ** 2)) * lung * ~air * deep)


def find_room(free: Mask, room: float, rng: Generator) -> tuple[float, float]:
    """Return x, y in pixels of a random place.

    Args:
        free: (H, W) where a finding may be.
        room: wanted distance from its border, in pixels; less where there is none.
        rng: source of randomness.
    """
    distance = distance_transform_edt(free)
    ys, xs = np.nonzero(distance >= min(room, 0.85 * float(distance.max())))
    choice = int(rng.integers(len(xs)))
    return float(xs[choice]) + 0.5, float(ys[choice]) + 0.5


def paint_round(place: tuple[float, float], radius: float, lobes: float, size: int, rng: Generator) -> Shadow:
    """Return a round shadow with a clear border.

    Args:
        place: x, y of its centre, in pixels.
        radius: its mean, in pixels.
        lobes: how uneven its outline is; 0 is a disc.
        size: of the image, in pixels.
        rng: source of randomness.
    """
    x, y = (place_of * size - centre for place_of, centre in zip(grid(size), place, strict=True))
    distance, angle = np.hypot(x, y), np.arctan2(y, x)
    outline = np.ones((size, size))
    for period, wave in zip(LOBES, rng.normal(size=(len(LOBES), 2)) * lobes / LOBES[:, None] ** 0.6, strict=True):
        outline += wave[0] * np.cos(period * angle) + wave[1] * np.sin(period * angle)
    border = radius * np.clip(outline, 0.75, 1.3)
    shape = np.clip(0.5 + (border - distance) / max(0.22 * radius, 1.0), 0, 1)
    shape *= 1 - 0.25 * np.clip(distance / radius, 0, 1.3) ** 2
    return shape, shape > VISIBLE


def paint_cloud(free: Mask, place: tuple[float, float], radius: float, rng: Generator) -> Shadow:
    """Return a patchy shadow without border, as infiltrates have, brighter in flecks.

    Args:
        free: (H, W) where it may be.
        place: x, y of its centre, in pixels.
        radius: where it has faded to half on average, in pixels.
        rng: source of randomness.
    """
    size = len(free)
    x, y = (place_of * size - centre for place_of, centre in zip(grid(size), place, strict=True))
    turn, slim = rng.uniform(0, math.pi), rng.uniform(0.75, 1.0)
    along, across = x * math.cos(turn) + y * math.sin(turn), y * math.cos(turn) - x * math.sin(turn)
    coarse, fine = smooth_noise((size, size), 1.6, rng), smooth_noise((size, size), 0.6, rng)
    fall = 1 / (1 + np.exp(5 * (np.hypot(along, across / slim) / radius - 1 - 0.3 * coarse)))
    flecks = gaussian_filter(fine, 0.008 * size)
    cloud = fall * np.clip(0.62 + 0.3 * flecks / flecks.std(), 0.08, 1.1)
    cloud = cloud * gaussian_filter(free.astype(float), 0.006 * size)
    return cloud, (fall > VISIBLE) & free
