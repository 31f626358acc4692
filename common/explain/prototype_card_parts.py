"""What the cards of prototype networks are made of: parts of images beside each other, numbered boxes, heat-maps."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from common.explain.card import MARGIN, Box, Sheet, extent_of
from common.explain.card_parts import BLUE, COLOURS, MUTED, VERMILLION, picture_of
from common.explain.prototype_patches import Patch
from common.explain.prototype_words import number_of
from common.explain.regions import FloatArray, resample_map
from common.explain.schema import Evidence, ExplanationRecord

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["Comparison", "badge", "draw_places", "draw_scale", "draw_tile", "joined_labels", "overlay_of"]

TILE = 124
GREEN = "#00805d"
SIDES = (BLUE, VERMILLION, GREEN)  # of the most probable class and of the next ones
BRIGHT = {BLUE: "#56b4e9", VERMILLION: "#f5a15a", GREEN: "#4be0b0", MUTED: "#d9d9d9"}
"""The same hues for lines on dark images."""


@dataclass(frozen=True)
class Comparison:
    """A prototype on the card.

    Attributes:
        item: what the record says about it.
        here: the part of the image that is most similar to it.
        there: the part of a training image that it is a copy of; None where that is not known or not at hand.
    """

    item: Evidence
    here: Patch
    there: Patch | None = None


def overlay_of(picture: FloatArray, heatmap: FloatArray) -> FloatArray:
    """Return a picture (rows, columns, 3) in grey, coloured by a heat-map (h, w) in [0, 1], the stronger the higher."""
    from matplotlib import colormaps

    values = resample_map(heatmap, (picture.shape[0], picture.shape[1]))
    alpha = 0.7 * values[..., None]
    coloured = (1 - alpha) * picture.mean(axis=-1, keepdims=True) + alpha * colormaps[COLOURS](values)[..., :3]
    return np.asarray(coloured)


def draw_scale(sheet: Sheet, panel: Box, darkest: str) -> None:
    """Draw the scale of the heat-map below it, and say what its ends mean where there is room."""
    x, y, width, height = panel
    bar = sheet.axes((x, y + height + 12, width, 10))
    bar.imshow(np.linspace(0, 1, 256)[None], cmap=COLOURS, aspect="auto", extent=(0, 1, 0, 1))
    low, high = (f"0: {darkest}", "1: equal") if width >= 200 else ("0", "1")
    sheet.write(x, y + height + 40, low, 10.5, color=MUTED)
    sheet.write(x + width, y + height + 40, high, 10.5, color=MUTED, ha="right")


def draw_places(
    axes: Axes, panel: Box, record: ExplanationRecord, groups: Iterable[tuple[str, Sequence[Comparison]]]
) -> None:
    """Draw numbered boxes on a panel; boxes that begin at nearly the same corner share a label.

    Args:
        axes: of the panel, in pixels of the source image.
        panel: where it is on the sheet.
        record: of the case.
        groups: colours, and what is boxed in each.
    """
    from matplotlib.patches import Rectangle
    from matplotlib.patheffects import withStroke

    left, right, bottom, top = extent_of(record)
    labels: list[Label] = []
    for colour, entries in groups:
        for entry in entries:
            if "box" not in entry.item:
                continue
            x0, y0, x1, y1 = entry.item["box"]
            halo = [withStroke(linewidth=3.2, foreground="black")]
            style: dict[str, Any] = {"fill": False, "linewidth": 1.6, "path_effects": halo}
            axes.add_patch(Rectangle((x0, y0), x1 - x0, y1 - y0, edgecolor=BRIGHT[colour], **style))
            x = min(max((x0 - left) / (right - left) * panel[2], 10), panel[2] - 10)
            y = min(max((y0 - top) / (bottom - top) * panel[3], 10), panel[3] - 10)
            labels.append(Label(x, y, str(number_of(entry.item)), frozenset({colour})))
    for label in joined_labels(labels):
        colour = next(iter(label.colours)) if len(label.colours) == 1 else "#333333"
        text = _fitting(label.text, panel[2])
        middle = min(label.x, panel[2] - 8 - 5 * len(text))
        middle = max(middle, 8 + 5 * len(text) - panel[0])  # not beyond the sheet, where a panel is narrow
        spot = (middle / panel[2], 1 - label.y / panel[3])
        axes.text(*spot, text, transform=axes.transAxes, **badge(colour))


class Label(NamedTuple):
    """The numbers of boxes, and the middle of where they are written, in pixels of the panel."""

    x: float
    y: float
    text: str
    colours: frozenset[str]

    def covers(self, other: Label) -> bool:
        """Say whether the two would lie on each other."""
        width = 16 + 4 * (len(self.text) + len(other.text))
        return abs(self.x - other.x) < width and abs(self.y - other.y) < 20


def joined_labels(labels: Sequence[Label]) -> list[Label]:
    """Return labels that do not lie on each other: those that would are one, where the first of them was."""
    waiting, placed = list(labels), list[Label]()
    while waiting:
        label = waiting.pop(0)
        near = next((one for one in placed if one.covers(label)), None)
        if near is None:
            placed.append(label)
        else:  # a longer label may lie on others: it has to find its place anew
            placed.remove(near)
            waiting.insert(0, near._replace(text=f"{near.text} {label.text}", colours=near.colours | label.colours))
    return placed


def _fitting(numbers: str, width: int) -> str:
    """Return as many of the numbers as fit a panel, at least one, and an ellipsis for the others."""
    most = (width + MARGIN) // 10
    if len(numbers) <= most:
        return numbers
    kept = numbers[: max(most - 1, 1)].rpartition(" ")[0] or numbers.split()[0]
    return f"{kept} …"


def badge(colour: str) -> dict[str, Any]:
    """Return the style of a number in a coloured round."""
    box = {"boxstyle": "round,pad=0.25", "facecolor": colour, "edgecolor": "white", "linewidth": 0.8}
    return {"color": "white", "fontsize": 9, "fontweight": "bold", "ha": "center", "va": "center", "bbox": box}


def draw_tile(sheet: Sheet, box: Box, patch: Patch | None, colour: str) -> None:
    """Draw a part of an image with its box, or say that there is none."""
    from matplotlib.patches import Rectangle
    from matplotlib.patheffects import withStroke

    axes = sheet.axes(box)
    x, y, width, height = box
    if patch is None:
        axes.set_facecolor("#f4f4f4")
        for line, words in enumerate(("no picture", "at hand")):
            sheet.write(x + width / 2, y + height / 2 - 4 + 18 * line, words, 10.5, color=MUTED, ha="center")
        return
    side = patch.picture.shape[-1]
    picture = picture_of(patch.picture, (side, side), "")
    axes.imshow(picture, extent=(0, side, side, 0), interpolation="bicubic", aspect="auto")
    x0, y0, x1, y1 = patch.box
    halo = [withStroke(linewidth=2.8, foreground="black")]
    style: dict[str, Any] = {"fill": False, "linewidth": 1.4, "path_effects": halo}
    axes.add_patch(Rectangle((x0, y0), x1 - x0, y1 - y0, edgecolor=BRIGHT[colour], **style))
    if patch.mirrored:
        halo = [withStroke(linewidth=2.4, foreground="black")]
        axes.text(
            0.97, 0.04, "mirrored", transform=axes.transAxes, fontsize=8, color="white", ha="right", path_effects=halo
        )
