"""Draw what a network's uncertainty is worth: reliability, risk against coverage, pixels, corrupted images."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from common.explain.figure_parts import (
    DASHES,
    LINES,
    MUTED,
    RULE,
    Points,
    add_legend,
    new_axes,
    thinned,
    whole_ticks,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


def reliability_figure(curves: Mapping[str, Points]) -> Figure:
    """Draw accuracy against confidence; on the dotted line confidence is right, below it the network is too sure.

    Args:
        curves: lines by their names; each has "confidence", "accuracy" and "count" of its bins. The bars show how the
            cases of the first are spread.
    """
    figure, axes = new_axes("Reliability")
    axes.plot([0, 1], [0, 1], color=MUTED, linestyle=":", linewidth=0.8)
    for index, (name, points) in enumerate(curves.items()):
        if index == 0:
            total = sum(points["count"]) or 1
            shares = [count / total for count in points["count"]]
            axes.bar(points["confidence"], shares, width=0.03, color=RULE, zorder=0, label="share of the cases")
        _draw_lines(axes, points["confidence"], {name: points["accuracy"]}, index)
    axes.set(xlabel="confidence", ylabel="accuracy", xlim=(-0.02, 1.02), ylim=(-0.02, 1.02))
    add_legend(figure, axes)
    return figure


def risk_coverage_figure(points: Points) -> Figure:
    """Draw the share of errors among the least uncertain cases against how many are kept.

    Args:
        points: "coverage" and "risk", as in curves.json.
    """
    figure, axes = new_axes("Risk against coverage")
    coverage, risk = thinned(points["coverage"]), thinned(points["risk"])
    if risk:
        axes.axhline(risk[-1], color=MUTED, linestyle=":", linewidth=0.8, label="all cases")
        axes.plot(coverage, risk, color=LINES[0], label="the least uncertain", marker="o" if len(risk) < 3 else None)
    axes.set(xlabel="share of the cases kept", ylabel="share of errors among them", xlim=(-0.02, 1.02))
    axes.set_ylim(bottom=0)
    add_legend(figure, axes)
    return figure


def lines_figure(
    title: str, x: Sequence[float], lines: Mapping[str, Sequence[float | None]], labels: tuple[str, str]
) -> Figure:
    """Draw lines over common points.

    Args:
        title: of the figure.
        x: where the points are.
        lines: values by the lines' names; None where there is none.
        labels: what x and the values are.
    """
    figure, axes = new_axes(title)
    _draw_lines(axes, x, lines)
    axes.set(xlabel=labels[0], ylabel=labels[1])
    add_legend(figure, axes)
    return figure


def robustness_figure(title: str, lines: Mapping[str, tuple[Sequence[float], Sequence[float | None]]]) -> Figure:
    """Draw one metric against the strength of corruptions.

    Args:
        title: the metric in words.
        lines: strengths and values by the corruption's name in words; strength 0 is the image as it is.
    """
    figure, axes = new_axes(title)
    for index, (name, (strength, values)) in enumerate(lines.items()):
        _draw_lines(axes, strength, {name: values}, index)
    ends = [end for strength, _ in lines.values() for end in (min(strength), max(strength))]
    axes.set(xlabel="strength of the corruption", xlim=(min(ends) - 0.2, max(ends) + 0.2))
    whole_ticks(axes)
    add_legend(figure, axes)
    return figure


def _draw_lines(axes: Axes, x: Sequence[float], lines: Mapping[str, Sequence[float | None]], first: int = 0) -> None:
    for index, (name, values) in enumerate(lines.items(), first):
        gaps = [float("nan") if value is None else value for value in values]
        colour, dashes = LINES[index % len(LINES)], DASHES[index % len(DASHES)]
        axes.plot(x, gaps, color=colour, linestyle=dashes, marker="o", markersize=3, label=name)
