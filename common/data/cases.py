"""Find the cases to predict: a section of a datalist, or every image of a folder."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from common.data.datalist import HOW_TO_PREPARE, IMAGE_SUFFIXES, case_id_from, load_section
from common.data.errors import DatalistError


def list_cases(
    dataset_dir: str | Path, datalist: str | Path | None = None, section: str = "test"
) -> list[dict[str, Any]]:
    """Return items for inference and explanation.

    Args:
        dataset_dir: folder of images, searched with its sub-folders where there is no datalist. Files without a suffix
            are taken too, as DICOM files often have none.
        datalist: if this file exists, its section is used instead.
        section: the split to take from the datalist.

    Returns:
        Items with ``case_id`` and ``image``, and what else the datalist knows.

    Raises:
        DatalistError: if there is neither a datalist nor an image.
    """
    if datalist is not None and Path(datalist).is_file():
        return load_section(datalist, section)
    folder = Path(dataset_dir)
    files = sorted(path for path in folder.rglob("*") if path.is_file() and _looks_like_image(path))
    if not files:
        raise DatalistError(
            f"'{folder}' holds no image and no datalist; pass --dataset_dir <folder of PNG, JPEG, TIFF, DICOM or NIfTI "
            f"files>, or {HOW_TO_PREPARE}"
        )
    return [{"case_id": case_id_from(path.relative_to(folder)), "image": str(path)} for path in files]


def _looks_like_image(path: Path) -> bool:
    name = path.name.lower()
    return not name.startswith(".") and (name.endswith(IMAGE_SUFFIXES) or "." not in name)
