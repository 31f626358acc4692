"""Draw the card of one explained case: image, map, both together, probabilities, and how to read them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike
from PIL import Image

from common.explain.regions import FloatArray, Size, resample_map
from common.explain.schema import ExplanationRecord

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

WIDTH = 1200  # pixels; letters stay readable when a page shows the card 900 pixels wide
DPI = 100
MARGIN, GAP = 40, 24
HEADER, PANEL_TITLE, COLOUR_BAR = 92, 30, 62
BAR_STEP, FOOTER = 30, 58
TALLEST_PANEL = 560
MOST_BARS = 6

# Okabe and Ito's palette, told apart by colour-blind readers
INK, MUTED, FAINT = "#1c1c1c", "#5f5f5f", "#c9c9c9"
BLUE, VERMILLION = "#0072b2", "#d55e00"
COLOURS = "viridis"


@dataclass(frozen=True)
class Layout:
    """Where things stand on a card, in pixels from its upper left corner; a box is (x, y, width, height)."""

    height: int
    panels: tuple[tuple[int, int, int, int], ...]
    colour_bar: tuple[int, int, int, int]
    bars: tuple[int, int, int, int]
    facts: tuple[int, int]


def layout(record: ExplanationRecord) -> Layout:
    """Return the layout of a record's card; it depends on the image's shape and the number of lines alone."""
    rows, columns = record["image"]["rows"], record["image"]["columns"]
    step = (WIDTH - 2 * MARGIN + GAP) // 3
    width, height = min(step - GAP, round(TALLEST_PANEL * columns / rows)), TALLEST_PANEL
    width, height = max(width, 1), min(max(round(width * rows / columns), 1), height)
    top = HEADER + PANEL_TITLE
    panels = tuple((MARGIN + index * step, top, width, height) for index in range(3))
    bottom = top + height + COLOUR_BAR
    lines = max(len(_shown_classes(record)), len(facts(record)))
    half = (WIDTH - 2 * MARGIN - 2 * GAP) // 2
    return Layout(
        height=bottom + PANEL_TITLE + BAR_STEP * lines + FOOTER,
        panels=panels,
        colour_bar=(panels[1][0], top + height + 12, width, 10),
        bars=(MARGIN, bottom + PANEL_TITLE, half, BAR_STEP * len(_shown_classes(record))),
        facts=(MARGIN + half + 2 * GAP, bottom + PANEL_TITLE),
    )


def facts(record: ExplanationRecord) -> list[str]:
    """Return what the record says about its map, one sentence a line."""
    summary = record["map"]
    lines = [f"{summary['area_above_half']:.0%} of the map is above 0.5; mean {summary['mean']:.2f}"]
    if "roi" in record:
        roi = record["roi"]
        hit = "inside" if roi["pointing_hit"] else "outside"
        lines.append(f"The known region is {roi['area']:.1%} of the image")
        lines.append(f"and holds {roi['energy']:.0%} of the map; the highest point is {hit}")
    shares = [f"{item['share']:.0%}" for item in record["evidence"]]
    if not shares:
        lines.append(f"No part of the map reaches {summary['threshold']:g}")
    elif len(shares) == 1:
        lines.append(f"Box 1 holds {shares[0]} of the map")
    else:
        lines.append(f"Boxes 1 to {len(shares)} hold {', '.join(shares)} of the map")
    rest = summary["regions"] - len(shares)
    if rest > 0:
        lines.append(f"{rest} smaller region{'s have' if rest > 1 else ' has'} no box")
    lines.extend(f"{name.capitalize()} {value:.3g}" for name, value in record.get("uncertainty", {}).items())
    return lines


def verdict(record: ExplanationRecord) -> tuple[str, str]:
    """Return the prediction in words, and "correct", "wrong" or "" where the true class is not known."""
    prediction = record["prediction"]
    words = f"Predicted {prediction['class']} ({prediction['probabilities'][prediction['class']]:.2f})"
    if "label" not in record:
        return words, ""
    correct = record["label"]["index"] == prediction["index"]
    return f"{words}, true {record['label']['class']}", "correct" if correct else "wrong"


def draw_card(
    record: ExplanationRecord, image: ArrayLike, explanation: ArrayLike, mask: ArrayLike | None = None
) -> Image.Image:
    """Return the card of one case.

    Args:
        record: what the card says.
        image: (1 | 3, h, w) in [0, 1]; at any resolution, it is drawn over the source image's area.
        explanation: (h, w) in [0, 1], at any resolution.
        mask: (h, w), above 0.5 inside the region of interest.

    Returns:
        An RGB image, 1200 pixels wide.

    Raises:
        ValueError: if the image has another number of channels or dimensions.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    place = layout(record)
    figure = Figure(figsize=(WIDTH / DPI, place.height / DPI), dpi=DPI, facecolor="white")
    canvas = FigureCanvasAgg(figure)
    size = _drawing_size((record["image"]["rows"], record["image"]["columns"]), place)
    picture = _picture(image, size, record["case_id"])
    values = resample_map(np.asarray(explanation, dtype=np.float32), size)
    inside = None if mask is None else resample_map((np.asarray(mask) > 0.5).astype(np.float32), size)
    _draw_header(figure, record, place.height)
    _draw_panels(figure, place, record, (picture, values, inside))
    _draw_bars(figure, place, record)
    _draw_facts(figure, place, record)
    canvas.draw()
    return Image.fromarray(np.asarray(canvas.buffer_rgba())[..., :3].copy())


