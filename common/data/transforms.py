"""Dictionary transforms that MONAI lacks: channels, checks, the region of interest, the source's size."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from typing import Any

import torch
from monai.config import KeysCollection
from monai.data.meta_tensor import MetaTensor
from monai.transforms.transform import MapTransform
from torch import Tensor

from common.data.errors import CaseError
from common.data.readers import ImageReader2D

# ITU-R BT.601 luma, what "convert to grey" means in image files.
LUMINANCE = (0.299, 0.587, 0.114)


class ToChannelsd(MapTransform):
    """Bring grey (1, H, W) and colour (3, H, W) images to the number of channels the network takes.

    Grey is repeated; colour becomes its luminance 0.299 R + 0.587 G + 0.114 B (ITU-R BT.601).

    Args:
        keys: items to change.
        channels: 1 or 3.
        allow_missing_keys: whether items without a key pass unchanged.
    """

    def __init__(self, keys: KeysCollection, channels: int, allow_missing_keys: bool = False) -> None:
        super().__init__(keys, allow_missing_keys)
        if channels not in (1, 3):
            raise ValueError(f"channels is {channels}, expected 1 (grey) or 3 (colour)")
        self.channels = channels

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Return the item with its images brought to (channels, H, W).

        Raises:
            CaseError: if an image has neither one nor three channels.
        """
        item = dict(data)
        for key in self.key_iterator(item):
            image = item[key]
            if image.ndim != 3 or image.shape[0] not in (1, 3):
                what = f"its shape is {tuple(image.shape)}, expected (1, H, W) or (3, H, W)"
                remedy = "Save it as a grey or RGB image, or put EnsureChannelFirstd before ToChannelsd"
                raise case_error(item, key, what, remedy)
            if image.shape[0] < self.channels:
                item[key] = image.repeat(3, 1, 1)
            elif image.shape[0] > self.channels:
                weights = torch.tensor(LUMINANCE, dtype=image.dtype).view(3, 1, 1)
                item[key] = (image * weights).sum(0, keepdim=True)
        return item


class CheckImaged(MapTransform):
    """Refuse images no network can say anything sensible about.

    Args:
        keys: items to check, (C, H, W).
        minimum_size: smallest number of rows and of columns, in source pixels.
        allow_missing_keys: whether items without a key pass unchecked.
    """

    def __init__(self, keys: KeysCollection, minimum_size: int = 32, allow_missing_keys: bool = False) -> None:
        super().__init__(keys, allow_missing_keys)
        if minimum_size < 1:
            raise ValueError(f"minimum_size is {minimum_size}, expected 1 or more pixels")
        self.minimum_size = minimum_size

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Return the item as it is.

        Raises:
            CaseError: if an image is too small, constant, or holds NaN or infinity.
        """
        item = dict(data)
        for key in self.key_iterator(item):
            image = item[key]
            rows, columns = image.shape[-2:]
            if min(rows, columns) < self.minimum_size:
                what = f"it has {rows} x {columns} pixels, expected at least {self.minimum_size} each way"
                remedy = "Use the original instead of a thumbnail, or lower CheckImaged's minimum_size"
                raise case_error(item, key, what, remedy)
            broken = int((~torch.isfinite(image)).sum())
            if broken:
                what = f"{broken} of {image.numel()} pixels are NaN or infinite, expected numbers"
                raise case_error(item, key, what, "Export it again, or leave it out of the datalist")
            if image.min() == image.max():
                what = f"every pixel has the same value ({float(image.min()):.3g})"
                remedy = "Check the file in a viewer; a wrong window or an empty export look like this"
                raise case_error(item, key, what, remedy)
        return item


class RecordSized(MapTransform):
    """Keep the size an image had before any resizing, so that maps can be drawn in source pixels.

    Args:
        keys: the image.
        name: where to put it: int64 tensor (2,), rows and columns.
    """

    def __init__(self, keys: KeysCollection, name: str = "source_size") -> None:
        super().__init__(keys)
        self.name = name

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Return the item with the source's size added."""
        item = dict(data)
        for key in self.key_iterator(item):
            item[self.name] = torch.tensor(item[key].shape[-2:])
        return item


