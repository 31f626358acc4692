"""Everything that can be chosen about the chest phantom, checked before anything is drawn."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from common.data.phantoms.options import GeneratorSettings, at_least

__all__ = ["CHEST_FINDINGS", "CHEST_PRESETS", "ChestSettings"]

#: The findings, in the order of ChestX-ray14's classes and by its names.
CHEST_FINDINGS = ("Cardiomegaly", "Effusion", "Infiltration", "Mass", "Nodule", "Pneumothorax")
SMALLEST_NODULE = 1.5  # pixels of radius; a smaller one cannot be told from noise
LARGEST_MASS = 0.11  # of the image's side; a larger one does not fit between heart and chest wall

Range = tuple[float, float]

CHEST_PRESETS: dict[str, dict[str, Any]] = {
    # 800 images of 500 people, nodules of the size they have in ChestX-ray14.
    "standard": {},
    # Smaller images with larger nodules and stronger findings, for a training of minutes.
    "demo": {
        "count": 960,
        "size": 128,
        "mass": (0.065, 0.09),
        "nodule": (0.028, 0.036),
        "contrast": 1.25,
        "noise": 0.01,
        "leads_fraction": 0.15,
    },
}


@dataclass(frozen=True)
class ChestSettings(GeneratorSettings):
    """The settings of a chest data set. Every range includes both ends.

    Args:
        count: number of images, eight of each five people. Image i depends on the seed and i alone: a larger count adds
            images and changes none.
        size: height and width of the images, in pixels.
        seed: of the whole data set, 0 or larger.
        healthy_fraction: share of people without finding.
        co_occurrence: how often a person with a finding has another one that goes with it, 0 to 1; half as often a
            third one follows.
        resolved_fraction: share of a person's findings that have gone in each later image.
        mass: radius of a mass / side of the image.
        nodule: radius of a nodule / side of the image.
        contrast: how much findings differ from what is round them; 1 is easy, 0.5 hard.
        leads_fraction: share of images with electrodes and their leads, which mean nothing.
        noise: standard deviation of the Gaussian noise, in shares of the brightest value.
        validation_fraction: share of images for validation, by patient.
        test_fraction: share of images for testing, by patient.

    Raises:
        ValueError: if a value is out of range or the settings contradict each other; it says what to change.
    """

    presets = CHEST_PRESETS

    count: int = 800
    size: int = 256
    seed: int = 0
    healthy_fraction: float = 0.3
    co_occurrence: float = 0.6
    resolved_fraction: float = 0.25
    mass: Range = (0.05, 0.085)
    nodule: Range = (0.014, 0.024)
    contrast: float = 1.0
    leads_fraction: float = 0.25
    noise: float = 0.015
    validation_fraction: float = 0.15
    test_fraction: float = 0.25

    def __post_init__(self) -> None:
        at_least(8, count=self.count)
        at_least(64, size=self.size)
        at_least(0, seed=self.seed, noise=self.noise)
        for name in ("healthy_fraction", "co_occurrence", "resolved_fraction", "leads_fraction"):
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"{name}={getattr(self, name):g}: expected a number from 0 to 1")
        if self.healthy_fraction == 1:
            raise ValueError("healthy_fraction=1: nobody would have a finding; lower it")
        for name in ("mass", "nodule"):
            low, high = getattr(self, name)
            if low > high:
                raise ValueError(f"{name}={low},{high}: the first number is the smaller one; write {name}={high},{low}")
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
        smallest = self.nodule[0] * self.size
        if smallest < SMALLEST_NODULE:
            raise ValueError(
                f"the smallest nodule would have a radius of {smallest:.1f} pixels, expected at least "
                f"{SMALLEST_NODULE:g}: raise nodule or size"
            )
        if self.mass[1] > LARGEST_MASS:
            raise ValueError(f"mass={self.mass[1]:g}: a mass above {LARGEST_MASS} fits into no lung; lower mass")
        if self.nodule[1] >= self.mass[0]:
            raise ValueError(
                f"nodule={self.nodule[0]:g},{self.nodule[1]:g} reaches mass={self.mass[0]:g},{self.mass[1]:g}: leave a "
                "gap between them, or the two could not be told apart"
            )
