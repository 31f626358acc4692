"""A second view of an image, and the movement between the two."""

from __future__ import annotations

import math
from collections.abc import Hashable, Mapping
from typing import Any

import torch
import torch.nn.functional as F
from monai.config import KeysCollection
from monai.transforms.transform import MapTransform, Randomizable
from torch import Tensor

from common.utils.choices import check_choice

__all__ = ["AffineViewd", "affine_matrix"]

PADDINGS = ("zeros", "border", "reflection")


class AffineViewd(MapTransform, Randomizable):
    """Move an image at random and keep the original beside it.

    The item gets ``original``, the image as it was, and ``affine`` (2,3), the movement as
    :func:`torch.nn.functional.affine_grid` takes it. The ranges are those of InterNRL (Wang et al., IEEE TMI 43(1),
    2024). Put it last of the random transforms.

    Args:
        keys: the image (C,H,W).
        degrees: largest rotation to either side.
        shift: largest shift to either side, as a share of height and width.
        scale: smallest and largest scale.
        shear: largest shear to either side, in degrees, of each axis.
        padding: what comes in from outside the image: ``"zeros"`` (published), black, right for images on a black
            ground; ``"reflection"`` or ``"border"`` for others, whose black corners a network would get used to.

    Raises:
        ValueError: if a range is negative, the scales are not in order, or the padding is unknown.
    """

    def __init__(
        self,
        keys: KeysCollection,
        degrees: float = 10.0,
        shift: float = 0.15,
        scale: tuple[float, float] = (0.95, 1.05),
        shear: float = 10.0,
        padding: str = "zeros",
    ) -> None:
        super().__init__(keys)
        check_choice("padding", padding, PADDINGS)
        low, high = scale
        if min(degrees, shift, shear) < 0 or not 0 < low <= high or shear >= 45:
            raise ValueError(
                f"degrees {degrees}, shift {shift}, scale {list(scale)}, shear {shear}: expected angles of 0 or more, "
                "shear below 45, a shift of 0 or more, and positive scales, the smaller one first"
            )
        self.degrees, self.shift, self.scale, self.shear = degrees, shift, (low, high), shear
        self.padding = padding

    def _draw(self) -> dict[str, float]:
        draw = self.R.uniform
        return {
            "angle": draw(-self.degrees, self.degrees),
            "right": draw(-self.shift, self.shift),
            "down": draw(-self.shift, self.shift),
            "scale": draw(*self.scale),
            "shear_x": draw(-self.shear, self.shear),
            "shear_y": draw(-self.shear, self.shear),
        }

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Return the item with both views and the movement."""
        item = dict(data)
        for key in self.key_iterator(item):
            image = torch.as_tensor(item[key]).as_subclass(Tensor)
            affine = affine_matrix(image.shape[-2], image.shape[-1], **self._draw())
            grid = F.affine_grid(affine[None], [1, *image.shape], align_corners=False)
            item["original"], item["affine"] = image, affine
            item[key] = F.grid_sample(image[None], grid, padding_mode=self.padding, align_corners=False)[0]
        return item


def affine_matrix(
    height: int,
    width: int,
    angle: float = 0.0,
    right: float = 0.0,
    down: float = 0.0,
    scale: float = 1.0,
    shear_x: float = 0.0,
    shear_y: float = 0.0,
) -> Tensor:
    """Make the matrix of a movement about the image's centre, for images that need not be square.

    Args:
        height: rows H.
        width: columns W.
        angle: rotation in degrees, clockwise as seen.
        right: shift to the right, as a share of the width.
        down: shift downwards, as a share of the height.
        scale: magnification.
        shear_x: shear along the rows in degrees.
        shear_y: shear along the columns in degrees.

    Returns:
        Matrix (2,3), float32: from normalised places (x, y) of the moved image to those of the original, as
        :func:`torch.nn.functional.affine_grid` takes it with corners not aligned.
    """
    turn, x, y = (math.radians(value) for value in (angle, shear_x, shear_y))
    rotation = torch.tensor([[math.cos(turn), -math.sin(turn)], [math.sin(turn), math.cos(turn)]], dtype=torch.float64)
    skew = torch.tensor([[1.0, math.tan(x)], [math.tan(y), 1.0]], dtype=torch.float64)
    size = torch.diag(torch.tensor([width / 2, height / 2], dtype=torch.float64))  # pixels per normalised unit
    back = torch.linalg.inv(scale * rotation @ skew)
    linear = torch.linalg.inv(size) @ back @ size
    moved = torch.tensor([2 * right, 2 * down], dtype=torch.float64)
    return torch.cat([linear, -(linear @ moved)[:, None]], dim=1).float()
