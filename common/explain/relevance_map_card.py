"""The card of a method with a relevance map: image, map, both together, probabilities."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from common.explain.card import Card, Sheet, drawing_size, layout
from common.explain.card_parts import (
    COLOURS,
    VERMILLION,
    draw_box,
    draw_colour_bar,
    draw_facts,
    draw_footer,
    draw_header,
    draw_outline,
    draw_panel,
    draw_probabilities,
    picture_of,
)
from common.explain.regions import resample_map
from common.explain.schema import ExplanationRecord


def draw_relevance_map(
    record: ExplanationRecord, image: ArrayLike, explanation: ArrayLike, mask: ArrayLike | None = None
) -> Card:
    """Draw the card of one case.

    Args:
        record: what the card says.
        image: (1 | 3, h, w) in [0, 1]; at any resolution, it is drawn over the source image's area.
        explanation: (h, w) in [0, 1], at any resolution.
        mask: (h, w), above 0.5 inside the region of interest.

    Raises:
        ValueError: if the image has another number of channels or dimensions.
    """
    from matplotlib import colormaps

    place = layout(record)
    sheet = Sheet(place.height)
    draw_header(sheet, record)
    size = drawing_size(record, place)
    picture = picture_of(image, size, record["case_id"])
    values = resample_map(np.asarray(explanation, dtype=np.float32), size)
    coloured = colormaps[COLOURS](values)[..., :3]
    alpha = 0.7 * values[..., None]
    overlay = (1 - alpha) * picture.mean(axis=-1, keepdims=True) + alpha * coloured
    known = None if mask is None or "roi" not in record else np.asarray(mask) > 0.5
    titles = ("Image" if known is None else "Image, known region outlined", "Explanation map", "Both together")
    panels = (picture, coloured, overlay)
    drawn = [draw_panel(sheet, *given, record) for given in zip(place.panels, titles, panels, strict=True)]
    if known is not None:
        inside = resample_map(known.astype(np.float32), size)
        for axes in (drawn[0], drawn[2]):
            draw_outline(axes, inside, record, VERMILLION)
    for number, item in enumerate(record["evidence"], 1):
        draw_box(drawn[2], item["box"], str(number))
    draw_colour_bar(sheet, place, 1)
    draw_probabilities(sheet, place, record)
    draw_facts(sheet, place, record, "Map in numbers")
    draw_footer(sheet, record)
    return Card(sheet.finish(), place.thumbnail(2), "Explanation map over the image")
