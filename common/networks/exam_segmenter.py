"""Lesions in every view of an exam: a U-Net on the image encoder's feature maps."""

# No postponed annotations in this file: TorchScript must see the result types.

from collections.abc import Sequence
from pathlib import Path
from typing import Dict  # noqa: UP035 - TorchScript reads this spelling

import torch
from monai.networks.nets.basic_unet import TwoConv
from torch import Tensor, nn

from common.layers.region_grid import upsample_regions
from common.networks.exam_encoder import ExamEncoder, load_image_encoder, spread
from common.utils.precision import at_least_float32

__all__ = ["ExamSegmenter"]

#: Channels of the decoder's steps, the finest first.
WIDTHS = (16, 32, 64, 128, 256)
ACTIVATION = ("LeakyReLU", {"negative_slope": 0.1, "inplace": True})


class _Step(nn.Module):
    """Twice the size, join the finer feature, two convolutions."""

    def __init__(self, in_channels: int, skip_channels: int, out_channels: int) -> None:
        super().__init__()
        self.convolve = TwoConv(2, in_channels + skip_channels, out_channels, ACTIVATION, "batch", bias=False)

    def forward(self, low: Tensor, skip: Tensor) -> Tensor:
        low = upsample_regions(low, (skip.shape[2], skip.shape[3]), 2)
        return self.convolve(torch.cat([low, skip], dim=1))


class ExamSegmenter(nn.Module):
    """Image encoder and decoder; each view is segmented by itself.

    Parts: ``image_encoder``, ``steps``, ``full_size``, ``head``.

    Args:
        view_side: index of the side of each of the V view slots.
        image: image encoder, see :func:`common.networks.view_trunk.build_view_trunk`.
        shared: one trunk for all views, or one for each kind of view.
        weights: file of a pre-trained network whose image encoder is loaded; None for random weights.
        trunk_weights: start weights of the trunk alone; at most one of the two.
        in_channels: image channels.
        mean: channel means subtracted from the image; None for 0.
        std: channel standard deviations that the image is divided by; None for 1.

    Raises:
        ValueError: if an option is unknown or weights do not fit.
        FileNotFoundError: if there is no file of weights.
    """

    def __init__(
        self,
        view_side: Sequence[int] = (0, 0, 1, 1),
        image: str = "tiny",
        shared: bool = True,
        weights: str | Path | None = None,
        trunk_weights: str | Path | None = None,
        in_channels: int = 1,
        mean: float | Sequence[float] | None = None,
        std: float | Sequence[float] | None = None,
    ) -> None:
        super().__init__()
        if weights is not None and trunk_weights is not None:
            raise ValueError("weights and trunk_weights are both given; the first file holds the trunk too, drop one")
        encoder = ExamEncoder(
            image,
            view_side,
            shared=shared,
            heads=[],
            in_channels=in_channels,
            weights=trunk_weights,
            mean=mean,
            std=std,
        )
        if weights is not None:
            load_image_encoder(encoder, weights)
        self.image_encoder = encoder
        levels = len(encoder.channels)
        outs = [WIDTHS[level] for level in range(1, levels)]  # of the maps at half the image's size and coarser
        ins = [*outs[1:], encoder.channels[-1]]
        steps = [_Step(ins[i], encoder.channels[i], outs[i]) for i in reversed(range(levels - 1))]
        self.steps = nn.ModuleList(steps)
        self.full_size = TwoConv(2, outs[0], WIDTHS[0], ACTIVATION, "batch", bias=False)
        self.head = nn.Conv2d(WIDTHS[0], 1, kernel_size=1)

    def forward(self, image: Tensor) -> Tensor:
        """Segment exams (E,V,1,H,W) in [0,1]: logits (E,V,H,W), -20 for absent views."""
        outputs, features, rows = self.image_encoder(image)
        size = (image.shape[3], image.shape[4])
        feature = features[-1]
        for number, step in enumerate(self.steps):
            feature = step(feature, features[len(features) - 2 - number])
        logits = self.head(self.full_size(upsample_regions(feature, size, 2)))
        mask = outputs["view_mask"].unsqueeze(2).unsqueeze(3)
        logits = spread(at_least_float32(logits).squeeze(1), rows, mask.numel())
        return logits.view(-1, mask.shape[1], size[0], size[1]).masked_fill(~mask, -20.0)

    @torch.jit.export
    def explain(self, image: Tensor) -> Dict[str, Tensor]:  # noqa: UP006
        """Segment: ``segmentation_logits`` and ``segmentation_probability`` (E,V,H,W), their sigmoid."""
        logits = self.forward(image)
        return {"segmentation_logits": logits, "segmentation_probability": torch.sigmoid(logits)}
