"""Cut the breast out of a mammogram and turn its chest wall to the left, so that maps can be put back."""

from __future__ import annotations

import math
from collections.abc import Hashable, Mapping, Sequence
from typing import Any

import torch
from monai.config import KeysCollection
from monai.data.meta_tensor import MetaTensor
from monai.transforms.inverse import InvertibleTransform
from monai.transforms.transform import MapTransform
from monai.utils.enums import TraceKeys
from scipy import ndimage
from torch import Tensor
from torch.nn import functional as F

from common.data.breast import Mask, bounding_box, breast_regions, chest_side, shows_both_breasts
from common.data.placement import Placement
from common.data.transforms import case_error

RIM = 2  # pixels of the reduced image; skin is fainter than the threshold at its very edge
RIGHT = "R"  # DICOM's letter; a right breast is shown with the chest wall at the right


class CropBreastd(MapTransform, InvertibleTransform):
    """Crop mammograms to the breast, blank letters beside it, and bring them to a fixed shape.

    The breast is found in the first key, see :func:`common.data.breast.breast_regions`; the others are cropped alike.
    What is missing to the shape is added on the side away from the chest wall, or in equal parts above and below, and
    is 0 beyond the image; the item's laterality tells the chest wall where the image does not. The item gets ``crop``,
    int64 (4,): x0, y0, x1, y1 in source pixels, which may lie beyond the image. With it,
    :class:`common.data.Placement` puts maps back into the source; ``inverse`` does so within MONAI.

    Put it after what reads image and mask, before FlipToLeftd and any resizing.

    Args:
        keys: the mammogram, (C, H, W) in [0, 1] with air at 0, then masks of the same size.
        aspect: height / width of the result; None keeps the shape of the breast.
        margin: added around the breast, in shares of its height and width, as far as the image goes.
        threshold: grey value above which there is tissue. Digital mammograms have air at 0; films need more, such as
            0.1.
        blank: whether everything but the breast becomes 0 in the first key, such as letters and scratches.
        crop_key: where to put the box.
        laterality_key: the item's laterality, "L" or "R"; may be missing.

    Raises:
        ValueError: if aspect, margin or threshold cannot be used.
    """

    def __init__(
        self,
        keys: KeysCollection,
        aspect: float | None = 2.0,
        margin: float = 0.02,
        threshold: float = 5 / 255,
        blank: bool = True,
        crop_key: str = "crop",
        laterality_key: str = "laterality",
    ) -> None:
        super().__init__(keys)
        if aspect is not None and not aspect > 0:
            raise ValueError(f"aspect is {aspect}, expected height / width above 0, such as 2.0, or None")
        if not margin >= 0:
            raise ValueError(f"margin is {margin}, expected 0 or more, in shares of the breast's height and width")
        _check_threshold(threshold)
        self.aspect = aspect
        self.margin = margin
        self.threshold = threshold
        self.blank = blank
        self.crop_key = crop_key
        self.laterality_key = laterality_key

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Return the item with its images cropped.

        Raises:
            CaseError: if there is no breast in the image, or both.
            ValueError: if the item was flipped before.
        """
        item = dict(data)
        if item.get("flipped") is not None:
            raise ValueError("CropBreastd stands after FlipToLeftd; put it before, as its box counts source pixels")
        first = self.keys[0]
        region = _breast(item, first, self.threshold)
        side = chest_side(region)
        at_right = side == "right" if side else item.get(self.laterality_key) == RIGHT
        rows, columns = item[first].shape[-2:]
        crop = self._box(region, rows, columns, at_right)
        if self.blank:
            item[first] = item[first] * _enlarged(region, (rows, columns))
        for key in self.key_iterator(item):
            size = tuple(item[key].shape[-2:])
            item[key] = _cut(item[key], crop)
            self.push_transform(item[key], orig_size=size, extra_info={"crop": list(crop)})
        item[self.crop_key] = torch.tensor(crop)
        return item

    def inverse(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Return the item with its images put back into the size they had, 0 where something was cut off.

        Raises:
            ValueError: if an image does not have the size of the box; resize it first.
        """
        item = dict(data)
        for key in self.key_iterator(item):
            image = item[key].clone()
            info = self.pop_transform(image)
            x0, y0, x1, y1 = (int(value) for value in info[TraceKeys.EXTRA_INFO]["crop"])
            rows, columns = (int(value) for value in info[TraceKeys.ORIG_SIZE])
            if tuple(image.shape[-2:]) != (y1 - y0, x1 - x0):
                raise ValueError(f"'{key}' is {tuple(image.shape)}, expected {y1 - y0} x {x1 - x0} pixels to put back")
            placement = Placement((rows, columns), (x0, y0, x1, y1))
            source = placement.to_source(image.as_subclass(Tensor), mode="nearest-exact")
            item[key] = MetaTensor(source, meta=image.meta, applied_operations=image.applied_operations)
        return item

    def _box(self, region: Mask, rows: int, columns: int, at_right: bool) -> tuple[int, int, int, int]:
        """Return the breast with its margin within the image, brought to the shape away from the chest wall's side."""
        down, across = rows / region.shape[0], columns / region.shape[1]
        left, top, right, bottom = bounding_box(region)
        wide, tall = self.margin * (right - left), self.margin * (bottom - top)
        x0, y0 = max(math.floor((left - wide) * across), 0), max(math.floor((top - tall) * down), 0)
        x1, y1 = min(math.ceil((right + wide) * across), columns), min(math.ceil((bottom + tall) * down), rows)
        if self.aspect is None:
            return x0, y0, x1, y1
        width, height = round((y1 - y0) / self.aspect) - (x1 - x0), round((x1 - x0) * self.aspect) - (y1 - y0)
        if width > 0:
            return (x0 - width, y0, x1, y1) if at_right else (x0, y0, x1 + width, y1)
        above = max(height, 0) // 2
        return x0, y0 - above, x1, y1 + max(height, 0) - above


