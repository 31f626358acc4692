"""Everything that can be chosen about the exam phantom, checked before anything is drawn."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

from common.data.phantoms.options import GeneratorSettings, at_least, is_list, read_scalar
from common.text.report_writer import LANGUAGES
from common.text.report_writer_facts import DESCRIPTORS

__all__ = ["EXAM_PRESETS", "EXAM_SPLITS", "ExamSettings"]

EXAM_SPLITS = ("training", "validation", "test")
SMALLEST_RADIUS = 1.5  # pixels; the outline of a smaller mass cannot be seen
LARGEST_RADIUS = 0.1  # of the side; a larger mass does not fit into a slim breast

Range = tuple[float, float]
Pair = tuple[int, int]

_FAINT_SPECKS = {"speck_contrast": (0.16, 0.36), "lone_specks": (2, 9)}
EXAM_PRESETS: dict[str, dict[str, Any]] = {
    # What a small network learns in minutes.
    "moderate": {},
    # Masses as above, calcifications no brighter than what looks like one.
    "middle": {**_FAINT_SPECKS},
    # Everything faint, and islands as bright as masses.
    "hard": {
        **_FAINT_SPECKS,
        "mass_contrast": (0.14, 0.30),
        "islands": (2, 5),
        "island_contrast": (0.15, 0.36),
        "distortion_contrast": (0.08, 0.16),
        "vessels": (1, 3),
        "noise": 0.03,
    },
    # Larger pictures with all that can be there.
    "full": {
        "count": (2000, 300, 500),
        "size": 256,
        "asymmetry_fraction": 0.1,
        "missing_fraction": 0.1,
        "folds_fraction": 0.2,
    },
    # The moderate one for a trial run.
    "small": {"count": (120, 30, 50)},
}


@dataclass(frozen=True)
class ExamSettings(GeneratorSettings):
    """The settings of a set of exams with reports. Every range includes both ends; contrasts are shares of white.

    Args:
        count: number of exams for training, validation and test. Exam i of a split depends on the settings, the seed,
            the split and i alone: a larger count adds exams and changes none.
        size: height and width of the images, in pixels.
        seed: of the whole data set, 0 or larger.
        mass_fraction: share of breasts that are given a mass, at most.
        calcification_fraction: the same for calcifications.
        distortion_fraction: the same for architectural distortion.
        asymmetry_fraction: the same for asymmetry; at 0 the data set does not know it.
        most_findings: of a breast; what is drawn beyond it is left out.
        radius: of a mass / side of the image.
        mass_contrast: how much brighter than the tissue masses are.
        specks: number of specks of a group of calcifications.
        speck_contrast: of these.
        distortion_contrast: of the lines of a distortion.
        asymmetry_contrast: of an asymmetry.
        islands: number of islands of dense tissue in an image, of the size of a mass; no report speaks of them.
        island_contrast: of these.
        vessels: number of vessels in an image.
        lone_specks: number of single specks in an image, as bright as calcifications; no report speaks of them.
        folds_fraction: share of oblique images with a fold of the skin.
        missing_fraction: share of exams without some of their views.
        noise: standard deviation of the noise in tissue of medium brightness, in shares of white.
        held_out: leave some combinations of descriptor, quadrant and side out of training and validation.
        shuffled: give every training exam the reports of another one: a control that can learn nothing but chance.
        language: of the reports: en or nl.
        omitted: share of findings that a report forgets.
        irrelevant: chance of a sentence about nothing, before and again after the findings.
        typos: share of the longer words with a slip.
        training_masks: write the masks of the training exams too, to learn segmentation from.

    Raises:
        ValueError: if a value is out of range or the settings contradict each other; it says what to change.
    """

    presets = EXAM_PRESETS

    count: tuple[int, int, int] = (4000, 200, 500)
    size: int = 96
    seed: int = 0
    mass_fraction: float = 0.35
    calcification_fraction: float = 0.35
    distortion_fraction: float = 0.15
    asymmetry_fraction: float = 0.0
    most_findings: int = 2
    radius: Range = (0.035, 0.08)
    mass_contrast: Range = (0.20, 0.38)
    specks: Pair = (7, 19)
    speck_contrast: Range = (0.30, 0.60)
    distortion_contrast: Range = (0.10, 0.20)
    asymmetry_contrast: Range = (0.10, 0.18)
    islands: Pair = (1, 3)
    island_contrast: Range = (0.12, 0.30)
    vessels: Pair = (0, 2)
    lone_specks: Pair = (0, 2)
    folds_fraction: float = 0.0
    missing_fraction: float = 0.0
    noise: float = 0.025
    held_out: bool = True
    shuffled: bool = False
    language: str = "en"
    omitted: float = 0.05
    irrelevant: float = 0.1
    typos: float = 0.0
    training_masks: bool = False

    def __post_init__(self) -> None:
        if min(self.count) < 0 or self.count[0] < 2:
            raise ValueError(f"count={self.count}: expected at least 2 exams for training, and no negative number")
        at_least(48, size=self.size)
        at_least(0, seed=self.seed, noise=self.noise)
        at_least(1, most_findings=self.most_findings, specks=self.specks[0])
        for name in ("islands", "vessels", "lone_specks"):
            at_least(0, **{name: getattr(self, name)[0]})
        ranges = ("radius", "specks", "islands", "vessels", "lone_specks")
        contrasts = [name for name in self.to_options() if name.endswith("_contrast")]
        for name in (*ranges, *contrasts):
            low, high = getattr(self, name)
            if low > high:
                raise ValueError(f"{name}={low},{high}: the first number is the smaller one; write {name}={high},{low}")
        for name in contrasts:
            if not (getattr(self, name)[0] > 0 and getattr(self, name)[1] <= 1):
                raise ValueError(f"{name}={getattr(self, name)}: expected numbers above 0, up to 1")
        for name in (*(n for n in self.to_options() if n.endswith("_fraction")), "omitted", "irrelevant", "typos"):
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"{name}={getattr(self, name):g}: expected a number from 0 to 1")
        if self.language not in LANGUAGES:
            raise ValueError(f"language='{self.language}': expected one of {', '.join(LANGUAGES)}")
        if not self.findings:
            raise ValueError("no breast would have a finding: raise mass_fraction, or another one")
        smallest = self.radius[0] * self.size
        if smallest < SMALLEST_RADIUS:
            raise ValueError(
                f"the smallest mass would have a radius of {smallest:.1f} pixels, expected at least "
                f"{SMALLEST_RADIUS:g}: raise radius or size"
            )
        if self.radius[1] > LARGEST_RADIUS:
            raise ValueError(f"radius={self.radius[1]:g}: a mass above {LARGEST_RADIUS} fits into no breast; lower it")

    @property
    def findings(self) -> tuple[str, ...]:
        """The types of findings that occur."""
        return tuple(name for name in DESCRIPTORS if getattr(self, f"{name}_fraction") > 0)

    @classmethod
    def from_options(cls, options: Mapping[str, Any], preset: str = "moderate") -> Self:
        """Make settings from plain values; see :meth:`GeneratorSettings.from_options`."""
        return super().from_options(options, preset)

    @classmethod
    def read(cls, name: str, default: Any, value: Any) -> Any:
        """Turn a plain value into the type of its setting, or say what was expected."""
        if name != "count":
            return super().read(name, default, value)
        values = value if is_list(value) else (value,) * 3
        if len(values) != 3:
            raise ValueError(f"count={value}: expected one number, or three: training,validation,test")
        return tuple(read_scalar(name, number, int) for number in values)
