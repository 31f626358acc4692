"""Convert REFUGE, 1200 fundus photographs with optic disc and cup, in its three official subsets."""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, UnidentifiedImageError
from tqdm import tqdm

from common.data.crop import square_around
from common.data.datalist_checks import SECTIONS
from common.data.errors import CaseError, DatalistError
from common.data.label_reader import LabelReader2D
from common.data.segmentation import unknown_values
from common.data.sources.finish import finish, split_items
from common.data.sources.problems import Problems
from common.data.structures import structure_indices
from common.data.tables import SPREADSHEETS, read_table

CLASSES = ["no glaucoma", "glaucoma"]
STRUCTURES = [
    {"name": "background", "values": [255]},
    {"name": "rim", "values": [128]},
    {"name": "cup", "values": [0]},
]
MASK_FOLDER = "Disc_Cup_Masks"
# The first letter of an id tells the subset: g and n are glaucoma and normal eyes for training.
SUBSETS = {"g": "training", "n": "training", "v": "validation", "t": "test"}
OFFICIAL = {"training": "Training400", "validation": "REFUGE-Validation400", "test": "REFUGE-Test400"}
ID = re.compile(r"[gnvt]\d+", re.IGNORECASE)
IMAGES, MASKS = {".jpg", ".jpeg", ".png"}, {".bmp", ".png", ".jpg", ".jpeg"}
FOLDER_LABELS = {"glaucoma": 1, "non-glaucoma": 0}
# Column names with everything but letters and digits taken away.
NAME_COLUMNS, LABEL_COLUMNS = {"imgname", "imagename"}, {"labelglaucoma1", "glaucomalabel"}

logger = logging.getLogger(__name__)


def convert(
    root: str,
    out: str | None = None,
    crop: float | None = None,
    allow_missing_masks: bool = False,
    on_problem: str = "refuse",
    fractions: Sequence[float] | None = None,
    seed: int = 0,
) -> Path:
    """REFUGE: 1200 fundus photographs, glaucoma or not, masks of optic disc and cup, in the official layout.

    Expects the archives unpacked below ROOT, in any depth: images named g0001.jpg, n0001.jpg (training), V0001.jpg
    (validation), T0001.jpg (test); masks of the same names in folders called Disc_Cup_Masks (0 cup, 128 disc rim,
    255 background); labels of validation and test in a spreadsheet or CSV with the columns ImgName and
    "Label(Glaucoma=1)" or "Glaucoma Label". Images, masks and labels are paired by these ids. Every mask is read once
    and checked.

    The cup and disc fill a small part of a photograph. --crop 2.5 adds a square of 2.5 disc heights around the disc of
    the mask to each case, which the training's disc crop cuts out. On validation and test images this uses the
    reference mask too: say so with the results, or find the disc with a network first.

    Example:
        python -m scripts.prepare refuge --root REFUGE
        python -m scripts.prepare refuge --root REFUGE --crop 2.5 --out REFUGE/disc.json

    Args:
        root: the folder.
        out: the datalist to write; default ROOT/datalist.json.
        crop: side of the square around the disc, in disc heights or widths, whichever is larger; default none.
        allow_missing_masks: keep images without mask; training can learn the class from them.
        on_problem: what to do with images without mask or label, masks and labels without image, and masks that cannot
            be used: "refuse" the data set or "skip" them with a warning.
        fractions: shares of training, validation and test, to split whatever subsets there are; default the official
            subsets, which must all be there.
        seed: seed of that split.

    Returns:
        The datalist written.
    """
    folder = Path(root)
    if not folder.is_dir():
        raise DatalistError(f"root '{folder}' does not exist; name the folder that holds the unpacked archives")
    if crop is not None and not crop >= 1:
        raise DatalistError(f"crop is {crop}, expected 1 or more disc heights, such as 2.5, or nothing")
    problems = Problems(on_problem)
    images, masks = _files(folder, IMAGES, in_masks=False), _files(folder, MASKS, in_masks=True)
    if not images:
        raise DatalistError(f"'{folder}' holds no image named like g0001.jpg, n0001.jpg, V0001.jpg or T0001.jpg")
    labels = _labels(folder, images, problems)
    items = []
    for key in tqdm(sorted(images), desc="reading masks", unit="mask", leave=False, disable=None):
        item = _item(folder, images[key], masks.get(key), labels.get(key), crop, allow_missing_masks, problems)
        if item is not None:
            items.append(item)
    for key in sorted({*masks, *labels} - {*images}):
        problems.add("masks without image" if key in masks else "labels without image", key)
    problems.settle(folder)
    meta = {
        "name": "refuge",
        "task": "multiclass",
        "classes": CLASSES,
        "structures": STRUCTURES,
        "source": "REFUGE challenge (MICCAI 2018), refuge.grand-challenge.org",
        "licence": "terms of the challenge: research only, see refuge.grand-challenge.org",
        "split": "official subsets" if fractions is None else "stratified by class",
        "seed": None if fractions is None else seed,
        "crop": None if crop is None else f"{crop} disc heights around the disc of the reference mask, in every split",
    }
    sections = _official(items) if fractions is None else split_items(items, fractions, seed)
    return finish(folder, out, sections, meta)


