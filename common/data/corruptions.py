"""Images made worse on purpose, to see whether a network notices: noise, blur, lost contrast, JPEG, at five strengths.

The kinds follow Hendrycks and Dietterich, "Benchmarking neural network robustness to common corruptions and
perturbations", ICLR 2019; the strengths are those below. Noise belongs to the case, not to the batch: the same case
always gets the same pattern, and a higher strength gets more of it, so that a change with strength is not luck.
"""

from __future__ import annotations

import io
import zlib
from collections.abc import Sequence

import numpy as np
import torch
from PIL import Image
from scipy.ndimage import gaussian_filter
from torch import Tensor

from common.utils.choices import check_choice

__all__ = ["CORRUPTIONS", "STRENGTHS", "corrupt"]

STRENGTHS = (1, 2, 3, 4, 5)
"""Every kind has these strengths; 0 stands for the image itself."""

CORRUPTIONS: dict[str, tuple[float, ...]] = {
    "gaussian_noise": (0.05, 0.1, 0.15, 0.2, 0.3),
    "blur": (0.004, 0.008, 0.012, 0.016, 0.024),
    "contrast": (0.75, 0.6, 0.45, 0.3, 0.15),
    "jpeg": (60, 40, 25, 15, 7),
}
"""What each strength means: the noise's standard deviation; the Gaussian's standard deviation as a share of the image's
shorter side; the factor that draws values to the image's mean; the JPEG quality."""


def corrupt(image: Tensor, kind: str, strength: int, case_ids: Sequence[str], seed: int = 0) -> Tensor:
    """Make images worse.

    Args:
        image: (B,D,H,W) in [0,1].
        kind: one of :data:`CORRUPTIONS`.
        strength: 1 to 5, or 0 for the image itself.
        case_ids: B names, which decide the noise together with the seed.
        seed: of the noise.

    Returns:
        (B,D,H,W) in [0,1], of the image's type and on its device; the image given is not changed.

    Raises:
        ValueError: for an unknown kind or strength, or another number of names.
    """
    check_choice("kind", kind, CORRUPTIONS)
    if strength not in (0, *STRENGTHS):
        raise ValueError(f"strength is {strength!r}, expected 1 to 5, or 0 for the image itself")
    if len(case_ids) != len(image):
        raise ValueError(f"got {len(case_ids)} case_ids for {len(image)} images, expected one each")
    if strength == 0:
        return image.clone()
    amount = CORRUPTIONS[kind][strength - 1]
    source = image.detach().cpu().float()
    if kind == "gaussian_noise":
        changed = source + amount * torch.stack(
            [_noise(one.shape, str(case), seed) for one, case in zip(source, case_ids, strict=True)]
        )
    elif kind == "blur":
        sigma = amount * min(source.shape[-2:])
        changed = torch.from_numpy(gaussian_filter(source.numpy(), (0, 0, sigma, sigma), mode="nearest"))
    elif kind == "contrast":
        mean = source.mean(dim=(1, 2, 3), keepdim=True)
        changed = mean + amount * (source - mean)
    else:
        changed = torch.stack([_jpeg(one, int(amount)) for one in source])
    return changed.clamp(0, 1).to(image)


def _noise(shape: Sequence[int], case: str, seed: int) -> Tensor:
    """Draw the standard normal pattern of a case."""
    generator = torch.Generator().manual_seed(zlib.crc32(f"{seed}/{case}".encode()))
    return torch.randn(tuple(shape), generator=generator)


def _jpeg(image: Tensor, quality: int) -> Tensor:
    """Save and read one image (D,H,W): three channels as colour, any other number as that many grey images."""
    pixels = (image.clamp(0, 1) * 255).round().byte().numpy()
    pictures = [np.moveaxis(pixels, 0, -1)] if len(pixels) == 3 else list(pixels)
    read = [_through_jpeg(picture, quality) for picture in pictures]
    joined = np.moveaxis(read[0], -1, 0) if len(pixels) == 3 else np.stack(read)
    return torch.from_numpy(joined.astype(np.float32) / 255)


def _through_jpeg(pixels: np.ndarray, quality: int) -> np.ndarray:
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, format="JPEG", quality=quality)
    return np.array(Image.open(file))
