"""Cut out the part of an image that its datalist names."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from typing import Any

import torch
from monai.config import KeysCollection
from monai.transforms import SpatialCrop
from monai.transforms.transform import MapTransform

from common.data.transforms import case_error

SMALLEST = 2  # pixels; a smaller box is a slip in the datalist


class CropBoxd(MapTransform):
    """Crop images to the item's ``crop`` box, [x0, y0, x1, y1] in pixels of the source image, x to the right.

    Every case needs a box: a network that learnt from cut-outs says nothing sensible about whole images. Put it after
    what reads image and mask, before resizing. The item's box is replaced by the one used, int64 (4,): rounded
    outwards to whole pixels and cut off at the image's borders.

    Args:
        keys: images and masks of the same size, (C, H, W).
        crop_key: the box.
    """

    def __init__(self, keys: KeysCollection, crop_key: str = "crop") -> None:
        super().__init__(keys)
        self.crop_key = crop_key

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Return the item with its images cropped.

        Raises:
            CaseError: if the box is missing, malformed, or outside the image.
        """
        item = dict(data)
        first = self.keys[0]
        if item.get(self.crop_key) is None:
            remedy = (
                "Make the datalist with crop boxes (see `python -m scripts.prepare <source> --help`), or do not crop"
            )
            raise case_error(item, first, f"it has no '{self.crop_key}' box", remedy)
        rows, columns = item[first].shape[-2:]
        x0, y0, x1, y1 = self._box(item, first, rows, columns)
        crop = SpatialCrop(roi_start=(y0, x0), roi_end=(y1, x1))
        for key in self.key_iterator(item):
            item[key] = crop(item[key])
        item[self.crop_key] = torch.tensor([x0, y0, x1, y1])
        return item

    def _box(self, item: Mapping[Hashable, Any], key: Hashable, rows: int, columns: int) -> tuple[int, int, int, int]:
        given = item[self.crop_key]
        box = torch.as_tensor(given, dtype=torch.float64)
        if box.shape == (4,) and torch.isfinite(box).all():
            x0, y0 = (max(int(value), 0) for value in box[:2].floor())
            x1, y1 = (min(int(value), limit) for value, limit in zip(box[2:].ceil(), (columns, rows), strict=True))
            if min(x1 - x0, y1 - y0) >= SMALLEST:
                return x0, y0, x1, y1
        what = f"its '{self.crop_key}' box is {given}, expected [x0, y0, x1, y1] within {columns} x {rows} pixels"
        raise case_error(item, key, what, "Correct the datalist; boxes count source pixels, x to the right and y down")


def square_around(box: Sequence[float], scale: float, rows: int, columns: int) -> tuple[int, int, int, int]:
    """Return a square around a box, moved where it would leave the image.

    Args:
        box: [x0, y0, x1, y1] in pixels.
        scale: the square's side in multiples of the box's longer side.
        rows: of the image.
        columns: of the image.

    Returns:
        x0, y0, x1, y1 in whole pixels, x1 and y1 excluded. A square larger than the image is cut to it.
    """
    x0, y0, x1, y1 = box
    side = round(scale * max(x1 - x0, y1 - y0))
    left, top = (
        min(max(round((low + high - side) / 2), 0), max(limit - side, 0))
        for low, high, limit in ((x0, x1, columns), (y0, y1, rows))
    )
    return left, top, min(left + side, columns), min(top + side, rows)
