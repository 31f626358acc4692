"""Convert a manifest of exams: several images and one or more reports an exam."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from common.data.datalist import IMAGE_SUFFIXES, case_id_from
from common.data.datalist_checks import SECTIONS, suggestion
from common.data.errors import DatalistError
from common.data.exams import ExamLayout
from common.data.sources.csv_table import SPLIT_WORDS
from common.data.sources.exam_finish import finish_exams, names
from common.data.sources.exam_labels import label_columns, label_in_columns, label_in_reports
from common.data.sources.exam_table import find_manifest, read_manifest
from common.data.sources.exam_views import ViewFinder
from common.data.sources.files import existing_folder
from common.data.sources.finish import split_items
from common.data.sources.problems import Problems
from common.data.tables import Row, require_columns

EXAM, PATIENT, SPLIT, FOLDER, MASK = "exam_id", "patient_id", "split", "folder", "mask"
REPORT = re.compile(r"report(_\d+)?")
LABELS = ("columns", "report")


def convert(
    root: str,
    out: str | None = None,
    table: str | None = None,
    views: str | Sequence[str] = ("left_cc", "left_mlo", "right_cc", "right_mlo"),
    sides: str | Sequence[str] = ("left", "right"),
    findings: str | Sequence[str] = ("mass", "calcification", "distortion"),
    labels: str = "columns",
    trust: str = "none",
    reports: bool = True,
    keep: str | Sequence[str] = (),
    fractions: Sequence[float] = (0.7, 0.15, 0.15),
    seed: int = 0,
    on_problem: str = "refuse",
    name: str | None = None,
    synthetic: bool = False,
) -> Path:
    """Exams of your own: several images of a patient and one or more reports, from a table with one row an exam.

    Expects ROOT/exams.csv (or .json, .xlsx) with the columns exam_id and report, and the images: a column with paths
    for each view, named as the view, or a column folder, whose DICOM files are put in their places by their tags (or
    their names). Further columns: patient_id; split (train, valid, test); report_2, report_3, ...; for each side and
    finding one with 0 or 1, such as left_mass (without sides: mass); masks, such as left_cc_mass_mask or left_cc_mask.
    An empty cell means that there is none. See docs/reference/exam_manifest.md.

    Example:
        python -m scripts.prepare exams --root my_exams
        python -m scripts.prepare exams --root chest --views frontal,lateral --sides chest --findings effusion,edema

    Args:
        root: the folder that paths start from.
        out: the datalist to write; default ROOT/datalist.json.
        table: the manifest; default ROOT/exams.csv, .json or .xlsx.
        views: names of the views, in the order that a network gets them.
        sides: names of the sides; a view belongs to the side that its name begins with. One name if there are none.
        findings: what the labels are about.
        labels: where they are: in "columns", or in the "report", where they are looked up by keywords.
        trust: what decides where a file's DICOM tags say another side or view than its column or name: "tags" or
            "names", with a warning; "none": such exams cannot be used.
        reports: whether each exam must have a report.
        keep: further columns to keep in the datalist, such as density.
        fractions: shares of training, validation and test, where there is no column split.
        seed: seed of that split, which is by patient where there is a column patient_id.
        on_problem: what to do with exams that cannot be used, such as those without any view, or with an empty report:
            "refuse" the data set or "skip" them with a warning.
        name: of the data set; default the folder's.
        synthetic: whether the images are generated, which the report of a run says.

    Returns:
        The datalist written.
    """
    if labels not in LABELS:
        raise DatalistError(f"labels is '{labels}', expected {' or '.join(LABELS)}")
    folder = existing_folder(root, "the manifest and the images")
    layout = ExamLayout.named(names(views), names(sides), names(findings))
    source = find_manifest(folder, table)
    rows = read_manifest(source)
    kept = names(keep)
    _check_columns(rows, layout, labels, kept, source)
    problems = Problems(on_problem)
    finder = ViewFinder(folder, layout, trust, problems)
    counts = Counter(row[EXAM] for row in rows)
    for exam in (exam for exam, count in counts.items() if count > 1):
        problems.add("exam ids that stand more than once", exam)
    exams = [(row, _exam(row, finder, labels, reports, kept)) for row in rows if counts[row[EXAM]] == 1]
    items = [(row, item) for row, item in exams if item is not None]
    problems.settle(folder)
    sections: dict[str, Any]
    if SPLIT in rows[0]:
        places = [_section(row[SPLIT], source) for row, _ in items]
        sections = {key: [i for (_, i), p in zip(items, places, strict=True) if p == key] for key in SECTIONS}
    else:
        sections = split_items([item for _, item in items], fractions, seed)
    by = "by the manifest" if SPLIT in rows[0] else f"by {'patient' if PATIENT in rows[0] else 'exam'}"
    meta = {"name": name or folder.resolve().name, "source": source.name, "split": by, "seed": seed}
    return finish_exams(folder, out, sections, layout, meta | ({"synthetic": True} if synthetic else {}))


def _check_columns(rows: Sequence[Row], layout: ExamLayout, labels: str, keep: Sequence[str], source: Path) -> None:
    """Refuse tables without the columns that are needed, or with images in columns that are no view."""
    require_columns(rows, [EXAM, *keep], source)
    known = [*layout.views, *_mask_columns(layout), *keep]
    for column in rows[0]:
        if column not in known and any(row[column].lower().endswith(IMAGE_SUFFIXES) for row in rows):
            raise DatalistError(
                f"'{source}' has images in the column '{column}', which is no view{suggestion(column, known)}"
            )
    if FOLDER not in rows[0] and not any(view in rows[0] for view in layout.views):
        raise DatalistError(f"'{source}' has neither a column '{FOLDER}' nor one of {', '.join(layout.views)}")
    missing = [column for column in label_columns(layout) if column not in rows[0]]
    if labels == "columns" and missing:
        raise DatalistError(
            f"'{source}' has no column '{missing[0]}'{suggestion(missing[0], list(rows[0]))}. Name with --findings "
            "what there are columns for, or look findings up in the reports with --labels report"
        )


def _exam(row: Row, finder: ViewFinder, labels: str, reports: bool, keep: Sequence[str]) -> dict[str, Any] | None:
    """Return the item of a row, or None after noting why there is none."""
    exam, layout, problems = row[EXAM], finder.layout, finder.problems
    if not exam:
        problems.add("rows without an exam id", str({key: value for key, value in row.items() if value})[:60])
        return None
    views = finder.find(exam, {view: row.get(view, "") for view in layout.views}, row.get(FOLDER, ""))
    texts = [row[column] for column in row if REPORT.fullmatch(column) and row[column]]
    good = _good_reports(exam, texts, reports, problems)
    if views is None or not good:
        return None
    label = label_in_columns(row, layout, views) if labels == "columns" else label_in_reports(texts, layout)
    if isinstance(label, str):
        problems.add("exams with a label other than 0 or 1", f"{exam}: {label}")
        return None
    item: dict[str, Any] = {"case_id": case_id_from(exam), "views": views, "label": label}
    item |= {PATIENT: row[PATIENT]} if row.get(PATIENT) else {}
    item |= {"report": texts} if texts else {}
    masks = {view: found for view in views if (found := _masks(row, view, layout))}
    gone = [path for path in _files(masks) if not (finder.root / path).is_file()]
    if gone:
        problems.add("masks whose file is missing", f"{exam}: {gone[0]}")
        return None
    # An exam without any finding needs no masks for all of them to be known: they are empty.
    known = masks or (not any(label) and any(column in row for column in _mask_columns(layout)))
    return item | ({"masks": masks} if known else {}) | {column: row[column] for column in keep}


def _good_reports(exam: str, texts: Sequence[str], needed: bool, problems: Problems) -> bool:
    """Return whether an exam's reports can be used; note it if not."""
    from common.text import check_report

    if not texts:
        if needed:
            problems.add("exams without a report", exam)
        return not needed
    try:
        for text in texts:
            check_report(text, exam)
    except ValueError as error:
        problems.add("exams with a report that cannot be read", str(error))
        return False
    return True


def _masks(row: Row, view: str, layout: ExamLayout) -> dict[str, str] | str | None:
    """Return the masks of a view: a path for each finding, one path, or None."""
    by_finding = {finding: row.get(f"{view}_{_column(finding)}_{MASK}", "") for finding in layout.findings}
    found = {finding: path for finding, path in by_finding.items() if path}
    return found or row.get(f"{view}_{MASK}") or None


def _mask_columns(layout: ExamLayout) -> list[str]:
    named = [f"{view}_{_column(finding)}_{MASK}" for view in layout.views for finding in layout.findings]
    return [*named, *(f"{view}_{MASK}" for view in layout.views)]


def _column(finding: str) -> str:
    return finding.replace(" ", "_")


def _files(masks: Mapping[str, Any]) -> list[str]:
    return [path for found in masks.values() for path in (found.values() if isinstance(found, Mapping) else [found])]


def _section(word: str, source: Path) -> str:
    if word.lower() not in SPLIT_WORDS:
        raise DatalistError(f"'{source}' has the unknown split '{word}'{suggestion(word.lower(), list(SPLIT_WORDS))}")
    return SPLIT_WORDS[word.lower()]
