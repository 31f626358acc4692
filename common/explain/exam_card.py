"""The card of an exam: its views beside each other, where sentences and words fit, and how well they fit."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from dataclasses import dataclass

from common.explain.card import (
    FOOTER,
    GAP,
    HEADER,
    INK,
    MARGIN,
    NOTE_STEP,
    PANEL_TITLE,
    WIDTH,
    Box,
    Card,
    Sheet,
    notes_of,
)
from common.explain.card_parts import GREY, MUTED, TRACK, draw_footer, draw_header, shortened
from common.explain.decision import predicted_classes, true_classes
from common.explain.exam_card_parts import (
    COLOURS,
    GLOWS,
    ExamPictures,
    draw_prompt_places,
    draw_small,
    draw_view,
    draw_word_place,
    glowing,
)
from common.explain.exam_places import as_shown
from common.explain.exam_words import explained_prompts, shown_view
from common.explain.prototype_card_parts import badge
from common.explain.regions import FloatArray
from common.explain.schema import Evidence, ExplanationRecord

__all__ = ["ExamPictures", "draw_exam", "hanging_order"]

TALLEST = 470
IMPORTANCE, SMALL_TITLE, SMALL_GAP = 34, 22, 10
ROW, LINE = 30, 21
MOST_ROWS = 8
LETTERS, VERDICT = 66, 88
SAID = 136  # pixels that "importance 0.50" takes


@dataclass(frozen=True)
class Small:
    """A small picture below a view."""

    title: str
    picture: FloatArray
    colours: str = "gray"


@dataclass(frozen=True)
class ExamLayout:
    """Where things stand on the card, in pixels from its upper left corner; a box is (x, y, width, height)."""

    height: int
    panels: tuple[Box, ...]
    small: tuple[tuple[Box, ...], ...]
    scores: int


def draw_exam(record: ExplanationRecord, pictures: ExamPictures) -> Card:
    """Draw the card of an exam.

    Args:
        record: with evidence of the kinds "prompt" and "word", and a name and importance for each view.
        pictures: of the same views.
    """
    explained = explained_prompts(record)
    order = hanging_order([view["name"] for view in record["views"]], [p.flipped for p in pictures.placements])
    small = [_small_pictures(record, explained, pictures, view) for view in order]
    texts = [_lines(item, line) for item, line in zip(explained, record["summary"], strict=True)]
    rows = _shown(record, explained)
    place = _layout(record, pictures, [len(each) for each in small], len(rows), sum(map(len, texts)), len(texts))
    sheet = Sheet(place.height)
    draw_header(sheet, record, _verdict(record))
    for column, view in enumerate(order):
        _draw_column(sheet, place, column, view, record, explained, pictures)
        for box, each in zip(place.small[column], small[column], strict=True):
            draw_small(sheet, box, each.title, each.picture, each.colours)
    _draw_scores(sheet, place.scores, record, rows, explained)
    _draw_texts(sheet, place.scores, texts)
    draw_footer(sheet, record)
    return Card(sheet.finish(), _thumbnail(place, order, explained), "Views of the exam with the places of findings")


def hanging_order(names: Sequence[str], flipped: Sequence[bool]) -> list[int]:
    """Return the order in which readers hang views: projection by projection, the chest walls in the middle.

    Args:
        names: such as "left_cc"; the projection is the last part.
        flipped: whether the chest wall is at the right of the file.
    """
    projections = list(dict.fromkeys(name.rpartition("_")[2] for name in names))
    return sorted(range(len(names)), key=lambda i: (projections.index(names[i].rpartition("_")[2]), not flipped[i], i))


def _verdict(record: ExplanationRecord) -> str:
    """Return what is predicted and what is true; the probabilities stand below."""
    predicted, true = predicted_classes(record), true_classes(record)
    words = f"Predicted {', '.join(predicted) or 'no finding'}"
    if true is None:
        return words
    if true == predicted and true:
        return f"{words}, as is true"
    full = f"{words}; true: {', '.join(true) or 'none'}"
    return full if len(full) <= VERDICT else f"{words}; what is true is marked below"


def _layout(
    record: ExplanationRecord, pictures: ExamPictures, small: Sequence[int], rows: int, lines: int, texts: int
) -> ExamLayout:
    count = len(pictures.images)
    step = (WIDTH - 2 * MARGIN + GAP) // max(count, 2)
    tall, wide = pictures.images.shape[-2:]
    width = max(min(step - GAP, round(TALLEST * wide / tall)), 1)
    height = max(min(round(width * tall / wide), TALLEST), 1)
    top = HEADER + PANEL_TITLE
    across = 2 if width < 400 else 4
    little = (width - (across - 1) * SMALL_GAP) // across
    low = max(round(little * height / width), 1)
    first = top + height + IMPORTANCE
    columns, boxes = [], []
    for column in range(count):
        left = MARGIN + column * step + (step - GAP - width) // 2
        columns.append((left, top, width, height))
        places = [divmod(index, across) for index in range(small[column])]
        corners = [(left + c * (little + SMALL_GAP), first + SMALL_TITLE + r * (low + SMALL_TITLE)) for r, c in places]
        boxes.append(tuple((x, y, little, low) for x, y in corners))
    bands = -(-max(small, default=0) // across)
    scores = first + bands * (low + SMALL_TITLE) + GAP + PANEL_TITLE + 8
    below = max(rows * ROW + LINE, lines * LINE + texts * (LINE // 2))
    footer = FOOTER + NOTE_STEP * (len(notes_of(record)) - 1)
    return ExamLayout(scores + below + footer, tuple(columns), tuple(boxes), scores)


def _small_pictures(
    record: ExplanationRecord, explained: Sequence[Evidence], pictures: ExamPictures, view: int
) -> list[Small]:
    """Return the words that are asked for on the view's side, and what the decoder made of the view."""
    placement = pictures.placements[view]
    image = as_shown(pictures.images[view], placement)
    found = []
    for number, item in enumerate(explained):
        name = item["class"]
        if name in pictures.words and pictures.side_of[name] == pictures.sides[view]:
            word, maps = pictures.words[name]
            heat = as_shown(maps[view] / (maps.max() or 1.0), placement)
            found.append(Small(f"“{word}”", glowing(0.75 * image, [(heat, GLOWS[number])])))
    if "transmission" in pictures.decoded:
        found.append(Small("1 − M, unusual", as_shown(1 - pictures.decoded["transmission"][view], placement), "magma"))
    if "enhanced" in pictures.decoded:
        found.append(Small("Y, enhanced", as_shown(pictures.decoded["enhanced"][view], placement)))
    return found


