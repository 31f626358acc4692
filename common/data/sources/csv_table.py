"""Convert any folder of images with a table to a datalist."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from common.data.datalist import case_id_from
from common.data.datalist_checks import SECTIONS, suggestion
from common.data.errors import DatalistError
from common.data.sources.finish import finish, split_items
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
    image: str = "image",
    label: str | Sequence[str] = "label",
    separator: str | None = None,
    classes: str | Sequence[str] | None = None,
    mask: str | None = None,
    structures: str | Mapping[str, Any] | None = None,
    boxes: str | Sequence[str] | None = None,
    patient: str | None = None,
    group: str | None = None,
    split: str | None = None,
    image_folder: str = "",
    fractions: Sequence[float] = (0.7, 0.15, 0.15),
    seed: int = 0,
    name: str | None = None,
) -> Path:
    """Any folder of images with a table (CSV, XLSX), one row an image.

    Example: a folder with images/*.png and labels.csv with the columns file, diagnosis, patient

        python -m scripts.prepare csv --root my_data --image file --label diagnosis --patient patient

    Several columns of 0/1, or one column with names between separators, make a multi-label data set:

        python -m scripts.prepare csv --root chest --label edema,mass,nodule --patient subject
        python -m scripts.prepare csv --root chest --label findings --separator "|" --classes edema,mass,nodule

    Masks of several structures, for networks that segment, need to say which pixel value means what:

        python -m scripts.prepare csv --root eyes --mask mask --structures background=255,rim=128,cup=0

    Args:
        root: the folder; paths in the table start here.
        out: the datalist to write; default ROOT/datalist.json.
        table: the table's file; default the only .csv, .tsv or .xlsx in ROOT.
        image: column with the image's path.
        label: column with the class; several, separated by commas, each with 0 or 1, for a multi-label task.
        separator: what stands between the names if the label column holds several ("|"); none present is an empty cell.
        classes: names of the classes, in the wanted order; default the labels found, sorted.
        mask: column with the path of the mask; may be empty in some rows. Without structures it marks a region of
            interest in white.
        structures: the pixel values of the masks, the background first: name=value, separated by commas; several
            values of one structure as name=value+value.
        boxes: the four columns of a box in pixels, "x0,y0,x1,y1"; rows with the same image add their boxes up.
        patient: column with the patient; no patient gets into two splits.
        group: column with a coarser group, such as the hospital, to keep together instead of the patient.
        split: column with the split (train, val, test); without it the cases are split here.
        image_folder: folder between ROOT and the paths in the image column.
        fractions: shares of training, validation and test.
        seed: seed of the split.
        name: name of the data set; default the name of ROOT.

    Returns:
        The datalist written.
    """
    folder = Path(root)
    source = _find_table(folder, table)
    rows = read_table(source)
    label_columns, box_columns = _names(label), _names(boxes)
    if box_columns and len(box_columns) != 4:
        raise DatalistError(f"boxes names {len(box_columns)} columns ({', '.join(box_columns)}), expected x0,y0,x1,y1")
    optional = [column for column in (mask, patient, group, split) if column]
    require_columns(rows, [image, *label_columns, *box_columns, *optional], source)
    label_map = _label_map(structures, mask)
    _refuse_empty(rows, [image, *(column for column in (patient, group, split) if column)], source)
    labels, names, task = _labels(rows, label_columns, separator, _names(classes), source)

    items: dict[str, dict[str, Any]] = {}
    splits: dict[str, str] = {}
    for row, value in zip(rows, labels, strict=True):
        item: dict[str, Any] = {
            "case_id": case_id_from(row[image]),
            "image": (Path(image_folder) / row[image]).as_posix(),
        }
        item["label"] = value
        if mask and row[mask]:
            item["mask"] = row[mask]
        item |= {key: row[column] for key, column in (("patient_id", patient), ("group", group)) if column}
        if box_columns and all(row[column] for column in box_columns):
            item["boxes"] = [_box(row, box_columns, source)]
        _add(items, item, source)
        if split:
            splits[item["case_id"]] = _split_word(row[split], source)

    kept = list(items.values())
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
        **label_map,
    }
    return finish(folder, out, sections, meta)


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


def _refuse_empty(rows: Sequence[Row], columns: Sequence[str], source: Path) -> None:
    for column in columns:
        empty = [str(number) for number, row in enumerate(rows, start=2) if not row[column]]
        if empty:
            more = ", ..." if len(empty) > 3 else ""
            raise DatalistError(
                f"column '{column}' of '{source}' is empty in {len(empty)} rows ({', '.join(empty[:3])}{more}); "
                "fill them or remove those rows"
            )


def _labels(
    rows: Sequence[Row], columns: Sequence[str], separator: str | None, classes: list[str], source: Path
) -> tuple[list[Any], list[str], str]:
    """Return the labels as the datalist wants them, the names of the classes and the task."""
    if len(columns) > 1:
        if classes and len(classes) != len(columns):
            raise DatalistError(
                f"there are {len(columns)} label columns and {len(classes)} classes; give one name each"
            )
        return (
            [[_flag(row, column, source) for column in columns] for row in rows],
            classes or list(columns),
            "multilabel",
        )
    column = columns[0]
    if separator is None:
        _refuse_empty(rows, [column], source)
        found = {row[column] for row in rows}
        names = classes or sorted(found, key=_natural)
        return [_index(row[column], names, source) for row in rows], names, "multiclass"
    present = [{part.strip() for part in row[column].split(separator) if part.strip()} for row in rows]
    names = classes or sorted(set().union(*present), key=_natural)
    unknown = [part for parts in present for part in parts if part not in names]
    if unknown:
        _index(unknown[0], names, source)
    return [[int(name in parts) for name in names] for parts in present], names, "multilabel"


def _natural(text: str) -> tuple[float, str]:
    """Sort numbers by value, before words."""
    try:
        return float(text), text
    except ValueError:
        return float("inf"), text


def _index(text: str, names: Sequence[str], source: Path) -> int:
    if text not in names:
        raise DatalistError(f"'{source}' has the unknown label '{text}'{suggestion(text, names)}")
    return names.index(text)


def _flag(row: Row, column: str, source: Path) -> int:
    if row[column] in {"1", "1.0"}:
        return 1
    if row[column] in {"0", "0.0"}:
        return 0
    raise DatalistError(
        f"column '{column}' of '{source}' holds '{row[column]}', expected 0 or 1; convert other codes first"
    )


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
