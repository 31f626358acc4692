"""Twice as fine a feature map from the same weights: a stride becomes a dilation.

Source: Yu, Koltun, Funkhouser, "Dilated Residual Networks", CVPR 2017.
"""

from __future__ import annotations

from torch import nn

__all__ = ["remove_stride"]


def remove_stride(stage: nn.Module) -> None:
    """Let the last stage of a network, where the stride is, compute its map at every place instead of every second.

    The convolution with the stride takes every place; the ones after it reach twice as far, so that each sees what it
    saw before: every second row and column of the new map is the old map. Convolutions are taken in the order in which
    they were registered; those of 1x1 pixels (projections of a shortcut among them) only lose their stride.

    Args:
        stage: holds ``Conv2d`` with a stride of 2, odd kernels and symmetric padding; changed in place.

    Raises:
        ValueError: if there is no stride to remove.
    """
    strided = False
    for layer in stage.modules():
        if not isinstance(layer, nn.Conv2d):
            continue
        size = layer.kernel_size[0]
        if layer.stride == (2, 2):
            layer.stride = (1, 1)
            strided = True
        elif strided and size > 1:
            layer.dilation = (2, 2)
            layer.padding = (2 * int(layer.padding[0]), 2 * int(layer.padding[1]))
    if not strided:
        raise ValueError(f"{type(stage).__name__} has no convolution with stride 2, there is nothing to make finer")
