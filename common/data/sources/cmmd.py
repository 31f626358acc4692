"""Convert CMMD, the Chinese Mammography Database, in the layout of The Cancer Imaging Archive."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tqdm import tqdm

from common.data.datalist import case_id_from
from common.data.errors import CaseError, DatalistError
from common.data.sources.files import existing_folder
from common.data.sources.finish import finish, split_items
from common.data.sources.mammography import BOTH, CLASSES, is_dicom_name, read_tags, side_of
from common.data.sources.problems import Problems
from common.data.tables import read_table, require_columns

SHEETS = ("CMMD_clinicaldata_revision.xlsx", "CMMD_clinicaldata_revision.csv", "CMMD_clinicaldata_revision.xls")
PATIENT, SIDE, LABEL = "ID1", "LeftRight", "classification"
REGIONS = "regions.csv"
REGION_COLUMNS = ["image", "classification", "x0", "y0", "x1", "y1", "mask"]
UNLISTED = {"leave_out": "left out", "benign": "counted as benign", "unlabelled": "kept without label"}
SPLITS = ("stratified", "by_id")
LAST_TRAINING_ID = "D2-0247"
VALIDATION_SHARE = 0.15  # of the patients up to that id

Side = tuple[str, str]  # patient, L or R

logger = logging.getLogger(__name__)


def convert(
    root: str,
    out: str | None = None,
    sheet: str | None = None,
    unlisted: str = "leave_out",
    split: str = "stratified",
    exclude: str | Sequence[str] = (),
    fractions: Sequence[float] = (0.7, 0.1, 0.2),
    seed: int = 0,
    on_problem: str = "refuse",
) -> Path:
    """CMMD: 5202 mammograms of 1775 patients as DICOM, benign or malignant for each breast.

    Expects the DICOM files in any depth below ROOT, as the NBIA Data Retriever leaves them (CMMD/D1-0001/.../1-1.dcm),
    and ROOT/CMMD_clinicaldata_revision.xlsx (or .csv) with the columns ID1, LeftRight and classification. Patient,
    side and view are read from the DICOM tags; every image of a breast gets the breast's label. Datalist items carry
    laterality (L, R) and, where known, view (CC, MLO).

    A table ROOT/regions.csv is not part of CMMD, but is used if you have one: columns image (path below ROOT),
    classification, x0, y0, x1, y1 (a box in pixels) and mask (path, may be empty); one row a lesion. Malignant lesions
    of malignant images become the region of interest.

    Example:
        python -m scripts.prepare cmmd --root CMMD

    Args:
        root: the folder.
        out: the datalist to write; default ROOT/datalist.json.
        sheet: the table of labels; default ROOT/CMMD_clinicaldata_revision.xlsx or .csv.
        unlisted: what to do with images of a breast that has no row in the sheet, as some have: "leave_out", count them
            as "benign", or put them into the section "unlabelled" for semi-supervised training (not those of patients
            who validate or test). They are reported in any case.
        split: "stratified": random, by patient; "by_id": patients up to D2-0247 train and validate, the others test,
            which is how others describe the split of the published results (those selected models on the test set).
        exclude: patients to leave out, separated by commas; the published code leaves out D1-1343.
        fractions: shares of training, validation and test in a stratified split.
        seed: seed of the split.
        on_problem: what to do with files that cannot be used (damaged, without patient or side, with both breasts in
            one image): "refuse" the data set or "skip" them with a warning.

    Returns:
        The datalist written.
    """
    for name, value, known in (("unlisted", unlisted, UNLISTED), ("split", split, SPLITS)):
        if value not in known:
            raise DatalistError(f"{name} is '{value}', expected {' or '.join(known)}")
    folder = existing_folder(root, "the DICOM files and CMMD_clinicaldata_revision.xlsx")
    problems = Problems(on_problem)
    labels = _labels(_sheet(folder, sheet))
    items = _items(folder, labels, unlisted, {*_names(exclude)}, problems)
    problems.settle(folder)
    _add_regions(folder, items)
    labelled = [item for item in items if "label" in item]
    sections = split_items(labelled, fractions, seed) if split == "stratified" else _by_id(labelled, seed)
    if unlisted == "unlabelled":
        held_out = {item["patient_id"] for name in ("validation", "test") for item in sections[name]}
        rest = [item for item in items if "label" not in item and item["patient_id"] not in held_out]
        sections["unlabelled"] = [*rest]
    meta = {
        "name": "cmmd",
        "task": "multiclass",
        "classes": CLASSES,
        "source": "CMMD, The Cancer Imaging Archive, doi:10.7937/tcia.eqde-4b16",
        "licence": "CC BY 4.0 as stated by TCIA",
        "split": "stratified by class, grouped by patient"
        if split == "stratified"
        else f"patients up to {LAST_TRAINING_ID} for training and validation, the others for testing",
        "seed": seed,
        "unlisted": unlisted,
    }
    return finish(folder, out, sections, meta)


def _names(value: str | Sequence[str]) -> list[str]:
    parts = value.split(",") if isinstance(value, str) else value
    return [str(part).strip() for part in parts]


def _sheet(folder: Path, sheet: str | None) -> Path:
    if sheet is not None:
        return Path(sheet) if Path(sheet).is_file() else folder / sheet
    found = next((folder / name for name in SHEETS if (folder / name).is_file()), None)
    if found is None:
        raise DatalistError(f"'{folder}' has no {SHEETS[0]} or .csv; download it from TCIA, or name it with --sheet")
    return found


def _labels(table: Path) -> dict[Side, int]:
    """Return the label of each breast."""
    rows = read_table(table)
    require_columns(rows, [PATIENT, SIDE, LABEL], table)
    labels: dict[Side, int] = {}
    for row in rows:
        side, word = side_of(row[SIDE]), row[LABEL].lower()
        if not side or word not in CLASSES:
            raise DatalistError(
                f"'{table}' has {SIDE} '{row[SIDE]}' and {LABEL} '{row[LABEL]}' for {row[PATIENT]}, expected L or R "
                "and Benign or Malignant"
            )
        if labels.setdefault((row[PATIENT], side), CLASSES.index(word)) != CLASSES.index(word):
            raise DatalistError(f"'{table}' calls side {side} of {row[PATIENT]} benign and malignant; keep one row")
    return labels


def _items(
    folder: Path, labels: Mapping[Side, int], unlisted: str, exclude: set[str], problems: Problems
) -> list[dict[str, Any]]:
    """Return the images with their labels; note files that cannot be used, report sides and patients without images."""
    files = [path for path in sorted(folder.rglob("*")) if path.is_file() and is_dicom_name(path)]
    if not files:
        raise DatalistError(f"'{folder}' holds no DICOM file; name the folder that the NBIA Data Retriever has filled")
    items: list[dict[str, Any]] = []
    seen: set[Side] = set()
    without_row: Counter[Side] = Counter()
    without_view: list[str] = []
    for path in tqdm(files, desc="reading tags", unit="file", leave=False, disable=None):
        name = path.relative_to(folder).as_posix()
        try:
            tags = read_tags(path)
        except CaseError as error:
            problems.add("files that cannot be read", str(error))
            continue
        if tags.patient in exclude:
            continue
        if not tags.patient or tags.laterality not in ("L", "R"):
            missing = "both breasts in one image" if tags.laterality == BOTH else "no PatientID or ImageLaterality"
            problems.add(f"files with {missing}", name)
            continue
        side = (tags.patient, tags.laterality)
        seen.add(side)
        item: dict[str, Any] = {"image": name, "patient_id": tags.patient, "laterality": tags.laterality}
        if side in labels or unlisted == "benign":
            item["label"] = labels.get(side, 0)
        if side not in labels:
            without_row[side] += 1
            if unlisted == "leave_out":
                continue
        if tags.view:
            item["view"] = tags.view
        else:
            without_view.append(name)
        items.append(item)
    _report(labels, seen, without_row, without_view, unlisted)
    return _named(items)


def _report(
    labels: Mapping[Side, int], seen: set[Side], without_row: Counter[Side], without_view: list[str], unlisted: str
) -> None:
    if without_row:
        examples = ", ".join(f"{patient} {side}" for patient, side in sorted(without_row)[:3])
        count = sum(without_row.values())
        logger.warning(
            "%d images of %d breasts without a row in the sheet %s: %s",
            count,
            len(without_row),
            UNLISTED[unlisted],
            examples,
        )
    if without_view:
        logger.warning(
            "%d images have no view (CC, MLO) in their tags: %s", len(without_view), ", ".join(without_view[:3])
        )
    absent = sorted({*labels} - seen)
    if absent:
        examples = ", ".join(f"{patient} {side}" for patient, side in absent[:3])
        logger.warning("%d breasts of the sheet have no image: %s", len(absent), examples)


def _named(items: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Add case ids from patient, side, view, and a number where these are not unique."""
    counts: Counter[str] = Counter()
    named = []
    for item in items:
        name = case_id_from("_".join([item["patient_id"], item["laterality"], item.get("view", "view")]))
        counts[name] += 1
        named.append({"case_id": name if counts[name] == 1 else f"{name}_{counts[name]}", **item})
    return named


