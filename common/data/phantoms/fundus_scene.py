"""The anatomy of a fundus phantom: where disc, cup, macula and vessels are, before anything is painted."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from common.data.phantoms.fundus_settings import FundusSettings

__all__ = ["Ellipse", "FundusScene", "Vessel", "sample_eye", "sample_vessels"]

STEP = 0.025  # of the field's radius, between the points of a vessel
DEEPEST = 2  # how often vessels branch
SMALLEST_WIDTH = 0.006  # of the field's radius; thinner vessels are not drawn


@dataclass(frozen=True)
class Ellipse:
    """An ellipse in pixels.

    Args:
        x: of the centre.
        y: of the centre.
        a: semi-axis that is horizontal without rotation.
        b: the other one.
        angle: of rotation, in radians.
    """

    x: float
    y: float
    a: float
    b: float
    angle: float

    def radius(self, x: NDArray[np.float64], y: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return 0 in the centre, 1 on the border, growing linearly outwards."""
        u, v = x - self.x, y - self.y
        cosine, sine = math.cos(self.angle), math.sin(self.angle)
        return np.hypot((u * cosine + v * sine) / self.a, (v * cosine - u * sine) / self.b)

    @property
    def height(self) -> float:
        """The extent from the uppermost to the lowest point."""
        return 2 * math.hypot(self.a * math.sin(self.angle), self.b * math.cos(self.angle))


@dataclass(frozen=True)
class FundusScene:
    """An eye.

    Args:
        width: of the picture, in pixels.
        height: of the picture, in pixels.
        temporal: +1 if the macula lies to the right of the disc, else -1.
        disc: the optic disc.
        cup: inside the disc.
        macula: x, y of its centre.
    """

    width: int
    height: int
    temporal: int
    disc: Ellipse
    cup: Ellipse
    macula: tuple[float, float]

    @property
    def ratio(self) -> float:
        """The vertical cup-to-disc ratio, which decides the label."""
        return self.cup.height / self.disc.height


@dataclass(frozen=True, eq=False)
class Vessel:
    """A piece of an artery or a vein between two branchings.

    Args:
        points: (n, 2) x, y in pixels.
        widths: (n,) in pixels.
        vein: veins are darker.
    """

    points: NDArray[np.float64]
    widths: NDArray[np.float64]
    vein: bool


def sample_eye(settings: FundusSettings, width: int, height: int, positive: bool, rng: Generator) -> FundusScene:
    """Draw an eye at random.

    The size of the disc, its place, tilt and shape, and the cup's width and place have the same distribution in both
    classes; the label is in the ratio of the heights alone.
    """
    field = min(width, height) / 2
    temporal = 1 if rng.random() < 0.5 else -1
    b = rng.uniform(*settings.disc) * width / 2
    a, tilt = b * rng.uniform(0.85, 0.98), rng.uniform(-0.25, 0.25)
    room = field - b * 1.15
    x = width / 2 - temporal * min(rng.uniform(0.1, 0.4) * field, 0.8 * room)
    y = height / 2 + rng.uniform(-0.15, 0.15) * min(field, 2 * room)
    disc = Ellipse(x, y, a, b, tilt)
    cup = _sample_cup(disc, rng.uniform(*(settings.glaucoma if positive else settings.healthy)), rng)
    macula = (x + temporal * rng.uniform(0.8, 0.95) * field, y + rng.uniform(0.05, 0.2) * field)
    return FundusScene(width, height, temporal, disc, cup, macula)


def _sample_cup(disc: Ellipse, ratio: float, rng: Generator) -> Ellipse:
    """Return a cup of exactly this height inside the disc, wider or narrower than the disc would suggest."""
    slimness = rng.uniform(0.85, min(1.1, 0.95 / ratio))
    cosine, sine = math.cos(disc.angle), math.sin(disc.angle)
    scale = ratio * disc.height / 2 / math.hypot(slimness * disc.a * sine, disc.b * cosine)
    # In the disc's own coordinates, where the disc has radius 1, the cup's centre may move by what is left.
    distance = rng.uniform(0, 0.6) * (1 - scale * max(slimness, 1.0))
    direction = rng.uniform(-math.pi, math.pi)
    u, v = distance * disc.a * math.cos(direction), distance * disc.b * math.sin(direction)
    x, y = disc.x + u * cosine - v * sine, disc.y + u * sine + v * cosine
    return Ellipse(x, y, slimness * scale * disc.a, scale * disc.b, disc.angle)


def sample_vessels(scene: FundusScene, rng: Generator) -> list[Vessel]:
    """Draw the vessels of an eye at random.

    An artery and a vein run from the disc into each quarter; the temporal ones arch round the macula.
    """
    field = min(scene.width, scene.height) / 2
    vessels: list[Vessel] = []
    # Angles from the temporal horizontal, upwards: where a trunk starts and where it turns to.
    for side in (1, -1):
        for start, end, bend in ((rng.uniform(70, 95), 0.0, 0.035), (rng.uniform(105, 130), 160.0, 0.03)):
            for vein in (True, False):
                angle = side * (start + rng.uniform(-10, 10))
                width = rng.uniform(0.034, 0.046) * (1.0 if vein else 0.75)
                origin = (
                    scene.cup.x - scene.temporal * 0.6 * scene.cup.a,
                    scene.cup.y + rng.normal(0, 0.05) * scene.cup.b,
                )
                trunk = (*origin, math.radians(angle), width)
                vessels += _grow(scene, field, trunk, (math.radians(side * end), bend), vein, 0, rng)
    return vessels


def _grow(
    scene: FundusScene,
    field: float,
    start: tuple[float, float, float, float],
    course: tuple[float, float],
    vein: bool,
    depth: int,
    rng: Generator,
) -> list[Vessel]:
    """Return a vessel with its branches, from its start (x, y, angle, width) along its course (final angle, bend)."""
    x, y, angle, width = start
    final, bend = course
    points, widths, branches = [(x, y)], [width * field], []
    wiggle = 0.0
    while math.hypot(x - scene.width / 2, y - scene.height / 2) < field and width > SMALLEST_WIDTH:
        wiggle = 0.8 * wiggle + rng.normal(0, 0.05)
        angle += bend * (final - angle) + wiggle
        x += scene.temporal * math.cos(angle) * STEP * field
        y -= math.sin(angle) * STEP * field
        width *= 0.985
        points.append((x, y))
        widths.append(width * field)
        if depth < DEEPEST and len(points) > 6 and rng.random() < 0.07:
            turn = math.radians(rng.uniform(25, 50)) * (1 if rng.random() < 0.5 else -1)
            branch = (x, y, angle + turn, width * rng.uniform(0.5, 0.7))
            branches += _grow(scene, field, branch, (angle + 1.5 * turn, 0.02), vein, depth + 1, rng)
            width *= 0.9
    return [Vessel(np.array(points), np.array(widths), vein), *branches]
