"""The sheet that cards are drawn on: where things stand, and how a card is saved; card_parts draws what all have."""

from __future__ import annotations

import textwrap
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import numpy as np
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from common.explain.decision import predicted_classes, true_classes
from common.explain.regions import Size
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

INK, FAINT = "#1c1c1c", "#c9c9c9"


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
    footer = FOOTER + NOTE_STEP * (len(notes_of(record)) - 1)
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


def notes_of(record: ExplanationRecord) -> list[str]:
    """Return how the card is to be read and what it is not for, a line each."""
    text = [record["how_to_read"], record.get("warning", ""), "Not for clinical use."]
    return textwrap.wrap(" ".join(filter(None, text)), 145, max_lines=MOST_NOTES, placeholder=" …")
