"""The exam phantom on disk: images of every view, two reports, and what is true about each exam.

images/test-00001/left_cc.dcm       8-bit mammograms with the tags of real ones
truth/test-00001/left_cc_mass.png   255 where a finding can be seen; in training on request
exams.csv                           one row an exam: reports, views, labels; finding_json is the hidden description
datalist.json                       what the bundles read
phantom.json                        the settings; the same settings again do nothing

`finding_json` has for each breast its category, malignancy and findings (as reports could tell them, with position,
radius and contrast as drawn, and whether training lacks the combination), and their centres in each view in pixels.
"""

from __future__ import annotations

import csv
import dataclasses
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from tqdm import tqdm

from common.data.datalist import load_datalist, write_datalist
from common.data.datalist_checks import SECTIONS
from common.data.phantoms.exam_description import HELD_OUT, VIEWS, ExamTruth, describe_exam, exam_stream
from common.data.phantoms.exam_dicom import dicom_bytes
from common.data.phantoms.exam_picture import ExamView, make_views
from common.data.phantoms.exam_settings import EXAM_SPLITS, ExamSettings
from common.data.phantoms.stamped_folder import make_folder
from common.data.sources import exam_manifest
from common.text.report_writer import write_report
from common.text.report_writer_facts import SIDES

__all__ = ["exam_reports", "write_exams"]

GENERATOR_VERSION = 1  # raise it whenever the same settings give other files, so that old folders are made anew
REPORTS = ("report", "report_2")
KEPT = ("density", "age", "birads_left", "birads_right", "malignant_left", "malignant_right", "held_out")
_REPORT, _ORDER = 30, 31  # purposes of random numbers, apart from those of description and picture


def write_exams(settings: ExamSettings, folder: str | Path, progress: bool = True) -> bool:
    """Write the data set and its datalist, unless the folder already holds it.

    Args:
        settings: what to make.
        folder: where; made if needed. A folder of other settings is replaced, one of other content is refused.
        progress: show a progress bar.

    Returns:
        True if it was written, False if it was there already.

    Raises:
        ValueError: if a finding would be missing in the training exams; the message says what to change.
        FileExistsError: if the folder holds anything else.
    """
    exams = {
        split: [describe_exam(settings, split, number) for number in range(count)]
        for split, count in zip(EXAM_SPLITS, settings.count, strict=True)
    }
    _check_findings(settings, exams["training"])
    stamp = {"generator": "exams", "version": GENERATOR_VERSION, **settings.to_options()}

    def write(target: Path) -> None:
        rows = []
        with tqdm(total=sum(settings.count), desc="phantom exams", unit="exam", disable=not progress) as bar:
            for split, group in exams.items():
                for exam, told in zip(group, _told(settings, split, group), strict=True):
                    row = _row(settings, exam, exam_reports(settings, told))
                    for view in make_views(settings, exam):
                        row |= _write_view(settings, exam, view, target, row["centres"])
                    rows.append(row | {"finding_json": _truth_json(exam, row.pop("centres"))})
                    bar.update()
        _write_table(settings, rows, target / "exams.csv")
        datalist = exam_manifest.convert(str(target), findings=settings.findings, keep=KEPT, synthetic=True)
        _note_origin(datalist, settings)

    return make_folder(folder, stamp, write)


def exam_reports(settings: ExamSettings, exam: ExamTruth) -> list[str]:
    """Return two reports of an exam: other words, and another choice of what is said."""
    split, facts = EXAM_SPLITS.index(exam.split), exam.facts(settings.findings)
    return [
        write_report(
            facts,
            (settings.seed, split, exam.number, _REPORT, place),
            settings.language,
            settings.omitted,
            settings.irrelevant,
            settings.typos,
        )
        for place in range(len(REPORTS))
    ]


def _told(settings: ExamSettings, split: str, exams: Sequence[ExamTruth]) -> list[ExamTruth]:
    """Return the exam that each one's reports are about: itself, unless training reports are shuffled."""
    if not settings.shuffled or split != "training":
        return list(exams)
    # Everyone gets the reports of the next one in a random round: nobody keeps their own.
    order = exam_stream(settings, split, 0, _ORDER).permutation(len(exams))
    following = dict(zip(order.tolist(), np.roll(order, -1).tolist(), strict=True))
    return [exams[following[number]] for number in range(len(exams))]


