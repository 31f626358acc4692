"""The card of a prototype network: the image, where it looks like a class, and this part beside that part."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from typing import Any

from numpy.typing import ArrayLike

from common.explain.card import (
    FOOTER,
    GAP,
    HEADER,
    MARGIN,
    NOTE_STEP,
    PANEL_TITLE,
    STRIP,
    TALLEST_PANEL,
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
from common.explain.decision import true_classes
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

__all__ = ["draw_prototype_reasoning"]

WIDEST_PANEL, TEXT_GAP = 350, 12
COLUMN = (WIDTH - 2 * MARGIN - 2 * GAP) // 2
STACKED_BELOW = 0.75  # rows / columns: pictures of flatter images stand below each other
CLASS_STEP, BRANCH_STEP, LINE_STEP = 26, 20, 20
TILE_GAP, ROW, COLUMN_HEAD, COLUMN_FOOT = 28, 146, 62, 66
LETTER = 7.9  # pixels, on average, of 11 points


def draw_prototype_reasoning(
    record: ExplanationRecord,
    image: ArrayLike,
    heatmap: FloatArray,
    columns: Mapping[str, Sequence[Comparison]],
    darkest: str,
) -> Card:
    """Draw the card of one case.

    Args:
        record: what the card says.
        image: (1 | 3, h, w) in [0, 1]; at any resolution, it is drawn over the part of the source image that was seen.
        heatmap: (h, w) in [0, 1] of the first class of ``columns``, at any resolution.
        columns: for one class or two, the most probable first, the prototypes that add most.
        darkest: what 0 means on the heat-map, in two words.

    Raises:
        ValueError: if the image has another number of channels or dimensions.
    """
    place, lines = _layout(record, columns)
    sheet = Sheet(place.height)
    draw_header(sheet, record)
    size = drawing_size(record, place)
    picture = picture_of(image, size, record["case_id"])
    first = next(iter(columns))
    letters = int(place.panels[0][2] / 8.3)
    axes = draw_panel(sheet, place.panels[0], shortened("Parts that were compared", letters), picture, record)
    draw_panel(sheet, place.panels[1], shortened(f"Likeness to {first}", letters), overlay_of(picture, heatmap), record)
    draw_scale(sheet, place.panels[1], darkest)
    draw_places(axes, place.panels[0], record, zip(SIDES, columns.values(), strict=False))
    _draw_branches(sheet, place, record)
    _write_lines(sheet, place, lines)
    largest = max((entry.item["contribution"] for entries in columns.values() for entry in entries), default=0.0)
    for side, (name, entries) in enumerate(columns.items()):
        _draw_column(sheet, _column_box(place, side), record, name, entries, SIDES[side], largest)
    draw_footer(sheet, record)
    return Card(sheet.finish(), place.thumbnail(0), "Parts that were compared, over the image")


def _layout(record: ExplanationRecord, columns: Mapping[str, Sequence[Comparison]]) -> tuple[Layout, list[str]]:
    """Return where things stand, and the record's sentences broken into lines; ``""`` before each but the first."""
    rows, across = seen_size(record)
    stacked = rows < STACKED_BELOW * across
    width = max(min(COLUMN if stacked else WIDEST_PANEL, round(TALLEST_PANEL * across / rows)), 1)
    height = min(max(round(width * rows / across), 1), TALLEST_PANEL)
    top = HEADER + PANEL_TITLE
    step = (0, height + PANEL_TITLE + GAP) if stacked else (width + GAP, 0)
    left = MARGIN + step[0] + width + GAP + TEXT_GAP
    beside = WIDTH - MARGIN - left
    lines: list[str] = []
    for sentence in record["summary"]:
        lines += [""] * bool(lines) + textwrap.wrap(sentence, int(beside / LETTER))
    branches = 1 + len(record.get("branches", {}))
    bars = len(shown_classes(record)) * (CLASS_STEP + BRANCH_STEP * branches)
    text = bars + PANEL_TITLE + sum(LINE_STEP if line else LINE_STEP // 2 for line in lines)
    footer = FOOTER + NOTE_STEP * (len(notes_of(record)) - 1)
    most = max(len(entries) for entries in columns.values())
    below = top + max(step[1] + height + STRIP, text + PANEL_TITLE)
    return Layout(
        height=below + COLUMN_HEAD + ROW * most + COLUMN_FOOT + footer,
        panels=tuple((MARGIN + index * step[0], top + index * step[1], width, height) for index in range(2)),
        bars=(left, top, beside, bars),
        facts=(left, below),
    ), lines


def _column_box(place: Layout, side: int) -> Box:
    return MARGIN + side * (COLUMN + 2 * GAP), place.facts[1], COLUMN, place.height - place.facts[1]


def _draw_branches(sheet: Sheet, place: Layout, record: ExplanationRecord) -> None:
    """Draw for each shown class a bar of its probability, and thinner ones of the branches that it is made of."""
    x, y, width, _ = place.bars
    shown, branches = shown_classes(record), record.get("branches", {})
    hidden = len(record["classes"]) - len(shown)
    sheet.write(
        x, y - 10, "Probability" + (f" ({hidden} less probable not shown)" if hidden else ""), 11.5, color=MUTED
    )
    step = CLASS_STEP + BRANCH_STEP * (1 + len(branches))
    names, track = 84, width - 84 - 56
    for index, name in enumerate(shown):
        top = y + index * step
        true = "true" if name in (true_classes(record) or []) else ""
        sheet.write(x, top + 20, shortened(name, int((width - 50) / 9.4)), 11.5, fontweight="bold")
        sheet.write(x + width, top + 20, true, 11, color=MUTED, ha="right")
        values = {"prediction": record["prediction"]["probabilities"][name]}
        values |= {branch: each[name] for branch, each in branches.items()}
        axes = sheet.axes((x + names, top + CLASS_STEP, track, BRANCH_STEP * len(values)))
        axes.set_axis_off()
        axes.set(xlim=(0, 1), ylim=(len(values), 0))
        colour = SIDES[0] if index == 0 else SIDES[1] if index == 1 else GREY
        for row, (branch, value) in enumerate(values.items()):
            high = 0.66 if row == 0 else 0.36
            axes.barh(row + 0.5, 1, height=high, color=TRACK)
            axes.barh(row + 0.5, value, height=high, color=colour if row == 0 else GREY)
            base = top + CLASS_STEP + row * BRANCH_STEP + 14
            style: dict[str, Any] = {} if row == 0 else {"color": MUTED}
            sheet.write(x, base, shortened(branch, 10), 10.5, **style)
            sheet.write(x + width, base, f"{value:.3f}", 10.5, ha="right", **style)


def _write_lines(sheet: Sheet, place: Layout, lines: Sequence[str]) -> None:
    x, y, _, height = place.bars
    base = y + height + PANEL_TITLE + 8
    for line in lines:
        sheet.write(x, base, line, 11)
        base += LINE_STEP if line else LINE_STEP // 2


def _draw_column(
    sheet: Sheet,
    box: Box,
    record: ExplanationRecord,
    name: str,
    entries: Sequence[Comparison],
    colour: str,
    largest: float,
) -> None:
    """Draw what speaks for a class: part beside part, what each adds, and how much of the logit that is."""
    x, y, width, _ = box
    logit = record["prediction"]["logits"][name]
    title = shortened(f"Speaks for {name}", 44)
    sheet.write(x, y + 20, title, 13.5 if len(title) <= 34 else 11.5, fontweight="bold", color=colour)
    sheet.write(x + width, y + 20, f"logit {logit:.3f}", 13.5, ha="right", color=colour)
    projected = any("source_case" in entry.item for entry in entries)
    sheet.write(x, y + 48, "this image", 10.5, color=MUTED)
    sheet.write(x + TILE + TILE_GAP, y + 48, "training image" if projected else "prototype", 10.5, color=MUTED)
    top = y + COLUMN_HEAD - 6
    for row, entry in enumerate(entries):
        _draw_comparison(sheet, (x, top + row * ROW, width, ROW), record, entry, colour, largest)
    of_class = [item for item in record["evidence"] if item.get("class") == name]
    _draw_sum(sheet, (x, top + ROW * len(entries), width, COLUMN_FOOT), entries, len(of_class), logit, colour)


def _draw_comparison(
    sheet: Sheet, box: Box, record: ExplanationRecord, entry: Comparison, colour: str, largest: float
) -> None:
    x, y, width, _ = box
    draw_tile(sheet, (x, y, TILE, TILE), entry.here, colour)
    sheet.write(x + TILE + TILE_GAP / 2, y + TILE / 2 + 6, "≈", 15, color=MUTED, ha="center")
    draw_tile(sheet, (x + TILE + TILE_GAP, y, TILE, TILE), entry.there, colour)
    left = x + 2 * TILE + TILE_GAP + 18
    room = x + width - left
    item = entry.item
    details = item["details"]
    number = str(number_of(item))
    width_of_badge = 12 + 8 * len(number)
    place = (left + width_of_badge / 2) / WIDTH, 1 - (y + 9) / sheet.height
    sheet.figure.text(*place, number, **badge(colour))
    sheet.write(left + width_of_badge + 8, y + 14, item["name"], 11.5, fontweight="bold")
    source = f"from {item['source_case']}" if "source_case" in item else "of no known training image"
    sheet.write(left, y + 38, shortened(source, int(room / 7.4)), 10.5, color=MUTED)
    sheet.write(left, y + 62, f"alike {details['similarity']:.3f} × weight {details['weight']:.3f}", 11)
    axes = sheet.axes((left, y + 74, room - 78, 12))
    axes.set_axis_off()
    axes.set(xlim=(0, largest or 1.0), ylim=(0, 1))
    axes.barh(0.5, largest or 1.0, height=1, color=TRACK)
    axes.barh(0.5, max(item["contribution"], 0.0), height=1, color=colour)
    sheet.write(x + width, y + 85, f"= {item['contribution']:.3f}", 11, ha="right", fontweight="bold")
    whose, now, then = change_without(record, item)
    change = f"{now:.3f} → {then:.3f}"
    words = f"without it p {change}" if whose == "prediction" else f"student {change} without"
    sheet.write(left, y + 112, words, 10.5, color=MUTED)


def _draw_sum(sheet: Sheet, box: Box, entries: Sequence[Comparison], count: int, logit: float, colour: str) -> None:
    """Draw the logit as a bar made of the shown contributions and of all others, and say it."""
    x, y, width, _ = box
    shown = [entry.item["contribution"] for entry in entries]
    whole = max(logit, sum(shown)) if max(logit, sum(shown)) > 0 else 1.0
    axes = sheet.axes((x, y, width, 10))
    axes.set_axis_off()
    axes.set(xlim=(0, whole), ylim=(0, 1))
    axes.barh(0.5, whole, height=1, color="#cfcfcf")
    left = 0.0
    for value in (max(one, 0.0) for one in shown):
        axes.barh(0.5, value, left=left, height=1, color=colour, edgecolor="white", linewidth=0.6)
        left += value
    total, rest = sum(shown), count - len(shown)
    words = f"shown: {total:.3f} of {logit:.3f}"
    if rest > 0:
        words += f"; the other {rest} prototype{'s add' if rest > 1 else ' adds'} {logit - total:.3f}"
    sheet.write(x, y + 30, words, 10.5, color=MUTED)
