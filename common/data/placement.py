"""Where the network's input lies in the source image, so that maps and boxes can be put back there."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

import torch
from torch import Tensor
from torch.nn import functional as F

SMOOTH = ("bilinear", "bicubic")


@dataclass(frozen=True)
class Placement:
    """A part of the source image, mirrored or not, that was resized to the network's input.

    Args:
        source_size: rows and columns of the source image.
        crop: the part, x0, y0, x1, y1 in source pixels, x1 and y1 excluded. What lies beyond the image is padding.
        flipped: whether left and right were exchanged after cropping.

    Raises:
        ValueError: if the crop has no area in the image.
    """

    source_size: tuple[int, int]
    crop: tuple[int, int, int, int]
    flipped: bool = False

    def __post_init__(self) -> None:
        (rows, columns), (x0, y0, x1, y1) = self.source_size, self.crop
        if min(x1, columns) <= max(x0, 0) or min(y1, rows) <= max(y0, 0):
            raise ValueError(
                f"crop is {self.crop}, expected x0, y0, x1, y1 with a part of the image of {rows} x {columns} pixels"
            )

    @classmethod
    def of(cls, item: Mapping[Hashable, Any], index: int | None = None) -> Self:
        """Return what the transforms of this package have noted in an item.

        Args:
            item: with ``source_size`` (of RecordSized), ``crop`` (of CropBreastd or CropBoxd; default the whole image)
                and ``flipped`` (of FlipToLeftd; default not).
            index: which case, if the item is a batch of several.

        Raises:
            KeyError: if there is no ``source_size``.
        """
        found = {key: item[key] for key in ("source_size", "crop", "flipped") if item.get(key) is not None}
        if index is not None:
            found = {key: values[index] for key, values in found.items()}
        rows, columns = (int(value) for value in found["source_size"])
        x0, y0, x1, y1 = (int(value) for value in found.get("crop", (0, 0, columns, rows)))
        return cls((rows, columns), (x0, y0, x1, y1), bool(found.get("flipped", False)))

    def to_source(self, values: Tensor, mode: str = "bilinear", fill: float = 0.0) -> Tensor:
        """Put a map back into the source image: resize, mirror, leave out the padding, paste.

        Args:
            values: (..., h, w) over the network's input, in any resolution, floating point.
            mode: of :func:`torch.nn.functional.interpolate`: "bilinear", "bicubic", "nearest-exact" or "area".
            fill: of the source pixels that the network has not seen.

        Returns:
            (..., H, W) with the size of the source image.
        """
        (rows, columns), (x0, y0, x1, y1) = self.source_size, self.crop
        smooth = {"align_corners": False} if mode in SMOOTH else {}
        flat = values.reshape(1, -1, *values.shape[-2:])
        part = F.interpolate(flat, size=(y1 - y0, x1 - x0), mode=mode, **smooth)[0]
        part = part.flip(-1) if self.flipped else part
        left, top, right, bottom = max(x0, 0), max(y0, 0), min(x1, columns), min(y1, rows)
        source = torch.full((part.shape[0], rows, columns), fill, dtype=part.dtype, device=part.device)
        source[:, top:bottom, left:right] = part[:, top - y0 : bottom - y0, left - x0 : right - x0]
        return source.reshape(*values.shape[:-2], rows, columns)

    def box_to_source(self, box: Sequence[float], size: Sequence[int]) -> tuple[float, float, float, float]:
        """Return a box of the network's input in source pixels.

        Args:
            box: x0, y0, x1, y1.
            size: rows and columns of the input (or of the map) that the box counts in.

        Returns:
            x0, y0, x1, y1, cut off at the image's borders. A box in the padding alone has no area left.
        """
        (rows, columns), (left, top, right, bottom) = self.source_size, self.crop
        x0, y0, x1, y1 = box
        if self.flipped:
            x0, x1 = size[1] - x1, size[1] - x0
        across, down = (right - left) / size[1], (bottom - top) / size[0]
        xs = (min(max(left + x * across, 0.0), float(columns)) for x in (x0, x1))
        ys = (min(max(top + y * down, 0.0), float(rows)) for y in (y0, y1))
        (x0, x1), (y0, y1) = xs, ys
        return x0, y0, x1, y1