def overlay_box(record: ExplanationRecord) -> tuple[int, int, int, int]:
    """Return (left, upper, right, lower) of the overlay panel on the card."""
    x, y, width, height = layout(record).panels[2]
    return x, y, x + width, y + height


def _shown_classes(record: ExplanationRecord) -> list[str]:
    """Return the classes that get a bar: the most probable ones, and always the true one."""
    probabilities = record["prediction"]["probabilities"]
    ranked = sorted(record["classes"], key=lambda name: -probabilities[name])
    shown = ranked[:MOST_BARS]
    if "label" in record and record["label"]["class"] not in shown:
        shown[-1] = record["label"]["class"]
    return shown


def _drawing_size(size: Size, place: Layout) -> Size:
    """Return rows and columns at which pictures are drawn: at most twice what a panel can show."""
    _, _, width, height = place.panels[0]
    scale = min(2 * width / size[1], 2 * height / size[0], 1.0)
    return max(round(size[0] * scale), 1), max(round(size[1] * scale), 1)


def _picture(image: ArrayLike, size: Size, case_id: str) -> FloatArray:
    """Return an image (1 | 3, h, w) as (rows, columns, 1 | 3) of the drawing size."""
    values = np.asarray(image, dtype=np.float32)
    if values.ndim != 3 or values.shape[0] not in (1, 3):
        raise ValueError(f"case '{case_id}': the image has shape {values.shape}, expected (1 or 3, rows, columns)")
    values = np.clip(np.nan_to_num(values), 0.0, 1.0)
    return np.stack([resample_map(channel, size) for channel in values], axis=-1)


def _axes(figure: Figure, box: tuple[int, int, int, int], height: int) -> Axes:
    x, y, wide, high = box
    axes = figure.add_axes((x / WIDTH, 1 - (y + high) / height, wide / WIDTH, high / height))
    axes.set(xticks=[], yticks=[])
    axes.spines[:].set(color=FAINT, linewidth=0.8)  # where a white image ends on the white card
    return axes


def _write(figure: Figure, x: float, y: float, text: str, size: float, height: int, **style: Any) -> None:
    """Write a text whose baseline's left end is at pixel (x, y); never as a formula, names may hold a dollar sign."""
    style = {"color": INK, "va": "baseline"} | style
    figure.text(x / WIDTH, 1 - y / height, text, fontsize=size, parse_math=False, **style)


def _draw_header(figure: Figure, record: ExplanationRecord, height: int) -> None:
    words, outcome = verdict(record)
    _write(figure, MARGIN, 46, _shortened(record["case_id"], 60), 17, height, fontweight="bold")
    _write(figure, MARGIN, 78, _shortened(words, 90), 13, height)
    if outcome:
        mark, colour = ("✓", BLUE) if outcome == "correct" else ("✗", VERMILLION)
        style = {"color": colour, "ha": "right", "fontweight": "bold"}
        _write(figure, WIDTH - MARGIN, 46, f"{mark} {outcome}", 16, height, **style)
    _write(figure, WIDTH - MARGIN, 78, _shortened(record["method"], 60), 11, height, color=MUTED, ha="right")


