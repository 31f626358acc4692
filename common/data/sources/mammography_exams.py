"""Make exams with templated reports of the public sets of mammograms, which have no reports."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from common.data.datalist import load_datalist
from common.data.datalist_checks import SECTIONS, suggestion
from common.data.errors import DatalistError
from common.data.exams import ExamLayout
from common.data.sources.exam_finish import finish_exams, names
from common.data.sources.exam_grouping import group_into_exams
from common.data.sources.files import existing_folder
from common.data.sources.mammography_facts import ImageFacts, read_facts, told_findings
from common.text.report_writer import write_report
from common.text.report_writer_facts import Finding, ReportFacts

WORST = 5  # the report writer knows no BI-RADS 6, a malignancy that is proven already


def convert(
    root: str,
    out: str | None = None,
    datalist: str | None = None,
    findings: str | Sequence[str] | None = None,
    reports: int = 2,
    language: str = "en",
    seed: int = 0,
) -> Path:
    """Exams with templated reports, of vindr_mammo, cbis_ddsm, cmmd or inbreast.

    First convert the set itself (`python -m scripts.prepare vindr_mammo --root ...`). The single images of its datalist
    are put together into exams with up to four views; splits stay as they are. These sets have no reports: sentences
    are made from what their tables tell of each breast (findings, and where known their descriptors, breast density and
    BI-RADS category). They are as good as labels, and no radiologist's words; the datalist says so in meta.reports.

    Example:
        python -m scripts.prepare mammography_exams --root vindr-mammo/1.0.0

    Args:
        root: the folder of the set.
        out: the datalist to write; default ROOT/exam_datalist.json.
        datalist: that of the single images; default ROOT/datalist.json.
        findings: what the labels are about: mass, calcification, distortion or asymmetry, as far as the set tells them,
            and its own second class, such as malignant. Default all that it tells.
        reports: how many reports to write of each exam, in different words.
        language: of the reports: en or nl.
        seed: of the reports' words.

    Returns:
        The datalist written.
    """
    if reports < 1:
        raise DatalistError(f"reports is {reports}, expected 1 or more for each exam")
    folder = existing_folder(root, "one of the public sets of mammograms, with its datalist")
    source = Path(datalist) if datalist is not None else folder / "datalist.json"
    content = load_datalist(source)
    meta = content["meta"]
    told = told_findings(meta)
    wanted = names(findings) if findings is not None else told
    for finding in wanted:
        if finding not in (known := [*told, meta["classes"][1]]):
            raise DatalistError(f"{meta['name']} does not tell of every image '{finding}'{suggestion(finding, known)}")
    images = [item for section in SECTIONS for item in content.get(section, []) if item.get("laterality") in ("L", "R")]
    facts = read_facts(folder, images, meta)
    exams = group_into_exams(content, wanted, {name: fact.by_type() for name, fact in facts.items()})
    layout = ExamLayout.of(exams["meta"])
    sections: dict[str, list[dict[str, Any]]] = {}
    number = 0
    for section in SECTIONS:
        sections[section] = []
        for exam in exams[section]:
            told_facts = report_facts(exam, layout, facts, told)
            texts = [_written(told_facts, [seed, number, version], language) for version in range(reports)]
            sections[section].append({key: value for key, value in exam.items() if key != "images"} | {"report": texts})
            number += 1
    notes = {key: value for key, value in meta.items() if key not in layout.meta() and key != "root"}
    notes |= {"reports": f"templated from the tables of {meta['name']}, language {language}", "report_seed": seed}
    base = source.parent / meta.get("root", ".")
    return finish_exams(base, out, sections, layout, notes, default="exam_datalist.json")


def report_facts(
    exam: Mapping[str, Any], layout: ExamLayout, facts: Mapping[str, ImageFacts], told: Sequence[str]
) -> ReportFacts:
    """Return what can be said of an exam: of each breast that was imaged, one finding of each type, the best described.

    Args:
        exam: with ``images``, see :func:`common.data.sources.exam_grouping.group_into_exams`.
        layout: its views and sides.
        facts: of its images.
        told: types of findings whose absence is certain where they are not there.
    """
    best: dict[tuple[str, str], Finding] = {}
    birads: dict[str, int] = {}
    density, seen = None, dict.fromkeys(layout.sides, False)
    for view, name in exam["images"].items():
        side, fact = layout.sides[layout.view_side[layout.views.index(view)]], facts[name]
        seen[side], density = True, density or fact.density
        if fact.birads is not None:
            birads[side] = max(birads.get(side, 0), min(fact.birads, WORST))
        for finding in fact.findings:
            key = (side, finding.type)
            best[key] = max(best.get(key, finding), finding, key=_described)
    sides = [side for side in layout.sides if seen[side]]
    normal = [side for side in sides if not any(where == side for where, _ in best)]
    absent = [(side, kind) for side in sides for kind in told if (side, kind) not in best]
    return ReportFacts(tuple(best.values()), tuple(absent), tuple(normal), density, birads)


def _described(finding: Finding) -> int:
    return sum(value is not None for value in vars(finding).values())


def _written(facts: ReportFacts, seed: Sequence[int], language: str) -> str:
    """Return a report; where chance has left out all facts, one that leaves out none."""
    try:
        return write_report(facts, seed, language) or write_report(facts, seed, language, omitted=0)
    except ValueError as error:
        raise DatalistError(f"the report cannot be written: {error}") from None
