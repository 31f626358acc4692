"""Convert INbreast, full-field digital mammograms with BI-RADS assessments and contours, in its release layout."""

from __future__ import annotations

import plistlib
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tqdm import tqdm

from common.data.errors import CaseError, DatalistError
from common.data.sources.files import existing_folder
from common.data.sources.finish import finish, split_items
from common.data.sources.mammography import (
    BIRADS_CLASSES,
    birads_label,
    check_birads,
    read_tags,
    side_of,
    write_mask,
)
from common.data.sources.problems import Problems
from common.data.tables import Row, read_table, require_columns

IMAGES, CONTOURS, MASKS = "AllDICOMs", "AllXML", "region_masks"
TABLES = ("INbreast.csv", "INbreast.xls", "INbreast.xlsx")
FILE, BIRADS, SIDE, VIEW = "File Name", "Bi-Rads", "Laterality", "View"
IMAGE_FILE = re.compile(r"(?P<number>\d+)_(?P<patient>[0-9a-f]+)_MG_[LR]_\w+_ANON\.dcm", re.IGNORECASE)
POINT = re.compile(r"\(\s*([-+.\deE]+)\s*,\s*([-+.\deE]+)\s*\)")
# As the contours are called, with the release's own misspellings; single calcifications are thousands of dots.
FINDINGS = ("mass", "cluster", "spiculated region", "espiculated region", "asymmetry", "assymetry", "distortion")

Contour = list[tuple[float, float]]


def convert(
    root: str,
    out: str | None = None,
    suspicious_from: int = 4,
    calcifications: bool = False,
    fractions: Sequence[float] = (0.6, 0.15, 0.25),
    seed: int = 0,
    on_problem: str = "refuse",
) -> Path:
    """INbreast: 410 mammograms of 115 cases as DICOM, BI-RADS of each image, contours of findings.

    Expects ROOT/INbreast.csv (columns File Name, Bi-Rads, Laterality, View), ROOT/AllDICOMs/<number>_<patient>_MG_
    <side>_<view>_ANON.dcm and ROOT/AllXML/<number>.xml. An image is suspicious if its BI-RADS category is 4 or more
    (4a, 4b, 4c too). The contours of suspicious images become boxes, and masks in ROOT/region_masks. The patient is in
    the file's name; all images of a patient stay in one split.

    Example:
        python -m scripts.prepare inbreast --root "INbreast Release 1.0"

    Args:
        root: the folder.
        out: the datalist to write; default ROOT/datalist.json.
        suspicious_from: smallest BI-RADS category that counts as suspicious.
        calcifications: take the contours of single calcifications too, beside masses, clusters, asymmetries,
            distortions and spiculated regions.
        fractions: shares of training, validation and test.
        seed: seed of the split.
        on_problem: what to do with images without row, rows without image or usable assessment, and contours that
            cannot be read: "refuse" the data set or "skip" these images with a warning.

    Returns:
        The datalist written.
    """
    check_birads(suspicious_from)
    folder = existing_folder(root, f"INbreast.csv, {IMAGES} and {CONTOURS}")
    problems = Problems(on_problem)
    rows = _rows(folder)
    findings = {*FINDINGS, "calcification"} if calcifications else {*FINDINGS}
    items = []
    images = _images(folder)
    for number in tqdm(sorted(images), desc="reading contours", unit="image", leave=False, disable=None):
        if number not in rows:
            problems.add("images without a row in the table", images[number].name)
            continue
        item = _item(folder, images[number], rows[number], suspicious_from, findings, problems)
        if item is not None:
            items.append(item)
    for number in sorted({*rows} - {*images}):
        problems.add("rows without image", number)
    problems.settle(folder)
    meta = {
        "name": "inbreast",
        "task": "multiclass",
        "classes": BIRADS_CLASSES,
        "source": "INbreast release 1.0, doi:10.1016/j.acra.2011.09.014",
        "licence": "for research, on request from the Breast Research Group, INESC Porto",
        "split": "stratified by class, grouped by patient",
        "seed": seed,
        "suspicious_from": suspicious_from,
        "calcifications": calcifications,
    }
    return finish(folder, out, split_items(items, fractions, seed), meta)


