"""Everything that can be chosen about the mammography phantom, checked before anything is drawn."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from common.data.phantoms.options import GeneratorSettings, at_least

__all__ = ["MAMMOGRAM_PRESETS", "MammogramSettings"]

SMALLEST_RADIUS = 3.0  # pixels; the outline of a smaller mass cannot be seen
LARGEST_RADIUS = 0.09  # of the height; a larger mass does not fit into a slim breast

Range = tuple[float, float]

MAMMOGRAM_PRESETS: dict[str, dict[str, Any]] = {
    # 400 images of 150 women, masses of a twelfth of the height.
    "standard": {},
    # Smaller images with larger masses and less that looks like one, for a training of minutes.
    "demo": {
        "count": 480,
        "size": (128, 64),
        "radius": (0.045, 0.06),
        "contrast": 1.2,
        "islands": (0, 2),
        "vessels": (1, 3),
        "density": (0.0, 0.35),
    },
    # A hard one: small, faint masses in dense breasts.
    "screening": {
        "size": (384, 192),
        "radius": (0.02, 0.035),
        "contrast": 0.6,
        "density": (0.4, 1.0),
        "islands": (1, 5),
    },
}


@dataclass(frozen=True)
class MammogramSettings(GeneratorSettings):
    """The settings of a mammography data set. Every range includes both ends.

    Args:
        count: number of images, two views of each breast. Image i depends on the seed and i alone: a larger count adds
            images and changes none.
        size: height and width of the images, in pixels.
        seed: of the whole data set, 0 or larger.
        positive_fraction: share of breasts with a malignant mass; met exactly when count is a multiple of 4, else
            within one breast.
        radius: of the masses, without spicules / height of the image.
        contrast: how much brighter masses and islands are than the tissue round them; 1 is easy, 0.4 hard.
        spicules: number of spicules of a malignant mass.
        spicule_length: how far they reach from the centre, in radii of the mass.
        round_fraction: share of benign breasts with a smooth round mass; the others only have calcifications.
        islands: number of islands of dense tissue in an image, of the size of a mass but without its border.
        vessels: number of vessels and ligaments that cross a breast, as thin as spicules.
        density: share of dense tissue, from 0 (fatty) to 1 (dense); one value a breast.
        monochrome1_fraction: share of files that store black as the largest value.
        markers: whether side and view stand beside the breast in bright letters, as in real mammograms.
        noise: standard deviation of the Gaussian noise in the tissue, in shares of the brightest value.
        validation_fraction: share of images for validation, by patient.
        test_fraction: share of images for testing, by patient.

    Raises:
        ValueError: if a value is out of range or the settings contradict each other; it says what to change.
    """

    presets = MAMMOGRAM_PRESETS

    count: int = 400
    size: tuple[int, int] = (192, 96)
    seed: int = 0
    positive_fraction: float = 0.5
    radius: Range = (0.032, 0.05)
    contrast: float = 1.0
    spicules: tuple[int, int] = (10, 16)
    spicule_length: Range = (1.7, 2.5)
    round_fraction: float = 0.6
    islands: tuple[int, int] = (0, 3)
    vessels: tuple[int, int] = (2, 5)
    density: Range = (0.0, 0.6)
    monochrome1_fraction: float = 0.25
    markers: bool = True
    noise: float = 0.012
    validation_fraction: float = 0.15
    test_fraction: float = 0.25

    def __post_init__(self) -> None:
        at_least(8, count=self.count)
        at_least(0, seed=self.seed, noise=self.noise, islands=self.islands[0], vessels=self.vessels[0])
        at_least(1, spicules=self.spicules[0], spicule_length=self.spicule_length[0])
        for name in ("radius", "spicules", "spicule_length", "islands", "vessels", "density"):
            low, high = getattr(self, name)
            if low > high:
                raise ValueError(f"{name}={low},{high}: the first number is the smaller one; write {name}={high},{low}")
        for name in ("round_fraction", "monochrome1_fraction"):
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"{name}={getattr(self, name):g}: expected a number from 0 to 1")
        if not (self.density[0] >= 0 and self.density[1] <= 1):
            raise ValueError(f"density={self.density[0]:g},{self.density[1]:g}: expected numbers from 0 to 1")
        if not 0 < self.positive_fraction < 1:
            raise ValueError(f"positive_fraction={self.positive_fraction:g}: expected a number between 0 and 1")
        if not 0 < self.contrast <= 1.5:
            raise ValueError(f"contrast={self.contrast:g}: expected a number above 0, up to 1.5")
        parts = self.validation_fraction, self.test_fraction
        if not (min(parts) >= 0 and sum(parts) < 1):
            raise ValueError(
                f"validation_fraction={parts[0]:g} and test_fraction={parts[1]:g}: neither may be negative, and "
                "together they must be below 1, so that images are left for training"
            )
        self._check_geometry()

    def _check_geometry(self) -> None:
        height, width = self.size
        if not 1.5 <= height / width <= 2.5 or width < 48:
            raise ValueError(
                f"size={height},{width}: expected a height of about twice the width, and a width of at least 48"
            )
        smallest = self.radius[0] * height
        if smallest < SMALLEST_RADIUS:
            raise ValueError(
                f"the smallest mass would have a radius of {smallest:.1f} pixels, expected at least "
                f"{SMALLEST_RADIUS:g}: raise radius or size"
            )
        if self.radius[1] > LARGEST_RADIUS:
            raise ValueError(
                f"radius={self.radius[1]:g}: a mass above {LARGEST_RADIUS} fits into no breast; lower radius"
            )

    @classmethod
    def read(cls, name: str, default: Any, value: Any) -> Any:
        """Turn a plain value into the type of its setting, or say what was expected."""
        if name == "size" and not isinstance(value, list | tuple):
            raise ValueError(f"size={value}: expected two numbers, height and width, such as 192,96")
        return super().read(name, default, value)
