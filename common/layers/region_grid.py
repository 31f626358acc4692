"""Regions of a feature map and pixels of the image: where a region lies, what it covers, what a text sees in it.

Region (i,j) of a network of padded convolutions with total stride s is centred on pixel (s i + o, s j + o), not on the
centre of the cell from s i to s (i + 1); o, the offset, is 0 unless the network halves its maps by averaging pairs.
"""

# No postponed annotations in this file: TorchScript compiles its functions.

import torch
import torch.nn.functional as F
from torch import Tensor

from common.layers.masking import masked_softmax
from common.utils.precision import at_least_float32

__all__ = ["attend_regions", "region_mean", "upsample_regions"]


def upsample_regions(feature: Tensor, size: tuple[int, int], stride: int, offset: int = 0) -> Tensor:
    """Draw maps of regions at the size of the image: bilinear between the regions' centres, constant beyond them.

    Args:
        feature: maps (...,h,w).
        size: rows H and columns W of the image.
        stride: pixels between the centres of neighbouring regions, s.
        offset: pixel that the first region is centred on, o.

    Returns:
        Maps (...,H,W); pixel (s i + o, s j + o) has the value of region (i,j).
    """
    rows, columns = feature.shape[-2], feature.shape[-1]
    flat = feature.reshape([1, -1, rows, columns])
    # With aligned corners and this size, the outermost regions lie on the outermost pixels and the others s apart.
    between = [(rows - 1) * stride + 1, (columns - 1) * stride + 1]
    flat = F.interpolate(flat, size=between, mode="bilinear", align_corners=True)
    bottom, right = max(size[0] - between[0] - offset, 0), max(size[1] - between[1] - offset, 0)
    flat = F.pad(flat, [offset, right, offset, bottom], mode="replicate")
    return flat[:, :, : size[0], : size[1]].reshape(list(feature.shape[:-2]) + [size[0], size[1]])  # noqa: RUF005


def region_mean(image: Tensor, regions: tuple[int, int], stride: int, offset: int = 0) -> Tensor:
    """Average an image over the cell of stride x stride pixels around the centre of each region.

    Args:
        image: images or maps (...,H,W).
        regions: rows h and columns w of the grid.
        stride: pixels between the centres of neighbouring regions, s.
        offset: pixel that the first region is centred on, 0 to s/2.

    Returns:
        Means (...,h,w) of the pixels s i + o - s/2 to s i + o + s/2 (without the last) that lie in the image.
    """
    flat = image.reshape([1, -1, image.shape[-2], image.shape[-1]])
    before = stride // 2 - offset
    mean = F.avg_pool2d(flat, stride, stride, padding=before, ceil_mode=True, count_include_pad=False)
    mean = mean[:, :, : regions[0], : regions[1]]
    return mean.reshape(list(image.shape[:-2]) + [regions[0], regions[1]])  # noqa: RUF005


def attend_regions(region: Tensor, mask: Tensor, text: Tensor, sharpness: Tensor) -> tuple[Tensor, Tensor]:
    """Compare texts with the regions that each of them attends to.

    One softmax over all regions that a text may look at, those of several views together, so that it chooses its view
    too. In float32, also under autocast.

    Args:
        region: unit vectors (E,R,D) of the regions of an exam, of all its views.
        mask: which regions each text may look at (E,P,R), bool; E or P may be 1.
        text: unit vectors (P,D), the same for all exams.
        sharpness: factor of the cosines in the softmax, 0-d.

    Returns:
        score: attention-weighted cosine (E,P), in [-1,1]; 0 for a text without any region.
        attention: weights (E,P,R), whose sum is 1, or 0 for a text without any region.
    """
    if not torch.jit.is_scripting():  # noqa: SIM102 - TorchScript compiles what stands in the same line
        if torch.is_autocast_enabled(region.device.type):
            with torch.autocast(region.device.type, enabled=False):
                return _attend(region, mask, text, sharpness)
    return _attend(region, mask, text, sharpness)


def _attend(region: Tensor, mask: Tensor, text: Tensor, sharpness: Tensor) -> tuple[Tensor, Tensor]:
    regions = at_least_float32(region)
    cosine = torch.matmul(at_least_float32(text).to(regions.dtype), regions.transpose(1, 2))
    attention = masked_softmax(sharpness * cosine, mask)
    return (attention * cosine).sum(-1), attention
