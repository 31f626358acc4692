"""The chest phantom: X-rays of the chest with up to three findings at once, and where each of them is.

Image i depends on the settings, the seed and i alone. Images come in groups of eight, of five people, who have one,
two, one, three and one. A person keeps the anatomy from image to image, and the findings unless they resolve; places of
shadows are drawn anew.

Findings that go together in people go together here (see `COMPANIONS`), so that a network may take one for the other;
each of them also occurs alone. Age, sex, electrodes, vessels and noise tell nothing.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont
from scipy.ndimage import gaussian_filter

from common.data.phantoms.chest_anatomy import (
    LUNG,
    Chest,
    Floats,
    Mask,
    paint_body,
    paint_bones,
    paint_vessels,
    sample_chest,
)
from common.data.phantoms.chest_findings import (
    enlarged_heart,
    find_room,
    lung_edge,
    paint_cloud,
    paint_round,
    pleural_air,
    pleural_fluid,
)
from common.data.phantoms.chest_settings import CHEST_FINDINGS, ChestSettings

__all__ = ["COMPANIONS", "ChestFacts", "ChestImage", "chest_facts", "make_chest"]

PEOPLE = (0, 1, 1, 2, 3, 3, 3, 4)  # who the images of a group of eight belong to
GROUP = max(PEOPLE) + 1
#: What else somebody with a finding is likely to have, and how likely.
COMPANIONS = {
    "Cardiomegaly": {"Effusion": 0.7, "Infiltration": 0.3},
    "Effusion": {"Cardiomegaly": 0.3, "Infiltration": 0.2, "Mass": 0.2, "Pneumothorax": 0.3},
    "Infiltration": {"Effusion": 0.3, "Nodule": 0.4, "Pneumothorax": 0.3},
    "Mass": {"Effusion": 0.5, "Nodule": 0.5},
    "Nodule": {"Mass": 0.6, "Infiltration": 0.4},
    "Pneumothorax": {"Effusion": 0.5, "Infiltration": 0.5},
}
# Densities of what is added to the lungs.
MASS, NODULE, CLOUD, EDGE, LEAD = 0.5, 0.55, 0.5, 0.3, 0.8
CLOUD_RADIUS = (0.075, 0.11)  # in shares of the side
EXPOSURE = 1.15

# Each purpose has a stream of its own: changing one thing never changes another.
_PERSON, _ILLNESS, _COURSE, _POSITION, _TISSUE, _BONES, _VESSELS, _SIDES, _FINDING, _FILM, _LEADS, _NOISE = range(12)


@dataclass(frozen=True)
class ChestFacts:
    """What is known about an image before it is drawn.

    Args:
        patient: number of the person, from 0.
        follow_up: number of the image among theirs, from 0.
        findings: names, in the order of `CHEST_FINDINGS`.
        age: in years.
        sex: F or M.
        view: PA or AP.
    """

    patient: int
    follow_up: int
    findings: tuple[str, ...]
    age: int
    sex: str
    view: str


@dataclass(frozen=True, eq=False)
class ChestImage:
    """A finished image with everything known about it.

    Args:
        image: (H, W) uint8.
        facts: about it.
        masks: (H, W) bool for each finding: where it can be seen.
    """

    image: NDArray[np.uint8]
    facts: ChestFacts
    masks: dict[str, Mask]

    @property
    def boxes(self) -> dict[str, tuple[int, int, int, int]]:
        """x0, y0, x1, y1 round each finding in pixels, x1 and y1 excluded."""
        return {name: _box(mask) for name, mask in self.masks.items()}


def chest_facts(settings: ChestSettings, index: int) -> ChestFacts:
    """Return what is known about image number `index` without drawing it."""
    group, place = divmod(index, len(PEOPLE))
    patient, follow_up = GROUP * group + PEOPLE[place], PEOPLE[:place].count(PEOPLE[place])
    rng, course = _stream(settings, patient, _PERSON, 1), _stream(settings, index, _COURSE)
    present = _illness(settings, _stream(settings, patient, _ILLNESS))
    resolved = course.random(len(CHEST_FINDINGS)) < settings.resolved_fraction * (follow_up > 0)
    kept = (name for name, gone in zip(CHEST_FINDINGS, resolved, strict=True) if name in present and not gone)
    age, sex = int(rng.integers(20, 85)), "FM"[int(rng.integers(2))]
    return ChestFacts(patient, follow_up, tuple(kept), age + follow_up, sex, "AP" if course.random() < 0.4 else "PA")


def _illness(settings: ChestSettings, rng: Generator) -> set[str]:
    """Draw what a person has: nothing, or one finding and perhaps its companions."""
    healthy, second, third = rng.random(3) < np.array([1.0, 1.0, 0.5]) * [
        settings.healthy_fraction,
        settings.co_occurrence,
        settings.co_occurrence,
    ]
    found = [CHEST_FINDINGS[int(rng.integers(len(CHEST_FINDINGS)))]]
    for _ in range(int(second) + int(second and third)):
        others = COMPANIONS[found[-1]]
        found.append(str(rng.choice(list(others), p=list(others.values()))))
    return set() if healthy else set(found)


def make_chest(settings: ChestSettings, index: int) -> ChestImage:
    """Make image number `index` with the masks of its findings."""
    size, facts = settings.size, chest_facts(settings, index)
    chest = sample_chest(
        "Cardiomegaly" in facts.findings,
        _stream(settings, facts.patient, _PERSON),
        _stream(settings, index, _POSITION),
    )
    density = paint_body(chest, size, _stream(settings, index, _TISSUE))
    density += paint_bones(chest, size, _stream(settings, facts.patient, _BONES))
    shadows, masks, air = _draw_findings(settings, facts, chest, index)
    lungs = gaussian_filter((chest.lung(size, 0) | chest.lung(size, 1)).astype(float), 0.006 * size)
    vessels = paint_vessels(chest, size, _stream(settings, facts.patient, _VESSELS))
    density += vessels * lungs * (1 - gaussian_filter(air.astype(float), 0.003 * size))
    density += shadows
    image = _develop(density, settings, facts, index)
    return ChestImage(image, facts, masks)


def _draw_findings(
    settings: ChestSettings, facts: ChestFacts, chest: Chest, index: int
) -> tuple[Floats, dict[str, Mask], Mask]:
    """Return what the findings add to the density (H, W), the mask of each, and where air took the lung's place."""
    size, contrast = settings.size, settings.contrast
    sides = _stream(settings, facts.patient, _SIDES)
    fluid_side = int(sides.integers(2))
    streams = {name: _stream(settings, index, _FINDING, part) for part, name in enumerate(CHEST_FINDINGS)}
    lungs = [chest.lung(size, side) for side in (0, 1)]
    heart, air = enlarged_heart(chest, size), np.zeros((size, size), dtype=bool)
    added, masks = np.zeros((size, size)), {}
    if "Cardiomegaly" in facts.findings:
        masks["Cardiomegaly"] = heart
    if "Effusion" in facts.findings:
        shape, masks["Effusion"] = pleural_fluid(chest, fluid_side, size, streams["Effusion"])
        added += (1 - LUNG + 0.3) * chest.tissue * shape * min(contrast, 1)
    if "Pneumothorax" in facts.findings:
        # On the other side, as fluid would leave no room for the lung.
        air = masks["Pneumothorax"] = pleural_air(chest, 1 - fluid_side, size, streams["Pneumothorax"])
        added += EDGE * contrast * lung_edge(air, lungs[1 - fluid_side])
        added -= min(0.85 * LUNG, 0.2 * contrast) * chest.tissue * gaussian_filter(air.astype(float), 0.003 * size)
    # Round shadows look for a place before the cloud, which fits anywhere.
    free = (lungs[0] | lungs[1]) & ~heart & ~_boxed(masks, size)
    for name, radii, lobes, strength in (
        ("Mass", settings.mass, 0.11, MASS),
        ("Nodule", settings.nodule, 0.0, NODULE),
        ("Infiltration", CLOUD_RADIUS, 0.0, CLOUD),
    ):
        if name not in facts.findings:
            continue
        rng = streams[name]
        radius = rng.uniform(*radii) * size
        place = find_room(free, 1.1 * radius + 2, rng)
        if name == "Infiltration":
            shape, masks[name] = paint_cloud(free, place, radius, rng)
        else:
            shape, masks[name] = paint_round(place, radius, lobes, size, rng)
        added += strength * contrast * rng.uniform(0.85, 1.1) * shape
        free &= ~_boxed(masks, size)
    return added, {name: masks[name] for name in facts.findings}, air


