"""Tables of metrics.json: numbers with their intervals, drawn beside them, and explainers side by side."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from common.explain.blocks import Cell, Column, Interval, Table
from common.explain.metric_facts import BRANCH_NAMES, FACTS, SCALED, branch_of, disease_of, fact_of, title_of

Metrics = Mapping[str, Mapping[str, Any]]


EXPLAINERS = {
    "in_model": "In-model map",
    "gradcam": "Grad-CAM",
    "guided_gradcam": "Guided Grad-CAM",
    "guided_backprop": "Guided Backprop",
    "input_x_gradient": "Input × gradient",
    "integrated_gradients": "Integrated Gradients",
    "deeplift": "DeepLift",
    "lrp": "LRP",
    "random": "Random",
    "centre": "Image centre",
}
COMPARED = ("aopc", "pompom", "energy_in_roi", "pointing_game")
MAP_CHANGES = {
    "own": "As explained",
    "binarised": "Binarised",
    "swapped": "Of another case",
    "scattered": "In scattered pieces",
    "inverted": "Inverted",
    "ones": "All open",
    "zeros": "All shut",
}
MARKERS = ("roi_area", "pointing_chance", "aopc_random")

WHOLE = "Both together"
BRANCH_COLUMNS = ("auroc", "average_precision", "accuracy", "ece")
UNSCALED = ("hd95", "assd", "prototype_spread")  # distances have no place on a scale from 0 to 1


def explainer_title(name: str) -> str:
    """Return an explainer's name in words."""
    return EXPLAINERS.get(name, name.replace("_", " ").capitalize())


def number(value: Any) -> str:
    """Return three decimals with a true minus sign, or a dash where nothing was measured."""
    if not isinstance(value, int | float):
        return "–"
    return f"{round(value, 3) + 0.0:.3f}".replace("-", "−")  # adding zero takes the sign off a rounded -0.0


def split_table(split: str, metrics: Metrics) -> Table | None:
    """Return the table of a split's classification metrics, or None where there are none."""
    names = [name for name in metrics if not _is_about_maps(name) and not _group(name)]
    return _interval_table(f"{split.capitalize()} split", {name: metrics[name] for name in names})


def group_table(split: str, metrics: Metrics, group: str) -> Table | None:
    """Return the table of a split's metrics of a group of :mod:`common.explain.metric_facts`; None without any."""
    chosen = {name: entry for name, entry in metrics.items() if _group(name) == group}
    return _interval_table(f"{group}, {split} split", chosen)


def branch_table(split: str, metrics: Metrics) -> Table | None:
    """Return a network's branches against each other and against their common answer; None without branches."""
    entries: dict[str, dict[str, Mapping[str, Any]]] = {}
    for name, entry in metrics.items():
        branch, rest = branch_of(name)
        if rest in BRANCH_COLUMNS:
            entries.setdefault(branch, {})[rest] = entry
    if not any(entries):
        return None
    names = [name for name in BRANCH_COLUMNS if any(name in row for branch, row in entries.items() if branch)]
    best = {name: _best([row[name] for row in entries.values() if name in row], FACTS[name].better) for name in names}
    rows = []
    for branch in sorted(entries):
        title = BRANCH_NAMES.get(branch, WHOLE)
        cells = (interval_cell(entries[branch].get(name), (0.0, 1.0), best[name]) for name in names)
        rows.append([Cell(title, title), *cells])
    note = "The best value of each column is bold; an interval that reaches another's value settles nothing."
    agreement = metrics.get("branch_agreement", {}).get("value")
    if isinstance(agreement, int | float):
        note += f" The branches decide {number(agreement)} of the cases alike."
    columns = [Column("Branch", numeric=False), *(_column(name) for name in names)]
    return Table(f"Branches of the network, {split} split", columns, rows, note)


