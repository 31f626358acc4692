"""Refuse images that a two-dimensional network cannot take, before they are broadcast into nonsense."""

from __future__ import annotations

import torch
from torch import Tensor

__all__ = ["MIN_IMAGE_SIZE", "check_image"]

MIN_IMAGE_SIZE = 32
"""Smallest height and width in pixels: the total stride of a ResNet, below which its last feature is padding."""


def check_image(image: Tensor, in_channels: int) -> None:
    """Check the shape of a batch of images; does nothing while a graph is traced.

    Called in eager mode only (``if not torch.jit.is_scripting()``), so that exported graphs carry no checks.

    Args:
        image: batch of images (B,C,H,W).
        in_channels: number of channels C that the network was built for.

    Raises:
        ValueError: if the batch is not four-dimensional, has another number of channels, or is smaller than
            ``MIN_IMAGE_SIZE`` pixels on a side.
    """
    if torch.jit.is_tracing():
        return
    if image.ndim != 4:
        raise ValueError(
            f"got a tensor of shape {tuple(image.shape)}, expected a batch of images (B,{in_channels},H,W); "
            "add the missing axis, e.g. image[None] for a single image"
        )
    channels, height, width = image.shape[1:]
    if channels != in_channels:
        raise ValueError(
            f"got {channels} channels, network built for {in_channels}; "
            f"build it with in_channels={channels} or load the images with {in_channels} channels"
        )
    if height < MIN_IMAGE_SIZE or width < MIN_IMAGE_SIZE:
        raise ValueError(
            f"got an image of {height}x{width} pixels, the smallest is {MIN_IMAGE_SIZE}x{MIN_IMAGE_SIZE}; "
            "resize or pad the images (config id image_size)"
        )
