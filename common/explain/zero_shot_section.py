"""The sections of a report about a network that was trained on exams and reports, and is asked by sentences."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from common.explain.blocks import Block, Cell, Column, Figures, Listing, Prose, Section, Table
from common.explain.metric_facts import ZERO_SHOT
from common.explain.metric_table import group_table, interval_cell, number
from common.explain.run_folder import RunFolder
from common.explain.section_parts import picture, splits_in
from common.explain.zero_shot_figures import efficiency_figure

__all__ = ["label_efficiency_section", "zero_shot_section"]

Metrics = Mapping[str, Mapping[str, Any]]

AUROC, SIDE, HELD_OUT = "zero_shot_auroc", "side_", "held_out_"
SENTENCE, WORD = "sentence_pointing", "word_pointing"
CHANCE = "word_pointing_chance"
FILTERS = {
    "brightest_spot": "Brightest spot",
    "difference_of_gaussians": "Difference of Gaussians",
    "bright_specks": "Bright specks",
}
OTHERS = ("zero_shot_average_precision", "zero_shot_prevalence", "zero_shot_text_side")
RANKS = ("1", "5", "10")
MAPS = {"map_auprc": "Average precision", "map_dice": "Dice"}
MAP_ROWS = {"": "1 − M, learned", "brightness": "Brightness", "otsu": "Otsu's threshold of brightness"}
ZERO_SHOT_NOTE = (
    "Nobody has shown the network a label: it was asked how well sentences fit. What has learned nothing stands beside "
    "it: one score of the image for all findings. The best value of each row is bold; an interval that reaches "
    "another's value settles nothing."
)
POINTING_NOTE = (
    "Share of the outlined findings that have the map's highest point inside, or a few pixels beside. Chance: of a "
    "point anywhere in the breast."
)
RETRIEVAL_NOTE = (
    "Share of the questions whose answer is among the first so many. Reports that say the same cannot be told apart; "
    "where any of them counts, it says so."
)


def zero_shot_section(run: RunFolder) -> Section | None:
    """Return what a network of exams and reports tells without labels; None where nothing of it was measured."""
    for split in splits_in(run.metrics):
        metrics = run.metrics[split]
        tables = [auroc_table(split, metrics), pointing_table(split, metrics), retrieval_table(split, metrics)]
        tables += [abnormality_table(split, metrics), other_table(split, metrics)]
        if all(table is None for table in tables):
            continue
        blocks: list[Block] = []
        for table, words in zip(tables, (_auroc_words(metrics), _pointing_words(metrics), [], [], []), strict=True):
            blocks += [] if table is None else [*words, table]
            if table is not None and table is tables[2]:
                blocks += _retrieval_examples(run)
        return Section("zero_shot", "What do sentences tell without labels?", blocks)
    return None


def label_efficiency_section(run: RunFolder) -> Section | None:
    """Return how much labels are needed with and without the pre-training; None without such a file."""
    content = run.label_efficiency
    if not content:
        return None
    curves = {name: content.get(name) for name in ("pretrained", "random")}
    fractions = content.get("fractions")
    if not _are_curves(fractions, curves):
        run.problems.append("label_efficiency.json holds no fractions and curves of equal length; measure again")
        return None
    metric = str(content.get("metric") or "metric")
    rows = []
    for index, fraction in enumerate(fractions or []):
        entries = [(curves[name] or [])[index] for name in ("pretrained", "random")]
        best = max((entry["value"] for entry in entries if entry["value"] is not None), default=None)
        share = f"{100 * fraction:g} %"
        rows.append([Cell(share, fraction), *(interval_cell(entry, (0.0, 1.0), best) for entry in entries)])
    said = "; ".join(f"{row[0].text} of the labels {row[1].text} against {row[2].text}" for row in rows)
    alt = f"{metric} over the share of labels, pre-trained against random weights: {said}."
    figure = efficiency_figure(fractions or [], curves, metric)  # type: ignore[arg-type]
    columns = (Column("Labels", numeric=False), Column("Pre-trained"), Column("Random weights"))
    blocks: list[Block] = [
        Figures([picture(run, figure, "label_efficiency", alt)], "Bands are the intervals of the test cases."),
        Table(f"{metric} by share of the labels", columns, rows),
    ]
    return Section("labels", "How many labels does it need?", blocks)


def auroc_table(split: str, metrics: Metrics) -> Table | None:
    """Return zero-shot AUROC of every finding beside that of filters; None where it was not measured."""
    names = [AUROC, *_questions(metrics, AUROC)]
    names = [name for name in names if name in metrics]
    if not names:
        return None
    filters = [key for key in FILTERS if any(f"{name}/{key}" in metrics for name in names)]
    rows = []
    for name in names:
        entries = [metrics[name], *(metrics.get(f"{name}/{key}") for key in filters)]
        count = metrics[name].get("n")
        row = [Cell(_auroc_title(name), name), *_compared(entries)]
        rows.append([*row, Cell(str(count if count is not None else "–"), float(count or 0))])
    columns = [Column("AUROC of", numeric=False), Column("Sentences", better="higher")]
    columns += [Column(FILTERS[key], better="higher", hint="learned nothing") for key in filters]
    return Table(f"Zero-shot, {split} split", [*columns, Column("Cases")], rows, ZERO_SHOT_NOTE)


def pointing_table(split: str, metrics: Metrics) -> Table | None:
    """Return pointing games of sentences and words beside those of filters; None where they were not measured."""
    findings = [name.partition("/")[2] for name in _questions(metrics, SENTENCE)]
    if not findings:
        return None
    filters = [key for key in FILTERS if any(f"{WORD}/{finding}/{key}" in metrics for finding in findings)]
    rows = []
    for finding in findings:
        learned = [metrics.get(f"{kind}/{finding}") for kind in (SENTENCE, WORD)]
        simple = [metrics.get(f"{WORD}/{finding}/{key}") for key in filters]
        chance = interval_cell(metrics.get(f"{CHANCE}/{finding}"), None)
        rows.append([Cell(finding, finding), *_compared([*learned, *simple]), Cell(chance.text, chance.order)])
    columns = [Column("Pointing at", numeric=False), Column("Sentence", better="higher")]
    columns += [Column("Word in it", better="higher", hint="the word that names the finding")]
    columns += [Column(FILTERS[key], better="higher", hint="learned nothing") for key in filters]
    return Table(f"Where it looks, {split} split", [*columns, Column("Chance")], rows, POINTING_NOTE)


def other_table(split: str, metrics: Metrics) -> Table | None:
    """Return, folded, what was measured of zero-shot answers besides; None where it was not."""
    kept = {name: entry for name, entry in metrics.items() if name.startswith(OTHERS)}
    table = group_table(split, kept, ZERO_SHOT)
    return None if table is None else replace(table, caption=f"Other numbers, {split} split", folded=True)


def retrieval_table(split: str, metrics: Metrics) -> Table | None:
    """Return how often exams find their reports and reports their exams; None where it was not measured."""
    rows = []
    directions = (("", "Exam finds its report"), ("report_to_exam_", "Report finds its exam"), ("chance_", "Chance"))
    for ending, note in (("", ""), ("_same_text", ", any that says the same")):
        for direction, title in directions:
            entries = [metrics.get(f"retrieval_{direction}r{rank}{ending}") for rank in RANKS]
            if any(entry is not None for entry in entries):
                cells = (interval_cell(entry, (0.0, 1.0)) for entry in entries)
                rows.append([Cell(title + note, title + note), *cells])
    if not rows:
        return None
    columns = [Column("Question", numeric=False), *(Column(f"Among the first {rank}") for rank in RANKS)]
    return Table(f"Exams and reports, {split} split", columns, rows, RETRIEVAL_NOTE)


def abnormality_table(split: str, metrics: Metrics) -> Table | None:
    """Return the map M of a decoder beside brightness; None where it was not measured."""
    names = [name for name in MAPS if name in metrics]
    if not names:
        return None
    best = {name: _best([metrics.get(_joined(name, key)) for key in MAP_ROWS]) for name in names}
    rows = [
        [
            Cell(title, title),
            *(interval_cell(metrics.get(_joined(name, key)), (0.0, 1.0), best[name]) for name in names),
        ]
        for key, title in MAP_ROWS.items()
        if any(_joined(name, key) in metrics for name in names)
    ]
    chance = metrics.get("map_auprc_chance", {}).get("value")
    note = (
        "How far what a map marks and what is outlined agree, pixel by pixel, in views with a finding. The best value "
    )
    note += "of each column is bold."
    note += f" Average precision by chance: {number(chance)}." if chance is not None else ""
    columns = [Column("Map", numeric=False), *(Column(MAPS[name], better="higher") for name in names)]
    return Table(f"The abnormality map M, {split} split", columns, rows, note)


def _questions(metrics: Metrics, base: str) -> list[str]:
    """Return the names of what was asked of single findings, without those of filters."""
    endings = tuple(f"/{key}" for key in FILTERS)
    return [name for name in metrics if name.startswith(f"{base}/") and not name.endswith(endings)]


def _auroc_title(name: str) -> str:
    finding = name.partition("/")[2]
    if not finding:
        return "all findings, mean"
    if finding.startswith(SIDE):
        return f"side of the {finding.removeprefix(SIDE)}"
    if finding.startswith(HELD_OUT):
        return f"{finding.removeprefix(HELD_OUT)}, combinations never trained on"
    return finding


def _joined(name: str, key: str) -> str:
    return f"{name}/{key}" if key else name


def _compared(entries: Sequence[Mapping[str, Any] | None]) -> list[Cell]:
    """Return cells of a row whose best value is marked."""
    best = _best(entries)
    return [interval_cell(entry, (0.0, 1.0), best) for entry in entries]


def _best(entries: Sequence[Mapping[str, Any] | None]) -> float | None:
    values = [entry["value"] for entry in entries if entry and isinstance(entry.get("value"), int | float)]
    return max(values) if len(values) > 1 else None


def _auroc_words(metrics: Metrics) -> list[Block]:
    """Say which findings are told better than by any filter, the intervals deciding."""
    names = _questions(metrics, AUROC)
    asked = [(_auroc_title(name), metrics[name], _filtered(metrics, name)) for name in names if HELD_OUT not in name]
    return _beaten(asked, "Sentences tell", "better than every filter that learned nothing")


def _pointing_words(metrics: Metrics) -> list[Block]:
    findings = [name.partition("/")[2] for name in _questions(metrics, SENTENCE)]
    asked = [(name, metrics[f"{SENTENCE}/{name}"], _filtered(metrics, f"{WORD}/{name}")) for name in findings]
    return _beaten(asked, "Sentences point at", "better than every filter that learned nothing")


def _filtered(metrics: Metrics, name: str) -> list[Mapping[str, Any]]:
    return [metrics[f"{name}/{key}"] for key in FILTERS if f"{name}/{key}" in metrics]


def _beaten(
    asked: Sequence[tuple[str, Mapping[str, Any], Sequence[Mapping[str, Any]]]], begin: str, how: str
) -> list[Block]:
    """Say for which findings an interval lies above those of all filters, and for which below that of any."""
    above, below, open_ = [], [], []
    for name, entry, filters in asked:
        low, high = entry.get("low"), entry.get("high")
        ends = [(one.get("low"), one.get("high")) for one in filters]
        if low is None or high is None or not ends or any(None in pair for pair in ends):
            continue
        if all(low > one[1] for one in ends):
            above.append(name)
        elif any(high < one[0] for one in ends):
            below.append(name)
        else:
            open_.append(name)
    blocks: list[Block] = [Prose(f"{begin} {', '.join(above)} {how}.")] if above else []
    if below:
        blocks.append(Prose(f"A filter that learned nothing is better than sentences: {', '.join(below)}.", True))
    if open_:
        blocks.append(Prose(f"Not to be told from the best filter, whose interval overlaps: {', '.join(open_)}.", True))
    return blocks


def _retrieval_examples(run: RunFolder) -> list[Block]:
    """Return exams with their own report and the reports that fit them best, folded."""
    examples = run.retrieval.get("examples")
    if not run.retrieval:
        return []
    try:
        return [_example(example) for example in examples or []]
    except (KeyError, TypeError, AttributeError):
        run.problems.append("retrieval.json holds no examples with 'case_id', 'report', 'rank' and 'top'")
        return []


def _example(example: Mapping[str, Any]) -> Listing:
    case, rank = str(example["case_id"]), int(example["rank"])
    lines = [f"Its own report: {example['report']}", ""]
    for place, found in enumerate(example["top"], 1):
        own = " (its own)" if found["case_id"] == case else f" (of {found['case_id']})"
        lines.append(f"{place}. {float(found['score']):.3f}{own}  {found['report']}")
    return Listing(f"Exam {case}: its own report is number {rank}", "\n".join(lines))


def _are_curves(fractions: Any, curves: Mapping[str, Any]) -> bool:
    if not isinstance(fractions, list) or not fractions:
        return False
    return all(
        isinstance(curve, list)
        and len(curve) == len(fractions)
        and all(isinstance(entry, dict) and "value" in entry for entry in curve)
        for curve in curves.values()
    )
