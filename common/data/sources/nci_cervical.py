"""Convert the NIH-NCI cervical images, split by patient."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

from common.data.errors import DatalistError
from common.data.sources.finish import finish, split_items
from common.data.tables import Row, read_table, require_columns

STUDIES = ("ALTS", "Biopsy", "CVT", "NHS")
HEADER_ROW = 5
IMAGE, PATIENT, HISTOLOGY = "GG_IMAGE_ID", "GG_PATIENT_ID", "WRST_HIST_AFTER"
MISSING = {"", ".", "-1"}
NO_HISTOLOGY = -2

logger = logging.getLogger(__name__)


def convert(
    root: str,
    out: str | None = None,
    no_histology: str = "normal",
    fractions: tuple[float, float, float] = (0.76, 0.19, 0.05),
    seed: int = 6,
) -> Path:
    """NIH-NCI cervical images, label 1 for CIN2 or worse; needs a data agreement.

    Expects ROOT/data/{ALTS,Biopsy,CVT,NHS}/covariate_data.xls (or .xlsx, .csv), column names in row 5, next to
    <GG_IMAGE_ID>.jpg and <GG_IMAGE_ID>_mask.jpg. The label is 0 if the worst histology (WRST_HIST_AFTER) is at most 1,
    else 1. Its code -2 means that no histology was taken, usually because nothing was suspected: it counts as 0, as in
    the published numbers, unless you drop these cases. Missing codes (".", "-1", empty) are left out and counted.
    The published split of 1611, 403 and 106 put pictures of one patient into several splits; here GG_PATIENT_ID is
    kept together, so the counts are about the same, and results not comparable.

    Example:
        python -m scripts.prepare nci_cervical --root nci --no_histology drop

    Args:
        root: the folder.
        out: the datalist to write; default ROOT/datalist.json.
        no_histology: what code -2 means: "normal" (label 0) or "drop".
        fractions: shares of training, validation and test; published: 5 % test, 20 % of the rest validation.
        seed: seed of the split.

    Returns:
        The datalist written.
    """
    if no_histology not in {"normal", "drop"}:
        raise DatalistError(f"no_histology is '{no_histology}', expected 'normal' or 'drop'")
    folder = Path(root)
    found = [study for study in STUDIES if (folder / "data" / study).is_dir()]
    if not found:
        raise DatalistError(
            f"none of {', '.join(STUDIES)} is a folder in '{folder / 'data'}'; name the data set's top folder"
        )
    items: list[dict[str, Any]] = []
    for study in found:
        table = _table(folder / "data" / study)
        rows = read_table(table, HEADER_ROW)
        require_columns(rows, [IMAGE, PATIENT, HISTOLOGY], table)
        items += _study_items(folder, study, rows, drop=no_histology == "drop")
    meta = {
        "name": "nci_cervical",
        "task": "multiclass",
        "classes": ["below CIN2", "CIN2 or worse"],
        "source": "NIH-NCI cervical images: " + ", ".join(found),
        "licence": "data agreement with the NCI",
        "split": "stratified by class, grouped by patient",
        "seed": seed,
        "no_histology": no_histology,
    }
    return finish(folder, out, split_items(items, fractions, seed), meta)


def _table(folder: Path) -> Path:
    for suffix in (".xls", ".xlsx", ".csv"):
        if (folder / f"covariate_data{suffix}").is_file():
            return folder / f"covariate_data{suffix}"
    raise DatalistError(f"'{folder}' has no covariate_data.xls, .xlsx or .csv; copy the study's table there")


def _study_items(folder: Path, study: str, rows: list[Row], drop: bool) -> list[dict[str, Any]]:
    """Return one item a row that has an image and a usable histology; say how many have not."""
    items: dict[str, dict[str, Any]] = {}
    left_out = {"without image": 0, "without histology code": 0, "with code -2 (no histology), dropped": 0}
    for row in rows:
        name = row[IMAGE].removesuffix(".jpg")
        image = Path("data", study, f"{name}.jpg")
        if not name or not (folder / image).is_file():
            left_out["without image"] += 1
            continue
        code = _code(row[HISTOLOGY], study, name)
        if code is None or (drop and code == NO_HISTOLOGY):
            left_out["without histology code" if code is None else "with code -2 (no histology), dropped"] += 1
            continue
        case_id = f"{study}_{name}"
        if case_id in items:
            raise DatalistError(f"the table of {study} lists the image '{name}' twice; keep one row")
        # Patients are numbered within a study.
        patient = f"{study}_{row[PATIENT]}" if row[PATIENT] not in MISSING else ""
        item = {"case_id": case_id, "image": image.as_posix(), "label": int(code > 1)}
        mask = image.with_name(f"{name}_mask.jpg")
        item |= {"mask": mask.as_posix()} if (folder / mask).is_file() else {}
        items[case_id] = item | ({"patient_id": patient} if patient else {})
    for reason, count in left_out.items():
        if count:
            logger.warning("%s: %d of %d rows %s left out", study, count, len(rows), reason)
    return list(items.values())


def _code(text: str, study: str, name: str) -> float | None:
    if text in MISSING:
        return None
    try:
        return float(text)
    except ValueError:
        raise DatalistError(f"{study}: {HISTOLOGY} of '{name}' is '{text}', expected a number, '.' or -1") from None
