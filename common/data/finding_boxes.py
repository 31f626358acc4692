"""Show a network's judges where each disease is: the datalist's boxes, one mask per class."""

from __future__ import annotations

import math
from collections.abc import Hashable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from monai.config import KeysCollection
from monai.transforms.transform import MapTransform
from torch import Tensor

from common.data.placement import Placement
from common.data.transforms import case_error, mask_from_boxes

__all__ = ["FindingBoxesd", "box_in_view"]


class FindingBoxesd(MapTransform):
    """Draw the item's ``boxes``, each in the mask of its class, where they lie in what the network is shown.

    Put it after everything that crops, mirrors or resizes the image, and RecordSized before; it follows what
    :class:`common.data.Placement` knows. Each box belongs to the class of its ``box_labels``; without these the boxes
    belong to the only class that the case has. Boxes of a case that has several are not drawn, nobody knows whose they
    are.

    Args:
        keys: the image (D,H,W) that the masks are for.
        classes: names of the C classes.
        name: where to put the masks (C,H,W), uint8, 1 inside. ``<name>_given`` (C,), bool, tells which classes have a
            box in view; of the others it is not known where they are, or they are not there.
        boxes_key: boxes [[x0, y0, x1, y1], ...] in source pixels; a case without any has empty masks.
        labels_key: class name of each box.

    Raises:
        ValueError: if no class is named.
    """

    def __init__(
        self,
        keys: KeysCollection,
        classes: Sequence[str],
        name: str = "finding_mask",
        boxes_key: str = "boxes",
        labels_key: str = "box_labels",
    ) -> None:
        super().__init__(keys)
        if isinstance(classes, str) or not classes:
            raise ValueError(f"classes is {classes!r}, expected a list of the names of the classes, as in the datalist")
        self.classes = list(classes)
        self.name = name
        self.boxes_key = boxes_key
        self.labels_key = labels_key

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Return the item with its masks.

        Raises:
            CaseError: if a box has an unknown class, there is not one class for each box, or the source's size is not
                known.
        """
        item = dict(data)
        for key in self.key_iterator(item):
            mask = self._draw(item, key)
            item[self.name], item[f"{self.name}_given"] = mask, mask.flatten(1).any(dim=1)
        return item

    def _draw(self, item: Mapping[Hashable, Any], key: Hashable) -> Tensor:
        rows, columns = item[key].shape[-2:]
        mask = torch.zeros(len(self.classes), rows, columns, dtype=torch.uint8)
        owners = self._owners(item, key)
        if owners and item.get("source_size") is None:
            remedy = "Put RecordSized into the preprocessing, before any resizing"
            raise case_error(item, key, "it has boxes but no 'source_size' to place them by", remedy)
        for owner, box in zip(owners, item.get(self.boxes_key) or (), strict=False):
            seen = box_in_view(box, Placement.of(item), (rows, columns))
            if seen is not None:
                mask[owner] |= mask_from_boxes([seen], rows, columns)[0].to(torch.uint8)
        return mask

    def _owners(self, item: Mapping[Hashable, Any], key: Hashable) -> list[int]:
        """Return the class of each box; none where the boxes' classes are not known."""
        boxes, names = item.get(self.boxes_key) or (), item.get(self.labels_key)
        if names is None:
            label = np.asarray(item.get("label", ()))
            present = [int(label)] if label.ndim == 0 else np.flatnonzero(label).tolist()
            return present * len(boxes) if len(present) == 1 else []
        unknown = [name for name in names if name not in self.classes]
        if unknown or len(names) != len(boxes):
            what = f"'{self.labels_key}' is {names!r}, expected one of {', '.join(self.classes)} for each of its boxes"
            raise case_error(item, key, what, "Correct the datalist, or give FindingBoxesd its classes")
        return [self.classes.index(name) for name in names]


def box_in_view(box: Sequence[float], placement: Placement, size: Sequence[int]) -> tuple[float, ...] | None:
    """Return a box of the source image in pixels of the network's input.

    Args:
        box: x0, y0, x1, y1 in source pixels.
        placement: where the input lies in the source image.
        size: rows and columns of the input.

    Returns:
        x0, y0, x1, y1, cut off at the input's borders and large enough to hold the centre of a pixel; None where
        nothing of the box is in view.
    """
    rows, columns = size
    left, top, right, bottom = placement.crop
    across, down = columns / (right - left), rows / (bottom - top)
    x0, x1 = (box[0] - left) * across, (box[2] - left) * across
    if placement.flipped:
        x0, x1 = columns - x1, columns - x0
    xs, ys = _within(x0, x1, columns), _within((box[1] - top) * down, (box[3] - top) * down, rows)
    return None if xs is None or ys is None else (xs[0], ys[0], xs[1], ys[1])


def _within(low: float, high: float, limit: int) -> tuple[float, float] | None:
    """Return the part of an interval between 0 and a limit, widened to the pixel of its middle if it is narrower."""
    low, high = max(low, 0.0), min(high, float(limit))
    if low >= high:
        return None
    pixel = math.ceil((low + high) / 2) - 1
    return min(low, float(pixel)), max(high, float(pixel + 1))