def _rows(folder: Path) -> dict[str, Row]:
    """Return the table by file number."""
    table = next((folder / name for name in TABLES if (folder / name).is_file()), folder / TABLES[0])
    rows = read_table(table)
    require_columns(rows, [FILE, BIRADS, SIDE, VIEW], table)
    return {row[FILE].split(".")[0]: row for row in rows if row[FILE].split(".")[0].isdigit()}


def _images(folder: Path) -> dict[str, Path]:
    files = sorted((folder / IMAGES).glob("*.dcm")) if (folder / IMAGES).is_dir() else []
    found = {match["number"]: path for path in files if (match := IMAGE_FILE.fullmatch(path.name))}
    if not found:
        example = "20586908_6c613a14b80a8591_MG_R_CC_ANON.dcm"
        raise DatalistError(f"'{folder / IMAGES}' holds no file named like {example}; unpack the release again")
    return found


def _item(
    folder: Path, image: Path, row: Row, suspicious_from: int, findings: set[str], problems: Problems
) -> dict[str, Any] | None:
    """Return the case of an image, or None after noting why there is none."""
    match, side = IMAGE_FILE.fullmatch(image.name), side_of(row[SIDE])
    assert match is not None
    try:
        label = birads_label(row[BIRADS], suspicious_from)
        tags = read_tags(image)
        contours = read_contours(folder / CONTOURS / f"{match['number']}.xml", findings) if label else []
    except ValueError as error:
        problems.add("images without a usable assessment", f"{image.name}: {error}")
        return None
    except CaseError as error:
        problems.add("images or contours that cannot be read", str(error))
        return None
    if not side or tags.laterality not in ("", side):
        problems.add("images whose side differs between table and tags", f"{image.name} ('{row[SIDE]}')")
        return None
    item = {
        "case_id": match["number"],
        "image": image.relative_to(folder).as_posix(),
        "label": label,
        "patient_id": match["patient"].lower(),
        "laterality": side,
        "view": row[VIEW].upper(),
    }
    if contours:
        mask = Path(MASKS, f"{match['number']}.png")
        write_mask(folder / mask, (tags.rows, tags.columns), contours)
        item |= {"mask": mask.as_posix(), "boxes": [_box(contour) for contour in contours]}
    return item


def read_contours(path: Path, findings: set[str]) -> list[Contour]:
    """Read the contours of an image from the property list that its viewer wrote.

    Args:
        path: the .xml file; an image without findings has none.
        findings: names of the contours to take, lower case.

    Returns:
        Corners (x, y) in pixels of each contour.

    Raises:
        CaseError: if the file is damaged.
    """
    if not path.is_file():
        return []
    try:
        content = plistlib.loads(path.read_bytes())
        regions = [region for image in content["Images"] for region in image["ROIs"]]
        chosen = [region["Point_px"] for region in regions if str(region["Name"]).strip().lower() in findings]
        contours = [[_point(point) for point in points] for points in chosen]
    except Exception as error:  # damaged XML raises its own errors, other property lists KeyError and TypeError
        raise CaseError(str(path), f"it is no list of contours, or damaged ({error})", "Unpack it again") from None
    return [contour for contour in contours if contour]


def _point(text: str) -> tuple[float, float]:
    match = POINT.fullmatch(text.strip())
    if match is None:
        raise ValueError(f"'{text}' is no point, expected (x, y)")
    return float(match[1]), float(match[2])


def _box(contour: Contour) -> list[float]:
    """Return the box round the pixels that a contour touches."""
    xs, ys = zip(*contour, strict=True)
    return [float(int(min(xs))), float(int(min(ys))), float(int(max(xs)) + 1), float(int(max(ys)) + 1)]
