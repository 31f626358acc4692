"""What every card is made of: a sheet with header, panels, bars, facts and footer; methods draw what is their own."""

from __future__ import annotations

import textwrap
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from common.explain.decision import predicted_classes, true_classes, verdict
from common.explain.regions import FloatArray, Size, resample_map
from common.explain.schema import ExplanationRecord

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Box = tuple[int, int, int, int]

WIDTH = 1200  # pixels; letters stay readable when a page shows the card 900 pixels wide
DPI = 100
MARGIN, GAP = 40, 24
HEADER, PANEL_TITLE, STRIP = 92, 30, 62
BAR_STEP, FOOTER, NOTE_STEP = 30, 58, 20
TALLEST_PANEL = 560
MOST_BARS, MOST_NOTES = 6, 4

# Okabe and Ito's palette, told apart by colour-blind readers
INK, MUTED, FAINT, TRACK, GREY = "#1c1c1c", "#5f5f5f", "#c9c9c9", "#f0f0f0", "#8a8a8a"
BLUE, VERMILLION = "#0072b2", "#d55e00"
COLOURS = "viridis"


@dataclass(frozen=True)
class Card:
    """A drawn card.

    Attributes:
        picture: the card, RGB, 1200 pixels wide.
        thumbnail: (left, upper, right, lower) of the part that stands for the case in a gallery.
        shows: what that part shows, in words.
    """

    picture: Image.Image
    thumbnail: Box
    shows: str

    def save(self, file: IO[bytes]) -> None:
        """Write a PNG that knows its thumbnail."""
        notes = PngInfo()
        notes.add_text("Title", self.shows)
        notes.add_text("Thumbnail", " ".join(map(str, self.thumbnail)))
        self.picture.save(file, format="PNG", compress_level=4, pnginfo=notes)


def load_card(path: str | Path) -> Card:
    """Return a card as :meth:`Card.save` wrote it; of any other picture the whole is the thumbnail.

    Raises:
        OSError: if it is no picture.
    """
    with Image.open(path) as file:
        picture = file.convert("RGB")
        noted = [int(number) for number in str(file.info.get("Thumbnail", "")).split()]
        shows = str(file.info.get("Title", "Explanation"))
    left, upper, right, lower = noted if len(noted) == 4 else (0, 0, *picture.size)
    inside = 0 <= left < right <= picture.width and 0 <= upper < lower <= picture.height
    return Card(picture, (left, upper, right, lower) if inside else (0, 0, *picture.size), shows)


@dataclass(frozen=True)
class Layout:
    """Where things stand on a card, in pixels from its upper left corner; a box is (x, y, width, height)."""

    height: int
    panels: tuple[Box, ...]
    bars: Box
    facts: tuple[int, int]

    def thumbnail(self, panel: int) -> Box:
        """Return (left, upper, right, lower) of a panel."""
        x, y, width, height = self.panels[panel]
        return x, y, x + width, y + height


def layout(record: ExplanationRecord, panels: int = 3, bars: int | None = None) -> Layout:
    """Return the layout of a record's card; it depends on the image's shape and the number of lines alone.

    Args:
        record: what the card says.
        panels: number of pictures side by side, of the image's shape.
        bars: number of bars; None for one for each of :func:`shown_classes`.
    """
    rows, columns = seen_size(record)
    step = (WIDTH - 2 * MARGIN + GAP) // panels
    width, height = min(step - GAP, round(TALLEST_PANEL * columns / rows)), TALLEST_PANEL
    width, height = max(width, 1), min(max(round(width * rows / columns), 1), height)
    top = HEADER + PANEL_TITLE
    bars = len(shown_classes(record)) if bars is None else bars
    lines_top = top + height + STRIP + PANEL_TITLE
    footer = FOOTER + NOTE_STEP * (len(_notes(record)) - 1)
    half = (WIDTH - 2 * MARGIN - 2 * GAP) // 2
    return Layout(
        height=lines_top + BAR_STEP * max(bars, len(record["summary"])) + footer,
        panels=tuple((MARGIN + index * step, top, width, height) for index in range(panels)),
        bars=(MARGIN, lines_top, half, BAR_STEP * bars),
        facts=(MARGIN + half + 2 * GAP, lines_top),
    )