class RoiMaskd(MapTransform):
    """Provide the region of interest, (1, H, W), 1 inside and 0 outside, in the size of the source image.

    In this order: the mask the item has (a path, read here, or an array); its boxes, filled; otherwise what ``missing``
    says, or an error if the region is required. The item also gets ``<key>_given``, a boolean tensor, so that
    localisation metrics can leave out cases without a region. Put it before any resizing of the image, and resize the
    mask with mode "nearest".

    Args:
        keys: the mask's key.
        image_key: the image, (C, H, W), that the mask belongs to.
        boxes_key: boxes [[x0, y0, x1, y1], ...] in source pixels.
        required: refuse cases that have neither mask nor boxes.
        threshold: values above it are inside; masks are read as [0, 1].
        allow_empty: whether a mask with nothing inside passes.
        missing: the region of a case that has none: "whole" (the region is unknown, the map may be anywhere) or
            "empty" (there is nothing to look at, as in images without the finding).
    """

    def __init__(
        self,
        keys: KeysCollection,
        image_key: str = "image",
        boxes_key: str = "boxes",
        required: bool = False,
        threshold: float = 0.5,
        allow_empty: bool = False,
        missing: str = "whole",
    ) -> None:
        super().__init__(keys)
        if missing not in ("whole", "empty"):
            raise ValueError(f"missing is '{missing}', expected 'whole' or 'empty'")
        if not 0 <= threshold < 1:
            raise ValueError(f"threshold is {threshold}, expected a value from 0 up to, not including, 1")
        self.image_key = image_key
        self.boxes_key = boxes_key
        self.required = required
        self.threshold = threshold
        self.allow_empty = allow_empty
        self.missing = missing
        self._reader = ImageReader2D()

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Return the item with the region of interest.

        Raises:
            CaseError: if the mask has another size than the image, is empty, or is required and missing.
        """
        item = dict(data)
        image = item[self.image_key]
        for key in self.keys:
            given = item.get(key) is not None or bool(item.get(self.boxes_key))
            mask = self._region(item, key, image.shape[-2:])
            # Meta of the image, so that every case's mask can be collated whether or not it came from a file.
            item[key] = MetaTensor(mask, meta=dict(image.meta)) if isinstance(image, MetaTensor) else mask
            item[f"{key}_given"] = torch.tensor(given)
        return item

    def _region(self, item: Mapping[Hashable, Any], key: Hashable, size: Sequence[int]) -> Tensor:
        rows, columns = size
        if item.get(key) is not None:
            return self._checked(item, key, rows, columns)
        if item.get(self.boxes_key):
            mask = mask_from_boxes(item[self.boxes_key], rows, columns)
            if not mask.any() and not self.allow_empty:
                what = f"its boxes {item[self.boxes_key]} enclose no pixel of its {rows} x {columns}"
                remedy = "Boxes are [x0, y0, x1, y1] in source pixels, x to the right; correct the datalist"
                raise case_error(item, self.image_key, what, remedy)
            return mask
        if self.required:
            what = f"it has neither '{key}' nor '{self.boxes_key}', but the region is required"
            remedy = "Add one to the datalist, or train without the region term (gamma 0)"
            raise case_error(item, self.image_key, what, remedy)
        return torch.full((1, rows, columns), float(self.missing == "whole"))

    def _checked(self, item: Mapping[Hashable, Any], key: Hashable, rows: int, columns: int) -> Tensor:
        """Return the item's own mask, thresholded."""
        path = item[key] if isinstance(item[key], str) else None
        array = self._reader.get_data(self._reader.read(path))[0] if path else item[key]
        values = torch.as_tensor(array, dtype=torch.float32).as_subclass(Tensor)
        if values.ndim == 3:  # any colour counts as inside; files have it last, arrays first
            values = values.amax(-1 if path else 0)
        if tuple(values.shape) != (rows, columns):
            what = f"the mask has {' x '.join(map(str, values.shape))} pixels, its image {rows} x {columns}"
            remedy = "Export both in the same size; a mask is not stretched, since nobody could tell where it belongs"
            raise case_error(item, key, what, remedy, path)
        mask = (values > self.threshold).float()
        if not mask.any() and not self.allow_empty:
            largest = float(values.max())
            remedy = (
                f"If the file marks the inside by a small number, set RoiMaskd's threshold below {largest:.3g}"
                if largest > 0
                else "Remove it from the datalist if there is no region, or set allow_empty"
            )
            what = f"the mask is empty: its largest value is {largest:.3g}, nothing is above {self.threshold}"
            raise case_error(item, key, what, remedy, path)
        return mask[None]


def mask_from_boxes(boxes: Sequence[Sequence[float]], rows: int, columns: int) -> Tensor:
    """Return the union of filled boxes, (1, H, W), 1 inside.

    Args:
        boxes: [[x0, y0, x1, y1], ...] in pixels; pixel (row i, column j) covers [j, j + 1) x [i, i + 1) and is inside
            if its centre is.
        rows: H.
        columns: W.
    """
    y = torch.arange(rows).view(-1, 1) + 0.5
    x = torch.arange(columns).view(1, -1) + 0.5
    mask = torch.zeros(rows, columns, dtype=torch.bool)
    for x0, y0, x1, y1 in boxes:
        mask |= (x0 <= x) & (x < x1) & (y0 <= y) & (y < y1)
    return mask[None].float()


def case_error(
    item: Mapping[Hashable, Any], key: Hashable, what: str, remedy: str, path: str | None = None
) -> CaseError:
    """Return an error that names the case and the file behind a key, or the key where there is none.

    Args:
        item: the case.
        key: the image or mask that cannot be used.
        what: what was found and what was expected.
        remedy: what to do about it.
        path: the file, where the item does not know it.
    """
    meta = getattr(item.get(key), "meta", {})
    return CaseError(path or str(meta.get("filename_or_obj", key)), what, remedy, str(item.get("case_id", "")))