def _check_findings(settings: ExamSettings, training: Sequence[ExamTruth]) -> None:
    found = {(side.side, lesion.finding.type) for exam in training for side in exam.breasts for lesion in side.lesions}
    missing = [f"{side} {kind}" for side in SIDES for kind in settings.findings if (side, kind) not in found]
    if missing:
        raise ValueError(
            f"count={settings.count} leaves no training exam with {', '.join(missing)}: raise count or the fraction"
        )


def _row(settings: ExamSettings, exam: ExamTruth, reports: Sequence[str]) -> dict[str, Any]:
    """Return the row of an exam in the table, its views and masks still missing."""
    row: dict[str, Any] = {"exam_id": exam.exam_id, "patient_id": exam.exam_id, "split": exam.split, "centres": {}}
    row |= {"density": exam.density, "age": exam.age, **dict(zip(REPORTS, reports, strict=True))}
    rare = []
    for breast in exam.breasts:
        if not any(view.startswith(breast.side) for view in exam.views):
            continue  # nothing is known about a breast without images
        found = {lesion.finding.type for lesion in breast.lesions}
        row |= {f"{breast.side}_{kind}": int(kind in found) for kind in settings.findings}
        row |= {f"birads_{breast.side}": breast.birads, f"malignant_{breast.side}": int(breast.malignant)}
        rare += [f"{breast.side} {lesion.finding.type}" for lesion in breast.lesions if lesion.held_out]
    return row | {"held_out": "; ".join(rare)}


def _write_view(
    settings: ExamSettings, exam: ExamTruth, view: ExamView, target: Path, centres: dict[str, Any]
) -> dict[str, str]:
    """Write an image and its masks, in training on request; note the centres; return the cells with the paths."""
    image = Path("images", exam.exam_id, f"{view.view}.dcm")
    (target / image).parent.mkdir(parents=True, exist_ok=True)
    (target / image).write_bytes(dicom_bytes(view.image, view.view, exam.exam_id, exam.age, settings.seed))
    centres[view.view] = {kind: [round(value, 1) for value in place] for kind, place in view.centres.items()}
    cells = {view.view: image.as_posix()}
    for kind, mask in view.masks.items() if settings.training_masks or exam.split != "training" else ():
        path = Path("truth", exam.exam_id, f"{view.view}_{kind}.png")
        (target / path).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(255 * mask.astype(np.uint8)).save(target / path)
        cells[f"{view.view}_{kind}_mask"] = path.as_posix()
    return cells


def _truth_json(exam: ExamTruth, centres: Mapping[str, Any]) -> str:
    breasts = dataclasses.asdict(exam)["breasts"]
    for lesion in (lesion for breast in breasts for lesion in breast["lesions"]):
        lesion["finding"] = {name: value for name, value in lesion["finding"].items() if value is not None}
        lesion |= {name: round(value, 4) for name, value in lesion.items() if isinstance(value, float)}
    return json.dumps({"breasts": breasts, "centres": centres})


def _write_table(settings: ExamSettings, rows: Sequence[Mapping[str, Any]], path: Path) -> None:
    views = [f"{side}_{view}" for side in SIDES for view in VIEWS]
    columns = ["exam_id", "patient_id", "split", *REPORTS, *views, *KEPT]
    columns += [f"{side}_{kind}" for side in SIDES for kind in settings.findings]
    columns += [f"{view}_{kind}_mask" for view in views for kind in settings.findings]
    with path.open("w", newline="", encoding="utf-8") as file:
        table = csv.DictWriter(file, [*columns, "finding_json"], lineterminator="\n")
        table.writeheader()
        table.writerows(rows)


def _note_origin(datalist: Path, settings: ExamSettings) -> None:
    """Say in the datalist that these are no images of people, and what training was not shown."""
    content = load_datalist(datalist)
    meta = {
        **content["meta"],
        "name": "exams",
        "source": "generated by `python -m scripts.phantom exams`; the settings are in phantom.json",
        "licence": "none needed: computer-generated, contains no data of anyone",
        "seed": settings.seed,
        "language": settings.language,
        "held_out": [" ".join(combination) for combination in HELD_OUT] if settings.held_out else [],
        "shuffled_reports": settings.shuffled,
    }
    write_datalist(datalist, {name: content[name] for name in SECTIONS}, meta)
