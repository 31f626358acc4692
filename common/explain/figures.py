"""Draw the curves of a run: training history, ROC, precision against recall, perturbation."""

from __future__ import annotations

import io
import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from common.explain.metric_table import explainer_title, title_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Points = Mapping[str, Sequence[float]]

# Okabe and Ito's palette, told apart by colour-blind readers; lines differ in dashes too
INK, MUTED, RULE, BAND = "#1c1c1c", "#5f5f5f", "#d8d8d8", "#f3f3f3"
LINES = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9")
DASHES = ("-", "--", "-.", ":", (0, (6, 1)), (0, (3, 1, 1, 1, 1, 1)))
PAPER = "#fdfdfd"
NAMES = {INK: "var(--ink)", MUTED: "var(--muted)", RULE: "var(--rule)", BAND: "var(--band)", PAPER: "none"}
NAMES |= {line: f"var(--line{index})" for index, line in enumerate(LINES)}

IN_MODEL, RANDOM = "in_model", "random"


def training_figure(history: Sequence[Mapping[str, Any]], term: str) -> Figure:
    """Draw one quantity of the history over epochs, stages shaded.

    Args:
        history: rows of metrics.csv as :func:`common.explain.run_folder.read_history` returns them.
        term: what follows ``train/`` and ``validation/``, or a column's whole name.
    """
    figure, axes = _axes(title_of(term))
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
    _whole_ticks(axes)
    _legend(figure, axes)
    return figure


def roc_figure(curves: Mapping[str, Points], areas: Mapping[str, float]) -> Figure:
    """Draw the ROC curve of each class against the rest, with the area where it is known; chance is dotted."""
    figure, axes = _axes("ROC, one class against the rest")
    axes.plot([0, 1], [0, 1], color=MUTED, linestyle=":", linewidth=0.8)
    _draw_classes(figure, axes, curves, areas)
    axes.set(xlabel="false-positive rate", ylabel="true-positive rate")
    return figure


def precision_recall_figure(curves: Mapping[str, Points]) -> Figure:
    """Draw precision against recall of each class against the rest."""
    figure, axes = _axes("Precision against recall")
    _draw_classes(figure, axes, curves, {})
    axes.set(xlabel="recall", ylabel="precision")
    return figure


def perturbation_figure(curves: Mapping[str, Points], title: str) -> Figure:
    """Draw AOPC after k removed patches of each explainer; bands are 95 % intervals.

    The in-model map, the random order and the best of the others stand out; the rest is grey, and named in the table.
    """
    figure, axes = _axes(title)
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
    _whole_ticks(axes)
    _legend(figure, axes)
    return figure


def figure_svg(figure: Figure, name: str) -> str:
    """Return the figure as an SVG file; its text is text, and equal figures give equal files.

    Args:
        figure: what one of the functions above returned.
        name: a word that is unique in the report; references inside the file depend on it.
    """
    import matplotlib

    file = io.StringIO()
    with matplotlib.rc_context({"svg.fonttype": "none", "svg.hashsalt": name}):
        figure.savefig(file, format="svg", metadata={"Date": None, "Creator": None, "Format": None, "Type": None})
    return file.getvalue()


def inline_svg(svg: str, name: str) -> str:
    """Return an SVG file as an element of a page whose style sheet sets the colours (``--ink``, ``--line0``, ...).

    Args:
        svg: what :func:`figure_svg` returned.
        name: a word that is unique on the page; ids begin with it.
    """
    head, body = svg[svg.index("<svg") :].split(">", 1)
    head = re.sub(r' (width|height)="[^"]*"', "", head)  # the page decides how wide a figure is
    body = re.sub(r'(\bid="|xlink:href="#|url\(#)', rf"\g<1>{name}-", body)
    for colour, variable in NAMES.items():
        body = body.replace(f": {colour}", f": {variable}")
    return f'{head} aria-hidden="true">{body}'


def _axes(title: str) -> tuple[Figure, Axes]:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(4.0, 3.1), layout="constrained", facecolor=PAPER)
    axes = figure.add_subplot(facecolor="none")
    axes.set_title(title, fontsize=11, loc="left", color=INK, parse_math=False)
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set_color(MUTED)
    axes.tick_params(colors=MUTED, labelsize=9.5, length=3)
    for axis in (axes.xaxis, axes.yaxis):
        axis.label.set(color=MUTED, fontsize=9.5)
    return figure, axes


def _draw_classes(figure: Figure, axes: Axes, curves: Mapping[str, Points], areas: Mapping[str, float]) -> None:
    for index, (name, points) in enumerate(curves.items()):
        label = f"{name} {areas[name]:.3f}" if name in areas else name
        colour, dashes = LINES[index % len(LINES)], DASHES[index // len(LINES) % len(DASHES)]
        x, y = _thinned(points["x"]), _thinned(points["y"])
        axes.plot(x, y, color=colour, linestyle=dashes, label=label, drawstyle="default")
    axes.set(xlim=(-0.02, 1.02), ylim=(-0.02, 1.02))
    _legend(figure, axes)


def _thinned(values: Sequence[float], most: int = 400) -> list[float]:
    """Return at most so many of the values, the ends among them: a page need not hold a point for every case."""
    if len(values) <= most:
        return list(values)
    return [values[round(index * (len(values) - 1) / (most - 1))] for index in range(most)]


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


def _whole_ticks(axes: Axes) -> None:
    from matplotlib.ticker import MaxNLocator

    axes.xaxis.set_major_locator(MaxNLocator(integer=True))


def _legend(figure: Figure, axes: Axes) -> None:
    """Name the lines below the axes, where no line is hidden."""
    _, labels = axes.get_legend_handles_labels()
    if labels:
        columns = 2 if max(map(len, labels)) < 24 else 1
        style = {"frameon": False, "fontsize": 9.5, "labelcolor": INK, "handlelength": 2.2, "ncols": columns}
        legend = figure.legend(loc="outside lower left", **style)
        for text in legend.get_texts():
            text.set_parse_math(False)
