"""The datalist: one JSON file that says which case belongs to which split, read by every bundle.

    {"training": [item, ...], "validation": [...], "test": [...],
     "meta": {"name": ..., "task": "multiclass" | "multilabel", "classes": [...], ...}}

An item has ``case_id``, ``image`` (or ``views``) and ``label`` (a class index, or one 0/1 per class), and optionally
``mask``, ``boxes`` ([[x0, y0, x1, y1], ...] in source pixels), ``box_labels`` (a class name each), ``crop``
([x0, y0, x1, y1]), ``patient_id``, ``group`` and ``report``. Masks of several structures need the label map
``meta.structures``, see :mod:`common.data.structures`.
A list "unlabelled" may hold cases without a label, see :mod:`common.data.label_fraction`.
Paths are relative to ``meta.root``, itself relative to the datalist's folder (default: that folder).
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from common.data.datalist_checks import SECTIONS, check_datalist, suggestion, warn_of_unseen_findings
from common.data.errors import DatalistError
from common.data.structures import EXAMPLE
from common.utils.files import write_text

Item = Mapping[str, Any]

PATH_KEYS = ("image", "views", "mask", "masks")
IMAGE_SUFFIXES = (".nii.gz", ".nii", ".png", ".jpg", ".jpeg", ".tif", ".tiff", ".bmp", ".dcm", ".dicom")
HOW_TO_PREPARE = (
    "make one with `python -m scripts.prepare <source> --root <folder>` (see --help), "
    "or generate the phantom data with `python -m scripts.phantom`"
)


def load_datalist(path: str | Path) -> dict[str, Any]:
    """Read and check a datalist.

    Raises:
        DatalistError: if the file is missing, not JSON, or breaks the rules of :func:`check_datalist`.
    """
    file = Path(path)
    if not file.is_file():
        raise DatalistError(f"datalist '{file}' does not exist; {HOW_TO_PREPARE}")
    try:
        datalist = json.loads(file.read_text(encoding="utf-8"))
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise DatalistError(f"datalist '{file}' is not valid JSON ({error}); {HOW_TO_PREPARE}") from None
    check_datalist(datalist, str(file))
    return datalist


def load_section(
    datalist: str | Path, section: str, dataset_dir: str | Path | None = None, limit: int | None = None
) -> list[dict[str, Any]]:
    """Return the checked items of one split, with absolute paths.

    Args:
        datalist: the JSON file.
        section: "training", "validation", "test", or any other list in the file.
        dataset_dir: the folder that relative paths start from; null takes ``meta.root`` of the datalist.
        limit: keep at most this many items, spread evenly over the list; for trials.

    Returns:
        Items ready for MONAI's datasets. A multi-label becomes a float32 array (C,), so that a batch of them is (B, C).

    Raises:
        DatalistError: if the section is unknown or empty, or files are missing.
        ValueError: if limit is below 1.
    """
    content = load_datalist(datalist)
    known = [name for name, items in content.items() if isinstance(items, list)]
    if section not in known:
        raise DatalistError(f"datalist '{datalist}' has no section '{section}'{suggestion(section, known)}")
    if not content[section]:
        raise DatalistError(f"section '{section}' of datalist '{datalist}' is empty; give it a share of the data")
    if limit is not None and limit < 1:
        raise ValueError(f"limit is {limit}, expected 1 or more, or null for all")
    warn_of_unseen_findings(section, content[section], content["meta"])
    root, remedy = _root(datalist, content["meta"], dataset_dir)
    items = [_resolved(item, root) for item in _spread(content[section], limit)]
    _check_files(items, root, datalist, remedy)
    return items


def write_datalist(path: str | Path, sections: Mapping[str, Sequence[Item]], meta: Mapping[str, Any]) -> Path:
    """Check a datalist and write it atomically, one item a line.

    Args:
        path: the JSON file to write; its folder is made if needed.
        sections: split name to items; splits of the standard three that are missing are written as empty lists.
        meta: at least ``name``, ``task`` and ``classes``.

    Returns:
        The path written.

    Raises:
        DatalistError: if the content breaks the rules of :func:`check_datalist`.
    """
    content = {name: list(sections.get(name, [])) for name in (*SECTIONS, *(s for s in sections if s not in SECTIONS))}
    check_datalist({**content, "meta": dict(meta)}, str(path))
    lists = [f"{json.dumps(name)}: [{_lines(items)}]" for name, items in content.items()]
    write_text(path, "{\n" + ",\n".join([*lists, f'"meta": {json.dumps(meta, indent=1)}']) + "\n}\n")
    return Path(path)


def datalist_hash(datalist: str | Path | Mapping[str, Any]) -> str:
    """Return the SHA-256 of classes, task and splits: equal hashes mean the same cases in the same splits.

    Notes in ``meta`` and the place of the file do not count.
    """
    content = datalist if isinstance(datalist, Mapping) else load_datalist(datalist)
    kept = {name: items for name, items in content.items() if name != "meta"}
    kept["meta"] = {key: content["meta"].get(key) for key in ("task", "classes")}
    return hashlib.sha256(json.dumps(kept, sort_keys=True).encode()).hexdigest()


def class_names(datalist: str | Path) -> list[str]:
    """Return the names of the classes, in the order of the network's outputs."""
    return list(load_datalist(datalist)["meta"]["classes"])