def _draw_column(
    sheet: Sheet,
    place: ExamLayout,
    column: int,
    view: int,
    record: ExplanationRecord,
    explained: Sequence[Evidence],
    pictures: ExamPictures,
) -> None:
    """Draw a view with the places of findings, and its importance below it."""
    panel = place.panels[column]
    x, y, width, height = panel
    image = record["views"][view]
    sheet.write(x, y - 10, shown_view(image["name"]), 12.5, fontweight="bold")
    own = [
        (number, item)
        for number, item in enumerate(explained)
        if pictures.side_of[item["class"]] == pictures.sides[view]
    ]
    layers = [(pictures.heat[item["class"]], GLOWS[number]) for number, item in own]
    axes = draw_view(sheet, panel, pictures, view, layers)
    words = {item["class"]: item for item in record["evidence"] if item["kind"] == "word"}
    for number, item in own:
        word = words.get(item["class"])
        if word is not None and word.get("view") == view and "peak" in word:
            draw_word_place(axes, word, number)
    draw_prompt_places(axes, panel, [(number, item) for number, item in own if _is_in(item, view)])
    share = image["importance"]
    sheet.write(x, y + height + 22, f"importance {share:.2f}", 10.5, color=MUTED)
    bar = sheet.axes((x + SAID, y + height + 13, max(width - SAID, 10), 10))
    bar.set_axis_off()
    bar.set(xlim=(0, 1), ylim=(0, 1))
    bar.barh(0.5, 1, height=1, color=TRACK)
    bar.barh(0.5, share, height=1, color=GREY)


def _is_in(item: Evidence, view: int) -> bool:
    return item.get("view") == view and "box" in item


def _shown(record: ExplanationRecord, explained: Sequence[Evidence]) -> list[Evidence]:
    """Return the prompts whose scores are drawn: all in their order, or the foremost where there are many."""
    prompts = [item for item in record["evidence"] if item["kind"] == "prompt"]
    if len(prompts) <= MOST_ROWS:
        return prompts
    true = true_classes(record) or []
    wanted = [item for item in prompts if item in explained or item["class"] in true]
    ranked = sorted(prompts, key=lambda item: -record["prediction"]["probabilities"][item["class"]])
    kept = [item["class"] for item in [*wanted, *(item for item in ranked if item not in wanted)]][:MOST_ROWS]
    return [item for item in prompts if item["class"] in kept]


