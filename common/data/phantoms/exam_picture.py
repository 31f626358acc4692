"""Draw the views of an exam of the exam phantom, with a mask for each finding.

Image, masks and centres are as a real file shows them: the chest wall of a left breast is on the left, that of a right
breast on the right. What both views of a breast show is one thing in three dimensions, see `exam_tissue.height_in`.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from common.data.phantoms.exam_description import VIEWS, BreastTruth, ExamTruth, exam_stream
from common.data.phantoms.exam_lesions import (
    paint_fold,
    paint_islands,
    paint_lesion,
    paint_lone_specks,
    paint_vessels,
)
from common.data.phantoms.exam_settings import ExamSettings
from common.data.phantoms.exam_tissue import (
    FAT,
    GLAND,
    MUSCLE,
    Floats,
    Frame,
    Mask,
    frame_of,
    paint_gland,
    paint_muscle,
    sample_layout,
)
from common.text.report_writer_facts import SIDES

__all__ = ["ExamView", "make_views"]

VESSEL, FOLD, MARKER = 0.10, 0.25, 0.85
GAIN, OFFSET = (0.9, 1.1), (-0.02, 0.03)
AIR = 0.02  # share of the breast below which a pixel is air, and black

# Each purpose has a stream of its own, apart from those of the description.
_SHAPE, _FORM, _POSITION, _TISSUE, _BESIDE, _FILM = range(10, 16)


@dataclass(frozen=True, eq=False)
class ExamView:
    """One image with everything known about it.

    Args:
        view: such as left_cc.
        image: (H, W) uint8.
        masks: (H, W) bool for each finding: where it can be seen.
        centres: x, y of each finding, in pixels.
        breast: (H, W) bool.
        muscle: (H, W) bool, the pectoral muscle.
    """

    view: str
    image: NDArray[np.uint8]
    masks: dict[str, Mask]
    centres: dict[str, tuple[float, float]]
    breast: Mask
    muscle: Mask


def make_views(settings: ExamSettings, exam: ExamTruth) -> list[ExamView]:
    """Draw the views of an exam that were taken."""
    return [
        _draw(settings, exam, exam.breasts[SIDES.index(side)], SIDES.index(side), VIEWS.index(view))
        for side, view in (name.split("_") for name in exam.views)
    ]


def _draw(settings: ExamSettings, exam: ExamTruth, breast: BreastTruth, side: int, view: int) -> ExamView:
    def stream(purpose: int, *part: int) -> Generator:
        return exam_stream(settings, exam.split, exam.number, purpose, side, *part)

    size, shape = settings.size, stream(_SHAPE)
    frame = frame_of(size, VIEWS[view] == "mlo", shape, stream(_POSITION, view))
    inside, muscle = frame.inside(), paint_muscle(frame)
    gland = paint_gland(frame, sample_layout(shape), exam.density, inside, stream(_TISSUE, view))
    picture = FAT + GLAND * gland * (1 - 0.7 * muscle) + MUSCLE * muscle
    picture += _beside(settings, frame, stream(_BESIDE, view))
    masks, centres = {}, {}
    for place, lesion in enumerate(breast.lesions):
        shadow, visible = paint_lesion(lesion, frame, settings.specks, stream(_FORM, place))
        picture += lesion.contrast * shadow
        masks[lesion.finding.type] = visible & (inside > 0.5)
        centres[lesion.finding.type] = frame.place(lesion.depth, lesion.outer, lesion.upper)
    picture = _develop(picture, inside, settings.noise, stream(_FILM, view))
    picture = np.maximum(picture, _marker(breast.side[0].upper(), VIEWS[view].upper(), size))
    image = np.rint(255 * picture).astype(np.uint8)
    kept = inside > 0.5
    if breast.side == "right":
        image, kept, muscle = image[:, ::-1], kept[:, ::-1], muscle[:, ::-1]
        masks = {name: mask[:, ::-1] for name, mask in masks.items()}
        centres = {name: (size - x, y) for name, (x, y) in centres.items()}
    return ExamView(f"{breast.side}_{VIEWS[view]}", image, masks, centres, kept, kept & (muscle > 0.5))


def _beside(settings: ExamSettings, frame: Frame, rng: Generator) -> Floats:
    """Return all that no report speaks of, (H, W) in shares of white."""
    islands, vessels, specks = (
        int(rng.integers(*numbers, endpoint=True))
        for numbers in (settings.islands, settings.vessels, settings.lone_specks)
    )
    picture = paint_islands(frame, islands, settings.radius, settings.island_contrast, rng)
    picture += VESSEL * paint_vessels(frame, vessels, rng)
    picture += paint_lone_specks(frame, specks, settings.speck_contrast, rng)
    if frame.oblique and rng.random() < settings.folds_fraction:
        picture += FOLD * paint_fold(frame, rng)
    return picture


def _develop(picture: Floats, inside: Floats, noise: float, rng: Generator) -> Floats:
    """Return the picture as an X-ray shows it, (H, W) from 0 to 1: brighter tissue is noisier, air is black."""
    grain = rng.standard_normal(picture.shape, dtype=np.float32)
    picture = picture * inside**0.5
    picture = picture + noise * np.sqrt(0.4 + 1.5 * np.clip(picture, 0, 1)) * grain
    picture = rng.uniform(*GAIN) * picture + rng.uniform(*OFFSET)
    return np.where(inside > AIR, np.clip(picture, 0.03, 1), 0).astype(np.float32)


@lru_cache
def _marker(laterality: str, view: str, size: int) -> Floats:
    """Return side and view in letters beside the breast, (H, W); readable where the image is as its file shows it."""
    picture = Image.new("L", (size, size))
    draw, text = ImageDraw.Draw(picture), f"{laterality} {view}"
    font = ImageFont.load_default(size=max(round(0.05 * size), 6))
    draw.text((size - 2 - draw.textlength(text, font=font), 0.01 * size), text, fill=255, font=font)
    letters = np.asarray(picture, dtype=np.float32) / 255 * MARKER
    if laterality == "R":  # the whole image is turned round at the end: the letters stand on the other side
        width = int(np.ceil(draw.textlength(text, font=font))) + 4
        letters[:, -width:] = letters[:, -width:][:, ::-1]
    return letters
