"""The sections of a report: functions of the run folder that return a section, or None where it does not apply."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from common.explain.blocks import Block, Definitions, Figures, Listing, Prose, Section
from common.explain.disease_table import disease_tables
from common.explain.figures import (
    perturbation_figure,
    precision_recall_figure,
    roc_figure,
    training_figure,
)
from common.explain.gallery import build_gallery
from common.explain.localisation_section import localisation_section
from common.explain.metric_facts import SEGMENTATION
from common.explain.metric_table import (
    branch_table,
    curve_table,
    explainer_entries,
    explainer_table,
    explainer_title,
    faithfulness_table,
    group_table,
    number,
    setting_title,
    split_table,
)
from common.explain.multilabel_section import multilabel_section
from common.explain.prototype_gallery import prototypes_section
from common.explain.robustness_section import robustness_section
from common.explain.run_folder import RunFolder
from common.explain.section_parts import picture, splits_in, word
from common.explain.uncertainty_section import uncertainty_section
from common.explain.zero_shot_section import label_efficiency_section, zero_shot_section

FIRST_TERMS = ("loss", "accuracy", "auroc")
OPEN_CURVES = 4


def metrics_section(run: RunFolder) -> Section | None:
    """Return the metrics of every split, the test split first; None where other sections show all of them."""
    found = [(split, run.metrics[split]) for split in splits_in(run.metrics)]
    made = ((split_table(*one), branch_table(*one), group_table(*one, SEGMENTATION)) for one in found)
    blocks: list[Block] = [table for tables in made for table in tables if table is not None]
    blocks += [table for one in found for table in disease_tables(*one)]
    if not run.metrics.get("test"):
        blocks.insert(0, Prose("No test metrics: run the bundle's evaluate configuration with this output folder."))
    return Section("metrics", "Metrics", blocks) if blocks else None


def curves_section(run: RunFolder) -> Section | None:
    """Return ROC and precision-recall curves of the first split that has any."""
    for split in splits_in(run.curves):
        roc, recall = run.curves[split].get("roc"), run.curves[split].get("precision_recall")
        if not (roc and recall):
            continue
        metrics = run.metrics.get(split, {})
        areas = {name: metrics[f"auroc/{name}"]["value"] for name in roc if _has_value(metrics, f"auroc/{name}")}
        named = ", ".join(f"{name} {number(area)}" for name, area in areas.items())
        pictures = [
            picture(run, roc_figure(roc, areas), f"roc_{split}", f"ROC curves. Areas: {named or 'not known'}."),
            picture(
                run,
                precision_recall_figure(recall),
                f"precision_recall_{split}",
                f"Precision against recall of the classes {', '.join(recall)}.",
            ),
        ]
        note = f"{split.capitalize()} split; each class against the rest. Numbers are areas under the curve."
        return Section("curves", "Curves", [Figures(pictures, note)])
    return None


def training_section(run: RunFolder) -> Section:
    """Return the training history, one figure for each quantity."""
    if not run.history:
        return Section("training", "Training", [Prose("No training history: this folder has no metrics.csv.")])
    columns = list(dict.fromkeys(name for row in run.history for name in row))
    terms = list(
        dict.fromkeys(name.partition("/")[2] for name in columns if name.startswith(("train/", "validation/")))
    )
    terms = [term for term in FIRST_TERMS if term in terms] + [term for term in terms if term not in FIRST_TERMS]
    terms += ["learning_rate"] if "learning_rate" in columns else []
    drawn = [term for term in terms if _last(run, f"validation/{term}", f"train/{term}", term) is not None]
    pictures = [
        picture(run, training_figure(run.history, term), f"training_{index}_{word(term)}", _history_alt(run, term))
        for index, term in enumerate(drawn)
    ]
    shown = sum(term in FIRST_TERMS for term in drawn) or 1
    return Section(
        "training",
        "Training",
        [
            Figures(
                pictures[:shown],
                "Shaded bands are the stages of the training.",
                pictures[shown:],
                "All other quantities",
            )
        ],
    )


def cases_section(run: RunFolder) -> Section:
    """Return the gallery, and every case that had to be left out."""
    blocks: list[Block] = []
    failures = run.failures()
    if failures:
        number_of = len({failure["case"] for failure in failures})
        blocks.append(
            Prose(f"{number_of} {'case was' if number_of == 1 else 'cases were'} skipped; reasons below.", True)
        )
    gallery = build_gallery(run.explanations, run.problems)
    blocks.append(
        gallery or Prose("No explained cases: run the bundle's explain configuration with this output folder.")
    )
    if failures:
        lines = "\n".join(f"{failure['case']} ({failure['workflow']}): {failure['message']}" for failure in failures)
        blocks.append(Listing(f"Skipped cases ({number_of})", lines))
    elif run.run:
        blocks.append(Prose("No case was skipped."))
    return Section("cases", "Explained cases", blocks)


def quality_section(run: RunFolder) -> Section | None:
    """Return the comparison of explanations: localisation and AOPC, and accuracy with changed maps."""
    for split in splits_in(run.metrics):
        metrics = run.metrics[split]
        tables = [explainer_table(split, metrics), faithfulness_table(split, metrics)]
        found = [table for table in tables if table is not None]
        if not found:
            continue
        blocks: list[Block] = [*_quality_words(metrics), *found]
        if tables[1] is not None:
            blocks.append(
                Prose(
                    "Where another case's map, or the own one in scattered pieces, hardly costs accuracy, the decision "
                    "does not rest on where this map is bright; where binarising costs much, its fine shades matter."
                )
            )
        return Section("quality", "Are the explanations right?", blocks)
    return None


def perturbation_section(run: RunFolder) -> Section | None:
    """Return the perturbation curves of the first split that has any, and AOPC at the last step for each setting."""
    for split in splits_in(run.curves):
        curves: Mapping[str, Mapping[str, Any]] = run.curves[split].get("perturbation") or {}
        table = curve_table(curves, split)
        if table is None:
            continue
        settings = list(dict.fromkeys(setting for by_setting in curves.values() for setting in by_setting))
        pictures = []
        for setting in settings:
            chosen = {name: by_setting[setting] for name, by_setting in curves.items() if setting in by_setting}
            last = ", ".join(f"{explainer_title(name)} {number(points['mean'][-1])}" for name, points in chosen.items())
            figure = perturbation_figure(chosen, setting_title(setting))
            alt = f"AOPC over removed patches, {setting_title(setting)}. After the last step: {last}."
            pictures.append(picture(run, figure, f"perturbation_{word(setting)}", alt))
        note = (
            "How far the probability of the predicted class falls on average while patches are removed, the most "
            "relevant first. Bands are 95 % intervals. A map that does not beat the random order tells nothing."
        )
        rest = f"{len(pictures) - OPEN_CURVES} more settings"
        figures = Figures(pictures[:OPEN_CURVES], note, pictures[OPEN_CURVES:], rest)
        return Section("perturbation", "Removing what the map marks", [figures, table])
    return None


def run_section(run: RunFolder) -> Section:
    """Return what was run: commands, data, versions, settings, and what could not be read."""
    blocks: list[Block] = []
    for name, workflow in run.run.get("workflows", {}).items():
        keys = ("command", "date", "device", "seed", "duration_s", "status", "datalist_hash")
        titles = {"duration_s": "seconds", "datalist_hash": "datalist hash"}
        pairs = [(titles.get(key, key), str(workflow[key])) for key in keys if workflow.get(key) is not None]
        blocks += [Definitions([("workflow", name), *pairs])]
    data = [(key, str(run.data[key])) for key in ("name", "source", "licence", "split") if run.data.get(key)]
    if data:
        blocks.append(Definitions([("data", data[0][1]), *data[1:]] if data[0][0] == "name" else data))
    versions = run.run.get("versions", {})
    if versions:
        blocks.append(Definitions([("versions", ", ".join(f"{name} {version}" for name, version in versions.items()))]))
    blocks += [Listing(name, json.dumps(config, indent=2)) for name, config in run.configs.items()]
    if not blocks:
        blocks.append(Prose("No run record: this folder has no run.json."))
    if run.problems:
        blocks.append(Listing(f"Files that could not be read ({len(run.problems)})", "\n".join(run.problems)))
    return Section("run", "Settings and versions", blocks)


SECTIONS = (
    metrics_section,
    curves_section,
    zero_shot_section,
    label_efficiency_section,
    uncertainty_section,
    prototypes_section,
    multilabel_section,
    cases_section,
    quality_section,
    localisation_section,
    perturbation_section,
    robustness_section,
    training_section,
    run_section,
)


def _last(run: RunFolder, *columns: str) -> float | None:
    """Return the last number of the first of these columns that holds any."""
    for column in columns:
        values = [row[column] for row in run.history if isinstance(row.get(column), float)]
        if values:
            return float(values[-1])
    return None


def _history_alt(run: RunFolder, term: str) -> str:
    said = [
        f"{words} {number(_last(run, column))}"
        for words, column in (("training", f"train/{term}"), ("validation", f"validation/{term}"), ("", term))
        if _last(run, column) is not None
    ]
    return f"{term.replace('_', ' ')} over {len(run.history)} epochs; last value: {', '.join(said).strip()}."


def _has_value(metrics: Mapping[str, Any], name: str) -> bool:
    return isinstance(metrics.get(name, {}).get("value"), int | float)


def _quality_words(metrics: Mapping[str, Mapping[str, Any]]) -> list[Block]:
    """Say how the map stands against a random order and against another case's map, with the intervals deciding."""
    entries = explainer_entries(metrics)
    own, chance = entries.get("in_model", {}).get("aopc", {}), entries.get("random", {}).get("aopc", {})
    words: list[Block] = []
    if _above(own, chance):
        words.append(Prose("Removing what the map marks harms the prediction more than removing patches at random."))
    elif _above(chance, own):
        words.append(
            Prose("Removing what the map marks harms the prediction less than removing patches at random.", True)
        )
    elif own and chance:
        words.append(Prose("The map cannot be told from a random order here: their AOPC intervals overlap.", True))
    accuracy, swapped = metrics.get("map_dependence/own", {}), metrics.get("map_dependence/swapped", {})
    if _above(accuracy, swapped):
        words.append(
            Prose("With another case's map the network is less accurate: it depends on what the own map shows.")
        )
    elif accuracy and swapped:
        same = "With another case's map the network is as accurate, within the intervals: "
        words.append(Prose(same + "where this map is bright does not decide.", True))
    return words


def _above(entry: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    """Tell whether the first interval lies above the second; False where either is not known."""
    low, high = entry.get("low"), other.get("high")
    return isinstance(low, int | float) and isinstance(high, int | float) and low > high
