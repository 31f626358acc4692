"""What several converters do with folders and masks."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from common.data.errors import DatalistError


def existing_folder(root: str | Path, holds: str) -> Path:
    """Return the folder of a data set.

    Args:
        root: its path.
        holds: what should be in it, for the message.

    Raises:
        DatalistError: if it does not exist.
    """
    folder = Path(root)
    if not folder.is_dir():
        raise DatalistError(f"root '{folder}' does not exist; name the folder that holds {holds}")
    return folder


def part_boxes(mask: NDArray[np.bool_]) -> list[list[float]]:
    """Return the box [x0, y0, x1, y1] of each connected part of a mask (H, W), x1 and y1 excluded."""
    parts = ndimage.find_objects(ndimage.label(mask)[0])
    return [[float(x.start), float(y.start), float(x.stop), float(y.stop)] for y, x in parts]
