"""What a mammography report may say, as plain facts: findings, their absence, density and assessment."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

__all__ = ["DENSITIES", "DESCRIPTORS", "QUADRANT_HOURS", "SIDES", "VALUES", "Finding", "ReportFacts", "quadrant_at"]

SIDES = ("left", "right")
DENSITIES = ("a", "b", "c", "d")
#: The types of findings, and the descriptors that belong to each.
DESCRIPTORS: dict[str, tuple[str, ...]] = {
    "mass": ("shape", "margin", "mass_density"),
    "calcification": ("morphology", "distribution"),
    "distortion": (),
    "asymmetry": ("extent",),
}
#: The values of each descriptor and place.
VALUES: dict[str, tuple[str, ...]] = {
    "shape": ("round", "oval", "irregular"),
    "margin": ("circumscribed", "obscured", "microlobulated", "indistinct", "spiculated"),
    "mass_density": ("low", "equal", "high"),
    "morphology": ("popcorn", "round", "amorphous", "pleomorphic", "branching"),
    "distribution": ("grouped", "regional", "linear", "segmental"),
    "extent": ("focal", "global"),
    "quadrant": ("upper outer", "upper inner", "lower outer", "lower inner"),
    "depth": ("anterior", "middle", "posterior"),
}
#: Hours on the clock of each quadrant of the left breast, seen from the front; the right breast is its mirror image.
QUADRANT_HOURS = {"upper outer": (1, 2), "lower outer": (4, 5), "lower inner": (7, 8), "upper inner": (10, 11)}


@dataclass(frozen=True)
class Finding:
    """One finding in one breast. What is None is not known, or not said.

    Args:
        side: left or right.
        type: mass, calcification, distortion or asymmetry.
        size_mm: largest extent, in whole millimetres.
        shape: of a mass: round, oval or irregular.
        margin: of a mass: circumscribed, obscured, microlobulated, indistinct or spiculated.
        mass_density: of a mass: low, equal or high.
        morphology: of calcifications: popcorn, round, amorphous, pleomorphic or branching.
        distribution: of calcifications: grouped, regional, linear or segmental.
        extent: of an asymmetry: focal or global.
        quadrant: upper outer, upper inner, lower outer or lower inner.
        clock: hour on the clock face seen from the front; it must lie in the quadrant.
        depth: anterior, middle or posterior third.

    Raises:
        ValueError: for a value that is not listed, a descriptor of another type, or an hour outside the quadrant.
    """

    side: str
    type: str
    size_mm: int | None = None
    shape: str | None = None
    margin: str | None = None
    mass_density: str | None = None
    morphology: str | None = None
    distribution: str | None = None
    extent: str | None = None
    quadrant: str | None = None
    clock: int | None = None
    depth: str | None = None

    def __post_init__(self) -> None:
        _expect("side", self.side, SIDES)
        _expect("type", self.type, tuple(DESCRIPTORS))
        for name, values in VALUES.items():
            if getattr(self, name) is not None:
                _expect(name, getattr(self, name), values)
                if name not in (*DESCRIPTORS[self.type], "quadrant", "depth"):
                    raise ValueError(f"{name}='{getattr(self, name)}': a {self.type} has no {name}; leave it out")
        if self.size_mm is not None and self.size_mm < 1:
            raise ValueError(f"size_mm={self.size_mm}: expected at least 1")
        if self.clock is not None and quadrant_at(self.side, self.clock) != self.quadrant:
            raise ValueError(
                f"clock={self.clock} in the {self.side} breast is {quadrant_at(self.side, self.clock)}, "
                f"but quadrant is {self.quadrant}: give the two together and alike"
            )


@dataclass(frozen=True)
class ReportFacts:
    """All that a report says, or could say.

    Args:
        findings: what there is.
        absent: (side, type) of what is not there.
        normal: sides without any finding.
        density: a to d, or None.
        birads: category, 1 to 5, by side; "exam" stands for the whole exam.

    Raises:
        ValueError: for an unknown side, type, density or category, or a finding that is also absent.
    """

    findings: tuple[Finding, ...] = ()
    absent: tuple[tuple[str, str], ...] = ()
    normal: tuple[str, ...] = ()
    density: str | None = None
    birads: Mapping[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for side, kind in self.absent:
            _expect("side", side, SIDES)
            _expect("type", kind, tuple(DESCRIPTORS))
        for side in self.normal:
            _expect("side", side, SIDES)
        if self.density is not None:
            _expect("density", self.density, DENSITIES)
        for side, category in self.birads.items():
            _expect("side", side, (*SIDES, "exam"))
            _expect("BI-RADS category", category, (1, 2, 3, 4, 5))
        for finding in self.findings:
            if finding.side in self.normal or (finding.side, finding.type) in self.absent:
                raise ValueError(f"a {finding.type} in the {finding.side} breast is said to be there and not to be")


def quadrant_at(side: str, clock: int) -> str | None:
    """Return the quadrant of an hour on the clock face, or None between two quadrants (12, 3, 6 and 9).

    Args:
        side: left or right.
        clock: 1 to 12.
    """
    hour = clock if side == "left" else (12 - clock) % 12
    return next((name for name, hours in QUADRANT_HOURS.items() if hour in hours), None)


def _expect(name: str, value: Any, values: tuple[Any, ...]) -> None:
    if value not in values:
        raise ValueError(f"{name}={value!r}: expected one of {', '.join(map(str, values))}")
