"""The anatomy of the chest phantom, seen from the front: the patient's right is on the left of the image.

Lengths are shares of the image's side, x to the right and y downwards, until something is painted. What is painted adds
up: rays are weakened by everything on their way. Air is 0, soft tissue about 1.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

from common.data.phantoms.mammogram_tissue import Line, draw_lines, smooth_noise

__all__ = ["Chest", "Floats", "Mask", "grid", "paint_body", "paint_bones", "paint_vessels", "sample_chest"]

LUNG = 0.28  # what lungs let remain of the chest's density
RIBS = 9
RIB, CLAVICLE, SPINE, VESSEL = 0.2, 0.26, 0.2, 0.34
HEART = 0.8  # how much of the lung before and behind it the heart replaces
TILT = math.radians(24)  # of the heart's axis

Floats = NDArray[np.float64]
Mask = NDArray[np.bool_]


@dataclass(frozen=True)
class Chest:
    """A chest.

    Args:
        middle: x of the spine.
        apex: y of the upper ends of the lungs.
        base: y of the outer lower corners of the right and of the left lung.
        half: half the width of the inside of the chest, at its widest.
        dome: height of the diaphragms above these corners.
        ratio: width of the heart / width of the inside of the chest.
        heart: x, y of its centre.
        tissue: density of the chest's soft tissue.
    """

    middle: float
    apex: float
    base: tuple[float, float]
    half: float
    dome: float
    ratio: float
    heart: tuple[float, float]
    tissue: float

    def edges(self, y: Floats) -> tuple[Floats, Floats]:
        """Return the distance of the lungs' inner and outer edges from the middle, at heights y; (H, 1) each."""
        t = np.clip((y - self.apex) / (max(self.base) - self.apex), 0, 1)
        outer = self.half * (0.44 + 0.56 * np.sin(np.clip(t / 0.72, 0, 1) * math.pi / 2) ** 0.8)
        shoulder = np.sqrt(np.clip(1 - (1 - np.clip(t / 0.16, 0, 1)) ** 2, 0, 1))
        inner = 0.052 + 0.05 * (1 - np.clip(t / 0.22, 0, 1)) ** 2 + 0.012 * np.sin(t * 2 * math.pi)
        return inner, inner + (outer - inner) * shoulder

    def floor(self, x: Floats, side: int) -> Floats:
        """Return the diaphragm's y below the right (0) or left (1) lung at places x; (1, W)."""
        u = np.abs(x - self.middle) / self.half
        return self.base[side] - self.dome * np.clip(1 - ((u - 0.42) / 0.6) ** 2, -0.3, 1)

    def lung(self, size: int, side: int) -> Mask:
        """Return where the right (0) or left (1) lung is, behind the heart too; (H, W)."""
        x, y = grid(size)
        away = (x - self.middle) * (1 if side else -1)
        inner, outer = self.edges(y)
        return (away > inner) & (away < outer) & (y > self.apex) & (y < self.floor(x, side))

    def heart_radius(self, x: Floats, y: Floats) -> Floats:
        """Return 0 in the heart's centre, 1 on its border, growing outwards; (H, W)."""
        half_width = self.ratio * self.half
        a = half_width / math.hypot(math.cos(TILT), 0.78 * math.sin(TILT))
        u, v = x - self.heart[0], y - self.heart[1]
        along, across = u * math.cos(TILT) + v * math.sin(TILT), v * math.cos(TILT) - u * math.sin(TILT)
        return (np.abs(along / a) ** 2.2 + np.abs(across / (0.78 * a)) ** 2.2) ** (1 / 2.2)


def grid(size: int) -> tuple[Floats, Floats]:
    """Return the pixels' centres in shares of the side, x (1, W) and y (H, 1)."""
    centres = (np.arange(size, dtype=np.float64) + 0.5) / size
    return centres[None], centres[:, None]


