"""Regular star polygons {p/q}: their geometry, and how they are drawn.

{p/q} has p vertices spaced evenly on a circle and joins each to the q-th next one: {3/1} is a triangle, {5/1} a
pentagon, {5/2} a five-pointed star. Where p and q share a divisor the figure falls into several copies: {6/2} is two
triangles. A circle is written {-1/1}, the notation of the generator in the xML repository this one follows.

Coordinates are continuous, x to the right, y down: the pixel in row i and column j covers [j, j+1) x [i, i+1), and its
centre is (j + 0.5, i + 0.5). Everything is drawn from exact distances to the outline, not from rounded vertices.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

__all__ = [
    "CIRCLE",
    "TRIANGLE",
    "PlacedShape",
    "Raster",
    "StarPolygon",
    "outline_distance",
    "rasterise",
    "star_edges",
    "star_vertices",
    "step_choices",
    "winding_number",
]

Floats = NDArray[np.float64]

_NAMES = {
    (-1, 1): "circle",
    (3, 1): "triangle",
    (4, 1): "square",
    (5, 1): "pentagon",
    (6, 1): "hexagon",
    (7, 1): "heptagon",
    (8, 1): "octagon",
    (5, 2): "pentagram",
    (6, 2): "hexagram",
}


def step_choices(p: int) -> range:
    """Return the steps q that give different polygons of p vertices: 1 <= q < p/2.

    From p/2 on the same figures come back ({5/3} is {5/2} walked the other way), and {4/2} is a pair of lines.
    """
    return range(1, (p + 1) // 2)


@dataclass(frozen=True, order=True)
class StarPolygon:
    """What a figure is, without place or size.

    Args:
        p: number of vertices, at least 3; or -1 for a circle.
        q: each vertex is joined to the q-th next one; see `step_choices`.

    Raises:
        ValueError: if there is no such polygon.
    """

    p: int
    q: int = 1

    def __post_init__(self) -> None:
        if self.p == -1 and self.q == 1:
            return
        if self.p < 3:
            raise ValueError(f"polygon {self.p}/{self.q}: a polygon needs at least 3 vertices; or write 'circle'")
        if self.q not in step_choices(self.p):
            known = ", ".join(f"{self.p}/{q}" for q in step_choices(self.p))
            raise ValueError(f"polygon {self.p}/{self.q} does not exist; with {self.p} vertices there are: {known}")

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read 'circle' or 'p/q', for example '3/1' (triangle) or '5/2' (five-pointed star)."""
        if text == "circle":
            return cls(-1)
        p, slash, q = text.partition("/")
        if not (slash and p.isdecimal() and q.isdecimal()):
            raise ValueError(f"'{text}' is no polygon; write 'circle' or p/q, for example 3/1 for a triangle")
        return cls(int(p), int(q))

    def __str__(self) -> str:
        return "circle" if self.is_circle else f"{self.p}/{self.q}"

    @property
    def is_circle(self) -> bool:
        """Whether this is the circle, which has no vertices."""
        return self.p == -1

    @property
    def name(self) -> str:
        """The figure in words, for example 'triangle' or 'star 7/3'."""
        kind = "polygon" if self.q == 1 else "star"
        return _NAMES.get((self.p, self.q), f"{kind} {self}")

    def is_made_of(self, other: StarPolygon) -> bool:
        """Whether this figure is the other one, or several rotated copies of it: {6/2} is made of {3/1}."""
        return self.p * other.q == self.q * other.p and self.p % other.p == 0

    def inradius(self, radius: float) -> float:
        """Return the radius of the largest concentric circle that touches no line of the figure, in pixels."""
        return radius if self.is_circle else radius * math.cos(math.pi * self.q / self.p)


CIRCLE = StarPolygon(-1)
TRIANGLE = StarPolygon(3)


@dataclass(frozen=True)
class PlacedShape:
    """A figure on a canvas.

    Args:
        kind: what it is.
        x: centre, to the right, in pixels.
        y: centre, down, in pixels.
        radius: of the circumscribed circle, in pixels.
        rotation: angle of the first vertex from the x axis, in radians (clockwise on the screen, as y points down).
    """

    kind: StarPolygon
    x: float
    y: float
    radius: float
    rotation: float = 0.0

    def box(self, height: int, width: int, margin: float = 0.0) -> tuple[int, int, int, int]:
        """Return the box of the circumscribed circle, widened to whole pixels and clipped to the canvas.

        Args:
            height: of the canvas, in pixels.
            width: of the canvas, in pixels.
            margin: added to the radius, in pixels.

        Returns:
            (x0, y0, x1, y1): columns x0 to x1 - 1 and rows y0 to y1 - 1 are inside.
        """
        reach = self.radius + margin
        x0, y0 = max(0, math.floor(self.x - reach)), max(0, math.floor(self.y - reach))
        return x0, y0, min(width, math.ceil(self.x + reach)), min(height, math.ceil(self.y + reach))


