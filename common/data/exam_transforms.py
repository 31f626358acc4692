"""Load the views of an exam and the masks of its findings into one array each, all with the chest wall at the left."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from monai.config import KeysCollection
from monai.data.meta_tensor import MetaTensor
from monai.transforms.transform import MapTransform, Randomizable, Transform
from torch import Tensor

from common.data.breast_transforms import CropBreastd
from common.data.errors import CaseError
from common.data.exams import ExamLayout
from common.data.readers import ImageReader2D
from common.data.transforms import CheckImaged, ToChannelsd, mask_from_boxes

__all__ = ["LoadFindingMasksd", "LoadViewsd", "RandShiftViewsd"]

INSIDE = 0.5  # a reduced pixel belongs to a mask if half of it does


class LoadViewsd(Transform):
    """Read the views of an exam into one array.

    Each view is read (:class:`common.data.ImageReader2D`), made grey, checked, cropped to the breast
    (:class:`common.data.CropBreastd`) or widened to the shape asked for, mirrored if its name says that the chest wall
    is at the right, and resized with anti-aliasing. Nothing is drawn at random, so results can be cached.

    The item gets, for V views in their order:

    * ``image`` (V, 1, H, W) float32 in [0, 1], 0 where a view is absent;
    * ``view_mask`` (V,) bool, True where a view is there;
    * ``source_size`` (V, 2), ``crop`` (V, 4) int64 and ``flipped`` (V,) bool, the placement of each view, see
      :class:`common.data.Placement`. That of an absent view is a whole image of the network's size.

    Args:
        views: names of the views in the order of the network's input.
        size: rows and columns of the result, or one number for both.
        crop: whether to crop to the breast; False keeps the whole image, with black added to keep its shape.
        mirrored: beginnings of the names of views that show the chest wall at the right.
        threshold: grey value above which there is tissue, as for CropBreastd.
        margin: added around the breast, as for CropBreastd.
        blank: whether letters beside the breast become 0, as for CropBreastd.
        minimum_size: smallest number of rows and columns of a file.
        key: the paths, a dictionary by name of the view.

    Raises:
        ValueError: if views or size cannot be used.
    """

    def __init__(
        self,
        views: Sequence[str],
        size: int | Sequence[int],
        crop: bool = True,
        mirrored: Sequence[str] = ("right",),
        threshold: float = 5 / 255,
        margin: float = 0.02,
        blank: bool = True,
        minimum_size: int = 32,
        key: str = "views",
    ) -> None:
        if isinstance(views, str) or not views or len(set(views)) != len(views):
            raise ValueError(f"views is {views!r}, expected a list of distinct names such as ['left_cc', 'right_cc']")
        rows, columns = (size, size) if isinstance(size, int) else size
        if min(rows, columns) < 1:
            raise ValueError(f"size is {size}, expected rows and columns of 1 or more pixels")
        self.views, self.size, self.key = tuple(views), (int(rows), int(columns)), key
        self.mirrored = tuple(mirrored)
        self._reader = ImageReader2D()
        self._grey, self._check = ToChannelsd("view", 1), CheckImaged("view", minimum_size)
        self._crop = CropBreastd("view", rows / columns, margin, threshold, blank) if crop else None

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Return the item with its views.

        Raises:
            CaseError: if there is no view, an unknown one, or one that cannot be used; it names the file.
        """
        item = dict(data)
        paths, case = item.get(self.key), str(item.get("case_id", ""))
        if not isinstance(paths, Mapping) or not paths:
            what = f"'{self.key}' is {paths!r}, expected a path for each view that was taken"
            raise CaseError(case, what, "Leave exams without images out of the datalist", case)
        unknown = sorted({*paths} - {*self.views})
        if unknown:
            what = f"it has the unknown view '{unknown[0]}', expected {', '.join(self.views)}"
            raise CaseError(case, what, "Rename it in the datalist, or add it to the views of the configuration", case)
        image = torch.zeros(len(self.views), 1, *self.size)
        sizes, crops = torch.tensor([self.size] * len(self.views)), torch.zeros(len(self.views), 4, dtype=torch.int64)
        crops[:, 2:] = sizes.flip(1)
        flipped = torch.tensor([view in paths and view.startswith(self.mirrored) for view in self.views])
        for index, view in enumerate(self.views):
            if view in paths:
                pixels, sizes[index], crops[index] = self._part(str(paths[view]), case, bool(flipped[index]))
                image[index] = resized(pixels.flip(-1) if flipped[index] else pixels, self.size).clamp(0, 1)
        present = torch.tensor([view in paths for view in self.views])
        return item | {
            "image": image, "view_mask": present, "source_size": sizes, "crop": crops, "flipped": flipped
        }  # fmt: skip

    def _part(self, path: str, case: str, flipped: bool) -> tuple[Tensor, Tensor, Tensor]:
        """Return the part of a file to be resized, (1, h, w); the size of the file; and where the part lies in it."""
        array, _ = self._reader.get_data(self._reader.read(path))
        pixels = torch.from_numpy(array)
        pixels = pixels[None] if pixels.ndim == 2 else pixels.movedim(-1, 0)
        view: dict[Hashable, Any] = {"case_id": case, "view": MetaTensor(pixels, meta={"filename_or_obj": path})}
        view = self._check(self._grey(view))
        rows, columns = view["view"].shape[-2:]
        size = torch.tensor([rows, columns])
        if self._crop is not None:
            view = self._crop(view | {"laterality": "R" if flipped else "L"})
            return view["view"].as_subclass(Tensor), size, view["crop"]
        box = self._whole(rows, columns, flipped)
        return cut(view["view"].as_subclass(Tensor), box), size, torch.tensor(box)

    def _whole(self, rows: int, columns: int, flipped: bool) -> tuple[int, int, int, int]:
        """Return the box of the whole image, widened away from the chest wall or on top and bottom to the shape."""
        aspect = self.size[0] / self.size[1]
        wider, taller = max(round(rows / aspect) - columns, 0), max(round(columns * aspect) - rows, 0)
        near = wider if flipped else 0 if self.mirrored else wider // 2
        return -near, -(taller // 2), columns + wider - near, rows + taller - taller // 2


class LoadFindingMasksd(Transform):
    """Read the masks of an exam's findings and put them where :class:`LoadViewsd` has put the views.

    The item gets ``finding_mask`` (V, F, H, W) uint8, 1 inside, and ``finding_mask_given`` (V, F) bool: whether it is
    known where the finding is. It is known where there is a mask, and where the exam has the key ``masks`` and its
    label says that the side does not have the finding; the mask is then empty. Nothing is known of absent views. A mask
    in the datalist that names no finding stands for all findings that the side has by its label. A pixel is inside if
    half of it is; of a mask smaller than that, the pixel with most of it.

    Args:
        views: names of the views.
        sides: names of the sides.
        view_side: the side of each view.
        findings: names of the findings.
        threshold: values above it are inside; masks are read as [0, 1].
        key: the masks: for each view a path, or boxes [[x0, y0, x1, y1], ...] in source pixels, or these for each
            finding.

    Raises:
        ValueError: if the names do not fit together, or the threshold is no grey value.
    """

    def __init__(
        self,
        views: Sequence[str],
        sides: Sequence[str],
        view_side: Sequence[int],
        findings: Sequence[str],
        threshold: float = 0.5,
        key: str = "masks",
    ) -> None:
        if not 0 <= threshold < 1:
            raise ValueError(f"threshold is {threshold}, expected a value from 0 up to, not including, 1")
        self.layout = ExamLayout(tuple(views), tuple(sides), tuple(view_side), tuple(findings))
        self.threshold, self.key = threshold, key
        self._reader = ImageReader2D()

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Return the item with its masks.

        Raises:
            CaseError: if a mask cannot be read, is empty, or has another size than its view.
        """
        item, layout = dict(data), self.layout
        known = item.get(self.key)
        size = tuple(item["image"].shape[-2:])
        shape = (len(layout.views), len(layout.findings))
        masks = torch.zeros(*shape, *size, dtype=torch.uint8)
        given = torch.zeros(*shape, dtype=torch.bool)
        for row, view in enumerate(layout.views):
            files = (known or {}).get(view, {})
            shared = None if isinstance(files, Mapping) else self._mask(item, row, files, size)
            for column, finding in enumerate(layout.findings):
                label = layout.label_of(item, view, finding)
                if shared is not None and label != 0:
                    masks[row, column], given[row, column] = shared, True
                elif shared is None and finding in files:
                    masks[row, column], given[row, column] = self._mask(item, row, files[finding], size), True
                else:
                    given[row, column] = known is not None and label == 0 and bool(item["view_mask"][row])
        return item | {"finding_mask": masks, "finding_mask_given": given}

    def _mask(self, item: Mapping[Hashable, Any], row: int, mask: str | list[Any], size: tuple[int, ...]) -> Tensor:
        """Return a mask (H, W) in the place of its view."""
        rows, columns = (int(length) for length in item["source_size"][row])
        inside = self._read(mask, rows, columns) if isinstance(mask, str) else mask_from_boxes(mask, rows, columns)
        if not inside.any():
            source = mask if isinstance(mask, str) else f"boxes {mask} in {self.layout.views[row]}"
            what = f"the mask is empty: no pixel is inside, or above {self.threshold}"
            remedy = "Remove it from the datalist, or set LoadFindingMasksd's threshold lower"
            raise CaseError(source, what, remedy, str(item.get("case_id", "")))
        inside = cut(inside, [int(value) for value in item["crop"][row]])
        share = resized(inside.flip(-1) if item["flipped"][row] else inside, size)[0]
        return (share > 0) & (share >= min(INSIDE, float(share.max())))

    def _read(self, path: str, rows: int, columns: int) -> Tensor:
        array, _ = self._reader.get_data(self._reader.read(path))
        values = torch.from_numpy(array)
        values = values if values.ndim == 2 else values.amax(-1)
        if values.shape != (rows, columns):
            what = f"the mask has {values.shape[0]} x {values.shape[1]} pixels, its view {rows} x {columns}"
            remedy = "Export both in the same size; a mask is not stretched, since nobody could tell where it belongs"
            raise CaseError(path, what, remedy)
        return (values > self.threshold).float()[None]


class RandShiftViewsd(MapTransform, Randomizable):
    """Shift each view by some pixels at random, with 0 coming in; masks move with their view.

    The placement of the views is left as it was: use it where no map has to be put back into its source.

    Args:
        keys: the views, then masks, (V, C, H, W).
        pixels: largest shift, up, down, left and right.
        allow_missing_keys: whether items without a key pass.

    Raises:
        ValueError: if pixels is negative.
    """

    def __init__(self, keys: KeysCollection, pixels: int = 4, allow_missing_keys: bool = False) -> None:
        super().__init__(keys, allow_missing_keys)
        if pixels < 0:
            raise ValueError(f"pixels is {pixels}, expected 0 or more")
        self.pixels = pixels

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Return the item with its views shifted."""
        item = dict(data)
        shifts = self.R.randint(-self.pixels, self.pixels + 1, size=(len(item[self.keys[0]]), 2)).tolist()
        for key in self.key_iterator(item):
            views = torch.as_tensor(item[key]).as_subclass(Tensor)
            # A negative padding cuts off, so one call shifts: what leaves on one side comes in as 0 on the other.
            moved = [F.pad(v, (x, -x, y, -y)) for v, (x, y) in zip(views, shifts, strict=True)]
            item[key] = torch.stack(moved)
        return item


def cut(image: Tensor, box: Sequence[int]) -> Tensor:
    """Return the part of an image (C, H, W) in a box x0, y0, x1, y1; 0 where the box lies beyond it."""
    rows, columns = image.shape[-2:]
    x0, y0, x1, y1 = box
    return F.pad(image, (-x0, x1 - columns, -y0, y1 - rows))  # what is negative cuts off


def resized(image: Tensor, size: Sequence[int]) -> Tensor:
    """Return an image (C, h, w) in another size, (C, H, W), bilinear with anti-aliasing."""
    return F.interpolate(image[None], size=tuple(size), mode="bilinear", antialias=True, align_corners=False)[0]
