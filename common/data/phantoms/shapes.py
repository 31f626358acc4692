"""The shapes phantom: pictures of outlined shapes, positive when a target figure is among them.

The data set the xML method was first shown on, made anew: who looks for the target must read outlines, and as the
computer placed it, both the right answer and the right place to look are known exactly.

Image i depends on the settings, the seed and i alone. Positive images are made by placing targets, negative ones by
never drawing one, so the balance of the classes is exact and both have the same number and sizes of shapes.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from common.data.phantoms.balance import balanced_label
from common.data.phantoms.polygons import PlacedShape, Raster, StarPolygon, rasterise
from common.data.phantoms.shapes_settings import ShapesSettings

__all__ = ["Scene", "ShapesSample", "draw_scene", "label_of", "make_sample", "sample_scene"]

ARRANGEMENTS = 20  # how many fresh arrangements an image gets before its settings are called impossible
GAP = 1.0  # pixels between neighbours, so that two outlines never look like one
NEAR_MISS_SHARE = 0.5  # of the other shapes, when an outside polygon is asked for

# Each purpose has a stream of its own: changing the noise never changes what is drawn.
_SCENE, _NOISE, _TOSS = range(3)

Bytes = NDArray[np.uint8]


@dataclass(frozen=True)
class Scene:
    """What is in a picture.

    Args:
        shapes: everything drawn, in drawing order.
        regions: for each target that counts, the shape that bounds it: the target itself, or its outside polygon.
    """

    shapes: tuple[PlacedShape, ...]
    regions: tuple[PlacedShape, ...]


@dataclass(frozen=True, eq=False)
class ShapesSample:
    """A finished image with everything known about it.

    Args:
        image: (H, W, channels) uint8.
        label: 1 with a target, 0 without.
        boxes: (x0, y0, x1, y1) of each target in pixels, x1 and y1 excluded: its circumscribed circle with the outline.
        mask_box: (H, W) uint8, 255 inside the boxes, else 0.
        mask_shape: (H, W) uint8, 255 on the targets' outlines and inside them, else 0.
        scene: the shapes themselves.
    """

    image: Bytes
    label: int
    boxes: tuple[tuple[int, int, int, int], ...]
    mask_box: Bytes
    mask_shape: Bytes
    scene: Scene


@dataclass(frozen=True)
class _Figure:
    """A shape before it has a place; `inner` is drawn inside it, with the same centre and rotation."""

    kind: StarPolygon
    inner: StarPolygon | None = None
    counts: bool = False


def label_of(settings: ShapesSettings, index: int) -> int:
    """Return the class of an image without making it; see :func:`balanced_label`."""
    toss = int(_stream(settings.seed, index // 2, _TOSS).integers(2))
    return balanced_label(index, settings.positive_fraction, toss)


def make_sample(settings: ShapesSettings, index: int) -> ShapesSample:
    """Make image number `index`, with its label, boxes and masks.

    Raises:
        ValueError: if the shapes do not find a place; the message says which settings to change.
    """
    label = label_of(settings, index)
    scene = sample_scene(settings, bool(label), _stream(settings.seed, index, _SCENE))
    image = _add_noise(draw_scene(scene, settings), settings.noise, _stream(settings.seed, index, _NOISE))
    height, width = settings.size
    boxes = tuple(region.box(height, width, margin=settings.stroke / 2) for region in scene.regions)
    mask_box, mask_shape = np.zeros((2, height, width), np.uint8)
    for (x0, y0, x1, y1), region in zip(boxes, scene.regions, strict=True):
        mask_box[y0:y1, x0:x1] = 255
        raster = rasterise(region, height, width, settings.stroke)
        mask_shape[raster.rows, raster.columns][raster.silhouette] = 255
    return ShapesSample(image, label, boxes, mask_box, mask_shape, scene)


def sample_scene(settings: ShapesSettings, positive: bool, rng: Generator) -> Scene:
    """Draw the shapes of one picture at random and find places for them.

    Args:
        settings: of the data set.
        positive: whether the picture holds targets.
        rng: source of randomness.

    Raises:
        ValueError: if the shapes do not find a place; the message says which settings to change.
    """
    figures = _choose_figures(settings, positive, rng)
    for _ in range(ARRANGEMENTS):
        places = _arrange(len(figures), settings, rng)
        if places is not None:
            return _build_scene(figures, places, settings, rng)
    ways = "lower shapes or radius, raise size, or set overlap=True"
    raise ValueError(
        f"{len(figures)} shapes of radius {settings.radius[0]:g} to {settings.radius[1]:g} found no place without "
        f"overlap on a canvas of {settings.size[0]} x {settings.size[1]}, in {ARRANGEMENTS} arrangements with "
        f"{settings.tries} tries for each shape: {ways} (or raise tries, if it only just fails)"
    )


def draw_scene(scene: Scene, settings: ShapesSettings) -> Bytes:
    """Paint a scene without noise: (H, W, channels) uint8."""
    height, width = settings.size
    canvas = np.full((height, width, settings.channels), settings.background_levels, np.float64)
    for shape in scene.shapes:
        raster: Raster = rasterise(shape, height, width, settings.stroke, settings.filled)
        levels = settings.target_levels if shape.kind == settings.target else settings.colour_levels
        ink = raster.ink[..., None]
        part = canvas[raster.rows, raster.columns]
        part += ink * (np.asarray(levels) - part)
    return np.rint(canvas).astype(np.uint8)


def _stream(seed: int, number: int, purpose: int) -> Generator:
    return np.random.default_rng([seed, number, purpose])


def _choose_figures(settings: ShapesSettings, positive: bool, rng: Generator) -> list[_Figure]:
    total = rng.integers(*settings.shapes, endpoint=True)
    wanted = rng.integers(*settings.targets, endpoint=True) if positive else 0
    figures = [_target_figure(settings) for _ in range(wanted)]
    while len(figures) < total:
        near_miss = settings.outside is not None and rng.random() < NEAR_MISS_SHARE
        figures.append(_near_miss(settings, rng) if near_miss else _Figure(_distractor(settings, rng)))
    # Places are given out in this order and early shapes find room more easily, so targets must not always come first.
    return [figures[i] for i in rng.permutation(total)]


def _target_figure(settings: ShapesSettings) -> _Figure:
    if settings.outside is None:
        return _Figure(settings.target, counts=True)
    return _Figure(settings.outside, inner=settings.target, counts=True)


def _near_miss(settings: ShapesSettings, rng: Generator) -> _Figure:
    """Return what is almost a target: the target alone, the outside polygon alone, or round another shape."""
    assert settings.outside is not None
    other = _distractor(settings, rng)
    misses = [_Figure(settings.target), _Figure(settings.outside), _Figure(settings.outside, inner=other)]
    return misses[rng.integers(len(misses))]


def _distractor(settings: ShapesSettings, rng: Generator) -> StarPolygon:
    """Draw the number of vertices first, then the step: many-pointed stars have more steps and would crowd the rest."""
    kinds = settings.distractors
    steps = kinds[list(kinds)[rng.integers(len(kinds))]]
    return steps[rng.integers(len(steps))]


def _arrange(count: int, settings: ShapesSettings, rng: Generator) -> NDArray[np.float64] | None:
    """Find centres and radii for `count` shapes: (count, 3) x, y, radius; None if one of them found no place."""
    placed = np.empty((0, 3))
    for _ in range(count):
        candidates = _random_places(settings, rng)
        free = candidates if settings.overlap else candidates[~_touch(candidates, placed, settings.stroke)]
        if len(free) == 0:
            return None
        placed = np.concatenate([placed, free[:1]])
    return placed


def _random_places(settings: ShapesSettings, rng: Generator) -> NDArray[np.float64]:
    """Draw all the places one shape may try: (tries, 3) x, y, radius. At once, as one by one takes ten times longer."""
    height, width = settings.size
    radius = rng.uniform(*settings.radius, settings.tries)
    edge = radius + settings.stroke / 2 if settings.keep_inside else np.zeros(settings.tries)
    return np.stack([rng.uniform(edge, width - edge), rng.uniform(edge, height - edge), radius], axis=1)


def _touch(candidates: NDArray[np.float64], placed: NDArray[np.float64], stroke: float) -> NDArray[np.bool_]:
    """Return for each candidate (n, 3) whether it comes too close to any of the placed shapes (m, 3): (n,) bool."""
    (x, y, radius), others = candidates.T[..., None], placed.T
    room = radius + others[2] + stroke + GAP
    return (np.hypot(x - others[0], y - others[1]) < room).any(axis=1)


def _build_scene(
    figures: Sequence[_Figure], places: NDArray[np.float64], settings: ShapesSettings, rng: Generator
) -> Scene:
    others: list[PlacedShape] = []
    targets: list[PlacedShape] = []
    regions: list[PlacedShape] = []
    for figure, (x, y, radius) in zip(figures, places.tolist(), strict=True):
        rotation = rng.uniform(-math.pi, math.pi) if settings.rotation else 0.0
        outer = PlacedShape(figure.kind, x, y, radius, rotation)
        shapes = [outer]
        if figure.inner is not None:
            inner_radius = rng.uniform(*settings.inner_radius(radius))
            shapes.append(PlacedShape(figure.inner, x, y, inner_radius, rotation))
        (targets if figure.counts else others).extend(shapes)
        regions += [outer] if figure.counts else []
    # Targets are painted last: with overlap=True and filled=True nothing may cover one.
    return Scene(tuple(others + targets), tuple(regions))


def _add_noise(image: Bytes, deviation: float, rng: Generator) -> Bytes:
    """Add Gaussian noise, clipped: casting alone would turn white into black where it overflows."""
    if deviation == 0:
        return image
    noisy = image + rng.normal(0.0, deviation, image.shape)
    return np.rint(np.clip(noisy, 0, 255)).astype(np.uint8)
