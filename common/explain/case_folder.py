"""The files of one explained case: ``explanation.json``, ``map.png`` and ``card.png``."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike
from PIL import Image

from common.explain.card import draw_card
from common.explain.record import save_record
from common.explain.regions import FloatArray, resample_map
from common.explain.schema import ExplanationRecord
from common.utils.files import write_atomic


def folder_name(case_id: str) -> str:
    """Return a name that every file system takes; where letters had to go, a hash keeps cases apart."""
    plain = re.sub(r"[^A-Za-z0-9._-]+", "_", case_id).strip("._")[:80]
    if plain and plain == case_id:
        return plain
    return f"{plain}-{hashlib.sha256(case_id.encode()).hexdigest()[:8]}".lstrip("-")


def save_explanation(
    output_dir: str | Path,
    record: ExplanationRecord,
    image: ArrayLike,
    explanation: ArrayLike,
    mask: ArrayLike | None = None,
) -> Path:
    """Write the three files of a case into ``<output_dir>/explanations/<case>/``.

    Args:
        output_dir: the run folder.
        record: what :func:`common.explain.record.build_record` returned.
        image: (1 | 3, h, w) in [0, 1], at any resolution.
        explanation: the map (h, w) in [0, 1], as given to the record.
        mask: (h, w), above 0.5 inside the region of interest.

    Returns:
        The case's folder.
    """
    folder = Path(output_dir) / "explanations" / folder_name(record["case_id"])
    values = np.asarray(explanation, dtype=np.float32)
    save_map(
        folder / record["map"]["file"], resample_map(values, (record["image"]["rows"], record["image"]["columns"]))
    )
    card = draw_card(record, image, values, mask)
    write_atomic(folder / "card.png", lambda file: card.save(file, format="PNG", compress_level=4))
    save_record(folder / "explanation.json", record)  # last: a folder with a record is complete
    return folder


def save_map(path: str | Path, explanation: FloatArray) -> None:
    """Write a map (H, W) in [0, 1] as a 16-bit grey PNG; a value is the grey level divided by 65535."""
    levels = np.rint(np.asarray(explanation, dtype=np.float64) * 65535).astype(np.uint16)
    write_atomic(path, lambda file: Image.fromarray(levels).save(file, format="PNG"))


def load_map(path: str | Path) -> FloatArray:
    """Return a map (H, W) in [0, 1] as :func:`save_map` wrote it.

    Raises:
        ValueError: if the file is not a 16-bit grey PNG.
    """
    with Image.open(path) as file:
        if not file.mode.startswith("I"):
            raise ValueError(
                f"{path}: image mode is '{file.mode}', expected a 16-bit grey PNG written with the explanation"
            )
        levels = np.asarray(file, dtype=np.float32)
    return levels / np.float32(65535)
