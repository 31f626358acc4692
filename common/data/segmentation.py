"""Provide the mask of several structures that belongs to an image."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from monai.config import KeysCollection
from monai.data.meta_tensor import MetaTensor
from monai.transforms.transform import MapTransform
from torch import Tensor

from common.data.label_reader import LabelReader2D
from common.data.structures import Structure, structure_indices, structure_problems
from common.data.transforms import case_error

JPEG_SUFFIXES = {".jpg", ".jpeg"}
SHOWN = 8  # unknown values listed in one message


class SegmentationMaskd(MapTransform):
    """Provide the structure of every pixel, (1, H, W) int64 from 0 to K - 1, in the size of the source image.

    The mask is a path, read here, or an array of the file's values, (H, W) or (1, H, W). The item also gets
    ``<key>_given``, a boolean tensor: False for cases without a mask, whose structure is 0 everywhere.

    Put it before any cropping and resizing, resize the result with mode "nearest-exact" ("nearest" takes the upper left
    pixel of those that become one, which shifts the mask by up to half a pixel against the image), and end with
    ``CastToTyped(keys, dtype=torch.int64)``, as MONAI's spatial transforms return float32.

    Args:
        keys: where to put the result.
        structures: the label map, as :func:`common.data.load_structures` returns it.
        mask_key: the item's mask.
        image_key: the image, (C, H, W), that the mask belongs to.
        allow_missing_masks: accept cases without a mask, for training them with the class alone.

    Raises:
        ValueError: if the label map cannot be used.
    """

    def __init__(
        self,
        keys: KeysCollection,
        structures: Sequence[Structure],
        mask_key: str = "mask",
        image_key: str = "image",
        allow_missing_masks: bool = False,
    ) -> None:
        super().__init__(keys)
        for problem in structure_problems(structures):
            raise ValueError(f"structures: {problem}")
        self.structures = structures
        self.mask_key = mask_key
        self.image_key = image_key
        self.allow_missing_masks = allow_missing_masks
        self._reader = LabelReader2D()

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Return the item with its segmentation.

        Raises:
            CaseError: if the mask is missing, has another size than the image, or values outside the label map.
        """
        item = dict(data)
        image = item[self.image_key]
        given = item.get(self.mask_key) is not None
        if not given and not self.allow_missing_masks:
            what = f"it has no '{self.mask_key}'"
            remedy = "Add one to the datalist, or set allow_missing_masks to learn only the class from such cases"
            raise case_error(item, self.image_key, what, remedy)
        rows, columns = image.shape[-2:]
        mask = self._indices(item, rows, columns) if given else torch.zeros(1, rows, columns, dtype=torch.int64)
        for key in self.keys:
            # Meta of the image, so that every case's mask can be collated whether or not it came from a file.
            item[key] = MetaTensor(mask, meta=dict(image.meta)) if isinstance(image, MetaTensor) else mask
            item[f"{key}_given"] = torch.tensor(given)
        return item

    def _indices(self, item: Mapping[Hashable, Any], rows: int, columns: int) -> Tensor:
        mask = item[self.mask_key]
        path = mask if isinstance(mask, str) else None
        values = self._reader.get_data(self._reader.read(path))[0] if path else np.asarray(mask)
        values = values[0] if values.ndim == 3 and values.shape[0] == 1 else values
        if values.shape != (rows, columns):
            what = f"the mask has {' x '.join(map(str, values.shape))} pixels, its image {rows} x {columns}"
            remedy = "Export both in the same size; a mask is not stretched, since nobody could tell where it belongs"
            raise case_error(item, self.mask_key, what, remedy, path)
        indices, unknown = structure_indices(values, self.structures)
        if unknown:
            raise case_error(item, self.mask_key, *unknown_values(unknown, self.structures, path), path)
        return torch.from_numpy(indices)[None]


def unknown_values(
    unknown: Sequence[int | float], structures: Sequence[Structure], path: str | Path | None = None
) -> tuple[str, str]:
    """Return what is wrong with a mask that holds values outside the label map, and what to do about it.

    Args:
        unknown: the values.
        structures: the label map.
        path: the mask's file.
    """
    shown = ", ".join(map(str, unknown[:SHOWN])) + (f" and {len(unknown) - SHOWN} more" if len(unknown) > SHOWN else "")
    known = ", ".join(f"{'/'.join(map(str, entry['values']))} {entry['name']}" for entry in structures)
    what = f"the mask holds values outside the label map: {shown}; expected {known}"
    if path is not None and Path(path).suffix.lower() in JPEG_SUFFIXES:
        return what, "JPEG changes pixel values, so it cannot store a mask; export it again as PNG or BMP"
    return what, "Correct the mask (blended borders come from resizing it smoothly), or add the values to the label map"