def _draw_scores(
    sheet: Sheet, top: int, record: ExplanationRecord, rows: Sequence[Evidence], explained: Sequence[Evidence]
) -> None:
    """Draw for each class how well the exam fits the sentences that deny it (hollow) and those that state it (full)."""
    half = (WIDTH - 2 * MARGIN - 2 * GAP) // 2
    hidden = len(record["classes"]) - len(rows)
    title = "Fit of sentences that deny ○ and state ● a finding" + (
        f" ({hidden} less probable not shown)" if hidden else ""
    )
    sheet.write(MARGIN, top - 14, title, 11.5, color=MUTED)
    names, numbers = 176, 122
    ends = [item["details"][key] for item in rows for key in ("positive", "negative")]
    low, high = min(ends), max(ends)
    margin = 0.08 * (high - low) or 1.0
    axes = sheet.axes((MARGIN + names, top, half - names - numbers, ROW * len(rows)))
    axes.patch.set_alpha(0)
    axes.spines[:].set_visible(False)
    axes.set(xlim=(low - margin, high + margin), ylim=(len(rows), 0))
    colours = {item["class"]: COLOURS[number] for number, item in enumerate(explained)}
    for row, item in enumerate(rows):
        name, details = item["class"], item["details"]
        predicted = name in predicted_classes(record)
        colour = colours.get(name, GREY) if predicted else GREY
        axes.axhline(row + 0.5, color=TRACK, linewidth=8, solid_capstyle="round", zorder=0)
        span = [details["negative"], details["positive"]]
        axes.plot(span, [row + 0.5] * 2, color=colour, linewidth=2.2 if predicted else 1.4, zorder=1)
        axes.plot(span[:1], [row + 0.5], "o", markersize=7, mfc="white", mec=colour, mew=1.6, zorder=2)
        axes.plot(span[1:], [row + 0.5], "o", markersize=8, mfc=colour, mec=colour, zorder=3)
        base, weight = top + (row + 0.5) * ROW + 5, "bold" if predicted else "normal"
        sheet.write(MARGIN, base, shortened(name, 22), 11, fontweight=weight, color=colour if predicted else INK)
        probability = record["prediction"]["probabilities"][name]
        sheet.write(MARGIN + half - 52, base, f"p {probability:.3f}", 11, ha="right", fontweight=weight)
        if name in (true_classes(record) or []):
            sheet.write(MARGIN + half, base, "true", 11, color=MUTED, ha="right")
    text = f"{low:.1f}", f"{high:.1f}"
    base = top + ROW * len(rows) + 14
    sheet.write(MARGIN + names, base, text[0].replace("-", "−"), 9.5, color=MUTED)
    sheet.write(MARGIN + half - numbers, base, text[1].replace("-", "−"), 9.5, color=MUTED, ha="right")


def _lines(item: Evidence, said: str) -> list[tuple[str, str]]:
    """Return what is said about a class and, in italics, its sentence, line by line with their styles."""
    quoted = textwrap.wrap(f"“{item['prompt']}”", LETTERS) if "prompt" in item else []
    plain = textwrap.wrap(said, LETTERS, break_on_hyphens=False)
    return [*((line, "normal") for line in plain), *((line, "italic") for line in quoted)]


def _draw_texts(sheet: Sheet, top: int, texts: Sequence[Sequence[tuple[str, str]]]) -> None:
    """Write what is said about each explained class, beside its number."""
    left = MARGIN + (WIDTH - 2 * MARGIN - 2 * GAP) // 2 + 2 * GAP
    sheet.write(left, top - 14, "What was found", 11.5, color=MUTED)
    base = top + 16
    for number, lines in enumerate(texts):
        spot = (left + 9) / WIDTH, 1 - (base - 5) / sheet.height
        sheet.figure.text(*spot, str(number + 1), **badge(COLOURS[number]))
        for line, style in lines:
            sheet.write(left + 28, base, line, 10.5, fontstyle=style, color=INK if style == "normal" else MUTED)
            base += LINE
        base += LINE // 2


def _thumbnail(place: ExamLayout, order: Sequence[int], explained: Sequence[Evidence]) -> Box:
    """Return the panel of the first finding's view and its neighbour."""
    view = explained[0].get("view", order[0])
    x, y, width, height = place.panels[order.index(view)]
    return x, y, x + width, y + height
