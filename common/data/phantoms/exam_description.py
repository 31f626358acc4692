"""What is true about an exam of the exam phantom, before it is drawn or put into words.

Positions are those of the left breast, to which the right one is the mirror image: depth from the chest wall (0) to the
nipple (1), outer from the inner border (-1) to the outer one (1), upper from below (-1) to above (1).

BI-RADS category of a finding, by the first rule that holds; a breast has the highest of its findings, or 1:

mass            spiculated and irregular 5; circumscribed and oval 2; circumscribed, round, of equal density 3; else 4
calcification   branching, linear or segmental 5; popcorn 2; round 3 if grouped, 2 if not; else 4
distortion      4
asymmetry       focal 3, global 2

Whether a breast is malignant is drawn with a chance that rises with the category, so that it is related to the
descriptors and not identical with them.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.random import Generator

from common.data.phantoms.exam_settings import EXAM_SPLITS, ExamSettings
from common.data.phantoms.exam_tissue import height_in
from common.text.report_writer_facts import (
    DENSITIES,
    DESCRIPTORS,
    QUADRANT_HOURS,
    SIDES,
    VALUES,
    Finding,
    ReportFacts,
    quadrant_at,
)

__all__ = [
    "FIELD",
    "HELD_OUT",
    "VIEWS",
    "BreastTruth",
    "ExamTruth",
    "Lesion",
    "birads",
    "describe_exam",
    "exam_stream",
    "is_held_out",
]

FIELD = 150.0  # mm; height and width of the field that an image shows
VIEWS = ("cc", "mlo")
MALIGNANT = {1: 0.0, 2: 0.0, 3: 0.02, 4: 0.3, 5: 0.95}
#: Combinations that only test exams have: side, quadrant, descriptor, its value.
HELD_OUT = (
    ("right", "lower inner", "margin", "spiculated"),
    ("left", "upper inner", "distribution", "linear"),
)
# Half the extent of a finding, in shares of the image's side; that of a mass is a setting.
EXTENT = {
    "grouped": (0.055, 0.08),
    "regional": (0.09, 0.125),
    "linear": (0.08, 0.11),
    "segmental": (0.08, 0.11),
    "distortion": (0.085, 0.115),
    "focal": (0.08, 0.12),
    "global": (0.15, 0.2),
}
APART = 0.15  # least distance of two findings of a breast in either view, in shares of the side, where there is room
EXTENTS = (0.72, 0.38)  # of a usual breast along its depth and, to either side, across; in shares of the side
TRIES = 20

# Each purpose has a stream of its own: changing one thing never changes another.
_EXAM, _BREAST, _MISSING = range(3)


@dataclass(frozen=True)
class Lesion:
    """A finding with what its drawing needs.

    Args:
        finding: as a report may tell it, in full.
        depth: of its centre, 0 to 1.
        outer: of its centre, -1 to 1.
        upper: of its centre, -1 to 1.
        radius: half its extent / side of the image.
        contrast: how much brighter than the tissue it is, in shares of white.
        birads: its category.
        held_out: whether training exams have no such combination.
    """

    finding: Finding
    depth: float
    outer: float
    upper: float
    radius: float
    contrast: float
    birads: int
    held_out: bool


@dataclass(frozen=True)
class BreastTruth:
    """One breast.

    Args:
        side: left or right.
        lesions: what it has, one of each type at most.
        birads: its category, 1 to 5.
        malignant: drawn with a chance that rises with the category.
    """

    side: str
    lesions: tuple[Lesion, ...]
    birads: int
    malignant: bool


@dataclass(frozen=True)
class ExamTruth:
    """One exam of one woman.

    Args:
        split: training, validation or test.
        number: within the split, from 0.
        density: a to d, of both breasts.
        age: in years.
        breasts: left and right.
        views: those that were taken, as in left_cc.
    """

    split: str
    number: int
    density: str
    age: int
    breasts: tuple[BreastTruth, BreastTruth]
    views: tuple[str, ...]

    @property
    def exam_id(self) -> str:
        """Such as test-00001."""
        return f"{self.split}-{self.number + 1:05d}"

    def facts(self, types: tuple[str, ...]) -> ReportFacts:
        """Return what a report on the views that were taken could say.

        Args:
            types: of findings that are looked for; those a breast does not have are absent.
        """
        seen = [breast for breast in self.breasts if any(view.startswith(breast.side) for view in self.views)]
        found = {breast.side: [lesion.finding for lesion in breast.lesions] for breast in seen}
        present = {(side, finding.type) for side, findings in found.items() for finding in findings}
        return ReportFacts(
            findings=tuple(finding for findings in found.values() for finding in findings),
            absent=tuple((side, kind) for side in found for kind in types if (side, kind) not in present),
            normal=tuple(side for side, findings in found.items() if not findings),
            density=self.density,
            birads={breast.side: breast.birads for breast in seen},
        )


def describe_exam(settings: ExamSettings, split: str, number: int) -> ExamTruth:
    """Return the truth about exam `number` of a split."""
    rng = exam_stream(settings, split, number, _EXAM)
    density, age = DENSITIES[int(rng.integers(len(DENSITIES)))], int(rng.integers(40, 75))
    left, right = (
        _breast(settings, side, split == "test", exam_stream(settings, split, number, _BREAST, place))
        for place, side in enumerate(SIDES)
    )
    views = _views(settings, exam_stream(settings, split, number, _MISSING))
    return ExamTruth(split, number, density, age, (left, right), views)


def exam_stream(settings: ExamSettings, split: str, number: int, *purpose: int) -> Generator:
    """Return the source of randomness of one purpose of one exam."""
    return np.random.default_rng([settings.seed, EXAM_SPLITS.index(split), number, *purpose])


def birads(finding: Finding) -> int:
    """Return the category of a finding by the rules above."""
    circumscribed = finding.margin == "circumscribed"
    benign = circumscribed and finding.shape == "oval"
    probably_benign = circumscribed and finding.shape == "round" and finding.mass_density == "equal"
    malignant = finding.margin == "spiculated" and finding.shape == "irregular"
    if finding.type == "mass":
        return 5 if malignant else 2 if benign else 3 if probably_benign else 4
    if finding.type == "calcification":
        if finding.morphology == "branching":
            return 5 if finding.distribution in ("linear", "segmental") else 4
        if finding.morphology == "round":
            return 3 if finding.distribution == "grouped" else 2
        return 2 if finding.morphology == "popcorn" else 4
    return {"focal": 3, "global": 2, None: 4}[finding.extent]


def _views(settings: ExamSettings, rng: Generator) -> tuple[str, ...]:
    views = [f"{side}_{view}" for side in SIDES for view in VIEWS]
    missing = int(rng.integers(1, len(views))) if rng.random() < settings.missing_fraction else 0
    gone = set(rng.permutation(len(views))[:missing].tolist())
    return tuple(view for place, view in enumerate(views) if place not in gone)


def _breast(settings: ExamSettings, side: str, testing: bool, rng: Generator) -> BreastTruth:
    drawn = [kind for kind in DESCRIPTORS if rng.random() < getattr(settings, f"{kind}_fraction")]
    kept = sorted(rng.permutation(len(drawn))[: settings.most_findings].tolist())
    lesions: list[Lesion] = []
    for kind in (drawn[place] for place in kept):
        lesions.append(_lesion(settings, side, kind, lesions, testing, rng))
    category = max((lesion.birads for lesion in lesions), default=1)
    return BreastTruth(side, tuple(lesions), category, bool(rng.random() < MALIGNANT[category]))


def _lesion(
    settings: ExamSettings, side: str, kind: str, others: list[Lesion], testing: bool, rng: Generator
) -> Lesion:
    described = {name: VALUES[name][int(rng.integers(len(VALUES[name])))] for name in DESCRIPTORS[kind]}
    extents = [EXTENT[word] for word in (*described.values(), kind) if word in EXTENT]
    radius = float(rng.uniform(*(extents[0] if extents else settings.radius)))
    contrasts = settings.speck_contrast if kind == "calcification" else getattr(settings, f"{kind}_contrast")
    contrast = float(rng.uniform(*contrasts))
    for attempt in range(TRIES):
        hour, depth, outer, upper = _place(rng)
        clock = hour if side == "left" else 12 - hour
        finding = Finding(
            side,
            kind,
            size_mm=max(round(2 * radius * FIELD), 1),
            quadrant=quadrant_at(side, clock),
            clock=clock,
            depth="posterior" if depth < 1 / 3 else "middle" if depth < 2 / 3 else "anterior",
            **described,  # type: ignore[arg-type]
        )
        rare = is_held_out(finding)
        near = any(_distance((depth, outer, upper), (o.depth, o.outer, o.upper)) < APART for o in others)
        if not (rare and settings.held_out and not testing) and (not near or attempt >= TRIES // 2):
            break
    return Lesion(finding, depth, outer, upper, radius, contrast, birads(finding), rare and settings.held_out)


def _place(rng: Generator) -> tuple[int, float, float, float]:
    """Return the hour on the left breast's clock face, and depth, outer, upper; never on a border of two quadrants."""
    hours = [hour for group in QUADRANT_HOURS.values() for hour in group]
    hour = hours[int(rng.integers(len(hours)))]
    angle, away = math.radians(30 * hour + rng.uniform(-12, 12)), rng.uniform(0.25, 0.75)
    return hour, float(rng.uniform(0.22, 0.82)), float(away * math.sin(angle)), float(away * math.cos(angle))


def _distance(one: tuple[float, float, float], other: tuple[float, float, float]) -> float:
    """Return how far apart two points are in the view in which they are closer, about, in shares of the side."""
    depth, outer, upper = (a - b for a, b in zip(one, other, strict=True))
    return min(
        math.hypot(EXTENTS[0] * depth, EXTENTS[1] * height_in(oblique, outer, upper)) for oblique in (False, True)
    )


def is_held_out(finding: Finding) -> bool:
    """Return whether a finding is one of the combinations that only test exams have."""
    return any(
        (finding.side, finding.quadrant) == (side, quadrant) and getattr(finding, name) == value
        for side, quadrant, name, value in HELD_OUT
    )
