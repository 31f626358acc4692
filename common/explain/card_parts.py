"""What every card is made of: header, panels with outlines and boxes, bars, facts, footer."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike

from common.explain.card import (
    BAR_STEP,
    MARGIN,
    NOTE_STEP,
    WIDTH,
    Box,
    Layout,
    Sheet,
    extent_of,
    notes_of,
    shown_classes,
)
from common.explain.decision import predicted_classes, true_classes, verdict
from common.explain.regions import FloatArray, Size, resample_map
from common.explain.schema import ExplanationRecord

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# Okabe and Ito's palette, told apart by colour-blind readers
MUTED, TRACK, GREY = "#5f5f5f", "#f0f0f0", "#8a8a8a"
BLUE, VERMILLION = "#0072b2", "#d55e00"
COLOURS = "viridis"


def draw_header(sheet: Sheet, record: ExplanationRecord, words: str | None = None) -> None:
    """Write case, verdict and method; ``words`` stand for the usual ones of the verdict."""
    said, outcome = verdict(record)
    words = said if words is None else words
    sheet.write(MARGIN, 46, shortened(record["case_id"], 60), 17, fontweight="bold")
    sheet.write(MARGIN, 78, shortened(words, 90), 13)
    if outcome:
        mark, colour = ("✓", BLUE) if outcome == "correct" else ("✗", VERMILLION)
        style = {"color": colour, "ha": "right", "fontweight": "bold"}
        sheet.write(WIDTH - MARGIN, 46, f"{mark} {outcome}", 16, **style)
    sheet.write(WIDTH - MARGIN, 78, shortened(record["method"], 60), 11, color=MUTED, ha="right")


def draw_footer(sheet: Sheet, record: ExplanationRecord) -> None:
    """Write how the card is to be read, and what it is not for."""
    notes = notes_of(record)
    for row, line in enumerate(notes):
        sheet.write(MARGIN, sheet.height - 22 - NOTE_STEP * (len(notes) - 1 - row), line, 10.5, color=MUTED)


def draw_probabilities(sheet: Sheet, place: Layout, record: ExplanationRecord) -> None:
    """Draw a bar for the probability of each shown class; predicted classes stand out, true ones are marked."""
    x, y, width, _ = place.bars
    shown = shown_classes(record)
    hidden = len(record["classes"]) - len(shown)
    title = "Probability" + (f" ({hidden} less probable classes not shown)" if hidden else "")
    sheet.write(x, y - 12, title, 11.5, color=MUTED)
    names, track = 0.40 * width, 0.38 * width
    axes = sheet.axes((round(x + names), y, round(track), BAR_STEP * len(shown)))
    axes.set_axis_off()
    axes.set(xlim=(0, 1), ylim=(len(shown), 0))
    for row, name in enumerate(shown):
        probability = record["prediction"]["probabilities"][name]
        predicted = name in predicted_classes(record)
        axes.barh(row + 0.45, 1, height=0.46, color=TRACK)
        axes.barh(row + 0.45, probability, height=0.46, color=BLUE if predicted else GREY)
        base = y + row * BAR_STEP + 0.45 * BAR_STEP + 5
        weight = "bold" if predicted else "normal"
        sheet.write(x, base, shortened(name, 20), 11, fontweight=weight)
        number = x + names + track + 66
        sheet.write(number, base, f"{probability:.3f}", 11, ha="right", fontweight=weight)
        if name in (true_classes(record) or []):
            sheet.write(number + 12, base, "true", 11, color=MUTED)


def draw_facts(sheet: Sheet, place: Layout, record: ExplanationRecord, title: str) -> None:
    """Write the record's summary, one sentence a line."""
    x, y = place.facts
    sheet.write(x, y - 12, title, 11.5, color=MUTED)
    for row, line in enumerate(record["summary"]):
        sheet.write(x, y + row * BAR_STEP + 0.45 * BAR_STEP + 5, shortened(line, 72), 11)


def draw_colour_bar(sheet: Sheet, place: Layout, panel: int, colours: str = COLOURS) -> None:
    """Draw the scale from 0 to 1 below a panel."""
    x, y, width, height = place.panels[panel]
    top, high = y + height + 12, 10
    bar = sheet.axes((x, top, width, high))
    bar.imshow(np.linspace(0, 1, 256)[None], cmap=colours, aspect="auto", extent=(0, 1, 0, 1))
    for value, align in ((0, "left"), (0.5, "center"), (1, "right")):
        sheet.write(x + value * width, top + high + 18, f"{value:g}", 10.5, color=MUTED, ha=align)


def draw_panel(sheet: Sheet, box: Box, title: str, picture: FloatArray, record: ExplanationRecord) -> Axes:
    """Draw a picture (rows, columns, 3) over the part of the source image that was seen; return axes in its pixels."""
    sheet.write(box[0], box[1] - 10, title, 11.5, color=MUTED)
    axes = sheet.axes(box)
    axes.imshow(picture, extent=extent_of(record), interpolation="auto", aspect="auto")
    return axes


def draw_outline(axes: Axes, inside: FloatArray, record: ExplanationRecord, colour: str, dashed: bool = False) -> None:
    """Draw the edge of a region (rows, columns), 1 inside, dark under bright so that it shows on any ground.

    Where ``inside`` is a masked array, nothing is drawn in the masked part.
    """
    lines = ((colour, 1.8),) if dashed else (("black", 3.0), (colour, 1.8))
    for line, width in lines:
        style: dict[str, Any] = {
            "colors": [line],
            "linewidths": width,
            "linestyles": [(0, (3, 2))] if dashed else "solid",
        }
        axes.contour(inside, levels=[0.5], extent=extent_of(record), origin="upper", **style)


def draw_box(axes: Axes, box: list[int], number: str) -> None:
    """Draw a numbered box [x0, y0, x1, y1]."""
    from matplotlib.patches import Rectangle
    from matplotlib.patheffects import withStroke

    x0, y0, x1, y1 = box
    halo = [withStroke(linewidth=2.6, foreground="black")]
    axes.add_patch(Rectangle((x0, y0), x1 - x0, y1 - y0, fill=False, color="white", linewidth=1.2, path_effects=halo))
    style: dict[str, Any] = {"va": "top", "color": "white", "fontsize": 10.5, "fontweight": "bold"}
    place: dict[str, Any] = {"xytext": (3, -3), "textcoords": "offset points", "annotation_clip": False}
    axes.annotate(number, (x0, y0), path_effects=halo, **place, **style)


def picture_of(image: ArrayLike, size: Size, case_id: str) -> FloatArray:
    """Return an image (1 | 3, h, w) in colour, (rows, columns, 3), at the drawing size.

    Raises:
        ValueError: if it has another number of channels or dimensions.
    """
    values = np.asarray(image, dtype=np.float32)
    if values.ndim != 3 or values.shape[0] not in (1, 3):
        raise ValueError(f"case '{case_id}': the image has shape {values.shape}, expected (1 or 3, rows, columns)")
    values = np.clip(np.nan_to_num(values), 0.0, 1.0)
    drawn = np.stack([resample_map(channel, size) for channel in values], axis=-1)
    return np.repeat(drawn, 3, axis=-1) if drawn.shape[-1] == 1 else drawn


def shortened(text: str, most: int) -> str:
    """Return a text on one line, cut where it is longer than ``most`` letters."""
    plain = " ".join(text.split())
    return plain if len(plain) <= most else plain[: most - 1] + "…"