def sample_chest(enlarged: bool, person: Generator, position: Generator) -> Chest:
    """Draw a chest at random.

    Args:
        enlarged: whether its heart is enlarged: 0.56 to 0.66 of the chest's width, else 0.4 to 0.48.
        person: source of randomness of what all images of a person share.
        position: of what differs between them.
    """
    half, apex, base = person.uniform(0.36, 0.41), person.uniform(0.1, 0.14), person.uniform(0.8, 0.86)
    dome, normal, large = person.uniform(0.08, 0.12), person.uniform(0.4, 0.48), person.uniform(0.56, 0.66)
    tissue, lifted = person.uniform(0.85, 1.15), person.uniform(0.01, 0.035)
    middle, breath = 0.5 + position.normal(0, 0.012), position.normal(0, 0.015)
    half, base = half * position.uniform(0.97, 1.03), base + breath
    ratio = large if enlarged else normal
    # Mostly on the left; its lower end lies on the diaphragm.
    heart = (middle + 0.2 * ratio * half, base - 0.62 * dome - 0.6 * ratio * half)
    return Chest(middle, apex + 0.5 * breath, (base - lifted, base), half, dome, ratio, heart, tissue)


def paint_body(chest: Chest, size: int, rng: Generator) -> Floats:
    """Return the density of the soft tissue: chest wall, lungs, heart, great vessels, abdomen and shoulders; (H, W)."""
    x, y = grid(size)
    away = np.abs(x - chest.middle)
    soft = 0.006 * size
    # The arms' pits and the neck leave air beside the body.
    shoulder = chest.apex + 0.03 + 0.55 * np.clip(away - 0.3, 0, 1) ** 1.5 - 0.14 * np.clip((0.14 - away) / 0.05, 0, 1)
    flank = chest.half + 0.07 + 0.4 * np.clip(0.42 - y, 0, 1) ** 1.2
    body = gaussian_filter(((y > shoulder - 0.06) & (away < flank)).astype(float), 1.5 * soft)
    lungs = gaussian_filter((chest.lung(size, 0) | chest.lung(size, 1)).astype(float), soft)
    # The great vessels above the heart, with the arch of the aorta on the left, and the windpipe between the lungs.
    knob = np.hypot(x - chest.middle - 0.045, y - chest.apex - 0.2) < 0.042
    great = (away < 0.062 + 0.06 * np.clip(y - 0.3, 0, 1)) & (y > chest.apex + 0.12)
    centre = gaussian_filter(((chest.heart_radius(x, y) < 1) | knob | great).astype(float), 0.8 * soft)
    density = chest.tissue * body * (1 - (1 - LUNG) * lungs * (1 - HEART * centre))
    below = np.minimum(y - chest.floor(x, 0), y - chest.floor(x, 1)) > 0
    density += 0.35 * gaussian_filter(below.astype(float), soft) * body
    density -= 0.4 * _stomach(chest, size, rng) * body
    density += 0.12 * centre * body
    windpipe = np.exp(-(((x - chest.middle) / 0.018) ** 4)) * np.clip((chest.apex + 0.27 - y) / 0.04, 0, 1)
    density -= 0.28 * windpipe * body
    return np.asarray(density * (1 + 0.035 * smooth_noise((size, size), 1.3, rng)))


def _stomach(chest: Chest, size: int, rng: Generator) -> Floats:
    """Return the bubble of air below the left diaphragm, which not everybody shows."""
    x, y = grid(size)
    centre = chest.middle + rng.uniform(0.4, 0.55) * chest.half
    top = float(chest.floor(np.array([[centre]]), 1).item()) + 0.035
    bubble = np.hypot((x - centre) / rng.uniform(0.05, 0.09), (y - top - 0.02) / rng.uniform(0.02, 0.035))
    shown = float(rng.random() < 0.6)
    return shown * np.clip((1.2 - bubble) / 0.4, 0, 1)


