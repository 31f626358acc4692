"""Draw matrices of classes against classes as tables of numbers on coloured ground."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from common.explain.figure_parts import INK, LINES, MUTED, PAPER, RULE

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Matrix = Sequence[Sequence[float | None]]

CELL, LETTER, HEAD, TITLE = 0.46, 0.075, 0.5, 0.25  # inches: of a cell, a letter, an axis name, the title
MOST_LETTERS = 24
STRONGEST = 0.5  # opacity of a ground on which a number can still be read, on white and on black


def matrix_figure(
    title: str,
    rows: Sequence[str],
    columns: Sequence[str],
    values: Matrix,
    axis_names: tuple[str, str],
    said: Callable[[float], str],
    full: float | None = None,
) -> Figure:
    """Draw a table whose ground is the stronger the larger a number is: blue above 0, orange below it.

    Args:
        title: of the figure.
        rows: names of the R rows.
        columns: names of the C columns.
        values: (R,C); None where nothing was measured.
        axis_names: what rows and what columns are.
        said: a number as it is written into its cell.
        full: number of the strongest ground, for figures that are compared; None for the largest of these numbers.
    """
    from matplotlib.figure import Figure

    names = [[_cut(name) for name in side] for side in (rows, columns)]
    margins = [LETTER * max(map(len, side), default=0) + HEAD for side in names]
    width, height = margins[0] + CELL * len(columns), margins[1] + TITLE + CELL * len(rows)
    figure = Figure(figsize=(width, height), facecolor=PAPER)
    axes = figure.add_axes((margins[0] / width, 0.02, CELL * len(columns) / width - 0.01, CELL * len(rows) / height))
    axes.set(xlim=(0, len(columns)), ylim=(len(rows), 0), facecolor="none")
    axes.spines[:].set_visible(False)
    figure.text(0.01, 1 - 0.18 / height, title, fontsize=11, color=INK, va="center", parse_math=False)
    _name_sides(axes, names, axis_names)
    largest = full or max((abs(value) for row in values for value in row if value is not None), default=0.0) or 1.0
    for down, row in enumerate(values):
        for across, value in enumerate(row):
            _draw_cell(axes, across, down, value, largest, said)
    return figure


def natural_width(rows: Sequence[str], columns: Sequence[str]) -> float:
    """Return the width in rem at which the letters of such a figure have the size of a page's small ones."""
    inches = LETTER * max((len(_cut(name)) for name in rows), default=0) + HEAD + CELL * len(columns)
    return round(6.5 * inches, 1)


def _cut(name: str) -> str:
    return name if len(name) <= MOST_LETTERS else name[: MOST_LETTERS - 1] + "…"


def _name_sides(axes: Axes, names: Sequence[Sequence[str]], axis_names: tuple[str, str]) -> None:
    axes.xaxis.tick_top()
    axes.xaxis.set_label_position("top")
    axes.set_xticks([index + 0.5 for index in range(len(names[1]))], names[1], rotation=90)
    axes.set_yticks([index + 0.5 for index in range(len(names[0]))], names[0])
    axes.tick_params(colors=INK, labelsize=9, length=0)
    axes.set_ylabel(axis_names[0], color=MUTED, fontsize=9)
    axes.set_xlabel(axis_names[1], color=MUTED, fontsize=9)
    for label in (*axes.get_xticklabels(), *axes.get_yticklabels()):
        label.set_parse_math(False)


def _draw_cell(
    axes: Axes, across: int, down: int, value: float | None, largest: float, said: Callable[[float], str]
) -> None:
    from matplotlib.patches import Rectangle

    axes.add_patch(Rectangle((across, down), 1, 1, fill=False, edgecolor=RULE, linewidth=0.6))
    if value is None:
        axes.text(across + 0.5, down + 0.5, "–", color=MUTED, fontsize=9, ha="center", va="center")
        return
    ground = LINES[0] if value >= 0 else LINES[1]
    strength = STRONGEST * abs(value) / largest
    axes.add_patch(Rectangle((across, down), 1, 1, facecolor=ground, alpha=strength, linewidth=0))
    axes.text(across + 0.5, down + 0.5, said(value), color=INK, fontsize=9, ha="center", va="center")