def _boxed(masks: dict[str, Mask], size: int) -> Mask:
    """Return the boxes of findings, filled and a little larger, (H, W): what comes later keeps out of them."""
    taken, margin = np.zeros((size, size), dtype=bool), round(0.01 * size)
    for x0, y0, x1, y1 in map(_box, masks.values()):
        taken[max(y0 - margin, 0) : y1 + margin, max(x0 - margin, 0) : x1 + margin] = True
    return taken


def _develop(density: Floats, settings: ChestSettings, facts: ChestFacts, index: int) -> NDArray[np.uint8]:
    """Return the film, (H, W): exposure, electrodes, noise and the letter that marks the left."""
    size, film = settings.size, _stream(settings, index, _FILM)
    if _stream(settings, index, _LEADS).random() < settings.leads_fraction:
        density = density + LEAD * _leads(size, _stream(settings, index, _LEADS, 1))
    exposure = EXPOSURE * film.uniform(0.9, 1.1) * (1.05 if facts.view == "AP" else 1.0)
    picture = 1 - np.exp(-exposure * np.clip(density, 0, None))
    picture = gaussian_filter(picture, 0.002 * size)
    picture += _stream(settings, index, _NOISE).normal(0, settings.noise, density.shape)
    canvas = Image.new("L", (size, size))
    font = ImageFont.load_default(size=max(round(0.06 * size), 7))
    spot = (film.uniform(0.9, 0.93) * size, film.uniform(0.02, 0.06) * size)
    ImageDraw.Draw(canvas).text(spot, "L", fill=240, font=font)
    picture = np.maximum(picture, np.asarray(canvas, dtype=np.float64) / 255)
    return np.rint(np.clip(picture, 0, 1) * 255).astype(np.uint8)