def _add_regions(folder: Path, items: list[dict[str, Any]]) -> None:
    """Add boxes and masks of malignant lesions from the side file, if there is one."""
    table = folder / REGIONS
    if not table.is_file():
        return
    rows = read_table(table)
    require_columns(rows, REGION_COLUMNS, table)
    by_image = {item["image"]: item for item in items}
    for row in rows:
        item = by_image.get(row["image"])
        if item is None or item.get("label") != 1 or row["classification"].lower() != CLASSES[1]:
            continue
        try:
            box = [float(row[key]) for key in ("x0", "y0", "x1", "y1")]
        except ValueError as error:
            raise DatalistError(f"a box of '{row['image']}' in '{table}' is not a number ({error})") from None
        if box[2] <= box[0] or box[3] <= box[1]:
            raise DatalistError(f"a box of '{row['image']}' in '{table}' is {box}, expected x0 < x1 and y0 < y1")
        item.setdefault("boxes", []).append(box)
        if row["mask"] and item.setdefault("mask", row["mask"]) != row["mask"]:
            raise DatalistError(f"'{table}' names two masks for '{row['image']}'; write all its lesions into one")


def _by_id(items: Sequence[Mapping[str, Any]], seed: int) -> dict[str, list[Mapping[str, Any]]]:
    """Divide the patients by their ids, then cut the validation part off the first ones, by patient."""
    early = [item for item in items if item["patient_id"] <= LAST_TRAINING_ID]
    late = [item for item in items if item["patient_id"] > LAST_TRAINING_ID]
    if not late:
        raise DatalistError(
            f"no patient comes after {LAST_TRAINING_ID}, so the test set would be empty; complete the data"
        )
    divided = split_items(early, (1 - VALIDATION_SHARE, VALIDATION_SHARE, 0), seed)
    divided["test"] = late
    return divided
