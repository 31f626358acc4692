"""Find the round field of a fundus photograph in its black surroundings."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image, UnidentifiedImageError
from scipy import ndimage

from common.data.errors import CaseError

__all__ = ["field_box"]

DARK = 10  # grey levels of 255; the surroundings are darker in every colour
LOOK = 512  # pixels; large files are read at about this size, which is exact enough for a crop


def field_box(path: str | Path) -> list[int]:
    """Return the box around the largest bright part of an image, [x0, y0, x1, y1] in its pixels.

    Raises:
        CaseError: if the file cannot be read, or is dark everywhere.
    """
    try:
        with Image.open(path) as file:
            width, height = file.size
            file.draft("RGB", (LOOK, LOOK))  # lets JPEG decode a fraction of the pixels, other formats ignore it
            bright = np.asarray(file.convert("RGB")).max(axis=2) > DARK
    except (UnidentifiedImageError, OSError) as error:
        raise CaseError(str(path), f"the image cannot be read ({error})", "Unpack the archive again") from None
    parts, count = ndimage.label(bright)
    if not count:
        raise CaseError(str(path), "the image is dark everywhere", "Leave it out")
    largest = 1 + int(np.argmax(np.bincount(parts.ravel())[1:]))
    y, x = ndimage.find_objects(parts)[largest - 1]
    across, down = width / bright.shape[1], height / bright.shape[0]
    ends = np.floor([x.start * across, y.start * down]), np.ceil([x.stop * across, y.stop * down])
    return [int(value) for value in (*ends[0], min(ends[1][0], width), min(ends[1][1], height))]
