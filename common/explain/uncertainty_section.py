"""The section of a report about a network's uncertainty: does it know what it does not know?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from common.explain.blocks import Block, Figures, Picture, Prose, Section
from common.explain.metric_facts import UNCERTAINTY
from common.explain.metric_table import group_table, number
from common.explain.run_folder import RunFolder
from common.explain.section_parts import picture, splits_in
from common.explain.uncertainty_figures import lines_figure, reliability_figure, risk_coverage_figure

CAUTION = (
    "Whether a high uncertainty means a likely error has to be measured on each data set: a network may be sure and "
    "wrong, above all on images unlike any it was trained with."
)
NOTE = (
    "Below the dotted line of the reliability diagram the network is more confident than right. Risk is the share of "
    "errors among the cases that remain when the most uncertain ones go to a person: it should fall to the left."
)
Curves = Mapping[str, Any]


def uncertainty_section(run: RunFolder) -> Section | None:
    """Return calibration, risk against coverage and error detection of the first split that has any."""
    for split in dict.fromkeys([*splits_in(run.curves), *splits_in(run.metrics)]):
        curves, metrics = run.curves.get(split, {}), run.metrics.get(split, {})
        drawn = [draw(run, split, curves) for draw in (_reliability, _risk_coverage, _overlap, _retention)]
        pictures = [one for one in drawn if one is not None]
        table = group_table(split, metrics, UNCERTAINTY)
        if not pictures and table is None:
            continue
        warnings = dict.fromkeys(
            record["warning"] for record, _ in run.explanations if "warning" in record and "uncertainty" in record
        )
        blocks: list[Block] = [Prose(text, notice=True) for text in warnings or [CAUTION]]
        blocks += _error_words(metrics.get("error_auroc", {}))
        blocks += [Figures(pictures, f"{split.capitalize()} split. {NOTE}")] if pictures else []
        blocks += [] if table is None else [table]
        return Section("uncertainty", "Does it know what it does not know?", blocks)
    return None


def _reliability(run: RunFolder, split: str, curves: Curves) -> Picture | None:
    named = {"as the network gives it": "reliability", "scaled by the temperature": "reliability_scaled"}
    drawn = {name: curves[key] for name, key in named.items() if curves.get(key) and curves[key]["count"]}
    if not drawn:
        return None
    points = next(iter(drawn.values()))
    pairs = zip(points["confidence"], points["accuracy"], strict=True)
    told = ", ".join(f"{number(confidence)} right {number(accuracy)}" for confidence, accuracy in pairs)
    alt = f"Accuracy against confidence. At confidence {told}."
    return picture(run, reliability_figure(drawn), f"reliability_{split}", alt)


def _risk_coverage(run: RunFolder, split: str, curves: Curves) -> Picture | None:
    points = curves.get("risk_coverage")
    if not points or not points["risk"]:
        return None
    half = _at(points["coverage"], points["risk"], 0.5)
    alt = "Share of errors against the share of cases kept, the least uncertain first. "
    alt += f"All cases: {number(points['risk'][-1])}; the less uncertain half: {number(half)}."
    return picture(run, risk_coverage_figure(points), f"risk_coverage_{split}", alt)


def _overlap(run: RunFolder, split: str, curves: Curves) -> Picture | None:
    points = curves.get("uncertainty_error_overlap")
    if not points or not points["threshold"]:
        return None
    title, labels = "Uncertain and wrong pixels", ("threshold of the uncertainty", "overlap (Dice)")
    figure = lines_figure(title, points["threshold"], {"": points["overlap"]}, labels)
    alt = f"{title}: their overlap against the threshold, at most {number(max(points['overlap']))}."
    return picture(run, figure, f"uncertainty_error_overlap_{split}", alt)


def _retention(run: RunFolder, split: str, curves: Curves) -> Picture | None:
    lines = dict(curves.get("pixel_retention") or {})
    kept = lines.pop("retained", [])
    if not kept or not lines:
        return None
    title, labels = "Without the most uncertain pixels", ("share of the pixels kept", "Dice of the rest")
    told = ", ".join(f"{name} {number(values[0])} to {number(values[-1])}" for name, values in lines.items())
    alt = f"{title}: Dice where {number(kept[0])} to {number(kept[-1])} of the pixels are kept. {told}."
    return picture(run, lines_figure(title, kept, lines, labels), f"pixel_retention_{split}", alt)


def _at(x: Sequence[float], y: Sequence[float], wanted: float) -> float:
    """Return the value at the first point from ``wanted`` on."""
    return next((value for place, value in zip(x, y, strict=True) if place >= wanted - 1e-9), y[-1])


def _error_words(entry: Mapping[str, Any]) -> list[Block]:
    """Say whether errors are more uncertain than right answers, with the interval deciding."""
    low, high = entry.get("low"), entry.get("high")
    if not (isinstance(low, int | float) and isinstance(high, int | float)):
        return []
    if low > 0.5:
        return [Prose("Wrong decisions are more uncertain than right ones.")]
    if high < 0.5:
        return [Prose("Wrong decisions are less uncertain than right ones: do not rely on it here.", True)]
    return [Prose("Whether wrong decisions are more uncertain cannot be told here: the interval holds chance.", True)]