def paint_bones(chest: Chest, size: int, rng: Generator) -> Floats:
    """Return the density of spine, ribs and collar bones; (H, W)."""
    x, y = grid(size)
    away = np.abs(x - chest.middle)
    lumps = 0.8 + 0.2 * np.cos(2 * math.pi * (y - chest.apex) / 0.058)
    spine = SPINE * np.exp(-((away / 0.034) ** 4)) * lumps * (y > 0.02)
    picture = np.zeros((size, size))
    spacing = (max(chest.base) - chest.apex) / (RIBS - 1.2)
    outer = chest.half * 1.04
    for number in range(RIBS):
        start = chest.apex + (number - 0.1) * spacing + rng.normal(0, 0.004)
        reach = outer * min(0.5 + 0.14 * number, 1.0)
        u = np.clip(away / reach, 0, 1)
        # From the spine a rib rises a little, then falls ever more steeply to the side.
        course = start - 0.035 * np.sin(np.clip(u / 0.55, 0, 1) * math.pi) + 0.16 * u**2.4
        picture += _band(y - course, 0.015) * np.clip((reach - away) / 0.012, 0, 1) * np.clip(away / 0.03 - 1, 0, 1)
        # Its front part comes back towards the middle, fainter and lower, and ends in cartilage.
        front = start + 0.1 + 0.1 * (1 - u) ** 0.9
        picture += 0.45 * _band(y - front, 0.015) * np.clip((reach - away) / 0.012, 0, 1) * np.clip(u * 4 - 1.6, 0, 1)
    picture *= RIB * (y < max(chest.base) + 0.06)
    slope = rng.uniform(0.1, 0.22)
    collar = chest.apex + 0.055 - slope * (away - 0.05) + 0.02 * np.sin(away * 18)
    picture += (
        CLAVICLE * _band(y - collar, 0.016) * np.clip((away - 0.045) / 0.01, 0, 1) * np.clip((0.36 - away) / 0.02, 0, 1)
    )
    return np.asarray(gaussian_filter(spine + picture, 0.003 * size))


def _band(distance: Floats, width: float) -> Floats:
    """Return a bone across its width, (H, W): brighter at its borders, as the ray meets more of its hard shell."""
    t = np.abs(distance) / (width / 2)
    return np.clip((1.15 - t) / 0.3, 0, 1) * (0.6 + 0.4 * np.clip(t, 0, 1) ** 2)


def paint_vessels(chest: Chest, size: int, rng: Generator) -> Floats:
    """Return the density of the lungs' vessels, which branch from the middle outwards and fade; (H, W)."""
    lines: list[Line] = []
    for side in (0, 1):
        sign = 1 if side else -1
        root = (chest.middle + sign * 0.075, chest.apex + (0.31 if side else 0.335))
        for _ in range(11):
            _grow(lines, root, rng.uniform(-1.25, 1.35), rng.uniform(0.009, 0.014), sign, size, rng)
    picture = gaussian_filter(draw_lines((size, size), lines), 0.0025 * size)
    x, y = grid(size)
    hilum = sum(
        np.exp(-(((x - chest.middle - sign * 0.085) / 0.03) ** 2) - (((y - chest.apex - 0.33) / 0.05) ** 2))
        for sign in (-1, 1)
    )
    return (VESSEL * picture + 0.2 * np.asarray(hilum)) * np.clip(3 * chest.heart_radius(x, y) - 2.4, 0.15, 1)


def _grow(
    lines: list[Line], root: tuple[float, float], angle: float, width: float, sign: int, size: int, rng: Generator
) -> None:
    """Add a vessel with its branches; it gets thinner and fainter towards its end."""
    length = rng.uniform(0.14, 0.26) * (width / 0.013) ** 0.5
    t = np.linspace(0, 1, 12)
    turn = angle + np.cumsum(rng.normal(0, 0.07, 12))
    points = np.stack(
        [root[0] + sign * length * np.cumsum(np.cos(turn)) / 12, root[1] + length * np.cumsum(np.sin(turn)) / 12], 1
    )
    lines.append((points * size, np.maximum(width * (1 - 0.7 * t) * size, 0.4), float(min(width / 0.014, 1) ** 1.3)))
    if width > 0.0055:
        for place in rng.choice(np.arange(4, 12), 3, replace=False):
            start = (float(points[place, 0]), float(points[place, 1]))
            _grow(lines, start, angle + rng.uniform(-0.7, 0.7), width * rng.uniform(0.45, 0.62), sign, size, rng)
