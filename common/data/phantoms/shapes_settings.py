"""Everything that can be chosen about the shapes phantom, checked before anything is drawn."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from common.data.phantoms.options import GeneratorSettings, at_least, is_list, read_scalar
from common.data.phantoms.polygons import CIRCLE, TRIANGLE, StarPolygon, step_choices

__all__ = ["PRESETS", "ShapesSettings"]

MINIMUM_INNER_RADIUS = 3.0  # pixels; a smaller target inside an outside polygon is a blot
MINIMUM_CONTRAST = 32  # grey levels; a fainter outline is hard to see even without noise

Range = tuple[float, float]
Colour = int | tuple[int, int, int]

PRESETS: dict[str, dict[str, Any]] = {
    # Triangle or not, among five to seven shapes of every kind up to six corners.
    "standard": {},
    # The same question on small images, among circles and hexagons: 720 training images, seen five times, are enough.
    "demo": {"count": 1200, "size": 64, "shapes": (3, 5), "vertices": 6, "radius": (8, 12), "stroke": 1.5},
    # The defaults of the generator in the xML repository: twenty thin outlines, is one of them a circle?
    "reference": {
        "size": 224,
        "target": "circle",
        "shapes": 20,
        "vertices": (3, 12),
        "radius": (7, 13),
        "stroke": 1,
    },
    # The published example: a square counts only inside a circle, so what must be found is a relation of two outlines.
    "encircled": {
        "size": 224,
        "target": "4/1",
        "outside": "circle",
        "shapes": 5,
        "vertices": (3, 12),
        "radius": (12, 30),
        "stroke": 1,
    },
}


@dataclass(frozen=True)
class ShapesSettings(GeneratorSettings):
    """The settings of a shapes data set. Every range includes both ends.

    Args:
        count: number of images. Image i depends on the seed and i alone: a larger count adds images and changes none.
        size: height and width of the images, in pixels.
        channels: 3 (colour) or 1 (grey).
        seed: of the whole data set, 0 or larger.
        target: the figure that makes an image positive.
        outside: if given, a target counts only inside this figure, with the same centre and rotation. Both classes
            then also hold near misses: bare targets, empty outside figures, outside figures round other shapes.
        shapes: number of shapes in an image (a target inside an outside figure and that figure are one shape).
        targets: number of targets in a positive image.
        vertices: number of vertices of the other shapes.
        radius: of the circumscribed circles, in pixels; real numbers are drawn.
        circles: whether circles are among the other shapes.
        simplified: the other shapes are circles only.
        rotation: turn each shape at random; otherwise the first vertex points to the right.
        keep_inside: keep shapes entirely on the canvas; otherwise only their centres are.
        overlap: let shapes overlap; otherwise their circumscribed circles stay at least a pixel apart.
        stroke: thickness of the outlines, in pixels, at least 1.
        filled: paint the shapes' inside as well.
        background: grey level 0 to 255, or red, green and blue.
        colour: of the outlines; None means 255 - background.
        target_colour: of every drawn target; None means `colour`. Another colour makes a far easier task.
        noise: standard deviation of the Gaussian noise, in grey levels. It is clipped to 0..255.
        positive_fraction: share of images with a target; met exactly when count is even, else within one image.
        validation_fraction: share of images for validation, the same in both classes.
        test_fraction: share of images for testing, the same in both classes; the rest is for training.
        mask: which of the two masks the data list names: 'box' (filled box of the target's circumscribed circle) or
            'shape' (the target's outline and what it encloses).
        tries: how often a place is looked for before an arrangement is given up.

    Raises:
        ValueError: if a value is out of range or the settings contradict each other; it says what to change.
    """

    presets = PRESETS

    count: int = 800
    size: tuple[int, int] = (96, 96)
    channels: int = 3
    seed: int = 0
    target: StarPolygon = TRIANGLE
    outside: StarPolygon | None = None
    shapes: tuple[int, int] = (5, 7)
    targets: tuple[int, int] = (1, 1)
    vertices: tuple[int, int] = (3, 6)
    radius: Range = (9.0, 16.0)
    circles: bool = True
    simplified: bool = False
    rotation: bool = True
    keep_inside: bool = True
    overlap: bool = False
    stroke: float = 2.0
    filled: bool = False
    background: Colour = 255
    colour: Colour | None = None
    target_colour: Colour | None = None
    noise: float = 0.0
    positive_fraction: float = 0.5
    validation_fraction: float = 0.15
    test_fraction: float = 0.25
    mask: str = "box"
    tries: int = 100

    def __post_init__(self) -> None:
        self._check_numbers()
        self._check_colours()
        self._check_geometry()
        if not self.distractors:
            raise ValueError(
                f"no shape is left to draw beside the target {self.target}: widen vertices={self.vertices}, or allow "
                "circles"
            )

    def to_options(self) -> dict[str, Any]:
        """Return all settings as plain JSON values, which `from_options` reads back to the same settings."""
        return {n: str(value) if isinstance(value, StarPolygon) else value for n, value in super().to_options().items()}

    @cached_property
    def distractors(self) -> dict[int, list[StarPolygon]]:
        """The other shapes by number of vertices (-1: circle), never the target nor several copies of it."""
        low, high = self.vertices
        numbers = [] if self.simplified else range(low, high + 1)
        kinds = [StarPolygon(p, q) for p in numbers for q in step_choices(p)]
        kinds += [CIRCLE] if self.circles else []
        allowed = [kind for kind in kinds if not kind.is_made_of(self.target)]
        return {p: [kind for kind in allowed if kind.p == p] for p in sorted({kind.p for kind in allowed})}

    @property
    def background_levels(self) -> tuple[int, ...]:
        """The background's grey level in each channel."""
        return self._levels(self.background)

    @property
    def colour_levels(self) -> tuple[int, ...]:
        """The outlines' grey level in each channel."""
        if self.colour is None:
            return tuple(255 - level for level in self.background_levels)
        return self._levels(self.colour)

    @property
    def target_levels(self) -> tuple[int, ...]:
        """The targets' grey level in each channel."""
        return self.colour_levels if self.target_colour is None else self._levels(self.target_colour)

    def _levels(self, colour: Colour) -> tuple[int, ...]:
        return (colour,) * self.channels if isinstance(colour, int) else tuple(colour)

    def _check_numbers(self) -> None:
        at_least(1, count=self.count, tries=self.tries, shapes=self.shapes[0], targets=self.targets[0])
        at_least(0, seed=self.seed, noise=self.noise)
        at_least(1, stroke=self.stroke, height=self.size[0], width=self.size[1])
        at_least(3, vertices=self.vertices[0])
        at_least(2, radius=self.radius[0])
        for name in ("shapes", "targets", "vertices", "radius"):
            low, high = getattr(self, name)
            if low > high:
                raise ValueError(f"{name}={low},{high}: the first number is the smaller one; write {name}={high},{low}")
        if self.targets[1] > self.shapes[0]:
            raise ValueError(
                f"targets={self.targets[1]} do not fit among shapes={self.shapes[0]}: targets are part of the shapes"
            )
        if not 0 < self.positive_fraction < 1:
            raise ValueError(f"positive_fraction={self.positive_fraction}: expected a number between 0 and 1")
        parts = self.validation_fraction, self.test_fraction
        if not (min(parts) >= 0 and sum(parts) < 1):
            raise ValueError(
                f"validation_fraction={parts[0]} and test_fraction={parts[1]}: neither may be negative, and together "
                "they must be below 1, so that images are left for training"
            )
        if self.mask not in ("box", "shape"):
            raise ValueError(f"mask='{self.mask}': expected 'box' or 'shape'")

    def _check_colours(self) -> None:
        if self.channels not in (1, 3):
            raise ValueError(f"channels={self.channels}: expected 1 (grey) or 3 (colour)")
        for name in ("background", "colour", "target_colour"):
            colour = getattr(self, name)
            if colour is None:
                continue
            levels = self._levels(colour)
            if len(levels) != self.channels:
                raise ValueError(f"{name}={colour}: give a single grey level, or channels=3 for a colour")
            if not all(0 <= level <= 255 for level in levels):
                raise ValueError(f"{name}={colour}: grey levels go from 0 to 255")
        for name, levels in (("colour", self.colour_levels), ("target_colour", self.target_levels)):
            if not _differ(levels, self.background_levels):
                raise ValueError(
                    f"{name} {levels} cannot be seen on background {self.background_levels}: choose colours that "
                    f"differ by at least {MINIMUM_CONTRAST} levels in a channel"
                )
        if self.filled and self.overlap and not _differ(self.target_levels, self.colour_levels):
            raise ValueError(
                "with filled=True and overlap=True a target vanishes among shapes of its own colour: choose another "
                "target_colour, or set one of the two to False"
            )
        if self.filled and self.outside is not None:
            raise ValueError("filled=True hides what is inside an outside polygon: use filled=False, or no outside")

    def _check_geometry(self) -> None:
        if self.simplified and (self.target.is_circle or not self.circles):
            raise ValueError(
                "simplified=True draws only circles beside the target: the target must be a polygon and circles=True"
            )
        reach = self.radius[1] + self.stroke / 2
        if self.keep_inside and 2 * reach > min(self.size):
            raise ValueError(
                f"a shape of radius {self.radius[1]:g} and stroke {self.stroke:g} is {math.ceil(2 * reach)} pixels "
                f"wide and does not fit inside a canvas of {self.size[0]} x {self.size[1]}: lower radius, raise size, "
                "or set keep_inside=False"
            )
        if self.outside is not None and self.inner_radius(self.radius[0])[0] < MINIMUM_INNER_RADIUS:
            room = self.inner_radius(self.radius[0])[0]
            raise ValueError(
                f"an outside polygon {self.outside} of radius {self.radius[0]:g} may hold targets of radius "
                f"{max(room, 0):.1f}, which is too small to be seen (at least {MINIMUM_INNER_RADIUS:g}): raise radius, "
                "lower stroke, or choose an outside polygon with more room (a circle has most)"
            )

    def inner_radius(self, outer_radius: float) -> Range:
        """Return the smallest and largest radius of a target inside an outside polygon of the given radius.

        The largest leaves at least a pixel between the two outlines, the smallest is half of it.
        """
        if self.outside is None:
            raise ValueError("these settings have no outside polygon")
        largest = self.outside.inradius(outer_radius) - self.stroke - 1.0
        return largest / 2, largest

    @classmethod
    def read(cls, name: str, default: Any, value: Any) -> Any:
        """Turn a plain value into the type of its setting, or say what was expected."""
        if name in ("outside", "colour", "target_colour") and value is None:
            return None
        if name in ("target", "outside"):
            return StarPolygon.parse(str(value))
        if name in ("background", "colour", "target_colour"):
            return (
                tuple(read_scalar(name, level, int) for level in value)
                if is_list(value)
                else read_scalar(name, value, int)
            )
        return super().read(name, default, value)


def _differ(levels: tuple[int, ...], others: tuple[int, ...]) -> bool:
    return max(abs(a - b) for a, b in zip(levels, others, strict=True)) >= MINIMUM_CONTRAST