@dataclass(frozen=True, eq=False)
class Raster:
    """What a shape covers, on the part of the canvas around it.

    Args:
        rows: the part's rows in the canvas.
        columns: the part's columns in the canvas.
        ink: (h, w) float64 in [0, 1], how much of each pixel is painted, anti-aliased.
        silhouette: (h, w) bool, pixels whose centre is enclosed by the outline or lies on it.
    """

    rows: slice
    columns: slice
    ink: Floats
    silhouette: NDArray[np.bool_]


def star_vertices(p: int, centre: tuple[float, float], radius: float, rotation: float = 0.0) -> Floats:
    """Return the vertices of {p/q}: vertex i at angle 2*pi*i/p + rotation on the circle.

    Returns:
        (p, 2) float64, x and y in pixels. They do not depend on q, which only says how they are joined.
    """
    angle = 2 * np.pi * np.arange(p) / p + rotation
    return np.stack([centre[0] + radius * np.cos(angle), centre[1] + radius * np.sin(angle)], axis=1)


def star_edges(p: int, q: int) -> NDArray[np.int64]:
    """Return the edges of {p/q} as pairs of vertex numbers: (p, 2) int64, vertex i to vertex i + q (modulo p)."""
    start = np.arange(p)
    return np.stack([start, (start + q) % p], axis=1)


def outline_distance(points: Floats, vertices: Floats, edges: NDArray[np.int64]) -> Floats:
    """Return the distance from points (N, 2) to the nearest edge: (N,) float64, in pixels."""
    start = vertices[edges[:, 0], :, None]  # (p, 2, 1)
    along = vertices[edges[:, 1], :, None] - start
    offset = points.T[None] - start  # (p, 2, N)
    fraction = np.clip((offset * along).sum(1) / (along * along).sum(1), 0.0, 1.0)
    nearest = offset - fraction[:, None] * along
    return np.sqrt((nearest * nearest).sum(1).min(0))


def winding_number(points: Floats, vertices: Floats, edges: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return how often the outline goes round each of the points (N, 2): (N,) int64.

    A ray from the point to the right counts edges that cross it downwards as +1 and upwards as -1. Inside {5/2}
    this gives 1 in the points of the star and 2 in its middle.
    """
    x, y = points.T
    (ax, ay), (bx, by) = vertices[edges[:, 0]].T[..., None], vertices[edges[:, 1]].T[..., None]
    side = (bx - ax) * (y - ay) - (by - ay) * (x - ax)
    downwards = (ay <= y) & (by > y) & (side > 0)
    upwards = (ay > y) & (by <= y) & (side < 0)
    return downwards.sum(0) - upwards.sum(0)


def rasterise(shape: PlacedShape, height: int, width: int, stroke: float, filled: bool = False) -> Raster:
    """Draw a shape on an empty canvas.

    Inside means a winding number other than zero: all that the outline encloses, the middle of a star included. (The
    even-odd rule would leave that middle, and the overlaps of {6/2}, as holes in a region that is plainly one.)

    Args:
        shape: what to draw and where.
        height: of the canvas, in pixels.
        width: of the canvas, in pixels.
        stroke: thickness of the outline, centred on the edges, in pixels; at least 1.
        filled: paint the inside as well.

    Returns:
        Ink and silhouette on the part of the canvas the shape reaches. The silhouette lies in `shape.box(height, width,
        margin=stroke / 2)`; faint ink goes up to one pixel further.
    """
    x0, y0, x1, y1 = shape.box(height, width, margin=stroke / 2 + 1)
    y, x = np.mgrid[y0:y1, x0:x1] + 0.5
    if shape.kind.is_circle:
        radial = np.hypot(x - shape.x, y - shape.y)
        distance, inside = np.abs(radial - shape.radius), radial < shape.radius
    else:
        points = np.stack([x.ravel(), y.ravel()], axis=1)
        vertices = star_vertices(shape.kind.p, (shape.x, shape.y), shape.radius, shape.rotation)
        edges = star_edges(shape.kind.p, shape.kind.q)
        distance = outline_distance(points, vertices, edges).reshape(x.shape)
        inside = (winding_number(points, vertices, edges) != 0).reshape(x.shape)
    ink = np.clip(stroke / 2 + 0.5 - distance, 0.0, 1.0)
    if filled:
        ink = np.where(inside, 1.0, ink)
    return Raster(slice(y0, y1), slice(x0, x1), ink, inside | (distance <= stroke / 2))
