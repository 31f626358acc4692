"""The section of a report about where a network looks, compared with what experts have outlined."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from common.explain.blocks import Block, Figures, Picture, Prose, Section
from common.explain.localisation_figures import box_figure, froc_figure
from common.explain.metric_facts import LOCALISATION
from common.explain.metric_table import group_table, number
from common.explain.run_folder import RunFolder
from common.explain.section_parts import picture, splits_in

NOTE = (
    "Learned from labels of whole images; nobody has shown the network where to look. A box is right if it overlaps a "
    "true one as far as the line says; a mark is right if it lies inside a true box. What is drawn in an image without "
    "a finding is a false alarm."
)

Curves = Mapping[str, Any]
Metrics = Mapping[str, Mapping[str, Any]]


def localisation_section(run: RunFolder) -> Section | None:
    """Return boxes, marks and weak segmentation of the first split that has them."""
    for split in dict.fromkeys([*splits_in(run.curves), *splits_in(run.metrics)]):
        curves, metrics = run.curves.get(split, {}), run.metrics.get(split, {})
        drawn = [draw(run, split, curves, metrics) for draw in (_boxes, _froc)]
        pictures = [one for one in drawn if one is not None]
        table = group_table(split, metrics, LOCALISATION)
        if not pictures and table is None:
            continue
        blocks: list[Block] = [*_pointing_words(metrics)]
        blocks += [Figures(pictures, f"{split.capitalize()} split. {NOTE}")] if pictures else []
        blocks += [] if table is None else [table]
        return Section("localisation", "Does it look where the finding is?", blocks)
    return None


def _boxes(run: RunFolder, split: str, curves: Curves, metrics: Metrics) -> Picture | None:
    lines: Mapping[str, Mapping[str, Sequence[float]]] = curves.get("box_precision_recall") or {}
    drawn = {iou: points for iou, points in lines.items() if points["x"]}
    if not drawn:
        return None
    areas = {iou: metrics.get(f"pr_auc_iou/{iou}", {}).get("value") for iou in drawn}
    told = ", ".join(f"{number(area)} at an overlap of {iou}" for iou, area in areas.items())
    alt = f"Precision against recall of the boxes. Areas: {told}."
    return picture(run, box_figure(drawn, areas), f"box_precision_recall_{split}", alt)


def _froc(run: RunFolder, split: str, curves: Curves, metrics: Metrics) -> Picture | None:
    points: Mapping[str, Sequence[float]] = curves.get("froc") or {}
    if not points or not points["x"]:
        return None
    alt = "Share of the findings that are marked against false marks per image. "
    alt += f"All marks: {number(points['y'][-1])} at {number(points['x'][-1])} false marks per image."
    return picture(run, froc_figure(points), f"froc_{split}", alt)


def _pointing_words(metrics: Metrics) -> list[Block]:
    """Say whether the map points at findings more often than chance, with the interval deciding."""
    low, high = (metrics.get("pointing_game", {}).get(end) for end in ("low", "high"))
    chance = metrics.get("pointing_chance", {}).get("value")
    if low is None or high is None or chance is None:
        return []
    if low > chance:
        return [Prose("The map's highest point lies on the finding more often than chance would have it.")]
    if high < chance:
        return [Prose("The map's highest point lies on the finding less often than chance would have it.", True)]
    return [Prose("Whether the map points at findings cannot be told here: the interval holds chance.", True)]
