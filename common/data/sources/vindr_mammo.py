"""Convert VinDr-Mammo, full-field digital mammograms with BI-RADS assessments and boxes, in PhysioNet's layout."""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path
from typing import Any

from common.data.errors import DatalistError
from common.data.sources.files import existing_folder
from common.data.sources.finish import finish, split_items
from common.data.sources.mammography import BIRADS_CLASSES, Box, birads_label, check_birads, side_of
from common.data.sources.problems import Problems
from common.data.tables import Row, read_table, require_columns

BREASTS = "breast-level_annotations.csv"
FINDINGS = "finding_annotations.csv"
COLUMNS = ["study_id", "image_id", "laterality", "view_position", "breast_birads", "split"]
FINDING_COLUMNS = ["image_id", "finding_birads", "xmin", "ymin", "xmax", "ymax"]


def convert(
    root: str,
    out: str | None = None,
    suspicious_from: int = 4,
    validation: float = 0.15,
    seed: int = 0,
    on_problem: str = "refuse",
) -> Path:
    """VinDr-Mammo: 20000 mammograms of 5000 examinations as DICOM, BI-RADS of each breast, boxes of findings.

    Expects ROOT/images/<study_id>/<image_id>.dicom, ROOT/breast-level_annotations.csv and ROOT/finding_annotations.csv,
    as PhysioNet hands them out (credentialed access). An image is suspicious if the BI-RADS category of its breast is
    4 or more; boxes are those of findings that are suspicious themselves, in suspicious images. The official test
    set stays the test set; the validation set is cut off the official training set. Each examination is a patient.

    Example:
        python -m scripts.prepare vindr_mammo --root vindr-mammo/1.0.0

    Args:
        root: the folder.
        out: the datalist to write; default ROOT/datalist.json.
        suspicious_from: smallest BI-RADS category that counts as suspicious.
        validation: share of the official training set for validation, by examination.
        seed: seed of that split.
        on_problem: what to do with rows without image or usable assessment: "refuse" the data set or "skip" them with a
            warning.

    Returns:
        The datalist written.
    """
    check_birads(suspicious_from)
    folder = existing_folder(root, "images, breast-level_annotations.csv and finding_annotations.csv")
    rows = read_table(folder / BREASTS)
    require_columns(rows, COLUMNS, folder / BREASTS)
    boxes = _boxes(folder / FINDINGS, suspicious_from)
    problems = Problems(on_problem)
    official: dict[str, list[dict[str, Any]]] = {"training": [], "test": []}
    for row in rows:
        if row["split"] not in official:
            raise DatalistError(
                f"'{folder / BREASTS}' has the unknown split '{row['split']}', expected training or test"
            )
        item = _item(folder, row, suspicious_from, boxes, problems)
        if item is not None:
            official[row["split"]].append(item)
    problems.settle(folder)
    sections = split_items(official["training"], (1 - validation, validation, 0), seed)
    meta = {
        "name": "vindr_mammo",
        "task": "multiclass",
        "classes": BIRADS_CLASSES,
        "source": "VinDr-Mammo 1.0.0, PhysioNet, doi:10.13026/br2v-7517",
        "licence": "PhysioNet Restricted Health Data License 1.5.0",
        "split": "official test set; validation from the official training set, by examination",
        "seed": seed,
        "suspicious_from": suspicious_from,
    }
    return finish(folder, out, {**sections, "test": official["test"]}, meta)


def _item(
    folder: Path, row: Row, suspicious_from: int, boxes: dict[str, list[Box]], problems: Problems
) -> dict[str, Any] | None:
    """Return the case of a row, or None after noting why there is none."""
    image = Path("images", row["study_id"], f"{row['image_id']}.dicom")
    side = side_of(row["laterality"])
    if not (folder / image).is_file():
        problems.add("rows without image", image.as_posix())
        return None
    if not side:
        problems.add("rows whose laterality is neither L nor R", f"{row['image_id']} ('{row['laterality']}')")
        return None
    try:
        label = birads_label(row["breast_birads"], suspicious_from)
    except ValueError as error:
        problems.add("rows without a usable assessment", f"{row['image_id']}: {error}")
        return None
    item = {
        "case_id": row["image_id"],
        "image": image.as_posix(),
        "label": label,
        "patient_id": row["study_id"],
        "laterality": side,
        "view": row["view_position"],
    }
    return item | ({"boxes": boxes[row["image_id"]]} if label and boxes.get(row["image_id"]) else {})


def _boxes(table: Path, suspicious_from: int) -> dict[str, list[Box]]:
    """Return the boxes of suspicious findings of each image; rows without finding have no box."""
    rows = read_table(table)
    require_columns(rows, FINDING_COLUMNS, table)
    boxes: dict[str, list[Box]] = defaultdict(list)
    for row in rows:
        if not row["xmin"] or not row["finding_birads"]:
            continue
        try:
            suspicious = birads_label(row["finding_birads"], suspicious_from)
            box = [float(row[key]) for key in ("xmin", "ymin", "xmax", "ymax")]
        except ValueError as error:
            raise DatalistError(f"a finding of {row['image_id']} in '{table}' cannot be read ({error})") from None
        if suspicious and box[0] < box[2] and box[1] < box[3]:
            boxes[row["image_id"]].append(box)
    return boxes