def _leads(size: int, rng: Generator) -> Floats:
    """Return electrodes on the skin with their leads, (H, W) from 0 to 1."""
    scale = 3
    canvas = Image.new("L", (size * scale, size * scale))
    draw, side = ImageDraw.Draw(canvas), size * scale
    for _ in range(int(rng.integers(1, 4))):
        x, y = rng.uniform(0.15, 0.85) * side, rng.uniform(0.2, 0.8) * side
        end, bend = (rng.uniform(0.2, 0.8) * side, side), rng.normal(0, 0.1, 2) * side
        t = np.linspace(0, 1, 30)[:, None]
        points = (1 - t) ** 2 * [x, y] + 2 * t * (1 - t) * ((np.array([x, y]) + end) / 2 + bend) + t**2 * np.array(end)
        draw.line([tuple(point) for point in points.tolist()], fill=120, width=max(round(0.005 * side), 2))
        r = 0.016 * side
        draw.rectangle((x - r, y - 0.7 * r, x + r, y + 0.7 * r), fill=200)
    return np.asarray(canvas.reduce(scale), dtype=np.float64) / 255


def _box(mask: Mask) -> tuple[int, int, int, int]:
    x, y = (np.flatnonzero(mask.any(axis)) for axis in (0, 1))
    return int(x[0]), int(y[0]), int(x[-1]) + 1, int(y[-1]) + 1


def _stream(settings: ChestSettings, number: int, purpose: int, part: int = 0) -> Generator:
    return np.random.default_rng([settings.seed, number, purpose, part])
