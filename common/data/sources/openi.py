"""Convert Open-I, the chest X-rays of Indiana University with their reports, from tables or the original XML files."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

from common.data.errors import DatalistError
from common.data.exams import ExamLayout
from common.data.sources.exam_finish import finish_exams, names
from common.data.sources.files import existing_folder
from common.data.sources.finish import split_items
from common.data.sources.problems import Problems
from common.data.tables import read_table, require_columns

REPORTS, PROJECTIONS = "indiana_reports.csv", "indiana_projections.csv"
VIEWS = ("frontal", "lateral")
SECTIONS = ("comparison", "indication", "findings", "impression")
NOT_INDEXED = "no indexing"
IMAGES = (".png", ".jpg", ".jpeg", ".dcm")


@dataclass(frozen=True)
class _Report:
    """A report and what an indexer found in it."""

    uid: str
    texts: Mapping[str, str]
    problems: Sequence[str]


def convert(
    root: str,
    out: str | None = None,
    findings: str | Sequence[str] = ("cardiomegaly", "effusion", "opacity", "atelectasis", "nodule"),
    sections: str | Sequence[str] = ("findings", "impression"),
    fractions: Sequence[float] = (0.7, 0.1, 0.2),
    seed: int = 0,
    on_problem: str = "skip",
) -> Path:
    """Open-I (IU X-ray): 7470 chest X-rays of 3955 exams with reports, frontal and lateral.

    Expects the images in any depth below ROOT, and either the tables indiana_reports.csv (uid, Problems, findings,
    impression) and indiana_projections.csv (uid, filename, projection), or the original <number>.xml files in any depth
    and indiana_projections.csv, as the XML files do not tell which image is the frontal one. An exam has a finding if
    one of the terms it is indexed with (Problems, or MeSH) contains the name, such as "Pleural Effusion" for effusion.

    There are no patients in the data: one who was examined twice may be in two splits.

    Example:
        python -m scripts.prepare openi --root iu_xray --findings cardiomegaly,effusion

    Args:
        root: the folder.
        out: the datalist to write; default ROOT/datalist.json.
        findings: what the labels are about; also "normal".
        sections: parts of the report to keep, in this order: comparison, indication, findings, impression.
        fractions: shares of training, validation and test.
        seed: seed of the split.
        on_problem: what to do with exams without image, text or terms, which the public set has: "skip" them with a
            warning, or "refuse" the data set.

    Returns:
        The datalist written.
    """
    wanted = names(sections)
    if not wanted or not set(wanted) <= {*SECTIONS}:
        raise DatalistError(f"sections are {list(wanted)}, expected some of {', '.join(SECTIONS)}")
    folder = existing_folder(root, f"the images, {REPORTS} and {PROJECTIONS}")
    layout = ExamLayout.named(VIEWS, ["chest"], [name.lower() for name in names(findings)])
    problems = Problems(on_problem)
    reports = list(_from_table(folder / REPORTS) if (folder / REPORTS).is_file() else _from_xml(folder, problems))
    views = _views(folder, problems)
    items = []
    for report in reports:
        text = " ".join(report.texts[section] for section in wanted if report.texts.get(section))
        terms = [term.strip().lower() for term in report.problems if term.strip()]
        if not views.get(report.uid):
            problems.add("exams without any view", report.uid)
        elif not text:
            problems.add(f"exams without {' and '.join(wanted)} in their report", report.uid)
        elif not terms or NOT_INDEXED in terms:
            problems.add("exams that nobody has indexed", report.uid)
        else:
            label = [int(any(re.search(rf"\b{re.escape(name)}", t) for t in terms)) for name in layout.findings]
            found = views[report.uid]
            item = {"case_id": report.uid, "views": {view: found[view] for view in VIEWS if view in found}}
            items.append({**item, "label": label, "report": text})
    problems.settle(folder)
    meta = {
        "name": "openi",
        "source": "Open-I, Indiana University, doi:10.1093/jamia/ocv080",
        "licence": "CC BY-NC-ND 4.0 as stated by Open-I",
        "split": "by exam (patients unknown)",
        "seed": seed,
        "report_sections": list(wanted),
    }
    return finish_exams(folder, out, split_items(items, fractions, seed), layout, meta)


def _from_table(table: Path) -> Iterator[_Report]:
    rows = read_table(table)
    require_columns(rows, ["uid", "Problems", "findings", "impression"], table)
    for row in rows:
        texts = {section: _clean(row.get(section, "")) for section in SECTIONS}
        yield _Report(row["uid"], texts, row["Problems"].split(";"))


def _from_xml(folder: Path, problems: Problems) -> Iterator[_Report]:
    files = sorted(folder.rglob("*.xml"))
    if not files:
        raise DatalistError(f"'{folder}' has neither {REPORTS} nor an XML file; unpack the reports there")
    for file in files:
        try:
            tree = ElementTree.parse(file)
        except ElementTree.ParseError as error:
            problems.add("XML files that cannot be read", f"{file.name} ({error})")
            continue
        parts = {str(part.get("Label")).lower(): _clean(part.text or "") for part in tree.iter("AbstractText")}
        terms = [(term.text or "").partition("/")[0] for term in tree.iter("major")]
        yield _Report(file.stem.removeprefix("CXR"), parts, terms)


def _views(folder: Path, problems: Problems) -> dict[str, dict[str, str]]:
    """Return the views of each exam; of several images of a projection the first by name."""
    table = folder / PROJECTIONS
    if not table.is_file():
        raise DatalistError(
            f"'{folder}' has no {PROJECTIONS} (columns uid, filename, projection), which tells frontal from lateral "
            "images; it comes with the tables of the set, and its names fit the original images, too"
        )
    rows = read_table(table)
    require_columns(rows, ["uid", "filename", "projection"], table)
    files = [path for path in sorted(folder.rglob("*")) if path.suffix.lower() in IMAGES]
    places = {_name(path.name): path.relative_to(folder).as_posix() for path in files}
    views: dict[str, dict[str, str]] = defaultdict(dict)
    for row in sorted(rows, key=lambda row: row["filename"]):
        projection = row["projection"].lower()
        if projection not in VIEWS:
            raise DatalistError(f"'{table}' has the projection '{row['projection']}', expected Frontal or Lateral")
        place = places.get(_name(row["filename"]))
        if place is None:
            problems.add("images that are missing", row["filename"])
        else:
            views[row["uid"]].setdefault(projection, place)
    return views


def _name(file: str) -> str:
    """Return what the names of an image have in common: CXR1_1_IM-0001-3001.png and 1_IM-0001-3001.dcm.png."""
    return re.sub(r"(\.dcm|\.png|\.jpe?g)+$", "", re.sub(r"^CXR\d+_", "", file), flags=re.IGNORECASE)


def _clean(text: Any) -> str:
    return " ".join(str(text).split())
