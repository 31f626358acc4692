"""Draw how well boxes and marks that were learned from image labels find what experts have outlined."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from common.explain.figure_parts import DASHES, LINES, Points, add_legend, new_axes, thinned

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def box_figure(curves: Mapping[str, Points], areas: Mapping[str, float | None]) -> Figure:
    """Draw precision against recall of the boxes at each overlap that makes a box right.

    Args:
        curves: "x" (recall) and "y" (precision) by the IoU in words.
        areas: areas under the curves, where they are known.
    """
    figure, axes = new_axes("Boxes: precision against recall")
    for index, (iou, points) in enumerate(curves.items()):
        area = areas.get(iou)
        label = f"IoU {iou}" if area is None else f"IoU {iou}: {area:.3f}"
        colour, dashes = LINES[index % len(LINES)], DASHES[index % len(DASHES)]
        few = "o" if len(points["x"]) < 3 else None
        x, y = thinned(points["x"]), thinned(points["y"])
        axes.plot(x, y, color=colour, linestyle=dashes, label=label, marker=few, markersize=3)
    axes.set(xlabel="recall", ylabel="precision", xlim=(-0.02, 1.02), ylim=(-0.02, 1.02))
    add_legend(figure, axes)
    return figure


def froc_figure(points: Points) -> Figure:
    """Draw the share of findings that is marked against false marks per image.

    Args:
        points: "x" (false marks per image) and "y" (sensitivity), as in curves.json.
    """
    figure, axes = new_axes("Marks: sensitivity against false alarms")
    x, y = [0.0, *thinned(points["x"])], [0.0, *thinned(points["y"])]
    axes.plot(x, y, color=LINES[0], drawstyle="steps-post")
    axes.set(xlabel="false marks per image", ylabel="share of the findings marked", ylim=(-0.02, 1.02))
    axes.set_xlim(left=-0.02)
    return figure
