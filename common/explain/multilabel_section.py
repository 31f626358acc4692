"""The section of a report about several diseases at once: are they told apart, or does one stand for another?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import permutations
from typing import Any

from common.explain.blocks import Block, Cell, Column, Figures, Picture, Prose, Section, Table
from common.explain.metric_table import number
from common.explain.multilabel_figures import Matrix, matrix_figure, natural_width
from common.explain.run_folder import RunFolder
from common.explain.section_parts import picture

TOGETHER = (
    "Of the cases with the disease of a row (their number beside it), the percentage that has the disease of a column "
    "too. What is darker in the prediction than in truth are diseases that the network takes for each other."
)
ADDED = (
    "Mean over the cases that have the disease of a row: what the prototypes of a column's disease add up to{less}. "
    "A large number beside the diagonal is a disease that comes with it, or prototypes that answer to it in error."
)
LOOKED = (
    "Of the foremost prototypes of a column, the percentage whose best place is inside the box of a row's disease, in "
    "images where the column's own disease {has}. {wanted}"
)
FEWEST, OVERSTATED = 5, 0.1  # cases, and by how much a share has to exceed the true one to be spoken of


def multilabel_section(run: RunFolder) -> Section | None:
    """Return which diseases occur together and what each one's prototypes answer to; None without such files."""
    blocks = [*_together(run), *_prototypes(run)]
    return Section("multilabel", "Are the diseases told apart?", blocks) if blocks else None


def _together(run: RunFolder) -> list[Block]:
    """Return the diseases that occur together in truth and in the predictions."""
    names = _names(run.cooccurrence, "classes")
    true, predicted = (_matrix(run.cooccurrence, key, names, names) for key in ("true", "predicted"))
    if true is None or predicted is None:
        return _told(run, run.cooccurrence, "cooccurrence.json")
    pictures = []
    for key, title, counts in (("true", "Together in truth", true), ("predicted", "Predicted together", predicted)):
        rows = [f"{name} {counts[index][index] or 0:.0f}" for index, name in enumerate(names)]
        shares = _shares(counts)
        most = _largest(shares, names, names, lambda value: f"{value:.0%}")
        alt = f"{title}, in percent of the cases with the row's disease. Most: {most}."
        figure = matrix_figure(f"{title}, %", rows, names, shares, ("cases with", "also with"), _percent, 1.0)
        pictures.append(picture(run, figure, f"together_{key}", alt, natural_width(rows, names)))
    return [*_overstated(names, true, predicted), Figures(pictures, TOGETHER)]


def _overstated(names: Sequence[str], true: Matrix, predicted: Matrix) -> list[Block]:
    """Say which pair the network overstates most, among diseases with enough cases."""
    shares = _shares(true), _shares(predicted)
    found = [
        ((shares[1][row][column] or 0.0) - (shares[0][row][column] or 0.0), row, column)
        for row, column in permutations(range(len(names)), 2)
        if min(true[row][row] or 0, predicted[row][row] or 0) >= FEWEST
    ]
    excess, row, column = max(found, default=(0.0, 0, 0))
    if excess < OVERSTATED:
        return []
    first, other = names[row], names[column]
    text = f"Where the network predicts {first}, it predicts {other} too in {shares[1][row][column]:.0%} of the cases; "
    return [Prose(f"{text}of those that have {first}, {shares[0][row][column]:.0%} have {other}.")]


def _prototypes(run: RunFolder) -> list[Block]:
    """Return what the prototypes of every class add on cases with each disease, and in whose boxes they look."""
    content = run.prototype_table
    diseases, classes = _names(content, "diseases"), _names(content, "classes")
    added = _matrix(content, "mean_contribution", diseases, classes)
    if added is None:
        return _told(run, content, "prototype_table.json")
    background = classes[-1] if classes[:-1] == diseases else None
    columns = classes if background is None else diseases
    values = added if background is None else [_less_last(row) for row in added]
    title = "What the prototypes add" + ("" if background is None else f", less {background}")
    most = _largest(values, diseases, columns, number)
    alt = f"{title}: mean on cases with each disease. Most: {most}."
    figure = matrix_figure(title, diseases, columns, values, ("cases with", "prototypes of"), _decimal)
    width = natural_width(diseases, columns)
    less = "" if background is None else f", less those of {background}: the mean logit"
    blocks: list[Block] = [
        Figures([picture(run, figure, "prototypes_by_disease", alt, width)], ADDED.format(less=less))
    ]
    looked = [
        ("entanglement", "is boxed too", "On the diagonal it should be much, beside it little."),
        ("entanglement_absent", "is absent", "It is to be compared with how much of the image the box covers."),
    ]
    for key, has, wanted in looked:
        place = _places(run, key, diseases, classes)
        blocks += [] if place is None else [Figures([place], LOOKED.format(has=has, wanted=wanted))]
    return [*blocks, _purity_table(content, diseases, classes)]


