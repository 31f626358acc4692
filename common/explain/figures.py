"""Draw the curves of a run: training history, ROC, precision against recall, perturbation."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from common.explain.figure_parts import (
    BAND,
    DASHES,
    INK,
    LINES,
    MUTED,
    RULE,
    Points,
    add_legend,
    new_axes,
    thinned,
    whole_ticks,
)
from common.explain.metric_facts import title_of
from common.explain.metric_table import explainer_title

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

IN_MODEL, RANDOM = "in_model", "random"


def training_figure(history: Sequence[Mapping[str, Any]], term: str) -> Figure:
    """Draw one quantity of the history over epochs, stages shaded.

    Args:
        history: rows of metrics.csv as :func:`common.explain.run_folder.read_history` returns them.
        term: what follows ``train/`` and ``validation/``, or a column's whole name.
    """
    figure, axes = new_axes(title_of(term))
    drawn = 0
    for column in (term, f"train/{term}", f"validation/{term}"):
        points = [(row["epoch"], row[column]) for row in history if isinstance(row.get(column), float)]
        if points:
            epochs, values = zip(*points, strict=True)
            marker = "o" if len(points) < 3 else None
            label = column.split("/")[0].replace("train", "training") if "/" in column else ""
            axes.plot(epochs, values, color=LINES[drawn], linestyle=DASHES[drawn], marker=marker, ms=3, label=label)
            drawn += 1
    if term == "learning_rate":
        axes.set_yscale("log")
    _shade_stages(axes, history)
    axes.set_xlabel("epoch")
    whole_ticks(axes)
    add_legend(figure, axes)
    return figure


def roc_figure(curves: Mapping[str, Points], areas: Mapping[str, float]) -> Figure:
    """Draw the ROC curve of each class against the rest, with the area where it is known; chance is dotted."""
    figure, axes = new_axes("ROC, one class against the rest")
    axes.plot([0, 1], [0, 1], color=MUTED, linestyle=":", linewidth=0.8)
    _draw_classes(figure, axes, curves, areas)
    axes.set(xlabel="false-positive rate", ylabel="true-positive rate")
    return figure


def precision_recall_figure(curves: Mapping[str, Points]) -> Figure:
    """Draw precision against recall of each class against the rest."""
    figure, axes = new_axes("Precision against recall")
    _draw_classes(figure, axes, curves, {})
    axes.set(xlabel="recall", ylabel="precision")
    return figure


def perturbation_figure(curves: Mapping[str, Points], title: str) -> Figure:
    """Draw AOPC after k removed patches of each explainer; bands are 95 % intervals.

    The in-model map, the random order and the best of the others stand out; the rest is grey, and named in the table.
    """
    figure, axes = new_axes(title)
    others = [name for name in curves if name not in (IN_MODEL, RANDOM)]
    best = max(others, key=lambda name: curves[name]["mean"][-1], default="")
    styles = {name: (LINES[i], DASHES[i]) for i, name in enumerate((IN_MODEL, best, RANDOM)) if name in curves}
    axes.axhline(0, color=RULE, linewidth=0.8)
    grey = [name for name in others if name != best]
    for name, (colour, dashes) in styles.items():
        points = curves[name]
        axes.fill_between(points["k"], points["low"], points["high"], color=colour, alpha=0.15, linewidth=0)
        axes.plot(points["k"], points["mean"], color=colour, linestyle=dashes, label=explainer_title(name))
    for name in grey:
        label = f"{len(grey)} other{'s' if len(grey) > 1 else ''}" if name == grey[0] else ""
        axes.plot(curves[name]["k"], curves[name]["mean"], color=MUTED, linewidth=0.6, zorder=1, label=label)
    axes.set(xlabel="patches removed, most relevant first", ylabel="AOPC")
    whole_ticks(axes)
    add_legend(figure, axes)
    return figure


def _draw_classes(figure: Figure, axes: Axes, curves: Mapping[str, Points], areas: Mapping[str, float]) -> None:
    for index, (name, points) in enumerate(curves.items()):
        label = f"{name} {areas[name]:.3f}" if name in areas else name
        colour, dashes = LINES[index % len(LINES)], DASHES[index // len(LINES) % len(DASHES)]
        x, y = thinned(points["x"]), thinned(points["y"])
        axes.plot(x, y, color=colour, linestyle=dashes, label=label, drawstyle="default")
    axes.set(xlim=(-0.02, 1.02), ylim=(-0.02, 1.02))
    add_legend(figure, axes)


def _shade_stages(axes: Axes, history: Sequence[Mapping[str, Any]]) -> None:
    stages: dict[str, list[float]] = {}
    for row in history:
        stages.setdefault(str(row.get("stage", "")), []).append(row["epoch"])
    if len(stages) < 2:
        return
    for index, (name, epochs) in enumerate(stages.items()):
        start, end = min(epochs) - 0.5, max(epochs) + 0.5
        if index % 2 == 0:
            axes.axvspan(start, end, color=BAND, zorder=0, linewidth=0)
        height = 1.02 + 0.08 * (index % 2)  # in two rows: a short stage is narrower than its name
        words = axes.text((start + end) / 2, height, name, fontsize=9, color=MUTED, parse_math=False, ha="center")
        words.set_transform(axes.get_xaxis_transform())
    axes.set_title(axes.get_title(loc="left"), fontsize=11, loc="left", color=INK, parse_math=False, pad=30)
