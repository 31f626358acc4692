"""The gallery of a report: which cases are shown, and their pictures as text inside the page."""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from pathlib import Path

from PIL import Image

from common.explain.blocks import Gallery, GalleryItem
from common.explain.card import load_card
from common.explain.decision import (
    confidence_of,
    error_of,
    outcome_of,
    predicted_classes,
    true_classes,
    uncertainty_of,
    verdict,
)
from common.explain.schema import ExplanationRecord

Case = tuple[ExplanationRecord, Path | None]

MOST_CASES = 120
MOST_BYTES = 10_000_000  # of pictures; as text inside the page they grow by a third
CARD_WIDTH, THUMBNAIL = 1000, 240


def build_gallery(
    cases: Sequence[Case], problems: list[str], most_cases: int = MOST_CASES, most_bytes: int = MOST_BYTES
) -> Gallery | None:
    """Return the gallery of the cases that have a card, or None where there is none.

    Args:
        cases: records and cards.
        problems: a sentence is added for each card that could not be read.
        most_cases: show at most so many.
        most_bytes: show no more once their pictures are larger than this.
    """
    with_card = [(record, card) for record, card in cases if card is not None]
    items: list[GalleryItem] = []
    size = 0
    for record, card in choose_cases(with_card, most_cases):
        if size > most_bytes:
            break
        try:
            item = _item(record, card)
        except (OSError, ValueError) as error:
            problems.append(f"the card of case '{record['case_id']}' could not be read: {error}")
            continue
        size += 3 * (len(item.card) + len(item.thumbnail)) // 4
        items.append(item)
    if not items:
        return None
    classes = list(dict.fromkeys(name for record, _ in cases for name in record["classes"]))
    return Gallery(items=items, classes=classes, note=_note(len(items), cases))


def choose_cases(cases: Sequence[tuple[ExplanationRecord, Path]], most: int) -> list[tuple[ExplanationRecord, Path]]:
    """Return at most so many cases.

    Where uncertainties are known, the most uncertain ones; else the wrong ones, most wrong first, then others at even
    steps of confidence.
    """
    if any(uncertainty_of(record) is not None for record, _ in cases):
        return sorted(cases, key=lambda case: -(uncertainty_of(case[0]) or 0))[:most]
    wrong = sorted((case for case in cases if _is_wrong(case[0])), key=lambda case: -(error_of(case[0]) or 0))
    others = sorted((case for case in cases if not _is_wrong(case[0])), key=lambda case: confidence_of(case[0]))
    room = max(most - len(wrong), 0)
    if len(others) > room:
        others = [others[round(index * (len(others) - 1) / max(room - 1, 1))] for index in range(room)]
    return [*wrong[:most], *others]


def _is_wrong(record: ExplanationRecord) -> bool:
    return outcome_of(record) == "wrong"


def _note(shown: int, cases: Sequence[Case]) -> str:
    total, without = len(cases), sum(card is None for _, card in cases)
    parts = [
        f"All {total} explained cases are shown." if shown == total else f"{shown} of {total} explained cases are shown"
    ]
    if shown < total:
        drawn = [record for record, card in cases if card is not None]
        if any(uncertainty_of(record) is not None for record in drawn):
            chosen = ": the most uncertain ones."
        else:
            chosen = f": the wrong ones first ({sum(map(_is_wrong, drawn))} in all), then others at even steps of "
            chosen += "confidence."
        parts[0] += chosen if shown < total - without else "."
        parts.append("Every case's files are in the folder 'explanations'.")
    if without:
        parts.append(f"{without} have no card.")
    return " ".join(parts)


def _item(record: ExplanationRecord, path: Path) -> GalleryItem:
    card = load_card(path)
    small, picture = card.picture.crop(card.thumbnail), card.picture
    small.thumbnail((THUMBNAIL, THUMBNAIL))
    picture.thumbnail((CARD_WIDTH, 4 * CARD_WIDTH))
    words, outcome = verdict(record)
    said = f"{words}{f' ({outcome})' if outcome else ''}"
    true = true_classes(record)
    return GalleryItem(
        case_id=record["case_id"],
        thumbnail=_data_uri(small, quality=75),
        card=_data_uri(picture, quality=80),
        alt=f"{card.shows} of case {record['case_id']}. {said}.",
        card_alt=f"Card of case {record['case_id']}. {said}. {'. '.join(record['summary'])}. {record['how_to_read']}",
        predicted=predicted_classes(record),
        true=true or [],
        said=_answer(record),
        outcome=outcome or "unknown",
        confidence=confidence_of(record),
        error=error_of(record),
        uncertainty=uncertainty_of(record),
    )


def _answer(record: ExplanationRecord) -> str:
    """Return the predicted classes with their probabilities, and the uncertainty where it is known."""
    probabilities = record["prediction"]["probabilities"]
    answer = ", ".join(f"{name} {probabilities[name]:.2f}" for name in predicted_classes(record)) or "none"
    uncertainty = uncertainty_of(record)
    return answer if uncertainty is None else f"{answer}, uncertainty {uncertainty:.2f}"


def _data_uri(picture: Image.Image, quality: int) -> str:
    file = io.BytesIO()
    picture.save(file, format="WEBP", quality=quality, method=2)
    return "data:image/webp;base64," + base64.b64encode(file.getvalue()).decode("ascii")
