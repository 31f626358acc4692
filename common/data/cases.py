"""Find the cases to predict: a section of a datalist, or every image of a folder."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from common.data.datalist import HOW_TO_PREPARE, IMAGE_SUFFIXES, case_id_from, load_section
from common.data.errors import DatalistError
from common.data.readers import BARE_DICOM, DICOM_PREFIX

logger = logging.getLogger(__name__)

DICOM_INDEX = "dicomdir"
"""The name that the DICOM standard reserves for a medium's table of contents, itself a DICOM file without image."""


def list_cases(
    dataset_dir: str | Path,
    datalist: str | Path | None = None,
    section: str = "test",
    keys: Sequence[str] | None = None,
) -> list[dict[str, Any]]:
    """Return items for inference and explanation.

    Args:
        dataset_dir: folder of images, searched with its sub-folders where there is no datalist. DICOM files are found
            under any name, by their content.
        datalist: its section is used instead. Only the usual place, ``datalist.json`` in the folder, may be empty.
        section: the split to take from the datalist.
        keys: what to keep of each item; None keeps all. Cases of one batch must have the same.

    Returns:
        Items with ``case_id`` and ``image``, and what else the datalist knows. No two have the same ``case_id``: files
        that differ in their ending only keep it.

    Raises:
        DatalistError: if there is neither a datalist nor an image.
    """
    folder = Path(dataset_dir)
    if datalist is not None and (Path(datalist).is_file() or Path(datalist) != folder / "datalist.json"):
        items = load_section(datalist, section)
        return items if keys is None else [{key: item[key] for key in keys if key in item} for item in items]
    if not folder.is_dir():
        raise DatalistError(
            f"dataset_dir '{folder}' {'is no folder' if folder.exists() else 'does not exist'}; pass --dataset_dir "
            f"<folder of images>, or {HOW_TO_PREPARE}"
        )
    files = sorted(path for path in folder.rglob("*") if path.is_file() and _looks_like_image(path))
    if not files:
        raise DatalistError(
            f"'{folder}' holds no image and no datalist; pass --dataset_dir <folder of PNG, JPEG, TIFF, DICOM or NIfTI "
            f"files>, or {HOW_TO_PREPARE}"
        )
    names = _case_ids([path.relative_to(folder) for path in files])
    return [{"case_id": name, "image": str(path)} for name, path in zip(names, files, strict=True)]


def _looks_like_image(path: Path) -> bool:
    """Tell by the suffix, and where that is none of an image by the content, as DICOM files are often named by UID."""
    name = path.name.lower()
    if name.startswith(".") or name == DICOM_INDEX:
        return False
    return name.endswith(IMAGE_SUFFIXES) or _is_dicom(path)


def _is_dicom(path: Path) -> bool:
    magic, offset = DICOM_PREFIX
    try:
        with path.open("rb") as file:
            head = file.read(offset + len(magic))
    except OSError as error:
        logger.warning("left out: %s cannot be read (%s)", path, error.strerror)
        return False
    return head[offset:] == magic or head.startswith(BARE_DICOM)


def _case_ids(paths: list[Path]) -> list[str]:
    """Name cases by their relative paths; paths that would share a name keep their suffix, and then get a number."""
    short = [case_id_from(path) for path in paths]
    often = Counter(short)
    wished = [name if often[name] == 1 else f"{name}{path.suffix}" for path, name in zip(paths, short, strict=True)]
    names: dict[str, None] = {}
    for name in wished:
        number = 1
        while (candidate := name if number == 1 else f"{name}-{number}") in names:
            number += 1
        names[candidate] = None
    return list(names)
