"""The card of a network that holds several classes against a common background.

Each predicted class has a band of its own, with its heat-map, the parts that were compared and what they add up to; the
last band is what speaks for the background.
"""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from numpy.typing import ArrayLike

from common.explain.card import (
    FOOTER,
    GAP,
    HEADER,
    MARGIN,
    NOTE_STEP,
    PANEL_TITLE,
    WIDTH,
    Box,
    Card,
    Layout,
    Sheet,
    drawing_size,
    notes_of,
    seen_size,
    shown_classes,
)
from common.explain.card_parts import (
    GREY,
    MUTED,
    TRACK,
    draw_footer,
    draw_header,
    draw_panel,
    picture_of,
    shortened,
)
from common.explain.decision import predicted_classes, true_classes
from common.explain.prototype_card_parts import (
    SIDES,
    TILE,
    Comparison,
    badge,
    draw_places,
    draw_scale,
    draw_tile,
    overlay_of,
)
from common.explain.prototype_words import change_without, number_of
from common.explain.regions import FloatArray
from common.explain.schema import ExplanationRecord

__all__ = ["draw_against_background"]

WIDEST_PANEL, TALLEST, TEXT_GAP = 430, 400, 12
MAP = 220  # the longer side of a band's heat-map
ACROSS = 3  # comparisons side by side
BESIDE = MARGIN + MAP + GAP  # where they begin
COLUMN = (WIDTH - MARGIN - BESIDE - (ACROSS - 1) * GAP) // ACROSS
TILE_GAP = COLUMN - 2 * TILE
BAND_HEAD, WORD_STEP, SCALE, SUM_STEP, SUM_FOOT = 58, 20, 52, 24, 26
BAR_STEP, LINE_STEP = 28, 20
LETTER, SMALL_LETTER = 7.9, 7.4  # pixels, on average, of 11 and of 10.5 points
PALE = "#cfcfcf"


