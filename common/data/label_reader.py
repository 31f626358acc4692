"""Read a mask file as the numbers it stores."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from common.data.errors import CaseError
from common.data.readers import ImageReader2D


class LabelReader2D(ImageReader2D):
    """Reads masks whose pixel values are names of structures, turned as :class:`ImageReader2D` turns the image.

    The result is float32 (row, column) with the stored values, unscaled:

    * **PNG, BMP, TIFF**: 8 and 16-bit grey as it is; 1-bit masks become 0 and 255; a palette of greys gives the grey
      that a viewer shows, a palette of colours the index. Colour files are accepted if red, green and blue are equal.
    * **DICOM**: stored values, without modality LUT or window. **NIfTI**: voxel values.

    Args:
        frame: which frame or slice to take from a file with several, counted from 0; None refuses such files.
    """

    def __init__(self, frame: int | None = None) -> None:
        super().__init__(frame)

    def _picture(self, path: Path) -> tuple[np.ndarray, tuple[float, float]]:
        from PIL import Image, ImageOps, UnidentifiedImageError

        try:
            file = Image.open(path)
        except UnidentifiedImageError:
            remedy = "Expected PNG, BMP, TIFF, DICOM or NIfTI; export it again as one of these"
            raise CaseError(str(path), "it is no image that can be recognised", remedy) from None
        with file:
            file.seek(self._chosen(path, getattr(file, "n_frames", 1), "frames") or 0)
            image = ImageOps.exif_transpose(file)
            if image.mode == "P":
                return _palette_values(image), (1.0, 1.0)
            if image.mode in {"1", "LA", "La"}:
                image = image.convert("L")
            values = np.asarray(image)
        if values.ndim == 3:
            colours = values[..., :3]
            if (colours != colours[..., :1]).any():
                what = "the mask is a colour picture, expected one number a pixel"
                raise CaseError(str(path), what, "Save it as a grey picture with one grey level for each structure")
            values = colours[..., 0]
        return values.astype(np.float32), (1.0, 1.0)

    def _dicom(self, path: Path) -> tuple[np.ndarray, tuple[float, float]]:
        import pydicom
        from pydicom.pixels import pixel_array

        dataset = pydicom.dcmread(path, force=True)
        frame = self._chosen(path, int(dataset.get("NumberOfFrames") or 1), "frames")
        return pixel_array(dataset, index=frame or 0), (1.0, 1.0)

    def _scaled(self, values: np.ndarray) -> np.ndarray:
        return values


def _palette_values(image: Any) -> np.ndarray:
    """Return grey levels where every colour in use is grey, palette indices otherwise."""
    indices = np.asarray(image)
    colours = np.asarray(image.getpalette("RGB")).reshape(-1, 3)
    used = colours[np.unique(indices)]
    return colours[indices, 0] if (used == used[:, :1]).all() else indices
