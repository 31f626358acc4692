"""Convert NIH ChestX-ray14, frontal chest X-rays with up to fourteen findings and some boxes, in its official split."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from PIL import Image, UnidentifiedImageError
from tqdm import tqdm

from common.data.datalist import case_id_from
from common.data.datalist_checks import suggestion
from common.data.errors import DatalistError
from common.data.sources.copies import without_copies
from common.data.sources.files import existing_folder
from common.data.sources.finish import finish, split_items
from common.data.sources.problems import Problems
from common.data.tables import Row, read_table, require_columns

TABLES = ("Data_Entry_2017_v2020.csv", "Data_Entry_2017.csv")
BOXES = "BBox_List_2017.csv"
LISTS = {"training": "train_val_list.txt", "test": "test_list.txt"}
BACKGROUND = "No Finding"
COLUMNS = ["Image Index", "Finding Labels", "Patient ID"]
BOX_COLUMNS = ["Image Index", "Finding Label", "Bbox [x", "y", "w", "h]"]  # as the file's commas divide its header
BOX_SIDE = 1024  # pixels; what boxes refer to, also where images have been made smaller
SPELLINGS = {"Infiltrate": "Infiltration"}  # of the table of boxes
#: Images with each finding in the official lists: training with validation, and test.
OFFICIAL = {
    "Atelectasis": (8280, 3279), "Cardiomegaly": (1707, 1069), "Effusion": (8659, 4658), "Infiltration": (13782, 6112),
    "Mass": (4034, 1748), "Nodule": (4708, 1623), "Pneumonia": (876, 555), "Pneumothorax": (2637, 2665),
    "Consolidation": (2852, 1815), "Edema": (1378, 925), "Emphysema": (1423, 1093), "Fibrosis": (1251, 435),
    "Pleural_Thickening": (2242, 1143), "Hernia": (141, 86), BACKGROUND: (50500, 9861),
}  # fmt: skip
IMAGES = (86524, 25596)
CLASSES = [name for name in OFFICIAL if name != BACKGROUND]

logger = logging.getLogger(__name__)

Box = list[float]


def convert(
    root: str,
    out: str | None = None,
    classes: str | Sequence[str] | None = None,
    validation: float = 0.125,
    fractions: Sequence[float] | None = None,
    seed: int = 0,
    on_problem: str = "refuse",
) -> Path:
    """NIH ChestX-ray14: 112120 frontal chest X-rays of 30805 patients with up to fourteen findings, 984 boxes.

    Expects in ROOT Data_Entry_2017_v2020.csv (or Data_Entry_2017.csv), train_val_list.txt, test_list.txt, where wanted
    BBox_List_2017.csv, and the images anywhere below, such as images_001/images/00000001_000.png. The label of
    "No Finding" is 0 for every class. The official test list stays the test set; the validation set is cut off the
    other one, by patient. The numbers of findings are compared with the official ones.

    Boxes refer to 1024 pixels and are scaled where the images have been made smaller.

    Only some of the twelve archives there? --on_problem skip leaves out the rows whose image is missing, and says so.

    Example:
        python -m scripts.prepare chestxray14 --root ChestX-ray14
        python -m scripts.prepare chestxray14 --root ChestX-ray14 --classes Mass,Nodule,Effusion --on_problem skip

    Args:
        root: the folder.
        out: the datalist to write; default ROOT/datalist.json.
        classes: the findings to take, in the wanted order; default all fourteen. Images that have other findings only
            are left out then, since they are not "No Finding".
        validation: share of the official training list for validation, by patient.
        fractions: shares of training, validation and test, to split by patient instead of by the official lists.
        seed: seed of that split.
        on_problem: what to do with rows without image, images in no list, contradictory rows, boxes of unlisted images:
            "refuse" the data set or "skip" them with a warning.

    Returns:
        The datalist written.
    """
    folder = existing_folder(root, f"the images, {TABLES[0]}, {', '.join(LISTS.values())} and {BOXES}")
    names = _classes(classes)
    problems = Problems(on_problem)
    rows = _rows(folder, problems)
    boxes = _boxes(folder, rows, problems)
    images = {path.name: path for path in folder.rglob("*.png")}
    items, findings = [], {}
    for name, row in tqdm(rows.items(), desc="reading rows", unit="image", leave=False, disable=None):
        if name not in images:
            problems.add("rows whose image is missing", name)
            continue
        findings[case_id_from(name)] = row["Finding Labels"].split("|")
        item = _item(row, images[name].relative_to(folder).as_posix(), names)
        items.append(item | _boxes_in_pixels(boxes.get(name, {}), images[name], names))
    places = _places(folder, rows, problems) if fractions is None else dict.fromkeys(rows, "training")
    listed = [item for item in items if Path(item["image"]).name in places]
    listed.sort(key=lambda item: places[Path(item["image"]).name] != "test")
    listed = without_copies(listed, folder, problems)
    problems.settle(folder)
    parts = {part: [i for i in listed if places[Path(i["image"]).name] == part] for part in LISTS}
    if fractions is None:
        _compare_with_official({part: [findings[i["case_id"]] for i in parts[part]] for part in LISTS}, len(rows))
    parts = _without_others(parts, findings, names)
    shares = (1 - validation, validation, 0) if fractions is None else fractions
    sections = split_items(parts["training"], shares, seed)
    meta = {
        "name": "chestxray14",
        "task": "multilabel",
        "classes": names,
        "background": BACKGROUND,
        "source": "NIH Clinical Center, ChestX-ray14",
        "licence": "free use with attribution to the NIH Clinical Center, see the data set's README",
        "split": "official test list; validation by patient" if fractions is None else "by patient",
        "seed": seed,
    }
    return finish(folder, out, {**sections, "test": parts["test"]} if fractions is None else sections, meta)


def _classes(given: str | Sequence[str] | None) -> list[str]:
    names = given.split(",") if isinstance(given, str) else list(given or CLASSES)
    for name in names:
        if name not in CLASSES:
            raise DatalistError(f"classes has the unknown finding '{name}'{suggestion(name, CLASSES)}")
    return names


def _rows(folder: Path, problems: Problems) -> dict[str, Row]:
    """Return the rows of the table of findings by image, without those that cannot be used."""
    table = next((folder / name for name in TABLES if (folder / name).is_file()), folder / TABLES[0])
    given = read_table(table)
    require_columns(given, COLUMNS, table)
    rows: dict[str, Row] = {}
    for row in given:
        name, findings = row["Image Index"], row["Finding Labels"].split("|")
        unknown = [finding for finding in findings if finding and finding not in OFFICIAL]
        if unknown:
            raise DatalistError(
                f"'{table}' has the unknown finding '{unknown[0]}'{suggestion(unknown[0], list(OFFICIAL))}"
            )
        if name in rows:
            raise DatalistError(f"'{table}' lists the image '{name}' twice; keep one row")
        if not row["Finding Labels"]:
            problems.add(f"rows with neither a finding nor '{BACKGROUND}'", name)
        elif BACKGROUND in findings and len(findings) > 1:
            problems.add(f"rows with a finding and '{BACKGROUND}'", f"{name} ({row['Finding Labels']})")
        else:
            rows[name] = row
    return rows


def _item(row: Row, image: str, names: Sequence[str]) -> dict[str, Any]:
    findings = row["Finding Labels"].split("|")
    return {
        "case_id": case_id_from(row["Image Index"]),
        "image": image,
        "label": [int(name in findings) for name in names],
        "patient_id": row["Patient ID"],
    }


def _boxes(folder: Path, rows: Mapping[str, Row], problems: Problems) -> dict[str, dict[str, Box]]:
    """Return the boxes of each image by finding: x0, y0, x1, y1 in an image of 1024 pixels."""
    table = folder / BOXES
    if not table.is_file():
        logger.warning("there is no '%s': no image has boxes, so where findings are cannot be evaluated", table)
        return {}
    given = read_table(table)
    require_columns(given, BOX_COLUMNS, table)
    boxes: dict[str, dict[str, Box]] = {}
    for row in given:
        name, finding = row["Image Index"], SPELLINGS.get(row["Finding Label"], row["Finding Label"])
        if finding not in CLASSES:
            raise DatalistError(f"'{table}' has the unknown finding '{finding}'{suggestion(finding, CLASSES)}")
        try:
            x, y, width, height = (float(row[column]) for column in BOX_COLUMNS[2:])
        except ValueError as error:
            raise DatalistError(f"the box of '{name}' in '{table}' is no number ({error}); correct it") from None
        if name not in rows:
            problems.add(f"boxes in {BOXES} of images that are not in the table of findings", name)
        elif finding not in rows[name]["Finding Labels"].split("|"):
            problems.add(f"boxes in {BOXES} of findings that the image does not have", f"{name} ({finding})")
        elif finding in boxes.get(name, {}) or not (width > 0 and height > 0):
            problems.add(f"boxes in {BOXES} that are empty or given twice", f"{name} ({finding})")
        else:
            boxes.setdefault(name, {})[finding] = [x, y, x + width, y + height]
    return boxes


def _boxes_in_pixels(boxes: Mapping[str, Box], image: Path, names: Sequence[str]) -> dict[str, Any]:
    """Return what the item says about the boxes of its classes, in pixels of the file."""
    wanted = [name for name in names if name in boxes]
    if not wanted:
        return {}
    try:
        with Image.open(image) as file:
            scale = [file.width / BOX_SIDE, file.height / BOX_SIDE] * 2
    except (UnidentifiedImageError, OSError) as error:
        raise DatalistError(f"'{image}' cannot be read ({error}); unpack its archive again") from None
    pixels = [[round(value * factor, 3) for value, factor in zip(boxes[name], scale, strict=True)] for name in wanted]
    return {"boxes": pixels, "box_labels": wanted}


def _places(folder: Path, rows: Mapping[str, Row], problems: Problems) -> dict[str, str]:
    """Return which of the official lists each image is in."""
    places: dict[str, str] = {}
    for part, list_name in LISTS.items():
        path = folder / list_name
        if not path.is_file():
            raise DatalistError(f"'{path}' does not exist; put it there, or split anew with --fractions 0.7,0.1,0.2")
        for name in path.read_text(encoding="utf-8").split():
            if places.setdefault(name, part) != part:
                raise DatalistError(f"'{name}' is in {' and in '.join(LISTS.values())}; keep it in one list")
    for name in rows:
        if name not in places:
            problems.add("images in neither of the lists", name)
    return places


def _without_others(
    parts: Mapping[str, list[dict[str, Any]]], findings: Mapping[str, Sequence[str]], names: Sequence[str]
) -> dict[str, list[dict[str, Any]]]:
    """Leave out the images that have findings, but none of the wanted ones."""
    kept = {
        part: [i for i in items if any(i["label"]) or findings[i["case_id"]] == [BACKGROUND]]
        for part, items in parts.items()
    }
    dropped = sum(map(len, parts.values())) - sum(map(len, kept.values()))
    if dropped:
        logger.warning("left out: %d images that have other findings only than %s", dropped, ", ".join(names))
    return kept


def _compare_with_official(findings: Mapping[str, Sequence[Sequence[str]]], rows: int) -> None:
    """Say where the numbers are not the official ones; a part of the data set has no numbers to compare with."""
    for position, (part, expected) in enumerate(zip(LISTS, IMAGES, strict=True)):
        found = findings[part]
        if len(found) != expected:
            # A small table is a data set of its own; a full one with few images is an unfinished download.
            level = logging.WARNING if rows >= sum(IMAGES) // 2 else logging.INFO
            text = "%s has %d of the %d images, so the numbers of findings are not compared with the official ones"
            logger.log(level, text, LISTS[part], len(found), expected)
            continue
        counts = Counter(name for names in found for name in names)
        wrong = [f"{n} {counts[n]} for {OFFICIAL[n][position]}" for n in OFFICIAL if counts[n] != OFFICIAL[n][position]]
        if wrong:
            logger.warning("%s: numbers differ from the official ones: %s", LISTS[part], ", ".join(wrong))
