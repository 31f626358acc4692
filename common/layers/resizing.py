"""Other sizes for maps and images: bilinear resizing by corners, padding to a multiple."""

import torch.nn.functional as F
from torch import Tensor

__all__ = ["pad_to_multiple", "resize"]


def resize(feature: Tensor, height: int, width: int) -> Tensor:
    """Resize bilinearly with aligned corners and without smoothing; the same size returns the feature itself.

    Args:
        feature: any map (B,D,h,w).
        height: rows H of the result.
        width: columns W of the result.

    Returns:
        The map (B,D,H,W).
    """
    if feature.shape[2] == height and feature.shape[3] == width:
        return feature
    return F.interpolate(feature, size=[height, width], mode="bilinear", align_corners=True)


def pad_to_multiple(image: Tensor, multiple: int) -> Tensor:
    """Extend an image at the bottom and at the right until both sides are multiples of a number.

    The image is reflected at its border; where it is too small for that, the border pixels are repeated. Cropping a
    result with ``[:, :, :H, :W]`` undoes the padding.

    Args:
        image: image (B,C,H,W).
        multiple: what both sides become multiples of.

    Returns:
        The extended image, or the image itself where nothing was to do.
    """
    height, width = image.shape[2], image.shape[3]
    bottom, right = -height % multiple, -width % multiple
    if bottom == 0 and right == 0:
        return image
    mode = "reflect" if bottom < height and right < width else "replicate"
    return F.pad(image, [0, right, 0, bottom], mode=mode)