class FlipToLeftd(MapTransform, InvertibleTransform):
    """Mirror mammograms whose chest wall is at the right, so that all breasts point the same way.

    The image itself tells the side, since files do not always lie as their laterality says. Where it does not, because
    the breast is as wide on both sides, the item's laterality decides. The item gets ``flipped``, a boolean tensor.

    Args:
        keys: the mammogram, (C, H, W) in [0, 1] with air at 0, then masks of the same size.
        threshold: grey value above which there is tissue, as for CropBreastd.
        laterality_key: the item's laterality, "L" or "R"; may be missing.

    Raises:
        ValueError: if threshold cannot be used.
    """

    def __init__(self, keys: KeysCollection, threshold: float = 5 / 255, laterality_key: str = "laterality") -> None:
        super().__init__(keys)
        _check_threshold(threshold)
        self.threshold = threshold
        self.laterality_key = laterality_key

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Return the item with its images mirrored if need be.

        Raises:
            CaseError: if there is no breast in the image, or both; or if its side cannot be told and laterality is
                missing.
        """
        item = dict(data)
        side = chest_side(_breast(item, self.keys[0], self.threshold))
        laterality = item.get(self.laterality_key)
        if side is None and laterality not in ("L", "R"):
            what = f"neither the image nor '{self.laterality_key}' ({laterality!r}) tells the side of its chest wall"
            raise case_error(item, self.keys[0], what, f"Give '{self.laterality_key}' as L or R in the datalist")
        flipped = side == "right" if side else laterality == RIGHT
        for key in self.key_iterator(item):
            item[key] = item[key].flip(-1) if flipped else item[key].clone()
            self.push_transform(item[key], extra_info={"flipped": flipped})
        item["flipped"] = torch.tensor(flipped)
        return item

    def inverse(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Return the item with its images as they were."""
        item = dict(data)
        for key in self.key_iterator(item):
            image = item[key].clone()
            flipped = self.pop_transform(image)[TraceKeys.EXTRA_INFO]["flipped"]
            item[key] = image.flip(-1) if flipped else image
        return item


def _cut(image: Tensor, crop: tuple[int, int, int, int]) -> Tensor:
    """Return the part of an image in a box, 0 where the box lies beyond it."""
    rows, columns = image.shape[-2:]
    x0, y0, x1, y1 = crop
    left, top, right, bottom = max(x0, 0), max(y0, 0), min(x1, columns), min(y1, rows)
    return F.pad(image[..., top:bottom, left:right], (left - x0, x1 - right, top - y0, y1 - bottom))


def _enlarged(region: Mask, size: Sequence[int]) -> Tensor:
    """Return a region of a reduced image, widened a little so that no skin is lost, in the image's size: (1, H, W)."""
    wide = torch.from_numpy(ndimage.binary_dilation(region, iterations=RIM).astype("float32"))
    return F.interpolate(wide[None, None], size=tuple(size), mode="nearest-exact")[0]


def _check_threshold(threshold: float) -> None:
    if not 0 <= threshold < 1:
        raise ValueError(f"threshold is {threshold}, expected a grey value from 0 up to, not including, 1")


def _breast(item: Mapping[Hashable, Any], key: Hashable, threshold: float) -> Mask:
    """Return the breast in a reduced image, or say why there is none."""
    grey = torch.as_tensor(item[key]).as_subclass(Tensor).amax(0)
    regions = breast_regions(grey.numpy(), threshold)
    if not regions:
        what = f"no breast was found: nothing larger than a fiftieth of the image is brighter than {threshold:.3g}"
        remedy = "Look at the file; if the breast is there, lower the threshold of CropBreastd and FlipToLeftd"
        raise case_error(item, key, what, remedy)
    if shows_both_breasts(regions):
        what = "it seems to show both breasts, expected one a file"
        remedy = "Export each breast by itself, or leave the case out; a cut-out would lose one of them"
        raise case_error(item, key, what, remedy)
    return regions[0]
