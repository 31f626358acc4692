"""What a removed patch is filled with."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from common.utils.messages import did_you_mean

__all__ = ["FILLS", "check_fills", "fill_images", "gaussian_blur"]

FILLS = ("black", "white", "gray", "mean", "blur", "uniform")
CONSTANTS = {"black": 0.0, "white": 1.0, "gray": 0.5}
TRUNCATE = 3
"""The Gaussian is cut off at this many standard deviations."""


def check_fills(kinds: Sequence[str], mean: Sequence[float] | None, blur_sigma: float) -> None:
    """Check the options of :func:`fill_images`.

    Raises:
        ValueError: for no or an unknown kind, a sigma that is not positive, or ``"mean"`` without a mean.
    """
    if isinstance(kinds, str) or not kinds:
        raise ValueError(f"kinds is {kinds!r}, expected a list with at least one of {', '.join(FILLS)}")
    for kind in kinds:
        if kind not in FILLS:
            raise ValueError(f"unknown fill '{kind}'{did_you_mean(kind, FILLS)}; expected {', '.join(FILLS)}")
    if blur_sigma <= 0:
        raise ValueError(f"blur_sigma is {blur_sigma}, expected a positive number of pixels")
    if "mean" in kinds and mean is None:
        raise ValueError("the fill 'mean' needs the data set's mean; give one number per image channel as mean")


def fill_images(
    image: Tensor, kinds: Sequence[str], mean: Sequence[float] | None = None, blur_sigma: float = 8.0, seed: int = 0
) -> Tensor:
    """Make, for every kind, the image that removed patches are taken from.

    Args:
        image: images (B,C,H,W) in [0,1].
        kinds: any of ``FILLS``: ``black`` 0, ``white`` 1, ``gray`` 0.5, ``mean`` the given channel means, ``blur`` the
            whole image after a Gaussian (so a patch is filled with its blurred self), ``uniform`` noise in [0,1) per
            pixel and channel, the same for every image.
        mean: one number per channel, for ``mean``.
        blur_sigma: standard deviation of the Gaussian, in pixels.
        seed: of the noise.

    Returns:
        Fills (K,B,C,H,W) for K kinds, with the image's dtype and device.

    Raises:
        ValueError: for options that do not fit, see :func:`check_fills`.
    """
    check_fills(kinds, mean, blur_sigma)
    return torch.stack([_fill(image, kind, mean, blur_sigma, seed) for kind in kinds])


def gaussian_blur(image: Tensor, sigma: float) -> Tensor:
    """Blur with a Gaussian cut off at three standard deviations; border pixels are repeated.

    Args:
        image: images (B,C,H,W).
        sigma: standard deviation in pixels, positive.

    Returns:
        Blurred images (B,C,H,W).
    """
    radius = math.ceil(TRUNCATE * sigma)
    offset = torch.arange(-radius, radius + 1, dtype=image.dtype, device=image.device)
    kernel = torch.softmax(-(offset**2) / (2 * sigma**2), dim=0)
    height, width = image.shape[-2:]
    rows = F.pad(image, [0, 0, radius, radius], mode="replicate").reshape(-1, 1, height + 2 * radius, width)
    rows = F.conv2d(rows, kernel.view(1, 1, -1, 1))
    columns = F.pad(rows, [radius, radius, 0, 0], mode="replicate")
    return F.conv2d(columns, kernel.view(1, 1, 1, -1)).view_as(image)


def _fill(image: Tensor, kind: str, mean: Sequence[float] | None, blur_sigma: float, seed: int) -> Tensor:
    if kind in CONSTANTS:
        return torch.full_like(image, CONSTANTS[kind])
    if kind == "blur":
        return gaussian_blur(image, blur_sigma)
    if kind == "uniform":
        noise = torch.rand(image.shape[1:], generator=torch.Generator().manual_seed(seed))
        return noise.to(image).expand_as(image)
    values = torch.tensor(mean, dtype=image.dtype, device=image.device)
    if values.numel() != image.shape[1]:
        raise ValueError(f"mean has {values.numel()} values for images of {image.shape[1]} channels")
    return values.view(1, -1, 1, 1).expand_as(image)
