"""Pictures of the views of an exam: grey, with coloured glows, boxes, rings, and small pictures below them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from common.data.placement import Placement
from common.explain.card import Box, Sheet
from common.explain.card_parts import MUTED, shortened
from common.explain.exam_places import as_shown
from common.explain.prototype_card_parts import BRIGHT, SIDES, Label, badge, joined_labels
from common.explain.regions import FloatArray
from common.explain.schema import Evidence

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["COLOURS", "GLOWS", "ExamPictures", "draw_prompt_places", "draw_small", "draw_view", "draw_word_place"]

COLOURS = (*SIDES, "#8e3b83")
"""Of the explained classes, in their order, on white."""
GLOWS = (*(BRIGHT[colour] for colour in SIDES), "#f2a6e4")
"""The same hues on dark images."""
STRONGEST = 0.72
NESTED = 4  # pixels of the sheet between boxes round the same place
FAINTEST = 0.25  # of the largest value: what is below does not glow, so that tissue stays visible


@dataclass(frozen=True)
class ExamPictures:
    """What a card shows of an exam's V views that are there; all arrays lie over the network's input.

    Attributes:
        placements: of the views.
        images: (V,H,W) in [0, 1].
        sides: number of each view's side.
        side_of: number of the side of each explained class.
        heat: of each explained class, where its sentences fit (V,H,W).
        words: of each explained class that has one, the word and where it fits (V,H,W).
        decoded: "transmission" and "enhanced" (V,H,W) in [0, 1], of networks with a decoder.
    """

    placements: Sequence[Placement]
    images: FloatArray
    sides: Sequence[int]
    side_of: Mapping[str, int]
    heat: Mapping[str, FloatArray]
    words: Mapping[str, tuple[str, FloatArray]] = field(default_factory=dict)
    decoded: Mapping[str, FloatArray] = field(default_factory=dict)

    def extent(self, view: int) -> Box:
        """Return where a view's picture lies in its file as matplotlib wants it: left, right, bottom, top."""
        x0, y0, x1, y1 = self.placements[view].crop
        return x0, x1, y1, y0


def glowing(image: FloatArray, layers: Sequence[tuple[NDArray[np.floating], str]]) -> FloatArray:
    """Return a grey image (H,W) in colour (H,W,3), coloured by maps (H,W) in [0, 1]."""
    from matplotlib.colors import to_rgb

    picture = np.repeat(np.clip(np.nan_to_num(image), 0, 1)[..., None], 3, axis=-1).astype(np.float32)
    for values, colour in layers:
        strength = np.clip((values - FAINTEST) / (1 - FAINTEST), 0, 1)[..., None] * STRONGEST
        picture = (1 - strength) * picture + strength * np.asarray(to_rgb(colour), dtype=np.float32)
    return picture


def draw_view(
    sheet: Sheet, box: Box, pictures: ExamPictures, view: int, layers: Sequence[tuple[FloatArray, str]]
) -> Axes:
    """Draw a view as its file is turned, with glows; return axes in the file's pixels."""
    placement = pictures.placements[view]
    scaled = [(as_shown(maps[view] / (maps.max() or 1.0), placement), colour) for maps, colour in layers]
    axes = sheet.axes(box)
    axes.set_facecolor("black")
    picture = glowing(as_shown(pictures.images[view], placement), scaled)
    axes.imshow(picture, extent=pictures.extent(view), interpolation="bicubic", aspect="auto")
    left, right, bottom, top = pictures.extent(view)
    axes.set(xlim=(left, right), ylim=(bottom, top))
    return axes


def draw_small(sheet: Sheet, box: Box, title: str, picture: FloatArray, colours: str = "gray") -> None:
    """Draw a small picture (H,W) or (H,W,3) with a title above it; one of numbers goes from 0 to 1."""
    sheet.write(box[0], box[1] - 6, shortened(title, max(int(box[2] / 6.6), 6)), 9.5, color=MUTED)
    axes = sheet.axes(box)
    axes.imshow(picture, cmap=colours, vmin=0, vmax=1, interpolation="bicubic", aspect="auto")


def draw_prompt_places(axes: Axes, panel: Box, places: Sequence[tuple[int, Evidence]]) -> None:
    """Draw the boxes of prompts with their numbers; boxes round the same place lie in each other."""
    from matplotlib.patches import Rectangle
    from matplotlib.patheffects import withStroke

    (left, right), (bottom, top) = axes.get_xlim(), axes.get_ylim()
    across, down = (right - left) / panel[2], (bottom - top) / panel[3]  # of the file's pixels in one of the sheet
    halo = [withStroke(linewidth=3.0, foreground="black")]
    style: dict[str, Any] = {"fill": False, "linewidth": 1.5, "path_effects": halo}
    labels = []
    for place, (number, item) in enumerate(places):
        wider = NESTED * (len(places) - 1 - place)
        x0, x1 = item["box"][0] - wider * across, item["box"][2] + wider * across
        y0, y1 = item["box"][1] - wider * down, item["box"][3] + wider * down
        axes.add_patch(Rectangle((x0, y0), x1 - x0, y1 - y0, edgecolor=GLOWS[number], **style))
        x = min(max((x0 - left) / across, 10), panel[2] - 10)
        y = min(max((y0 - top) / down, 10), panel[3] - 10)
        labels.append(Label(x, y, str(number + 1), frozenset({COLOURS[number]})))
    for label in joined_labels(labels):
        colour = next(iter(label.colours)) if len(label.colours) == 1 else "#333333"
        middle = min(max(label.x, 8 + 5 * len(label.text)), panel[2] - 8 - 5 * len(label.text))
        axes.text(middle / panel[2], 1 - label.y / panel[3], label.text, transform=axes.transAxes, **badge(colour))


def draw_word_place(axes: Axes, item: Evidence, number: int) -> None:
    """Draw a ring round the place of a word."""
    from matplotlib.patheffects import withStroke

    halo = [withStroke(linewidth=3.4, foreground="black")]
    x, y = item["peak"]
    style: dict[str, Any] = {"markerfacecolor": "none", "markeredgecolor": GLOWS[number], "markeredgewidth": 1.6}
    axes.plot([x + 0.5], [y + 0.5], marker="o", markersize=10, path_effects=halo, clip_on=False, **style)
