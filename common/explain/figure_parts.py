"""What every figure of a report is made of: its palette, its axes, its legend, and how it gets into the page."""

from __future__ import annotations

import io
import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

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


def new_axes(title: str) -> tuple[Figure, Axes]:
    """Return an empty figure and its axes, as a report shows them."""
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


def whole_ticks(axes: Axes) -> None:
    """Put ticks of the horizontal axis at whole numbers."""
    from matplotlib.ticker import MaxNLocator

    axes.xaxis.set_major_locator(MaxNLocator(integer=True))


def add_legend(figure: Figure, axes: Axes) -> None:
    """Name the lines below the axes, where no line is hidden."""
    _, labels = axes.get_legend_handles_labels()
    if labels:
        columns = 2 if max(map(len, labels)) < 24 else 1
        style = {"frameon": False, "fontsize": 9.5, "labelcolor": INK, "handlelength": 2.2, "ncols": columns}
        legend = figure.legend(loc="outside lower left", **style)
        for text in legend.get_texts():
            text.set_parse_math(False)


def thinned(values: Sequence[float], most: int = 400) -> list[float]:
    """Return at most so many of the values, the ends among them: a page need not hold a point for every case."""
    if len(values) <= most:
        return list(values)
    return [values[round(index * (len(values) - 1) / (most - 1))] for index in range(most)]


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