def _files(folder: Path, suffixes: set[str], in_masks: bool) -> dict[str, Path]:
    """Return the files that are named by an id, below folders of masks or elsewhere: lower-case id to path."""
    found: dict[str, Path] = {}
    for path in sorted(folder.rglob("*")):
        inside = MASK_FOLDER in path.relative_to(folder).parts
        if inside != in_masks or path.suffix.lower() not in suffixes or not ID.fullmatch(path.stem):
            continue
        key = path.stem.lower()
        if key in found:
            raise DatalistError(f"'{found[key]}' and '{path}' have the same id; keep one of them below '{folder}'")
        found[key] = path
    return found


def _labels(folder: Path, images: Mapping[str, Path], problems: Problems) -> dict[str, int]:
    """Return the label of each id: from the name for training images, from the sheets for the others."""
    named = {key: _training_label(path) for key, path in images.items() if SUBSETS[key[0]] == "training"}
    return {**_sheet_labels(folder, problems), **named}


def _training_label(path: Path) -> int:
    """Return the label in the name of a training image; its folder must agree."""
    label = int(path.stem[0].lower() == "g")
    told = FOLDER_LABELS.get(path.parent.name.lower(), label)
    if told != label:
        raise DatalistError(
            f"'{path}' is a {CLASSES[label]} image by its name and lies in the folder '{path.parent.name}'; "
            "unpack the archive again"
        )
    return label


def _sheet_labels(folder: Path, problems: Problems) -> dict[str, int]:
    """Return the labels of all sheets below a folder that have some: lower-case id to label."""
    labels: dict[str, int] = {}
    for path in sorted(folder.rglob("*")):
        if path.suffix.lower() not in {*SPREADSHEETS, ".csv"} or path.name.startswith((".", "~$")):
            continue
        rows = read_table(path)
        columns = {re.sub(r"[^a-z0-9]", "", name.lower()): name for name in rows[0]}
        name, label = (
            next((columns[key] for key in keys & {*columns}), None) for keys in (NAME_COLUMNS, LABEL_COLUMNS)
        )
        if name is None or label is None:
            logger.info("'%s' has no labels; its columns are %s", path, ", ".join(rows[0]))
            continue
        for row in rows:
            key = Path(row[name]).stem.lower()
            if row[label] not in {"0", "1", "0.0", "1.0"}:
                problems.add(f"labels in '{path.name}' that are not 0 or 1", f"{row[name]} ('{row[label]}')")
                continue
            value = int(float(row[label]))
            if labels.setdefault(key, value) != value or (key[:1] in {"g", "n"} and value != int(key[0] == "g")):
                raise DatalistError(f"'{path}' contradicts another label of '{row[name]}'; keep one")
    return labels


def _item(
    folder: Path,
    image: Path,
    mask: Path | None,
    label: int | None,
    crop: float | None,
    allow_missing_masks: bool,
    problems: Problems,
) -> dict[str, Any] | None:
    """Return the case of an image, or None after noting why there is none."""
    name = image.stem
    if label is None:
        problems.add("images without label (tables need the columns ImgName and Label(Glaucoma=1))", name)
        return None
    item: dict[str, Any] = {"case_id": name, "image": image.relative_to(folder).as_posix(), "label": label}
    if mask is None:
        if allow_missing_masks and crop is None:
            return item
        problems.add("images without mask" + (", which crop needs" if allow_missing_masks else ""), name)
        return None
    try:
        disc, rows, columns = _disc_box(image, mask)
    except CaseError as error:
        problems.add("masks that cannot be used", str(error))
        return None
    item["mask"] = mask.relative_to(folder).as_posix()
    return item if crop is None else {**item, "crop": list(square_around(disc, crop, rows, columns))}


def _disc_box(image: Path, mask: Path) -> tuple[tuple[int, int, int, int], int, int]:
    """Return the box around rim and cup, x0, y0, x1, y1, and the size of the mask.

    Raises:
        CaseError: if the mask cannot be read, has unknown values or no disc, or another size than the image.
    """
    reader = LabelReader2D()
    values = reader.get_data(reader.read(mask))[0]
    indices, unknown = structure_indices(values, STRUCTURES)
    if unknown:
        raise CaseError(str(mask), *unknown_values(unknown, STRUCTURES, mask))
    rows, columns = indices.shape
    try:
        with Image.open(image) as file:
            width, height = file.size
    except (UnidentifiedImageError, OSError) as error:
        raise CaseError(str(image), f"the image cannot be read ({error})", "Unpack the archive again") from None
    if (rows, columns) != (height, width):
        what = f"the mask has {rows} x {columns} pixels, its image {height} x {width}"
        raise CaseError(str(mask), what, "Unpack the archive again")
    y, x = (np.flatnonzero(indices.any(axis)) for axis in (1, 0))
    if not len(y):
        raise CaseError(str(mask), "the mask marks no disc", "Unpack the archive again")
    return (int(x[0]), int(y[0]), int(x[-1]) + 1, int(y[-1]) + 1), rows, columns


def _official(items: Sequence[dict[str, Any]]) -> dict[str, list[dict[str, Any]]]:
    """Return the three subsets of the challenge, all of which must be there."""
    sections = {name: [i for i in items if SUBSETS[i["case_id"][0].lower()] == name] for name in SECTIONS}
    absent = [f"{name} ({OFFICIAL[name]})" for name in SECTIONS if not sections[name]]
    if absent:
        raise DatalistError(
            f"there is no usable image of {', '.join(absent)}; unpack these archives too, or split what is there with "
            "--fractions 0.7,0.15,0.15"
        )
    return sections