@dataclass(frozen=True)
class Band:
    """A class on the card: its name, its colour, what was compared, and where it stands."""

    name: str
    colour: str
    entries: Sequence[Comparison]
    top: int
    map: Box
    against: bool

    @property
    def step(self) -> int:
        """Height of a row of comparisons: the pictures, and two lines or three."""
        return TILE + WORD_STEP * (2 if self.against else 3) + 14

    def below_rows(self) -> int:
        """Return where the sums begin."""
        return self.top + BAND_HEAD + -(-len(self.entries) // ACROSS) * self.step


def draw_against_background(
    record: ExplanationRecord,
    image: ArrayLike,
    heatmaps: Mapping[str, FloatArray],
    columns: Mapping[str, Sequence[Comparison]],
    darkest: str,
) -> Card:
    """Draw the card of one case.

    Args:
        record: what the card says, with ``background``.
        image: (1 | 3, h, w) in [0, 1]; at any resolution, it is drawn over the part of the source image that was seen.
        heatmaps: (h, w) in [0, 1] of each class of ``columns``, at any resolution.
        columns: for one to three classes, the most probable first, and for the background as the last, the prototypes
            that add most.
        darkest: what 0 means on the heat-maps, in two words.

    Raises:
        ValueError: if the image has another number of channels or dimensions.
    """
    place, bands, lines = _layout(record, columns)
    sheet = Sheet(place.height)
    draw_header(sheet, record)
    picture = picture_of(image, drawing_size(record, place), record["case_id"])
    panel = place.panels[0]
    axes = draw_panel(sheet, panel, shortened("Parts that were compared", int(panel[2] / 8.3)), picture, record)
    draw_places(axes, panel, record, [(band.colour, band.entries) for band in bands[:-1]])
    _draw_probabilities(sheet, place, record, {band.name: band.colour for band in bands[:-1]})
    _write_lines(sheet, place, lines)
    for band in bands:
        title = shortened(f"Likeness to {band.name}", int(max(band.map[2], MAP) / 8.3))
        overlay = overlay_of(picture, heatmaps[band.name])
        axes = draw_panel(sheet, band.map, title, overlay, record)
        draw_scale(sheet, band.map, darkest)
        draw_places(axes, band.map, record, [(band.colour, band.entries)])
        _draw_band(sheet, band, record)
    draw_footer(sheet, record)
    return Card(sheet.finish(), place.thumbnail(0), "Parts that were compared, over the image")


def _layout(
    record: ExplanationRecord, columns: Mapping[str, Sequence[Comparison]]
) -> tuple[Layout, list[Band], list[str]]:
    """Return where things stand, and the record's sentences broken into lines; ``""`` before each but the first."""
    width, height = _fitted(record, WIDEST_PANEL, TALLEST)
    top = HEADER + PANEL_TITLE
    left = MARGIN + width + GAP + TEXT_GAP
    beside = WIDTH - MARGIN - left
    lines: list[str] = []
    for sentence in record["summary"]:
        lines += [""] * bool(lines) + textwrap.wrap(sentence, int(beside / LETTER))
    bars = BAR_STEP * len(shown_classes(record))
    text = bars + PANEL_TITLE + sum(LINE_STEP if line else LINE_STEP // 2 for line in lines)
    below = top + max(height, text) + 2 * GAP
    bands = []
    map_size = _fitted(record, MAP, MAP)
    for index, (name, entries) in enumerate(columns.items()):
        against = name == record["background"]
        colour = MUTED if against else SIDES[index]
        band = Band(name, colour, entries, below, (MARGIN, below + BAND_HEAD, *map_size), against)
        bands.append(band)
        sums = band.below_rows() + SUM_STEP * (1 if against else 2) + SUM_FOOT
        below = max(sums, band.map[1] + band.map[3] + SCALE) + GAP
    footer = FOOTER + NOTE_STEP * (len(notes_of(record)) - 1)
    panel = (MARGIN, top, width, height)
    return Layout(below + footer - GAP, (panel,), (left, top, beside, bars), (left, top)), bands, lines


def _fitted(record: ExplanationRecord, widest: int, tallest: int) -> tuple[int, int]:
    """Return width and height of a panel of the image's shape."""
    rows, columns = seen_size(record)
    width = max(min(widest, round(tallest * columns / rows)), 1)
    return width, min(max(round(width * rows / columns), 1), tallest)


def _draw_probabilities(sheet: Sheet, place: Layout, record: ExplanationRecord, colours: Mapping[str, str]) -> None:
    """Draw a bar for the probability of each shown class, in the colour of its band where it has one."""
    x, y, width, height = place.bars
    shown = shown_classes(record)
    hidden, threshold = len(record["classes"]) - len(shown), record["prediction"]["threshold"]
    words = f"Probability, predicted from {threshold:.3g} on"
    words += f"; {hidden} less probable not shown" if hidden else ""
    sheet.write(x, y - 10, shortened(words, int(width / 8.3)), 11.5, color=MUTED)
    names = round(0.36 * width)
    axes = sheet.axes((x + names, y, width - names - 110, height))
    axes.set_axis_off()
    axes.set(xlim=(0, 1), ylim=(len(shown), 0))
    for row, name in enumerate(shown):
        probability = record["prediction"]["probabilities"][name]
        weight = "bold" if name in predicted_classes(record) else "normal"
        axes.barh(row + 0.5, 1, height=0.5, color=TRACK)
        axes.barh(row + 0.5, probability, height=0.5, color=colours.get(name, GREY))
        base = y + (row + 0.5) * BAR_STEP + 5
        sheet.write(x, base, shortened(name, int(names / 9)), 11, fontweight=weight)
        sheet.write(x + width - 50, base, f"{probability:.3f}", 11, ha="right", fontweight=weight)
        if name in (true_classes(record) or []):
            sheet.write(x + width, base, "true", 11, color=MUTED, ha="right")
    axes.axvline(threshold, color=MUTED, linewidth=0.9, linestyle=(0, (2, 2)))


def _write_lines(sheet: Sheet, place: Layout, lines: Sequence[str]) -> None:
    x, y, _, height = place.bars
    base = y + height + PANEL_TITLE
    for line in lines:
        sheet.write(x, base, line, 11)
        base += LINE_STEP if line else LINE_STEP // 2


def _draw_band(sheet: Sheet, band: Band, record: ExplanationRecord) -> None:
    """Draw what speaks for a class: part beside part, what each adds, and what the sums come to."""
    prediction = record["prediction"]
    right = WIDTH - MARGIN
    title = "Speaks against every class: " if band.against else "Speaks for "
    sheet.write(MARGIN, band.top + 20, shortened(title + band.name, 62), 13.5, fontweight="bold", color=band.colour)
    said = f"sum {prediction['class_logits'][band.name]:.3f}"
    if not band.against:
        said = f"logit {prediction['logits'][band.name]:.3f}, p {prediction['probabilities'][band.name]:.3f}"
    sheet.write(right, band.top + 20, said, 13.5, ha="right", color=band.colour)
    for index, entry in enumerate(band.entries):
        row, column = divmod(index, ACROSS)
        corner = BESIDE + column * (COLUMN + GAP), band.top + BAND_HEAD + row * band.step
        if row == 0:
            there = "training image" if "source_case" in entry.item else "prototype"
            sheet.write(corner[0], corner[1] - 8, "this image", 10.5, color=MUTED)
            sheet.write(corner[0] + TILE + TILE_GAP, corner[1] - 8, there, 10.5, color=MUTED)
        _draw_comparison(sheet, corner, record, entry, band.colour)
    _draw_sums(sheet, band, record)


def _draw_comparison(
    sheet: Sheet, corner: tuple[int, int], record: ExplanationRecord, entry: Comparison, colour: str
) -> None:
    x, y = corner
    draw_tile(sheet, (x, y, TILE, TILE), entry.here, colour)
    sheet.write(x + TILE + TILE_GAP / 2, y + TILE / 2 + 6, "≈", 15, color=MUTED, ha="center")
    draw_tile(sheet, (x + TILE + TILE_GAP, y, TILE, TILE), entry.there, colour)
    item, details = entry.item, entry.item["details"]
    number = str(number_of(item))
    wide = 12 + 8 * len(number)
    spot = (x + wide / 2) / WIDTH, 1 - (y + TILE + 15) / sheet.height
    sheet.figure.text(*spot, number, **badge(colour))
    source = f"from {item['source_case']}" if "source_case" in item else "of no known training image"
    letters = int((COLUMN - wide - 8) / SMALL_LETTER)
    sheet.write(x + wide + 8, y + TILE + 20, shortened(source, letters), 10.5, color=MUTED)
    sum_of = f"{details['similarity']:.3f} alike × weight {details['weight']:.3f} ="
    sheet.write(x, y + TILE + 41, sum_of, 10.5)
    sheet.write(x + COLUMN, y + TILE + 41, f"{item['contribution']:.3f}", 10.5, ha="right", fontweight="bold")
    if "probability_without" in details:
        _, now, then = change_without(record, item)
        sheet.write(x, y + TILE + 60, f"without it p {now:.3f} → {then:.3f}", 10.5, color=MUTED)


def _draw_sums(sheet: Sheet, band: Band, record: ExplanationRecord) -> None:
    """Draw the sum of a class, the shown contributions as parts of it, and below it that of the background."""
    prediction, background = record["prediction"], record["background"]
    names = list(dict.fromkeys([band.name, background]))
    sums = [prediction["class_logits"][name] for name in names]
    longest = max([*sums, 0.0]) or 1.0
    labels, numbers = COLUMN // 2, 70
    width = WIDTH - MARGIN - BESIDE - labels - numbers
    shown = [entry.item["contribution"] for entry in band.entries]
    for row, (name, total) in enumerate(zip(names, sums, strict=True)):
        y = band.below_rows() + row * SUM_STEP
        sheet.write(BESIDE, y + 12, shortened(name, int(labels / SMALL_LETTER) - 1), 10.5)
        axes = sheet.axes((BESIDE + labels, y + 2, width, 11))
        axes.set_axis_off()
        axes.set(xlim=(0, longest), ylim=(0, 1))
        axes.barh(0.5, total, height=1, color=PALE)
        left = 0.0
        for value in shown if row == 0 else []:
            axes.barh(0.5, value, left=left, height=1, color=band.colour, edgecolor="white", linewidth=0.5)
            left += value
        sheet.write(WIDTH - MARGIN, y + 12, f"{total:.3f}", 10.5, ha="right")
    rest = sum(item.get("class") == band.name for item in record["evidence"]) - len(shown)
    words = f"shown: {sum(shown):.3f} of {sums[0]:.3f}"
    if rest > 0:
        words += f"; the other {rest} prototype{'s add' if rest > 1 else ' adds'} {sums[0] - sum(shown):.3f}"
    y = band.below_rows() + len(names) * SUM_STEP + 12
    sheet.write(BESIDE + labels, y, words, 10.5, color=MUTED)
    if len(names) > 1:
        style: dict[str, Any] = {"ha": "right", "fontweight": "bold", "color": band.colour}
        logit = prediction["logits"][band.name]
        sheet.write(WIDTH - MARGIN, y, f"{sums[0]:.3f} − {sums[1]:.3f} = {logit:.3f}", 10.5, **style)
