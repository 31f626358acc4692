"""Normalisation of the image inside the network, so that it travels with the weights."""

# No postponed annotations in this file: TorchScript must see the class of the buffers.

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from common.layers.image_check import check_image

__all__ = ["ImageNormalisation"]


class ImageNormalisation(nn.Module):
    """(image - mean) / std per channel, after a check of the image's shape.

    Args:
        in_channels: image channels C.
        mean: one number or one per channel; None for 0.
        std: one number or one per channel; None for 1.

    Raises:
        ValueError: for another number of values than channels, or a std that is not positive.
    """

    mean: Tensor
    std: Tensor

    def __init__(
        self,
        in_channels: int,
        mean: float | Sequence[float] | None = None,
        std: float | Sequence[float] | None = None,
    ) -> None:
        super().__init__()
        if in_channels < 1:
            raise ValueError(f"in_channels is {in_channels}, expected a positive number of image channels")
        self.in_channels = in_channels
        self.register_buffer("mean", _channel_values("mean", mean, in_channels, default=0.0))
        self.register_buffer("std", _channel_values("std", std, in_channels, default=1.0))
        if not bool((self.std > 0).all()):
            raise ValueError(f"std is {std}, expected positive numbers: the image is divided by them")

    def forward(self, image: Tensor) -> Tensor:
        """Normalise images (B,C,H,W) in [0,1].

        Raises:
            ValueError: in eager mode, for a wrong number of channels or too small an image.
        """
        # Before the subtraction, which would broadcast a grey image to three channels in silence.
        if not torch.jit.is_scripting():
            check_image(image, self.in_channels)
        return (image - self.mean) / self.std


def _channel_values(name: str, values: float | Sequence[float] | None, channels: int, default: float) -> Tensor:
    if values is None:
        values = default
    numbers = [float(values)] * channels if isinstance(values, int | float) else [float(value) for value in values]
    if len(numbers) != channels:
        raise ValueError(f"{name} has {len(numbers)} values, expected one number or one per channel ({channels})")
    return torch.tensor(numbers).view(1, channels, 1, 1)
