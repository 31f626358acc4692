"""What the exam phantom may hold: the findings, and what looks like them and is none.

Each finding has its form from a stream that both views of a breast share, so that they show the same thing from two
directions.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from common.data.phantoms.exam_description import Lesion
from common.data.phantoms.exam_tissue import Floats, Frame, Mask, pixel_grid
from common.data.phantoms.mammogram_tissue import Line, draw_lines

__all__ = ["Shadow", "paint_fold", "paint_islands", "paint_lesion", "paint_lone_specks", "paint_vessels"]

Shadow = tuple[Floats, Mask]
"""What a finding adds, (H, W) from 0 to about 1, and where it can be seen, (H, W)."""

VISIBLE = 0.3  # of the full brightness; what is fainter is not part of a mass
# Width of the border of a mass, in radii.
BORDER = {"circumscribed": 0.2, "obscured": 0.3, "microlobulated": 0.25, "indistinct": 0.9, "spiculated": 0.4}
# Sizes and brightness of specks beside those of round ones, by morphology.
SPECKS = {
    "popcorn": (1.5, 1.0),
    "round": (1.0, 1.0),
    "amorphous": (1.3, 0.85),
    "pleomorphic": (1.0, 1.0),
    "branching": (1.0, 1.0),
}
SPECK_SIGMA = (0.0068, 0.0115)  # of a speck / side of the image: 0.65 to 1.1 pixels of 96
REACH = 0.03  # how far round a speck its group reaches, in shares of the side
SPICULES = 0.7  # brightness of spicules beside that of the mass
LINE_WIDTH = 0.019  # of spicules and distorted tissue, in shares of the side


def paint_lesion(lesion: Lesion, frame: Frame, specks: tuple[int, int], form: Generator) -> Shadow:
    """Return a finding as a view shows it.

    Args:
        lesion: what and where it is.
        frame: of the view.
        specks: fewest and most of a group of calcifications.
        form: source of randomness, in the same state for both views.
    """
    place = frame.place(lesion.depth, lesion.outer, lesion.upper)
    radius = lesion.radius * frame.size
    if lesion.finding.type == "mass":
        return _mass(lesion, frame, place, radius, form)
    if lesion.finding.type == "calcification":
        return _calcifications(lesion, frame, place, radius, specks, form)
    if lesion.finding.type == "distortion":
        return _distortion(frame, place, radius, form)
    return _asymmetry(frame, place, radius, form)


def _mass(lesion: Lesion, frame: Frame, place: tuple[float, float], radius: float, form: Generator) -> Shadow:
    shape, margin = lesion.finding.shape, lesion.finding.margin or "circumscribed"
    x, y = _from(frame.size, place)
    turn = form.uniform(0, math.pi) + (0.5 if frame.oblique else 0.0)
    angle = np.arctan2(y, x) - turn
    slim = {"round": 1.0, "oval": 0.62, "irregular": 0.85}[shape or "round"]
    distance = np.hypot(x * math.cos(turn) + y * math.sin(turn), (y * math.cos(turn) - x * math.sin(turn)) / slim)
    outline = np.ones_like(distance)
    if shape == "irregular":
        for period, (height, phase) in zip((2, 3, 5), form.uniform(0.5, 1, (3, 2)), strict=True):
            outline += 0.15 * height * np.cos(period * angle + 2 * math.pi * phase)
    if margin == "microlobulated":
        outline += 0.13 * np.cos(9 * angle)
    width = BORDER[margin] * np.ones_like(distance)
    if margin == "obscured":  # one half fades into the tissue
        width += 1.0 * (np.cos(angle - 1) > 0) * np.cos(angle - 1)
    shadow = np.clip(0.5 + (outline - distance / radius) / np.maximum(width, 1.0 / radius), 0, 1)
    if margin == "spiculated":
        rays = _rays(place, frame.size, int(form.integers(9, 14)), (0.6 * radius, 2.1 * radius), form)
        shadow = np.maximum(shadow, SPICULES * rays)
    return shadow, shadow > VISIBLE


def _calcifications(
    lesion: Lesion, frame: Frame, place: tuple[float, float], radius: float, number: tuple[int, int], form: Generator
) -> Shadow:
    morphology, distribution = lesion.finding.morphology or "round", lesion.finding.distribution
    count = int(form.integers(*number, endpoint=True))
    scatter = form.standard_normal((count, 3), dtype=np.float32)
    scatter /= np.maximum(np.linalg.norm(scatter, axis=1, keepdims=True), 1e-6)
    scatter *= form.random((count, 1), dtype=np.float32) ** (1 / 3)
    along = form.uniform(-1, 1, (count, 1)).astype(np.float32)
    direction = form.standard_normal(3).astype(np.float32) * (1, 0.7, 0.7)
    direction = (direction / np.linalg.norm(direction)).astype(np.float32)
    if distribution == "linear":
        scatter = along * direction + 0.12 * scatter
    elif distribution == "segmental":  # a wedge that opens away from the nipple
        scatter = along * np.array([-1, 0, 0], np.float32) + 0.5 * (0.6 + 0.5 * along) * scatter
    size, brightness = SPECKS[morphology]
    spread = 0.45 if morphology == "pleomorphic" else 0.2
    levels = brightness * form.uniform(1 - spread, 1 + spread, count)
    sigmas = size * frame.size * form.uniform(*SPECK_SIGMA, count)
    places = np.array(place, np.float32) + frame.project(radius * scatter)
    if morphology == "branching":  # each speck is a short line
        step = frame.project((1.3 * sigmas[:, None] * direction).astype(np.float32))
        places = np.concatenate([places - step, places, places + step])
        sigmas, levels = np.tile(0.8 * sigmas, 3), np.tile(levels, 3)
    shadow, nearest = _specks(places, sigmas, levels, frame.size)
    return shadow, nearest < REACH * frame.size


def _distortion(frame: Frame, place: tuple[float, float], radius: float, form: Generator) -> Shadow:
    """Return lines that run towards a point where nothing is."""
    lines = _rays(place, frame.size, int(form.integers(5, 9)), (0.18 * radius, 1.15 * radius), form)
    x, y = _from(frame.size, place)
    return lines, np.hypot(x, y) < radius


def _asymmetry(frame: Frame, place: tuple[float, float], radius: float, form: Generator) -> Shadow:
    x, y = _from(frame.size, place)
    turn = form.uniform(0, math.pi)
    along, across = x * math.cos(turn) + y * math.sin(turn), y * math.cos(turn) - x * math.sin(turn)
    shadow = np.exp(-((np.hypot(along, across / form.uniform(0.6, 0.9)) / (0.85 * radius)) ** 2))
    return shadow, shadow > VISIBLE


def _rays(place: tuple[float, float], size: int, count: int, reach: tuple[float, float], form: Generator) -> Floats:
    """Return straight lines that spread from a point, between two distances from it, (H, W) from 0 to 1."""
    angles = (np.arange(count) + form.uniform(-0.3, 0.3, count)) * 2 * math.pi / count + form.uniform(0, 2 * math.pi)
    ends = reach[1] * form.uniform(0.8, 1.0, count)
    width = max(LINE_WIDTH * size, 1.2)
    lines: list[Line] = []
    for angle, end in zip(angles, ends, strict=True):
        distances = np.linspace(reach[0], end, 4)[:, None]
        points = np.array(place) + distances * [math.cos(angle), math.sin(angle)]
        lines.append((points, np.linspace(width, 0.6 * width, 4), 1.0))
    return draw_lines((size, size), lines).astype(np.float32)


def _specks(places: Floats, sigmas: NDArray[Any], levels: NDArray[Any], size: int) -> tuple[Floats, Floats]:
    """Return round specks at places (n, 2) in pixels, and the distance of each pixel from the nearest, (H, W) both.

    Where two overlap the brighter one is seen, so that a dense group stays a group of specks.
    """
    if not len(places):
        return np.zeros((size, size), np.float32), np.full((size, size), np.inf, np.float32)
    x, y = pixel_grid(size)
    squared = (x - places[:, 0, None, None]) ** 2 + (y - places[:, 1, None, None]) ** 2
    width = (-0.5 / sigmas**2).astype(np.float32)[:, None, None]
    shadow = (levels.astype(np.float32)[:, None, None] * np.exp(squared * width)).max(0)
    return shadow, np.sqrt(squared.min(0))


def paint_islands(
    frame: Frame, count: int, radius: tuple[float, float], contrast: tuple[float, float], rng: Generator
) -> Floats:
    """Return islands of dense tissue, (H, W) in shares of white: longish, with a soft border, as bright as masses.

    Args:
        frame: of the view.
        count: how many.
        radius: shortest and longest mean radius / side of the image.
        contrast: lowest and highest.
        rng: source of randomness.
    """
    picture = np.zeros((frame.size, frame.size), np.float32)
    for _ in range(count):
        x, y = _from(frame.size, _anywhere(frame, rng))
        turn, slim = rng.uniform(0, math.pi), math.sqrt(rng.uniform(0.35, 0.6))
        along, across = x * math.cos(turn) + y * math.sin(turn), y * math.cos(turn) - x * math.sin(turn)
        distance = np.hypot(along * slim, across / slim) / (rng.uniform(*radius) * frame.size)
        picture += rng.uniform(*contrast) * np.clip(0.5 + (1 - distance) / 1.1, 0, 1)
    return picture


def paint_vessels(frame: Frame, count: int, rng: Generator) -> Floats:
    """Return curved lines from the chest wall on, (H, W) from 0 to 1."""
    lines: list[Line] = []
    t = np.linspace(0, 1, 12)[:, None]
    for _ in range(count):
        start = np.array([0.0, frame.level + rng.uniform(-0.7, 0.7) * frame.tall])
        end = np.array([rng.uniform(0.5, 0.95) * frame.deep, frame.level + rng.uniform(-0.4, 0.4) * frame.tall])
        bend = (start + end) / 2 + rng.normal(0, 0.08 * frame.size, 2)
        points = (1 - t) ** 2 * start + 2 * t * (1 - t) * bend + t**2 * end
        width = rng.uniform(0.010, 0.018) * frame.size
        lines.append((points, np.linspace(width, 0.6 * width, 12), float(rng.uniform(0.5, 1.0))))
    size = (frame.size, frame.size)
    return draw_lines(size, lines).astype(np.float32) if lines else np.zeros(size, np.float32)


def paint_lone_specks(frame: Frame, count: int, contrast: tuple[float, float], rng: Generator) -> Floats:
    """Return single specks, (H, W) in shares of white, each alone and as bright as calcifications."""
    places = np.array([_anywhere(frame, rng) for _ in range(count)], np.float32).reshape(-1, 2)
    sigmas, levels = frame.size * rng.uniform(*SPECK_SIGMA, count), rng.uniform(*contrast, count)
    return _specks(places, sigmas, levels, frame.size)[0]


def paint_fold(frame: Frame, rng: Generator) -> Floats:
    """Return a fold of the skin at the lower end of an oblique view, (H, W) from 0 to 1."""
    height = frame.level + rng.uniform(0.55, 0.8) * frame.tall
    x = np.linspace(0, rng.uniform(0.3, 0.5) * frame.deep, 8)
    points = np.stack([x, height + rng.uniform(-0.3, 0.3) * x], axis=1)
    line: Line = (points, np.full(8, 0.02 * frame.size), 1.0)
    return draw_lines((frame.size, frame.size), [line]).astype(np.float32)


def _anywhere(frame: Frame, rng: Generator) -> tuple[float, float]:
    """Return x, y of a place inside the breast."""
    return frame.place(float(rng.uniform(0.1, 0.85)), float(rng.uniform(-0.75, 0.75)), float(rng.uniform(-0.3, 0.3)))


def _from(size: int, place: tuple[float, float]) -> tuple[Floats, Floats]:
    """Return the pixels' distances from a place, x (1, W) and y (H, 1)."""
    x, y = pixel_grid(size)
    return x - np.float32(place[0]), y - np.float32(place[1])