def _draw_panels(
    figure: Figure,
    place: Layout,
    record: ExplanationRecord,
    arrays: tuple[FloatArray, FloatArray, FloatArray | None],
) -> None:
    from matplotlib import colormaps

    picture, values, inside = arrays
    rows, columns = record["image"]["rows"], record["image"]["columns"]
    extent = (0, columns, rows, 0)
    grey = picture.mean(axis=-1)
    coloured = colormaps[COLOURS](values)[..., :3]
    alpha = 0.7 * values[..., None]
    overlay = (1 - alpha) * grey[..., None] + alpha * coloured
    titles = ("Image", "Explanation map", "Both together")
    if inside is not None and "roi" in record:
        titles = ("Image, known region outlined", "Explanation map", "Both together")
    colour = np.repeat(picture, 3, axis=-1) if picture.shape[-1] == 1 else picture
    for box, title, panel in zip(place.panels, titles, (colour, coloured, overlay), strict=True):
        _write(figure, box[0], box[1] - 10, title, 11.5, place.height, color=MUTED)
        axes = _axes(figure, box, place.height)
        axes.imshow(panel, extent=extent, interpolation="auto", aspect="auto")
        if inside is not None and "roi" in record and title != "Explanation map":
            _outline(axes, inside, extent)
    for number, item in enumerate(record["evidence"], 1):
        _draw_evidence(axes, item["box"], str(number))
    bar = _axes(figure, place.colour_bar, place.height)
    bar.imshow(np.linspace(0, 1, 256)[None], cmap=COLOURS, aspect="auto", extent=(0, 1, 0, 1))
    x, y, width, high = place.colour_bar
    for value, align in ((0, "left"), (0.5, "center"), (1, "right")):
        _write(figure, x + value * width, y + high + 18, f"{value:g}", 10.5, place.height, color=MUTED, ha=align)


def _outline(axes: Axes, inside: FloatArray, extent: tuple[int, int, int, int]) -> None:
    """Draw the edge of the known region, dark under bright so that it shows on any ground."""
    for colour, width in (("black", 3.0), (VERMILLION, 1.8)):
        axes.contour(inside, levels=[0.5], colors=[colour], linewidths=width, extent=extent, origin="upper")


def _draw_evidence(axes: Axes, box: list[int], number: str) -> None:
    from matplotlib.patches import Rectangle
    from matplotlib.patheffects import withStroke

    x0, y0, x1, y1 = box
    halo = [withStroke(linewidth=2.6, foreground="black")]
    axes.add_patch(Rectangle((x0, y0), x1 - x0, y1 - y0, fill=False, color="white", linewidth=1.2, path_effects=halo))
    axes.annotate(
        number,
        (x0, y0),
        xytext=(3, -3),
        textcoords="offset points",
        va="top",
        color="white",
        fontsize=10.5,
        fontweight="bold",
        path_effects=halo,
        annotation_clip=False,
    )


def _draw_bars(figure: Figure, place: Layout, record: ExplanationRecord) -> None:
    x, y, width, _ = place.bars
    shown = _shown_classes(record)
    hidden = len(record["classes"]) - len(shown)
    title = "Probability" + (f" ({hidden} less probable classes not shown)" if hidden else "")
    _write(figure, x, y - 12, title, 11.5, place.height, color=MUTED)
    names, track = 0.40 * width, 0.38 * width
    axes = _axes(figure, (round(x + names), y, round(track), BAR_STEP * len(shown)), place.height)
    axes.set_axis_off()
    axes.set(xlim=(0, 1), ylim=(len(shown), 0))
    for row, name in enumerate(shown):
        probability = record["prediction"]["probabilities"][name]
        predicted = name == record["prediction"]["class"]
        axes.barh(row + 0.45, 1, height=0.46, color="#f0f0f0")
        axes.barh(row + 0.45, probability, height=0.46, color=BLUE if predicted else "#8a8a8a")
        base = y + row * BAR_STEP + 0.45 * BAR_STEP + 5
        weight = "bold" if predicted else "normal"
        _write(figure, x, base, _shortened(name, 20), 11, place.height, fontweight=weight)
        number = x + names + track + 66
        _write(figure, number, base, f"{probability:.3f}", 11, place.height, ha="right", fontweight=weight)
        if name == record.get("label", {}).get("class"):
            _write(figure, number + 12, base, "true", 11, place.height, color=MUTED)


def _draw_facts(figure: Figure, place: Layout, record: ExplanationRecord) -> None:
    x, y = place.facts
    _write(figure, x, y - 12, "Map in numbers", 11.5, place.height, color=MUTED)
    for row, line in enumerate(facts(record)):
        _write(figure, x, y + row * BAR_STEP + 0.45 * BAR_STEP + 5, _shortened(line, 72), 11, place.height)
    note = f"{record['how_to_read']} Not for clinical use."
    _write(figure, MARGIN, place.height - 22, _shortened(note, 130), 10.5, place.height, color=MUTED)


def _shortened(text: str, most: int) -> str:
    plain = " ".join(text.split())
    return plain if len(plain) <= most else plain[: most - 1] + "…"
