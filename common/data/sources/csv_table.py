"""Convert any folder of images with a table to a datalist."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from common.data.datalist import case_id_from
from common.data.datalist_checks import SECTIONS, suggestion
from common.data.errors import DatalistError
from common.data.sources.copies import without_copies
from common.data.sources.finish import finish, split_items
from common.data.sources.problems import Problems
from common.data.sources.table_labels import LabelRules, read_labels, refuse_empty
from common.data.structures import parse_structures
from common.data.tables import Row, read_table, require_columns

# Words for the three splits found in published tables.
SPLIT_WORDS = {
    "train": "training", "training": "training", "val": "validation", "valid": "validation", "validation": "validation",
    "dev": "validation", "test": "test", "testing": "test",
}  # fmt: skip


def convert(
    root: str,
    out: str | None = None,
    table: str | None = None,
    image: str | Sequence[str] = "image",
    label: str | Sequence[str] = "label",
    separator: str | None = None,
    classes: str | Sequence[str] | None = None,
    background: str | None = None,
    uncertain: str = "refuse",
    blank: str = "refuse",
    unknown: str = "refuse",
    where: str | None = None,
    mask: str | None = None,
    structures: str | Mapping[str, Any] | None = None,
    boxes: str | Sequence[str] | None = None,
    patient: str | None = None,
    patient_pattern: str | None = None,
    group: str | None = None,
    split: str | None = None,
    image_folder: str = "",
    fractions: Sequence[float] = (0.7, 0.15, 0.15),
    seed: int = 0,
    name: str | None = None,
    on_problem: str = "refuse",
) -> Path:
    """Any folder of images with a table (CSV, XLSX), one row an image.

    Example: a folder with images/*.png and labels.csv with the columns file, diagnosis, patient

        python -m scripts.prepare csv --root my_data --image file --label diagnosis --patient patient

    Several columns of 0/1, or one column with names between separators, make a multi-label data set:

        python -m scripts.prepare csv --root chest --label edema,mass,nodule --patient subject
        python -m scripts.prepare csv --root chest --label findings --separator "|" --classes edema,mass,nodule

    A table in the form of CheXpert: patients in the path, empty for not mentioned, -1 for uncertain

        python -m scripts.prepare csv --root CheXpert --table train.csv --image Path --label "Edema,Pleural Effusion"
            --background "No Finding" --blank zero --uncertain one --patient Path --patient_pattern "patient[0-9]+"
            --where "Frontal/Lateral=Frontal" --on_problem skip

    A table in the form of PadChest: the path in two columns, lists of names of which some are wanted

        python -m scripts.prepare csv --root PadChest --image ImageDir,ImageID --label Labels --separator list
            --classes "cardiomegaly,pleural effusion" --background normal --unknown ignore --patient PatientID
            --where "Projection=PA|AP" --on_problem skip

    Masks of several structures, for networks that segment, need to say which pixel value means what:

        python -m scripts.prepare csv --root eyes --mask mask --structures background=255,rim=128,cup=0

    Args:
        root: the folder; paths in the table start here.
        out: the datalist to write; default ROOT/datalist.json.
        table: the table's file; default the only .csv, .tsv or .xlsx in ROOT.
        image: column with the image's path; several, separated by commas, are joined to folder/name.
        label: column with the class; several, separated by commas, each with 0 or 1, for a multi-label task.
        separator: what stands between the names if the label column holds several ("|"); none present is an empty cell.
            "list" for cells like ['edema', 'mass'].
        classes: names of the classes, in the wanted order; default the labels found, sorted.
        background: in a multi-label task, the name or the column of 0 and 1 that says that there is no finding. Rows
            that say it beside a label, and rows that say neither, are then refused. Without it, no label means none.
        uncertain: what -1 means in columns of labels: refuse, zero, one, or skip (leave the case out).
        blank: what an empty cell means in columns of labels: refuse, zero, or skip.
        unknown: what to do with names in the label column that are not in classes: refuse or ignore.
        where: rows to take, as column=value or column=value|value.
        mask: column with the path of the mask; may be empty in some rows. Without structures it marks a region of
            interest in white.
        structures: the pixel values of the masks, the background first: name=value, separated by commas; several
            values of one structure as name=value+value.
        boxes: the four columns of a box in pixels, "x0,y0,x1,y1"; rows with the same image add their boxes up.
        patient: column with the patient; no patient gets into two splits.
        patient_pattern: regular expression of the part of that column that names the patient, such as "patient[0-9]+".
        group: column with a coarser group, such as the hospital, to keep together instead of the patient.
        split: column with the split (train, val, test); without it the cases are split here.
        image_folder: folder between ROOT and the paths in the image column.
        fractions: shares of training, validation and test.
        seed: seed of the split.
        name: name of the data set; default the name of ROOT.
        on_problem: what to do with rows that contradict themselves or say nothing (see background), and with copies of
            an image that have different labels: "refuse" the data set or "skip" them with a warning.

    Returns:
        The datalist written.
    """
    folder, problems = Path(root), Problems(on_problem)
    source = _find_table(folder, table)
    image_columns, label_columns, box_columns = _names(image), _names(label), _names(boxes)
    if box_columns and len(box_columns) != 4:
        raise DatalistError(f"boxes names {len(box_columns)} columns ({', '.join(box_columns)}), expected x0,y0,x1,y1")
    rules = LabelRules(label_columns, separator, _names(classes), background, uncertain, blank, unknown)
    rows = _wanted(read_table(source), where, source)
    told = [background] if background and len(label_columns) > 1 else []
    optional = [column for column in (mask, patient, group, split, *told) if column]
    require_columns(rows, [*image_columns, *label_columns, *box_columns, *optional], source)
    label_map = _label_map(structures, mask)
    refuse_empty(rows, [*image_columns, *(column for column in (patient, group, split) if column)], source)
    paths = [Path(image_folder, *(row[column] for column in image_columns)) for row in rows]
    people = _people(rows, patient, patient_pattern, source)
    labels, names, task = read_labels(rows, [path.as_posix() for path in paths], rules, source, problems)

    items: dict[str, dict[str, Any]] = {}
    splits: dict[str, str] = {}
    for row, path, value, person in zip(rows, paths, labels, people, strict=True):
        if value is None:
            continue
        name_of = Path(*(row[column] for column in image_columns))
        item: dict[str, Any] = {"case_id": case_id_from(name_of), "image": path.as_posix(), "label": value}
        if mask and row[mask]:
            item["mask"] = row[mask]
        item |= {key: text for key, text in (("patient_id", person), ("group", row.get(group or ""))) if text}
        if box_columns and all(row[column] for column in box_columns):
            item["boxes"] = [_box(row, box_columns, source)]
        _add(items, item, source)
        if split:
            splits[item["case_id"]] = _split_word(row[split], source)

    kept = without_copies(list(items.values()), folder, problems)
    problems.settle(folder)
    sections: Mapping[str, Sequence[Mapping[str, Any]]]
    if split:
        sections = {section: [item for item in kept if splits[item["case_id"]] == section] for section in SECTIONS}
    else:
        sections = split_items(kept, fractions, seed, group="group" if group else "patient_id")
    by = "by the table" if split else f"by {group or patient}" if group or patient else "by case (patients unknown)"
    meta = {
        "name": name or folder.resolve().name,
        "task": task,
        "classes": names,
        "source": source.name,
        "split": by,
        "seed": seed,
        **({"background": background} if background else {}),
        **label_map,
    }
    return finish(folder, out, sections, meta)


def _wanted(rows: list[Row], where: str | None, source: Path) -> list[Row]:
    """Return the rows that a condition asks for."""
    if where is None:
        return rows
    column, _, values = str(where).partition("=")
    if not values:
        raise DatalistError(f"where is '{where}', expected column=value, such as Projection=PA")
    require_columns(rows, [column.strip()], source)
    wanted = {value.strip() for value in values.split("|")}
    kept = [row for row in rows if row[column.strip()] in wanted]
    if not kept:
        there = sorted({row[column.strip()] for row in rows})
        raise DatalistError(f"no row of '{source}' has {where}{suggestion(values, there[:20])}")
    return kept


def _people(rows: Sequence[Row], column: str | None, pattern: str | None, source: Path) -> list[str | None]:
    """Return the patient of each row, None where the table does not tell."""
    if pattern is None or column is None:
        if pattern is not None:
            raise DatalistError(f"patient_pattern is '{pattern}', but no column to look in is named; add --patient")
        return [row[column] if column else None for row in rows]
    try:
        searched = [re.search(pattern, row[column]) for row in rows]
    except re.error as error:
        raise DatalistError(f"patient_pattern '{pattern}' is no regular expression ({error})") from None
    for row, match in zip(rows, searched, strict=True):
        if not match:
            raise DatalistError(f"'{row[column]}' in '{source}' holds nothing like patient_pattern '{pattern}'")
    return [match[0] if match else None for match in searched]


def _find_table(folder: Path, table: str | None) -> Path:
    if not folder.is_dir():
        raise DatalistError(f"root '{folder}' does not exist; name the folder that holds the images and the table")
    if table is not None:
        return folder / table
    found = sorted(file for file in folder.iterdir() if file.suffix.lower() in {".csv", ".tsv", ".xlsx", ".xls"})
    if len(found) != 1:
        there = ", ".join(file.name for file in found) or "none"
        raise DatalistError(f"expected one table in '{folder}', found {there}; name it with --table")
    return found[0]


def _names(value: str | Sequence[str] | None) -> list[str]:
    """Return a list of names from what a command line gives: a text with commas, or a tuple."""
    if value is None:
        return []
    parts = value.split(",") if isinstance(value, str) else value
    return [str(part).strip() for part in parts]


def _label_map(structures: str | Mapping[str, Any] | None, mask: str | None) -> dict[str, Any]:
    """Return what the datalist's meta says about the masks; nothing for regions of interest."""
    if structures is None:
        return {}
    if not mask:
        raise DatalistError(f"structures is '{structures}', but no column with masks is named; add --mask <column>")
    try:
        return {"structures": parse_structures(structures)}
    except ValueError as error:
        raise DatalistError(str(error)) from None


def _box(row: Row, columns: Sequence[str], source: Path) -> list[float]:
    try:
        x0, y0, x1, y1 = (float(row[column]) for column in columns)
    except ValueError as error:
        raise DatalistError(
            f"a box in '{source}' is not a number ({error}); expected pixels in {', '.join(columns)}"
        ) from None
    if x1 <= x0 or y1 <= y0:
        raise DatalistError(
            f"a box in '{source}' is [{x0}, {y0}, {x1}, {y1}], expected x0 < x1 and y0 < y1 (not width, height)"
        )
    return [x0, y0, x1, y1]


def _split_word(word: str, source: Path) -> str:
    if word.lower() not in SPLIT_WORDS:
        raise DatalistError(f"'{source}' has the unknown split '{word}'{suggestion(word.lower(), list(SPLIT_WORDS))}")
    return SPLIT_WORDS[word.lower()]


def _add(items: dict[str, dict[str, Any]], item: Mapping[str, Any], source: Path) -> None:
    """Add a case; a further row of the same image may only add boxes."""
    old = items.get(item["case_id"])
    if old is None:
        items[item["case_id"]] = dict(item)
        return
    if {key: value for key, value in old.items() if key != "boxes"} != {k: v for k, v in item.items() if k != "boxes"}:
        raise DatalistError(
            f"'{source}' has rows for the image '{item['image']}' that disagree on label, mask or patient, or another "
            f"image with the same case name '{item['case_id']}'; keep one row an image, several only for several boxes"
        )
    if "boxes" not in item:
        raise DatalistError(f"'{source}' lists the image '{item['image']}' twice; keep one row")
    old["boxes"] = [*old.get("boxes", []), *item["boxes"]]
