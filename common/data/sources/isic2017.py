"""Convert ISIC 2017, dermoscopic images with lesion masks and three diagnoses, in the official parts."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from common.data.errors import DatalistError
from common.data.sources.finish import finish
from common.data.sources.problems import Problems
from common.data.tables import read_table, require_columns

CLASSES = ["nevus", "melanoma", "seborrheic keratosis"]
STRUCTURES = [{"name": "background", "values": [0]}, {"name": "lesion", "values": [255]}]
PARTS = {"training": "ISIC-2017_Training", "validation": "ISIC-2017_Validation", "test": "ISIC-2017_Test_v2"}
COLUMNS = ["image_id", "melanoma", "seborrheic_keratosis"]
IMAGE, MASK = (
    re.compile(r"(ISIC_\d+)\.jpe?g", re.IGNORECASE),
    re.compile(r"(ISIC_\d+)_segmentation\.png", re.IGNORECASE),
)


def convert(root: str, out: str | None = None, allow_missing_masks: bool = False, on_problem: str = "refuse") -> Path:
    """ISIC 2017: 2750 dermoscopic images of nevi, melanomas and seborrheic keratoses with masks of the lesion.

    Expects in ROOT, for each part P of ISIC-2017_Training, ISIC-2017_Validation and ISIC-2017_Test_v2, the unpacked
    P_Data (ISIC_0000000.jpg), P_Part1_GroundTruth (ISIC_0000000_segmentation.png, 255 in the lesion) and
    P_Part3_GroundTruth.csv (columns image_id, melanoma, seborrheic_keratosis; neither is a nevus). The parts are the
    splits. Patients are not known.

    Example:
        python -m scripts.prepare isic2017 --root ISIC2017

    Args:
        root: the folder.
        out: the datalist to write; default ROOT/datalist.json.
        allow_missing_masks: keep images without mask; training can learn the class from them.
        on_problem: what to do with images, masks and labels that lack one another, and labels that are not 0 or 1:
            "refuse" the data set or "skip" them with a warning.

    Returns:
        The datalist written.
    """
    folder = Path(root)
    problems = Problems(on_problem)
    sections = {name: _part_items(folder, part, allow_missing_masks, problems) for name, part in PARTS.items()}
    problems.settle(folder)
    meta = {
        "name": "isic2017",
        "task": "multiclass",
        "classes": CLASSES,
        "structures": STRUCTURES,
        "source": "ISIC 2017 challenge, challenge.isic-archive.com",
        "licence": "CC0 1.0 as stated by the archive",
        "split": "official parts",
    }
    return finish(folder, out, sections, meta)


def _part_items(folder: Path, part: str, allow_missing_masks: bool, problems: Problems) -> list[dict[str, Any]]:
    """Return the cases of one part, and note what cannot be used."""
    images = _by_id(folder / f"{part}_Data", IMAGE, "ISIC_0000000.jpg")
    masks = _by_id(folder / f"{part}_Part1_GroundTruth", MASK, "ISIC_0000000_segmentation.png")
    labels = _labels(folder / f"{part}_Part3_GroundTruth.csv", problems)
    items = []
    for name, image in images.items():
        if name not in labels:
            problems.add("images without label", name)
        elif name in masks or allow_missing_masks:
            item = {"case_id": name, "image": image.relative_to(folder).as_posix(), "label": labels[name]}
            items.append(item | ({"mask": masks[name].relative_to(folder).as_posix()} if name in masks else {}))
        else:
            problems.add("images without mask", name)
    for name in sorted({*masks, *labels} - {*images}):
        problems.add("masks without image" if name in masks else "labels without image", name)
    return items


def _by_id(folder: Path, pattern: re.Pattern[str], example: str) -> dict[str, Path]:
    if not folder.is_dir():
        raise DatalistError(f"'{folder}' does not exist; unpack that archive there")
    found = ((pattern.fullmatch(path.name), path) for path in sorted(folder.iterdir()))
    files = {match[1].upper(): path for match, path in found if match}
    if not files:
        raise DatalistError(f"'{folder}' holds no file named like {example}; unpack the archive again")
    return files


def _labels(table: Path, problems: Problems) -> dict[str, int]:
    rows = read_table(table)
    require_columns(rows, COLUMNS, table)
    labels = {}
    for row in rows:
        name, flags = row["image_id"].upper(), [row[column] for column in COLUMNS[1:]]
        if not {*flags} <= {"0", "1", "0.0", "1.0"} or all(float(flag) for flag in flags):
            problems.add("labels that are neither 0 nor 1, or 1 twice", f"{row['image_id']} ({', '.join(flags)})")
            continue
        if name in labels:
            raise DatalistError(f"'{table}' lists '{row['image_id']}' twice; keep one row")
        labels[name] = next((index for index, flag in enumerate(flags, 1) if float(flag)), 0)
    return labels
