"""The card of an evidential segmentation: image, outlines, pixel uncertainty, reliable mask, beliefs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import ndimage

from common.explain.card import BAR_STEP, Card, Layout, Sheet, drawing_size, layout, shown_classes
from common.explain.card_parts import (
    BLUE,
    COLOURS,
    GREY,
    MUTED,
    TRACK,
    draw_box,
    draw_colour_bar,
    draw_facts,
    draw_footer,
    draw_header,
    draw_outline,
    draw_panel,
    picture_of,
    shortened,
)
from common.explain.decision import predicted_classes, true_classes
from common.explain.regions import FloatArray, Size, resample_map
from common.explain.schema import ExplanationRecord

if TYPE_CHECKING:
    from matplotlib.axes import Axes

OUTLINES = ("#56b4e9", "#f0e442", "#cc79a7", "#009e73", "#d55e00")  # Okabe and Ito's, the brightest first
UNCERTAIN = "magma"


def draw_evidential_segmentation(
    record: ExplanationRecord,
    image: ArrayLike,
    segmentation: NDArray[Any],
    pixel_uncertainty: FloatArray,
    reliable_mask: FloatArray | None = None,
    known: NDArray[Any] | None = None,
) -> Card:
    """Draw the card of one case; every array lies over the part of the source image that was seen, at any resolution.

    Args:
        record: what the card says.
        image: (1 | 3, h, w) in [0, 1].
        segmentation: (h, w) predicted structure of every pixel, an index of the names in the record's files.
        pixel_uncertainty: (h, w) in [0, 1].
        reliable_mask: (h, w) in [0, 1], of networks that have one.
        known: (h, w) true structure of every pixel.

    Raises:
        ValueError: if the image has another number of channels or dimensions.
    """
    from matplotlib import colormaps

    bars = len(shown_classes(record)) + 1
    place = layout(record, panels=3 if reliable_mask is None else 4, bars=bars)
    sheet = Sheet(place.height)
    draw_header(sheet, record)
    size = drawing_size(record, place)
    picture = picture_of(image, size, record["case_id"])
    panels = [("Image", picture), ("Outlines" if known is None else "Outlines, the true ones dashed", picture)]
    panels.append(("Pixel uncertainty", colormaps[UNCERTAIN](resample_map(pixel_uncertainty, size))[..., :3]))
    if reliable_mask is not None:
        panels.append(("Reliable mask", colormaps[COLOURS](resample_map(reliable_mask, size))[..., :3]))
        draw_colour_bar(sheet, place, 3)
    drawn = [draw_panel(sheet, box, *panel, record) for box, panel in zip(place.panels, panels, strict=True)]
    structures = record["files"]["segmentation"]["names"]
    for index in range(1, len(structures)):
        _draw_structure(drawn[1], segmentation, index, record, size)
        if known is not None:
            _draw_structure(drawn[1], known, index, record, size, dashed=True)
    regions = [item for item in record["evidence"] if item["kind"] == "uncertain_region"]
    for number, item in enumerate(regions, 1):
        draw_box(drawn[2], item["box"], str(number))
    _draw_legend(sheet, place, structures)
    draw_colour_bar(sheet, place, 2, UNCERTAIN)
    _draw_beliefs(sheet, place, record)
    draw_facts(sheet, place, record, "In numbers")
    draw_footer(sheet, record)
    return Card(sheet.finish(), place.thumbnail(1), "Outlines of the segmentation over the image")


def _colour(index: int) -> str:
    return OUTLINES[(index - 1) % len(OUTLINES)]


def _draw_structure(
    axes: Axes, labels: NDArray[Any], index: int, record: ExplanationRecord, size: Size, dashed: bool = False
) -> None:
    """Outline the structure of one index; an edge that it shares with a later one is left to that one."""
    inside = labels == index
    if not inside.any() or inside.all():
        return
    share = resample_map(inside.astype(np.float32), size)
    later = resample_map((labels > index).astype(np.float32), size) > 0.01
    near = ndimage.binary_dilation(later, iterations=2)
    draw_outline(axes, np.ma.masked_where(near, share), record, "white" if dashed else _colour(index), dashed)


def _draw_legend(sheet: Sheet, place: Layout, structures: list[str]) -> None:
    """Name the outlines below their panel."""
    x, y, width, height = place.panels[1]
    names = structures[1:]
    step = width / len(names)
    for index, name in enumerate(names, 1):
        left = round(x + (index - 1) * step)
        axes = sheet.axes((left, y + height + 24, 22, 4))
        axes.set_facecolor(_colour(index))
        sheet.write(left + 30, y + height + 31, shortened(name, max(int((step - 40) / 8), 3)), 11)


def _draw_beliefs(sheet: Sheet, place: Layout, record: ExplanationRecord) -> None:
    """Draw belief as a solid bar and each class's share of the uncertainty striped; together they are probability."""
    x, y, width, height = place.bars
    shown = shown_classes(record)
    sheet.write(x, y - 12, "Probability: belief (solid) and a share of the uncertainty (striped)", 11.5, color=MUTED)
    names, track = 0.40 * width, 0.38 * width
    axes = sheet.axes((round(x + names), y, round(track), height))
    axes.set_axis_off()
    axes.set(xlim=(0, 1), ylim=(len(shown) + 1, 0))
    unknown = record["uncertainty"]["class"]
    rows = [(name, record["beliefs"][name], record["prediction"]["probabilities"][name]) for name in shown]
    for row, (name, belief, total) in enumerate([*rows, ("uncertainty", 0.0, unknown)]):
        of_class = row < len(shown)
        predicted = of_class and name in predicted_classes(record)
        colour = BLUE if predicted else GREY
        axes.barh(row + 0.45, 1, height=0.46, color=TRACK)
        axes.barh(row + 0.45, belief, height=0.46, color=colour)
        stripes: dict[str, Any] = {"facecolor": "white", "edgecolor": colour, "hatch": "//////", "linewidth": 0.6}
        axes.barh(row + 0.45, total - belief, left=belief, height=0.46, **stripes)
        base = y + row * BAR_STEP + 0.45 * BAR_STEP + 5
        style: dict[str, Any] = {"fontweight": "bold" if predicted else "normal"}
        style |= {} if of_class else {"fontstyle": "italic"}
        sheet.write(x, base, shortened(name, 20), 11, **style)
        number = x + names + track + 66
        sheet.write(number, base, f"{total:.3f}", 11, ha="right", **style)
        if of_class and name in (true_classes(record) or []):
            sheet.write(number + 12, base, "true", 11, color=MUTED)