def background_name(datalist: str | Path) -> str:
    """Return what cases without any class of a multi-label task are called; "background" where no name is given."""
    return str(load_datalist(datalist)["meta"].get("background") or "background")


def load_structures(datalist: str | Path) -> list[dict[str, Any]]:
    """Return the label map of the masks: names and pixel values of the structures, the background first.

    Raises:
        DatalistError: if the datalist has none.
    """
    structures = load_datalist(datalist)["meta"].get("structures")
    if structures is None:
        raise DatalistError(
            f"datalist '{datalist}' does not say what the pixel values of its masks mean: meta.structures is missing, "
            f"expected for example {EXAMPLE}. Prepare it again, for your own masks with "
            "`python -m scripts.prepare csv ... --mask <column> --structures background=0,lesion=255`"
        )
    return structures


def describe_datalist(path: str | Path) -> str:
    """Return a table of cases per split and class, for people."""
    content = load_datalist(path)
    classes = content["meta"]["classes"]
    width = max(len(name) for name in [*classes, "patients or groups", "validation"])
    sections = [name for name in content if name != "meta"]
    rows = [["", *sections], ["cases", *(str(len(content[name])) for name in sections)]]
    for index, label in enumerate(classes):
        rows.append([label, *(str(sum(_has(item, index) for item in content[name])) for name in sections)])
    units = {name: {item.get("patient_id", item.get("group")) for item in content[name]} - {None} for name in sections}
    if any(units.values()):
        rows.append(["patients or groups", *(str(len(units[name])) for name in sections)])
    return "\n".join(f"{row[0]:<{width}}" + "".join(f"{cell:>12}" for cell in row[1:]) for row in rows)


def case_id_from(path: str | Path) -> str:
    """Return a case's name made from its relative path, usable as a folder's name: ``a/b c.png`` gives ``a_b-c``."""
    text = str(path)
    # Only known endings go: the last number of a DICOM UID is no suffix.
    suffix = next((suffix for suffix in IMAGE_SUFFIXES if text.lower().endswith(suffix)), "")
    parts = [part for part in Path(text[: len(text) - len(suffix)]).parts if part not in {"/", ".", ".."}]
    return "_".join("".join(c if c.isalnum() or c in "._-" else "-" for c in part) for part in parts)


def _has(item: Item, index: int) -> bool:
    label = item.get("label")
    return bool(label[index]) if isinstance(label, list) else label == index


def _lines(items: Sequence[Item]) -> str:
    lines = [json.dumps(item, ensure_ascii=False, allow_nan=False) for item in items]
    return "\n " + ",\n ".join(lines) + "\n" if lines else ""


def _root(datalist: str | Path, meta: Mapping[str, Any], dataset_dir: str | Path | None) -> tuple[Path, str]:
    """Return the folder that relative paths start from, and what to do where it is the wrong one."""
    if dataset_dir is None:
        root = Path(datalist).parent / meta.get("root", ".")
        remedy = "write the images' folder, as seen from the datalist, into its meta.root"
    else:
        root, remedy = Path(dataset_dir), "set dataset_dir to the images' folder"
    if not root.is_dir():
        raise DatalistError(f"'{root}', where the paths in '{datalist}' start, does not exist; {remedy}")
    return root.resolve(), remedy


def _spread(items: Sequence[Any], limit: int | None) -> list[Any]:
    """Return at most limit items, evenly spread, since lists are often sorted by class."""
    if limit is None or limit >= len(items):
        return list(items)
    return [items[index * len(items) // limit] for index in range(limit)]


def _resolved(item: Item, root: Path) -> dict[str, Any]:
    def absolute(value: Any) -> Any:
        if isinstance(value, Mapping):
            return {key: absolute(part) for key, part in value.items()}
        if isinstance(value, list):
            return [absolute(part) for part in value]
        return str(root / value) if isinstance(value, str) else value  # masks may be given as boxes

    resolved = {key: absolute(value) if key in PATH_KEYS else value for key, value in item.items()}
    if isinstance(item.get("label"), list):
        resolved["label"] = np.asarray(item["label"], dtype=np.float32)
    return resolved


def _paths(value: Any) -> list[str]:
    """Return the paths in what an item says about its files: one, several, or one for each view."""
    if isinstance(value, str):
        return [value]
    parts = list(value.values()) if isinstance(value, Mapping) else value if isinstance(value, list) else []
    return [path for part in parts for path in _paths(part)]


def _check_files(items: Sequence[Item], root: Path, datalist: str | Path, remedy: str) -> None:
    paths = [path for item in items for key in PATH_KEYS for path in _paths(item.get(key))]
    missing = [path for path in paths if not os.path.isfile(path)]
    if not missing:
        return
    shown = ", ".join(f"'{path}'" for path in missing[:3]) + (" ..." if len(missing) > 3 else "")
    raise DatalistError(
        f"{len(missing)} of {len(paths)} files named in '{datalist}' are missing: {shown}. Paths start from '{root}'; "
        f"put the files there, or {remedy}"
    )
