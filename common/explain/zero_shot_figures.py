"""Draw what a pre-training saves in labels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from common.explain.figure_parts import DASHES, LINES, add_legend, new_axes

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["efficiency_figure"]

TITLES = {"pretrained": "pre-trained on reports", "random": "random weights"}


def efficiency_figure(
    fractions: Sequence[float], curves: Mapping[str, Sequence[Mapping[str, Any]]], metric: str
) -> Figure:
    """Draw a metric over the share of labels that was trained with.

    Args:
        fractions: shares of the labels, above 0 to 1.
        curves: "pretrained" and "random", for each fraction "value", "low" and "high".
        metric: its name.
    """
    figure, axes = new_axes(f"{metric}, by labels trained with")
    for index, (name, entries) in enumerate(curves.items()):
        known = [place for place, entry in enumerate(entries) if entry.get("value") is not None]
        x, y = [fractions[place] for place in known], [entries[place]["value"] for place in known]
        low, high = ([entries[place].get(end) for place in known] for end in ("low", "high"))
        colour = LINES[index % len(LINES)]
        style: dict[str, Any] = {
            "color": colour,
            "linestyle": DASHES[index % len(DASHES)],
            "marker": "o",
            "markersize": 4,
        }
        axes.plot(x, y, label=TITLES.get(name, name), **style)
        if None not in [*low, *high]:
            ends = [[float(value or 0) for value in side] for side in (low, high)]
            axes.fill_between(x, ends[0], ends[1], color=colour, alpha=0.18, lw=0)
    axes.set_xscale("log")
    axes.set_xticks(list(fractions), [f"{100 * fraction:g} %" for fraction in fractions])
    axes.minorticks_off()
    axes.set(xlabel="share of the labels", ylabel=metric)
    add_legend(figure, axes)
    return figure