def explainer_table(split: str, metrics: Metrics) -> Table | None:
    """Return explainers against each other, one row each, the best value of each column marked; None without any."""
    entries = explainer_entries(metrics)
    names = [name for name in COMPARED if any(name in row for row in entries.values())]
    if not names:
        return None
    scales = {name: _scale([row[name] for row in entries.values() if name in row]) for name in names}
    best = {name: _best([row[name] for row in entries.values() if name in row], FACTS[name].better) for name in names}
    rows = [
        [
            Cell(explainer_title(explainer), explainer_title(explainer)),
            *(interval_cell(row.get(name), scales[name], best[name]) for name in names),
        ]
        for explainer, row in entries.items()
    ]
    columns = [Column("Explanation", numeric=False), *(_column(name) for name in names)]
    return Table(
        f"Explanations of the same network, {split} split", columns, rows, _explainer_note(metrics, entries, names)
    )


def explainer_entries(metrics: Metrics) -> dict[str, dict[str, Mapping[str, Any]]]:
    """Return ``{explainer: {metric: entry}}``; a name without a part is the in-model map's."""
    entries: dict[str, dict[str, Mapping[str, Any]]] = {}
    for name, entry in metrics.items():
        base, _, explainer = ("aopc", "/", "random") if name == "aopc_random" else name.partition("/")
        if base in COMPARED and not disease_of(name):
            entries.setdefault(explainer or "in_model", {})[base] = entry
    return {name: entries[name] for name in _in_order(entries)}


def faithfulness_table(split: str, metrics: Metrics) -> Table | None:
    """Return accuracy with changed maps, the difference to the own map beside it; None where it was not measured."""
    entries = {name.partition("/")[2]: entry for name, entry in metrics.items() if name.startswith("map_dependence/")}
    own = entries.get("own", {}).get("value")
    rows = []
    for name, entry in entries.items():
        value = entry.get("value")
        difference = value - own if value is not None and own is not None else None
        title = MAP_CHANGES.get(name, name.replace("_", " ").capitalize())
        sign = "+" if difference is not None and difference > 0 else ""
        change = "" if name == "own" else sign + number(difference)
        rows.append([Cell(title, title), interval_cell(entry, (0.0, 1.0)), Cell(change, _order(difference))])
    if not rows:
        return None
    columns = (Column("Map given to the classifier", numeric=False), Column("Accuracy"), Column("Difference"))
    return Table(f"Accuracy with a changed map, {split} split", columns, rows)


def curve_table(curves: Mapping[str, Mapping[str, Mapping[str, Sequence[float]]]], split: str) -> Table | None:
    """Return AOPC after the last step, explainers by settings, from the perturbation curves of a split."""
    settings = list(dict.fromkeys(setting for by_setting in curves.values() for setting in by_setting))
    if not settings:
        return None
    entries = {
        explainer: {
            setting: {"value": points["mean"][-1], "low": points["low"][-1], "high": points["high"][-1]}
            for setting, points in by_setting.items()
        }
        for explainer, by_setting in curves.items()
    }
    columns = [Column("Explanation", numeric=False)]
    columns += [Column(setting_title(setting), better="higher") for setting in settings]
    found = {setting: [row[setting] for row in entries.values() if setting in row] for setting in settings}
    rows = [
        [
            Cell(explainer_title(explainer), explainer_title(explainer)),
            *(interval_cell(row.get(s), _scale(found[s]), _best(found[s], "higher")) for s in settings),
        ]
        for explainer, row in ((name, entries[name]) for name in _in_order(entries))
    ]
    note = "AOPC after the last step, 95 % intervals; the largest of each column is bold."
    return Table(f"AOPC by setting, {split} split", columns, rows, note)


def setting_title(setting: str) -> str:
    """Return ``black/16/recompute`` in words."""
    fill, patch, semantics = setting.split("/")
    return f"{fill}, {patch} px, map {'recomputed' if semantics == 'recompute' else semantics}"


