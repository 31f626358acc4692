"""What can be seen without any learning: simple filters that a learned score or map has to beat.

Lengths are those for an image of 96 rows and grow with the image. What is darker than ``BACKGROUND`` in the mean is
not looked at, nor does it blur into the rest: the border of a breast is no finding.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
import torch.nn.functional as F
from monai.networks.layers import gaussian_1d, separable_filtering
from torch import Tensor

__all__ = [
    "BACKGROUND",
    "FILTERS",
    "bright_specks",
    "brightest_spot",
    "difference_of_gaussians",
    "foreground_of",
    "strongest_by_side",
]

BACKGROUND = 30 / 255
"""Mean grey up to which a spot is background, that of :class:`common.networks.ExamEncoder`."""
ROWS = 96
SPOT = 7
FINE, COARSE = 2.5, 8.0
SPECK, CLUSTER = 1.5, 4.0
OUTLYING = 6.0
"""Deviations of the noise from which on a pixel is a speck."""
DEVIATIONS = 1.4826
"""Standard deviations of a normal distribution in its median absolute deviation."""


def foreground_of(image: Tensor) -> Tensor:
    """Return where there is something to see.

    Args:
        image: (B,1,H,W) in [0,1].

    Returns:
        (B,H,W), bool: the mean grey of a spot of 7 pixels is above ``BACKGROUND``; everything if nothing is.
    """
    found = (_spot_mean(image) > BACKGROUND)[:, 0]
    return found | ~found.flatten(1).any(1)[:, None, None]


def brightest_spot(image: Tensor) -> Tensor:
    """Return the mean grey of the spot of 7 x 7 pixels around each pixel.

    Args:
        image: (B,1,H,W) in [0,1].

    Returns:
        (B,H,W), 0 or more; 0 in the background.
    """
    return _spot_mean(image)[:, 0] * foreground_of(image)


def difference_of_gaussians(image: Tensor) -> Tensor:
    """Return by how much each place is brighter than what surrounds it: sigma 2.5 less sigma 8.

    Args:
        image: (B,1,H,W) in [0,1].

    Returns:
        (B,H,W), 0 or more; 0 where it is not brighter and in the background.
    """
    there = foreground_of(image)
    return (_smooth(image, there, FINE) - _smooth(image, there, COARSE)).clamp(min=0) * there


def bright_specks(image: Tensor) -> Tensor:
    """Return how many specks lie around each pixel, by a Gaussian of sigma 4.

    A speck is a pixel that is brighter than what surrounds it (sigma 1.5) by 6 deviations of the image's noise, which
    is the median absolute deviation of that difference, and by more than its eight neighbours are.

    Args:
        image: (B,1,H,W) in [0,1].

    Returns:
        (B,H,W), 0 or more; 0 in the background.
    """
    there = foreground_of(image)
    detail = image[:, 0] - _smooth(image, there, SPECK)
    size = detail.masked_fill(~there, torch.nan).abs().flatten(1)
    noise = DEVIATIONS * size.nanmedian(dim=1).values[:, None, None]
    highest = F.max_pool2d(detail[:, None], 3, stride=1, padding=1)[:, 0] == detail
    specks = (detail > OUTLYING * noise.clamp(min=1e-6)) & highest & there
    return _blur(specks[:, None].to(image.dtype), CLUSTER)[:, 0] * there


FILTERS: dict[str, Callable[[Tensor], Tensor]] = {
    "brightest_spot": brightest_spot,
    "difference_of_gaussians": difference_of_gaussians,
    "bright_specks": bright_specks,
}
"""By their names in metrics.json."""


def strongest_by_side(maps: Tensor, view_side: Sequence[int]) -> Tensor:
    """Return the largest value of all views of each side.

    Args:
        maps: (E,V,H,W), 0 or more.
        view_side: the side of each view.

    Returns:
        (E,S).
    """
    strongest = maps.flatten(2).amax(2)
    sides = torch.as_tensor(view_side, device=maps.device)
    return torch.stack([strongest[:, sides == side].amax(1) for side in range(int(sides.max()) + 1)], dim=1)


def _scaled(length: float, image: Tensor) -> float:
    return length * image.shape[-2] / ROWS


def _spot_mean(image: Tensor) -> Tensor:
    width = 2 * max(1, round((_scaled(SPOT, image) - 1) / 2)) + 1
    return F.avg_pool2d(image, width, stride=1, padding=width // 2, count_include_pad=False)


def _smooth(image: Tensor, there: Tensor, sigma: float) -> Tensor:
    """Return the Gaussian mean of what is there, (B,H,W), without the dark pixels just beyond the border."""
    weight = (there[:, None] & (image > BACKGROUND)).to(image.dtype)
    return (_blur(image * weight, sigma) / _blur(weight, sigma).clamp(min=1e-6))[:, 0]


def _blur(image: Tensor, sigma: float) -> Tensor:
    """Blur (B,1,H,W) with 0 beyond the border."""
    width = torch.tensor(_scaled(sigma, image), device=image.device)
    return separable_filtering(image, [gaussian_1d(width, truncated=3.0)] * 2)
