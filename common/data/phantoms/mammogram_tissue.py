"""The breast of a mammography phantom before any lesion: outline, muscle, dense tissue, vessels."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray
from PIL import Image, ImageDraw
from scipy import ndimage

__all__ = ["Breast", "Line", "draw_lines", "paint_tissue", "sample_breast", "sample_vessels", "smooth_noise"]

SUPERSAMPLING = 3  # of lines, which are thinner than a pixel
FAT, MUSCLE = 0.27, 0.3  # brightness of fat, and what the muscle adds

Floats = NDArray[np.float64]
Line = tuple[Floats, Floats, float]  # points (n, 2) x, y; widths (n,); brightness from 0 to 1


@dataclass(frozen=True, eq=False)
class Breast:
    """A left breast: the chest wall is at x = 0.

    Args:
        depth: (H,) distance of the skin from the chest wall in each row, in pixels; 0 where there is no breast.
        width: of the image, in pixels.
        nipple: x, y in pixels.
        muscle: corner of the pectoral muscle, (x at the top, y at the chest wall) in pixels; 0, 0 where it is not seen.
        distance: (H, W) distance from the skin in pixels, 0 outside.
    """

    depth: Floats
    width: int
    nipple: tuple[float, float]
    muscle: tuple[float, float]
    distance: Floats

    @property
    def inside(self) -> NDArray[np.bool_]:
        """(H, W) whether a pixel is breast."""
        return self.distance > 0

    def beyond_muscle(self, softness: float) -> Floats:
        """Return (H, W) from 0 in the muscle to 1 outside of it, with a ramp of the given width in pixels."""
        x, y = _grid(*self.distance.shape)
        across, down = self.muscle
        if across <= 0:
            return np.ones(self.distance.shape)
        bulge = 0.12 * across * np.sin(np.pi * np.clip(y / down, 0, 1))
        return np.clip(0.5 + (x - across * (1 - y / down) - bulge) / softness, 0, 1)


def sample_breast(size: tuple[int, int], oblique: bool, shape: Generator, position: Generator) -> Breast:
    """Draw a breast at random.

    Args:
        size: height and width of the image, in pixels.
        oblique: seen from the side (MLO) instead of from above (CC).
        shape: source of randomness of what both views of a breast share.
        position: of what differs between them.
    """
    height, width = size
    deep, tall = shape.uniform(0.6, 0.86), shape.uniform(0.33, 0.42)
    deep, tall = deep * position.uniform(0.95, 1.05), tall * position.uniform(0.96, 1.04)
    v = (np.arange(height) + 0.5) / height
    if oblique:
        level = position.uniform(0.55, 0.62)
        above = np.clip((level - v) / level, 0, 1)
        top = position.uniform(0.3, 0.45)
        upper = top + (1 - top) * np.cos(above * np.pi / 2) ** 1.3
        lower = np.sqrt(np.clip(1 - np.abs((v - level) / (0.94 - level)) ** 2.3, 0, 1))
        profile = np.where(v < level, upper, lower)
        muscle = (width * position.uniform(0.35, 0.5), height * position.uniform(0.4, 0.55))
    else:
        level = position.uniform(0.46, 0.54)
        profile = np.clip(1 - (np.abs(v - level) / tall) ** 2.2, 0, 1) ** 0.55
        muscle = (0.0, 0.0)
    waves = ndimage.gaussian_filter1d(position.normal(size=height), height * 0.06) * height**0.5
    depth = deep * width * profile * (1 + 0.009 * waves)
    depth[profile == 0] = 0
    nipple = (float(depth[int(level * height)]), level * height)
    x, y = _grid(height, width)
    bump = np.hypot(x - nipple[0], (y - nipple[1]) * 0.9) < 0.013 * height + 1
    inside = (x < depth[:, None]) | bump
    # The chest wall is no skin: the breast goes on there.
    distance = ndimage.distance_transform_edt(np.pad(inside, ((0, 0), (width, 0)), mode="edge"))[:, width:]
    return Breast(depth, width, nipple, muscle, distance)


def paint_tissue(breast: Breast, density: float, rng: Generator) -> Floats:
    """Return the breast without vessels and lesions, (H, W) from 0 to about 0.7; air is 0.

    Args:
        breast: its anatomy.
        density: share of dense tissue, 0 to 1.
        rng: source of randomness.
    """
    height, width = breast.distance.shape
    x, y = _grid(height, width)
    thickness = 1 - np.exp(-breast.distance / (0.07 * width))
    skin = 0.1 * np.exp(-(((breast.distance - 1) / (0.006 * height + 0.5)) ** 2))
    texture = smooth_noise((height, width), 1.6, rng)
    # Dense tissue lies behind the nipple, like a fan.
    behind = np.hypot((x - 0.55 * breast.nipple[0]) / (0.4 * breast.nipple[0]), (y - breast.nipple[1]) / (0.2 * height))
    share = 1 / (1 + np.exp(-3.5 * (texture + 2.4 * density - 0.9 - 0.9 * (behind - 0.7))))
    share *= breast.beyond_muscle(0.12 * width)
    angle = np.arctan2(y - breast.nipple[1], breast.nipple[0] + 0.05 * width - x)
    knots = np.linspace(-math.pi, math.pi, 181)
    rays = np.interp(angle, knots, ndimage.gaussian_filter1d(rng.normal(size=181), 1.2) * 1.8)
    picture = thickness * (FAT + 0.035 * texture + 0.022 * rays * (0.4 + share) + 0.19 * share * (1 + 0.18 * texture))
    muscle = 1 - breast.beyond_muscle(0.03 * width)
    fibres = 0.05 * np.sin((x + 0.55 * y + 3 * texture) * 2 * math.pi / (0.07 * height))
    picture += MUSCLE * muscle * (1 - 0.5 * y / height + fibres) * thickness
    return np.where(breast.inside, picture + skin, 0)


def sample_vessels(breast: Breast, count: int, rng: Generator) -> list[Line]:
    """Return thin curved lines across the breast: vessels from the chest wall, ligaments towards the nipple."""
    height = breast.distance.shape[0]
    lines = []
    for _ in range(count):
        start = np.array([0.0, breast.nipple[1] + rng.uniform(-0.3, 0.3) * height])
        reach = rng.uniform(0.5, 0.95)
        end = np.array([reach * breast.nipple[0], breast.nipple[1] + rng.uniform(-0.22, 0.22) * height])
        bend = (start + end) / 2 + rng.normal(0, 0.06 * height, 2)
        t = np.linspace(0, 1, 24)[:, None]
        points = (1 - t) ** 2 * start + 2 * t * (1 - t) * bend + t**2 * end
        points[:, 1] += ndimage.gaussian_filter1d(rng.normal(size=24), 2.5) * 0.012 * height
        thick = rng.uniform(0.005, 0.009) * height
        lines.append((points, np.linspace(thick, 0.55 * thick, 24), float(rng.uniform(0.5, 1.0))))
    return lines


def draw_lines(size: tuple[int, int], lines: Sequence[Line]) -> Floats:
    """Return the brightness of lines, (H, W) from 0 to 1, the brighter one where they cross."""
    height, width = size
    canvas = Image.new("L", (width * SUPERSAMPLING, height * SUPERSAMPLING))
    draw = ImageDraw.Draw(canvas)
    for points, widths, brightness in sorted(lines, key=lambda line: line[2]):
        corners = (points * SUPERSAMPLING).tolist()
        for start, end, thick in zip(corners, corners[1:], widths.tolist(), strict=False):
            level = round(255 * brightness)
            draw.line((*start, *end), fill=level, width=max(round(thick * SUPERSAMPLING), 1))
    return np.asarray(canvas.reduce(SUPERSAMPLING), dtype=np.float64) / 255


def smooth_noise(size: tuple[int, int], slope: float, rng: Generator) -> Floats:
    """Return noise whose amplitude falls with frequency^slope, mean 0 and standard deviation 1, (H, W)."""
    height, width = size
    frequency = np.hypot(np.fft.fftfreq(height)[:, None], np.fft.rfftfreq(width)[None])
    frequency[0, 0] = np.inf  # no mean
    spectrum = np.fft.rfft2(rng.normal(size=size)) / np.maximum(frequency, 2 / height) ** slope
    noise = np.fft.irfft2(spectrum, s=size)
    return noise / noise.std()


def _grid(height: int, width: int) -> tuple[Floats, Floats]:
    """Return the pixels' centres, x (1, W) and y (H, 1)."""
    return np.arange(width, dtype=np.float64)[None] + 0.5, np.arange(height, dtype=np.float64)[:, None] + 0.5