def _places(run: RunFolder, key: str, diseases: Sequence[str], classes: Sequence[str]) -> Picture | None:
    values = _matrix(run.prototype_table, key, diseases, classes)
    if values is None or all(value is None for row in values for value in row):
        return None
    title = "Where prototypes look" + (", their disease absent" if key.endswith("absent") else "")
    most = _largest(values, diseases, classes, lambda value: f"{value:.0%}")
    alt = f"{title}: percentage inside the box of each disease. Most: {most}."
    figure = matrix_figure(f"{title}, %", diseases, classes, values, ("in the box of", "prototypes of"), _percent, 1.0)
    return picture(run, figure, key, alt, natural_width(diseases, classes))


def _purity_table(content: Mapping[str, Any], diseases: Sequence[str], classes: Sequence[str]) -> Table:
    """Return for each class how pure its prototypes are, and how often they look into their own box."""
    purity, cases = content.get("purity") or [], content.get("cases") or []
    own, chance = (_matrix(content, key, diseases, classes) for key in ("entanglement", "entanglement_chance"))
    rows = []
    for index, name in enumerate(classes):
        boxed = index if index < len(diseases) else None
        values = [
            cases[index] if index < len(cases) else None,
            purity[index] if index < len(purity) else None,
            own[boxed][index] if own and boxed is not None else None,
            chance[boxed][index] if chance and boxed is not None else None,
        ]
        count = Cell("–" if values[0] is None else f"{values[0]}", _order(values[0]))
        rows.append([Cell(name, name), count, *(Cell(number(value), _order(value)) for value in values[1:])])
    columns = [
        Column("Prototypes of", numeric=False),
        Column("Cases with it"),
        Column("Purity", better="higher", hint="share of the most similar cases that have it"),
        Column("In their own box", better="higher", hint="share of the best places of its foremost prototypes"),
        Column("By chance", hint="share of the image that the box covers"),
    ]
    return Table("Prototypes by disease", columns, rows)


def _order(value: float | None) -> float:
    return float("-inf") if value is None else float(value)


def _names(content: Mapping[str, Any], key: str) -> list[str]:
    given = content.get(key)
    return [str(name) for name in given] if isinstance(given, list) else []


def _matrix(content: Mapping[str, Any], key: str, rows: Sequence[str], columns: Sequence[str]) -> Matrix | None:
    """Return a matrix of a file with a row of dashes where it holds none; None if it is not of this size."""
    given = content.get(key)
    if not isinstance(given, list) or not rows or len(given) != len(rows):
        return None
    filled = [[None] * len(columns) if row is None else row for row in given]
    if not all(isinstance(row, list) and len(row) == len(columns) for row in filled):
        return None
    numbers = all(value is None or isinstance(value, int | float) for row in filled for value in row)
    return filled if numbers else None


def _told(run: RunFolder, content: Mapping[str, Any], name: str) -> list[Block]:
    """Note that a file that is there does not hold what it should; nothing is shown of it."""
    if content:
        run.problems.append(f"{name} holds no matrices of its classes; evaluate again")
    return []


def _shares(counts: Matrix) -> list[list[float | None]]:
    """Return counts of pairs as shares of the row's cases; nothing on the diagonal and in rows without cases."""
    shares: list[list[float | None]] = []
    for own, row in enumerate(counts):
        cases = row[own] or 0.0
        shares.append([(value or 0) / cases if cases > 0 and other != own else None for other, value in enumerate(row)])
    return shares


def _less_last(row: Sequence[float | None]) -> list[float | None]:
    last = row[-1]
    return [None if value is None or last is None else value - last for value in row[:-1]]


def _largest(values: Matrix, rows: Sequence[str], columns: Sequence[str], said: Any) -> str:
    """Return the three largest numbers of a matrix in words."""
    found = [
        (value, rows[row], columns[column])
        for row, entries in enumerate(values)
        for column, value in enumerate(entries)
        if value is not None
    ]
    ranked = sorted(found, key=lambda entry: -entry[0])[:3]
    return "; ".join(f"{row} and {column} {said(value)}" for value, row, column in ranked) or "nothing was measured"


def _percent(value: float) -> str:
    return f"{100 * value:.0f}"


def _decimal(value: float) -> str:
    return f"{round(value, 1) + 0.0:.1f}".replace("-", "−")  # adding zero takes the sign off a rounded -0.0
