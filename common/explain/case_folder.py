"""The files of one explained case: ``explanation.json``, its arrays and ``card.png``."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from common.explain.describer import Explanation
from common.explain.record import save_record
from common.explain.regions import FloatArray
from common.utils.files import write_atomic


def folder_name(case_id: str) -> str:
    """Return a name that every file system takes; where letters had to go, a hash keeps cases apart."""
    plain = re.sub(r"[^A-Za-z0-9._-]+", "_", case_id).strip("._")[:80]
    if plain and plain == case_id:
        return plain
    return f"{plain}-{hashlib.sha256(case_id.encode()).hexdigest()[:8]}".lstrip("-")


def save_explanation(output_dir: str | Path, explanation: Explanation, card: bool = True) -> Path:
    """Write the files of a case into ``<output_dir>/explanations/<case>/``.

    Args:
        output_dir: the run folder.
        explanation: what a describer returned.
        card: whether the card is drawn; without, one of an earlier run is removed.

    Returns:
        The case's folder.
    """
    record = explanation.record
    folder = Path(output_dir) / "explanations" / folder_name(record["case_id"])
    for name, values in explanation.arrays.items():
        save_array(folder / name, values)
    for name, arrays in explanation.archives.items():
        write_atomic(folder / name, partial(_write_archive, arrays))
    if card:
        write_atomic(folder / "card.png", explanation.draw().save)
    else:
        (folder / "card.png").unlink(missing_ok=True)
    save_record(folder / "explanation.json", record)  # last: a folder with a record is complete
    return folder


def _write_archive(arrays: Mapping[str, NDArray[Any]], file: IO[bytes]) -> None:
    np.savez_compressed(file, allow_pickle=False, **arrays)


def save_array(path: str | Path, values: NDArray[Any]) -> None:
    """Write an array (H, W) as a grey PNG: floats as a map in 16 bits, integers as they are in 8.

    Raises:
        ValueError: for integers that 8 bits do not hold.
    """
    if np.issubdtype(values.dtype, np.floating):
        save_map(path, values)
        return
    if values.min() < 0 or values.max() > 255:
        raise ValueError(f"{path}: the indices go from {values.min()} to {values.max()}, expected 0 to 255")
    indices = values.astype(np.uint8)
    write_atomic(path, lambda file: Image.fromarray(indices).save(file, format="PNG"))


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