class Sheet:
    """A white sheet on which things are placed in pixels from its upper left corner.

    Args:
        height: in pixels; the width is always the same.
    """

    def __init__(self, height: int) -> None:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure

        self.height = height
        self.figure = Figure(figsize=(WIDTH / DPI, height / DPI), dpi=DPI, facecolor="white")
        self.canvas = FigureCanvasAgg(self.figure)

    def axes(self, box: Box) -> Axes:
        """Return new axes in a box, with a faint frame."""
        x, y, wide, high = box
        axes = self.figure.add_axes((x / WIDTH, 1 - (y + high) / self.height, wide / WIDTH, high / self.height))
        axes.set(xticks=[], yticks=[])
        axes.spines[:].set(color=FAINT, linewidth=0.8)  # where a white image ends on the white card
        return axes

    def write(self, x: float, y: float, text: str, size: float, **style: Any) -> None:
        """Write a text whose baseline begins at pixel (x, y); never as a formula, names may hold a dollar sign."""
        style = {"color": INK, "va": "baseline"} | style
        self.figure.text(x / WIDTH, 1 - y / self.height, text, fontsize=size, parse_math=False, **style)

    def finish(self) -> Image.Image:
        """Return the picture, RGB."""
        self.canvas.draw()
        return Image.fromarray(np.asarray(self.canvas.buffer_rgba())[..., :3].copy())


def draw_header(sheet: Sheet, record: ExplanationRecord) -> None:
    """Write case, verdict and method."""
    words, outcome = verdict(record)
    sheet.write(MARGIN, 46, shortened(record["case_id"], 60), 17, fontweight="bold")
    sheet.write(MARGIN, 78, shortened(words, 90), 13)
    if outcome:
        mark, colour = ("✓", BLUE) if outcome == "correct" else ("✗", VERMILLION)
        style = {"color": colour, "ha": "right", "fontweight": "bold"}
        sheet.write(WIDTH - MARGIN, 46, f"{mark} {outcome}", 16, **style)
    sheet.write(WIDTH - MARGIN, 78, shortened(record["method"], 60), 11, color=MUTED, ha="right")


def draw_footer(sheet: Sheet, record: ExplanationRecord) -> None:
    """Write how the card is to be read, and what it is not for."""
    notes = _notes(record)
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


def extent_of(record: ExplanationRecord) -> Box:
    """Return the part of the source image that was seen as matplotlib wants it: left, right, bottom, top."""
    image = record["image"]
    x0, y0, x1, y1 = image.get("crop", [0, 0, image["columns"], image["rows"]])
    return x0, x1, y1, y0


def seen_size(record: ExplanationRecord) -> Size:
    """Return rows and columns of the part of the source image that was seen."""
    left, right, bottom, top = extent_of(record)
    return bottom - top, right - left


def shown_classes(record: ExplanationRecord) -> list[str]:
    """Return the classes that get a bar: the most probable ones, and always the true ones as far as there is room."""
    probabilities = record["prediction"]["probabilities"]
    ranked = sorted(record["classes"], key=lambda name: -probabilities[name])
    true = [name for name in ranked if name in (true_classes(record) or [])]
    wanted = list(dict.fromkeys([*predicted_classes(record)[:1], *true, *ranked]))[:MOST_BARS]
    return [name for name in ranked if name in wanted]


def drawing_size(record: ExplanationRecord, place: Layout) -> Size:
    """Return rows and columns at which pictures are drawn: at most twice what a panel can show."""
    rows, columns = seen_size(record)
    _, _, width, height = place.panels[0]
    scale = min(2 * width / columns, 2 * height / rows, 1.0)
    return max(round(rows * scale), 1), max(round(columns * scale), 1)


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


def _notes(record: ExplanationRecord) -> list[str]:
    text = [record["how_to_read"], record.get("warning", ""), "Not for clinical use."]
    return textwrap.wrap(" ".join(filter(None, text)), 145, max_lines=MOST_NOTES, placeholder=" …")
