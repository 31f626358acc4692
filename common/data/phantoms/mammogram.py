"""The mammography phantom: breasts with a spiculated mass are malignant, others are benign.

Image i depends on the settings, the seed and i alone. Images 2s and 2s + 1 are the two views (CC, MLO) of breast s,
with the same label, lesion and density. Of four breasts the first two belong to one woman, the others to two more.

Benign breasts have a smooth round mass or none. Size and brightness of the masses, density, vessels, islands of dense
tissue and calcifications have the same distribution in both classes: the border of the mass decides.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from common.data.phantoms.balance import balanced_label
from common.data.phantoms.mammogram_lesions import (
    find_place,
    paint_calcifications,
    paint_island,
    paint_mass,
    sample_mass,
)
from common.data.phantoms.mammogram_settings import MammogramSettings
from common.data.phantoms.mammogram_tissue import (
    Breast,
    Floats,
    draw_lines,
    paint_tissue,
    sample_breast,
    sample_vessels,
    smooth_noise,
)

__all__ = ["BRIGHTEST", "BreastFacts", "Mammogram", "breast_facts", "make_mammogram"]

BRIGHTEST = 4095  # 12 bits, as detectors have
VIEWS = ("CC", "MLO")
WOMEN = (0, 0, 1, 2)  # who the breasts of a group of four belong to
# Brightness of what is added to the tissue.
MASS, ISLAND, VESSEL, CALCIFICATION, MARKER = 0.42, 0.3, 0.13, 0.5, 0.95
ISLAND_SIZE = (0.8, 1.5)  # in radii of a mass
BESIDE_MASS = 0.25  # share of the smooth masses with calcifications in the same breast

# Each purpose has a stream of its own: changing one thing never changes another.
_TOSS, _SIDE, _BREAST, _SHAPE, _POSITION, _TISSUE, _VESSELS, _ISLANDS, _MASS, _PLACE, _DOTS, _FILE, _NOISE = range(13)


@dataclass(frozen=True)
class BreastFacts:
    """What both views of a breast share.

    Args:
        patient: number of the woman, from 0.
        laterality: L or R.
        label: 1 with a malignant mass, else 0.
        mass: whether there is a mass; always if malignant.
        calcifications: whether there are some.
        radius: of the mass, or what it would be, in pixels.
        density: 0 to 1.
        age: of the woman, in years.
    """

    patient: int
    laterality: str
    label: int
    mass: bool
    calcifications: bool
    radius: float
    density: float
    age: int


@dataclass(frozen=True, eq=False)
class Mammogram:
    """A finished image with everything known about it.

    Args:
        image: (H, W) uint16, 0 (air) to 4095.
        facts: about the breast.
        view: CC or MLO.
        mask: (H, W) bool, the mass with its spicules; empty without a mass.
        box: x0, y0, x1, y1 round the mask in pixels, x1 and y1 excluded; None without a mass.
        monochrome1: whether its file is to store black as the largest value.
    """

    image: NDArray[np.uint16]
    facts: BreastFacts
    view: str
    mask: NDArray[np.bool_]
    box: tuple[int, int, int, int] | None
    monochrome1: bool


def breast_facts(settings: MammogramSettings, number: int) -> BreastFacts:
    """Return what is known about breast `number` without drawing it."""
    label = _label(settings, number)
    # The two breasts of a pair differ in side. Whether the malignant one is left is tossed for every other pair and
    # turned round for the next, so that the side tells nothing.
    pair = number // 2
    turned = int(_stream(settings, pair // 2, _SIDE).integers(2)) ^ (pair % 2)
    left = (number % 2 == 0) ^ bool(turned) ^ bool(_label(settings, 2 * pair))
    patient = 3 * (number // 4) + WOMEN[number % 4]
    rng = _stream(settings, number, _BREAST, 1)
    smooth = bool(rng.random() < settings.round_fraction)
    # Benign breasts without a mass have calcifications, as there must have been a reason for a biopsy. Malignant ones
    # have them as often as all benign ones together.
    often = 1 - settings.round_fraction * (1 - BESIDE_MASS)
    often = often if label else BESIDE_MASS if smooth else 1.0
    return BreastFacts(
        patient=patient,
        laterality="L" if left else "R",
        label=label,
        mass=bool(label) or smooth,
        calcifications=bool(rng.random() < often),
        radius=float(rng.uniform(*settings.radius)) * settings.size[0],
        density=float(rng.uniform(*settings.density)),
        age=int(_stream(settings, patient, _BREAST, 2).integers(35, 75)),
    )


def _label(settings: MammogramSettings, number: int) -> int:
    toss = int(_stream(settings, number // 2, _TOSS).integers(2))
    return balanced_label(number, settings.positive_fraction, toss)


def make_mammogram(settings: MammogramSettings, index: int) -> Mammogram:
    """Make image number `index` with its label, mask and box."""
    number, view = index // 2, VIEWS[index % 2]
    facts = breast_facts(settings, number)
    breast = sample_breast(
        settings.size, view == "MLO", _stream(settings, number, _SHAPE), _stream(settings, index, _POSITION)
    )
    picture = paint_tissue(breast, facts.density, _stream(settings, index, _TISSUE))
    vessels = _stream(settings, index, _VESSELS)
    count = int(vessels.integers(*settings.vessels, endpoint=True))
    picture = _add(picture, draw_lines(settings.size, sample_vessels(breast, count, vessels)), VESSEL)
    picture, mask = _add_lesions(picture, breast, facts, settings, index)
    picture = np.where(breast.inside, picture, 0)
    noise = _stream(settings, index, _NOISE).normal(0, settings.noise, settings.size)
    picture = np.where(breast.inside, np.clip(picture + noise, 0.03, 1), 0)
    if facts.laterality == "R":
        picture, mask = picture[:, ::-1], mask[:, ::-1]
    if settings.markers:
        picture = np.maximum(picture, _marker(facts.laterality, view, settings.size))
    image = np.rint(picture * BRIGHTEST).astype(np.uint16)
    monochrome1 = bool(_stream(settings, index, _FILE).random() < settings.monochrome1_fraction)
    return Mammogram(image, facts, view, np.ascontiguousarray(mask), _box(mask), monochrome1)


def _add_lesions(
    picture: Floats, breast: Breast, facts: BreastFacts, settings: MammogramSettings, index: int
) -> tuple[Floats, NDArray[np.bool_]]:
    """Return the picture with islands, mass and calcifications, and the mask of the mass."""
    size, rng = settings.size, _stream(settings, index // 2, _MASS)
    mass = sample_mass(facts.radius, bool(facts.label), settings.spicules, settings.spicule_length, rng)
    strength = MASS * settings.contrast * _stream(settings, index // 2, _MASS, 1).uniform(0.85, 1.1)
    # The mass looks for its place first, so that islands are never in its way.
    place = find_place(breast, 1.6 * facts.radius, np.zeros(size), _stream(settings, index, _PLACE))
    shape, visible = paint_mass(mass, place, size)
    shape, visible = shape * facts.mass, visible & breast.inside & facts.mass
    picture = _add_islands(picture, breast, shape, settings, index)
    picture = _add(picture, shape, strength)
    if facts.calcifications:
        rng = _stream(settings, index, _DOTS)
        centre = find_place(breast, 2 * facts.radius, shape, rng)
        spots = rng.normal(centre, 0.025 * size[0], (int(rng.integers(2, 6)), 2))
        dots = paint_calcifications(spots, max(0.005 * size[0], 0.7), size) * breast.inside
        picture = _add(picture, dots, CALCIFICATION)
    return picture, visible


def _add_islands(picture: Floats, breast: Breast, mass: Floats, settings: MammogramSettings, index: int) -> Floats:
    """Return the picture with islands of dense tissue beside the mass (H, W)."""
    rng, taken = _stream(settings, index, _ISLANDS), mass
    for _ in range(int(rng.integers(*settings.islands, endpoint=True))):
        radius = rng.uniform(*ISLAND_SIZE) * rng.uniform(*settings.radius) * settings.size[0]
        place = find_place(breast, 1.5 * radius, taken, rng)
        island = paint_island(place, radius, smooth_noise(settings.size, 1.5, rng))
        taken = np.maximum(taken, island > 0.5)
        picture = _add(picture, island, ISLAND * settings.contrast * rng.uniform(0.75, 1.0))
    return picture


def _add(picture: Floats, shape: Floats, brightness: float) -> Floats:
    """Lay something over the tissue, as rays pass both: what is bright already gains less."""
    return 1 - (1 - picture) * (1 - brightness * shape)


def _marker(laterality: str, view: str, size: tuple[int, int]) -> Floats:
    """Return side and view in letters beside the breast, (H, W), where the armpit is: above and away from the chest."""
    height, width = size
    picture = Image.new("L", (width, height))
    draw = ImageDraw.Draw(picture)
    text, font = f"{laterality} {view}", ImageFont.load_default(size=max(round(0.045 * height), 6))
    length = draw.textlength(text, font=font)
    draw.text((width - 3 - length if laterality == "L" else 3, 0.02 * height), text, fill=255, font=font)
    return np.asarray(picture, dtype=np.float64) / 255 * MARKER


def _box(mask: NDArray[np.bool_]) -> tuple[int, int, int, int] | None:
    if not mask.any():
        return None
    x, y = (np.flatnonzero(mask.any(axis)) for axis in (0, 1))
    return int(x[0]), int(y[0]), int(x[-1]) + 1, int(y[-1]) + 1


def _stream(settings: MammogramSettings, number: int, purpose: int, part: int = 0) -> Generator:
    return np.random.default_rng([settings.seed, number, purpose, part])
