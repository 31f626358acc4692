"""Redraw an explainer's map after a small part of the image has changed, exactly and without running it all.

In evaluation mode an output pixel of :class:`common.networks.ExplainerUNet` depends on the image at most 35 pixels to
each side. So every layer's activations are kept; a change recomputes, layer by layer, the window it can reach.
"""

from __future__ import annotations

from typing import NamedTuple, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from common.explain.interfaces import check_evaluating
from common.networks import ExplainerUNet

__all__ = ["LocalExplainer", "Window"]

SCALES = ("full", "half", "quarter")
STRIDE = 8


class Window(NamedTuple):
    """A rectangle of rows ``top`` to ``bottom`` and columns ``left`` to ``right``, ends excluded."""

    top: int
    bottom: int
    left: int
    right: int

    def grown(self, margin: int) -> Window:
        """Return the window with ``margin`` more on each side, which may reach outside the feature."""
        return Window(self.top - margin, self.bottom + margin, self.left - margin, self.right + margin)

    def clipped(self, feature: Tensor) -> Window:
        """Return the part of the window that lies in a feature (B,D,h,w)."""
        height, width = feature.shape[-2:]
        return Window(max(self.top, 0), min(self.bottom, height), max(self.left, 0), min(self.right, width))

    def halved(self) -> Window:
        """Return the window that covers this one after pooling by two."""
        return Window(self.top // 2, -(-self.bottom // 2), self.left // 2, -(-self.right // 2))

    def doubled(self) -> Window:
        """Return the window that this one covers before pooling by two, or after doubling the size."""
        return Window(2 * self.top, 2 * self.bottom, 2 * self.left, 2 * self.right)

    def of(self, feature: Tensor) -> Tensor:
        """Return the view of a feature (B,D,h,w) in this window."""
        return feature[..., self.top : self.bottom, self.left : self.right]


class LocalExplainer:
    """The map of a batch of images, kept up to date while the images change bit by bit.

    Unlike the rest of the package this object changes: :meth:`update` moves it on to the next image. It keeps about
    1 kB per pixel and copy.

    Args:
        explainer: in evaluation mode.
        image: the first image (1,C,H,W), as the explainer takes it (normalised).
        copies: number of images B that start from this one and change in the same places, each in its own way.

    Raises:
        ValueError: if the explainer is in training mode.
    """

    def __init__(self, explainer: ExplainerUNet, image: Tensor, copies: int = 1) -> None:
        check_evaluating(explainer)
        self._explainer = explainer
        self._height, self._width = image.shape[-2:]
        padded = self._pad(image)
        height, width = padded.shape[-2:]

        def empty(channels: int, scale: str) -> Tensor:
            divisor = 2 ** SCALES.index(scale)
            shape = (1, channels, height // divisor, width // divisor)
            layout = torch.channels_last
            return torch.empty(shape, dtype=image.dtype, device=image.device, memory_format=layout)

        self._skip: dict[str, Tensor] = {}
        self._input: dict[str, Tensor] = {}
        self._middle: dict[str, Tensor] = {}
        for scale in SCALES:
            for name in (f"encode_{scale}", f"decode_{scale}"):
                first = cast(nn.Conv2d, self._block(name)[0])
                self._input[name] = empty(first.in_channels, scale)
                self._middle[name] = empty(first.out_channels, scale)
            self._skip[scale] = torch.empty_like(self._middle[f"encode_{scale}"])
        self._map = empty(1, "full")
        self.update(image, Window(0, self._height, 0, self._width))
        for kept in (self._skip, self._input, self._middle):
            kept.update({name: _repeated(feature, copies) for name, feature in kept.items()})
        self._map = _repeated(self._map, copies)

    @torch.inference_mode()
    def update(self, image: Tensor, window: Window) -> Tensor:
        """Redraw the map for images that differ from the last ones in one window only.

        Args:
            image: images (B,C,H,W) as the explainer takes them.
            window: where they differ.

        Returns:
            Map (B,1,H,W) in [0,1), equal to the explainer's own but for rounding.
        """
        padded = self._pad(image)
        # The repeated border pixels below and to the right change with the border.
        bottom = padded.shape[-2] if window.bottom == self._height else window.bottom
        right = padded.shape[-1] if window.right == self._width else window.right
        window = Window(window.top, bottom, window.left, right)
        values = window.of(padded)
        for scale in SCALES:
            window, values = self._double_conv(f"encode_{scale}", window, values)
            window.of(self._skip[scale]).copy_(values)
            window = window.halved()
            values = F.max_pool2d(window.doubled().of(self._skip[scale]), 2)
        for scale in reversed(SCALES):
            window = window.doubled()
            values = getattr(self._explainer, f"up_{scale}")(values) + window.of(self._skip[scale])
            window, values = self._double_conv(f"decode_{scale}", window, values)
        score = self._explainer.norm(self._explainer.project(values))
        window.of(self._map).copy_(F.relu(torch.tanh(score)))
        return self._map[..., : self._height, : self._width].clone()

    def _double_conv(self, name: str, window: Window, values: Tensor) -> tuple[Window, Tensor]:
        """Put values into the input of two convolutions; return the window they reach and the output there."""
        block = self._block(name)
        for kept, layer in ((self._input[name], block[0]), (self._middle[name], block[2])):
            window.of(kept).copy_(values)
            window = window.grown(1).clipped(kept)
            values = _convolve(kept, cast(nn.Conv2d, layer), window)
        return window, values

    def _block(self, name: str) -> nn.Sequential:
        return cast(nn.Sequential, getattr(self._explainer, name))

    def _pad(self, image: Tensor) -> Tensor:
        return F.pad(image, [0, -image.shape[-1] % STRIDE, 0, -image.shape[-2] % STRIDE], mode="replicate")


def _repeated(feature: Tensor, copies: int) -> Tensor:
    return feature.expand(copies, -1, -1, -1).clone(memory_format=torch.channels_last)


def _convolve(feature: Tensor, layer: nn.Conv2d, window: Window) -> Tensor:
    """Return relu(3x3 convolution of the feature) in a window, with zeros around the feature."""
    wanted = window.grown(1)
    found = wanted.clipped(feature)
    columns = [found.left - wanted.left, wanted.right - found.right]
    rows = [found.top - wanted.top, wanted.bottom - found.bottom]
    return F.conv2d(F.pad(found.of(feature), columns + rows), layer.weight, layer.bias).relu_()