def interval_cell(
    entry: Mapping[str, Any] | None, scale: tuple[float, float] | None, best: float | None = None
) -> Cell:
    """Return a cell of one metric: value, interval in words and on the scale, if any, marked if it is the best."""
    value = None if entry is None else entry.get("value")
    if entry is None or not isinstance(value, int | float):
        return Cell("–", float("-inf"))
    low, high = entry.get("low"), entry.get("high")
    is_best = best is not None and number(best) == number(value)
    if not (isinstance(low, int | float) and isinstance(high, int | float)):
        return Cell(number(value), value, best=is_best)
    drawn = None
    if scale is not None and scale[0] <= low and high <= scale[1]:
        left, width = scale[0], (scale[1] - scale[0]) or 1.0
        drawn = Interval(*(min(max((at - left) / width, 0.0), 1.0) for at in (value, low, high)))
    return Cell(number(value), value, drawn, f"{number(low)} to {number(high)}", is_best)


def _interval_table(caption: str, metrics: Metrics) -> Table | None:
    rows: list[list[Cell]] = []
    explained: set[str] = set()
    for name, entry in metrics.items():
        fact, base = fact_of(name), name.partition("/")[0].removesuffix(SCALED)
        hint = fact.hint if fact and base not in explained else ""
        explained.add(base)
        rows.append(
            [
                Cell(title_of(name), name, detail=hint),
                interval_cell(entry, None if base in UNSCALED else (0.0, 1.0)),
                Cell(str(entry.get("n", "–")), _order(entry.get("n"))),
            ]
        )
    if not rows:
        return None
    columns = (Column("Metric", numeric=False), Column("Value, 95 % interval"), Column("Cases"))
    return Table(caption, columns, rows, "Intervals are drawn on a scale from 0 to 1.")


def _group(name: str) -> str:
    fact = fact_of(name)
    return fact.group if fact else ""


def _is_about_maps(name: str) -> bool:
    base = name.partition("/")[0]
    return base in (*COMPARED, "map_dependence") or name in MARKERS


def _in_order(explainers: Iterable[str]) -> list[str]:
    """Return the in-model map first, then the baselines, those that know no model last."""
    last = ("centre", "random")
    return sorted(explainers, key=lambda name: (name != "in_model", last.index(name) if name in last else -1))


def _column(name: str) -> Column:
    fact = FACTS[name]
    return Column(fact.title, better=fact.better, hint=fact.hint)


def _order(value: Any) -> float:
    return float(value) if isinstance(value, int | float) else float("-inf")


def _values(entries: Sequence[Mapping[str, Any]]) -> list[float]:
    return [entry["value"] for entry in entries if isinstance(entry.get("value"), int | float)]


def _best(entries: Sequence[Mapping[str, Any]], better: str) -> float | None:
    values = _values(entries)
    if not values or not better:
        return None
    return max(values) if better == "higher" else min(values)


def _scale(entries: Sequence[Mapping[str, Any]]) -> tuple[float, float]:
    """Return a scale that holds zero and every interval of a column."""
    ends = [
        entry[end] for entry in entries for end in ("low", "value", "high") if isinstance(entry.get(end), int | float)
    ]
    return min([0.0, *ends]), max([0.0, *ends])


def _explainer_note(
    metrics: Metrics, entries: Mapping[str, Mapping[str, Mapping[str, Any]]], names: Sequence[str]
) -> str:
    parts = ["The best value of each column is bold; an interval that reaches another's value settles nothing."]
    if "energy_in_roi" in names and isinstance(metrics.get("roi_area", {}).get("value"), float):
        parts.append(f"A map without preference has {number(metrics['roi_area']['value'])} of its energy in the region")
        if isinstance(metrics.get("pointing_chance", {}).get("value"), float):
            parts[-1] += f" and points into it in {number(metrics['pointing_chance']['value'])} of the cases"
        parts[-1] += "."
    counts = [entry["n"] for row in entries.values() for entry in row.values() if isinstance(entry.get("n"), int)]
    if counts and min(counts) == max(counts):
        parts.append(f"{counts[0]} cases.")
    elif counts:
        parts.append(
            f"Measured on {min(counts)} to {max(counts)} cases: baselines may use fewer than the in-model map."
        )
    return " ".join(parts)
