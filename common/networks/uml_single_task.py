"""UML's tasks alone: a classifier and a U-Net with the same encoders and blocks, for an honest comparison.

Nothing is mixed, navigated or instructed, and the uncertainty is what softmax networks have: one minus the largest
probability.
"""

# No postponed annotations in this file: TorchScript must see the result types.

from collections.abc import Sequence
from pathlib import Path
from typing import Dict  # noqa: UP035 - TorchScript reads this spelling

import torch
from torch import Tensor, nn

from common.layers.decoder_block import ConvolvingStep
from common.layers.image_normalisation import ImageNormalisation
from common.layers.normalised_convolution import init_convolutions
from common.layers.resizing import pad_to_multiple, resize
from common.layers.uncertainty_instructor import SeparableStack
from common.networks.uml_attention import reductions
from common.networks.uml_encoders import base_channels, build_encoder, check_options

__all__ = ["UMLClassifier", "UMLSegmenter"]


class UMLClassifier(nn.Module):
    """The class encoder, the classifier's separable convolutions, global mean and a linear layer.

    Parts: ``class_encoder``, ``separable``, ``score``. Arguments are those of :class:`common.networks.UMLNet`.

    Args:
        encoder: ``"res2net50"``, ``"vgg16"`` or ``"small"``.
        num_classes: classes C.
        in_channels: image channels.
        width: channels of everything but the published encoders, 1.0 as published.
        stem_stride: 1 or 2.
        norm: ``"frozen"``, ``"batch"`` or ``"group"``.
        dropout: probability of dropping a channel, in [0,1).
        weights: published weights of the encoder.
        mean: channel means subtracted inside the network; None for 0.
        std: channel standard deviations divided by inside the network; None for 1.
    """

    def __init__(
        self,
        encoder: str = "res2net50",
        num_classes: int = 2,
        in_channels: int = 3,
        width: float = 1.0,
        stem_stride: int = 1,
        norm: str = "batch",
        dropout: float = 0.1,
        weights: str | Path | None = None,
        mean: float | Sequence[float] | None = None,
        std: float | Sequence[float] | None = None,
    ) -> None:
        super().__init__()
        check_options(dropout, num_classes=num_classes)
        base = base_channels(width)
        self.multiple = 8 * stem_stride
        self.normalise = ImageNormalisation(in_channels, mean, std)
        self.class_encoder = build_encoder(encoder, in_channels, base, stem_stride, norm, weights)
        later = "group" if norm == "group" else "batch"
        self.separable = SeparableStack(self.class_encoder.channels[3], 16 * base, later, dropout)
        self.score = nn.Linear(16 * base, num_classes)
        init_convolutions(self.separable)

    def forward(self, image: Tensor) -> Tensor:
        """Classify images (B,C,H,W) in [0,1]: logits (B,C)."""
        features = self.class_encoder(pad_to_multiple(self.normalise(image), self.multiple))
        return self.score(self.separable(features[3]).mean(dim=(2, 3)))

    @torch.jit.export
    def explain(self, image: Tensor) -> Dict[str, Tensor]:  # noqa: UP006
        """Classify: ``logits``, ``probability`` (B,C) their softmax, ``uncertainty`` (B,1) in [0,1)."""
        logits = self.forward(image)
        probability = torch.softmax(logits.to(image.dtype), dim=1)
        uncertainty = 1 - probability.amax(dim=1, keepdim=True)
        return {"logits": logits, "probability": probability, "uncertainty": uncertainty}


class UMLSegmenter(nn.Module):
    """U-Net of the segmentation encoder and the decoder's steps.

    Parts: ``segmentation_encoder``, ``reduce``, ``steps``, ``head``. Arguments are those of
    :class:`common.networks.UMLNet`.

    Args:
        encoder: ``"res2net50"``, ``"vgg16"`` or ``"small"``.
        num_structures: pixel classes K, background included.
        in_channels: image channels.
        width: channels of everything but the published encoders, 1.0 as published.
        stem_stride: 1 or 2.
        norm: ``"frozen"``, ``"batch"`` or ``"group"``.
        dropout: probability of dropping a channel, in [0,1).
        weights: published weights of the encoder.
        mean: channel means subtracted inside the network; None for 0.
        std: channel standard deviations divided by inside the network; None for 1.
    """

    def __init__(
        self,
        encoder: str = "res2net50",
        num_structures: int = 3,
        in_channels: int = 3,
        width: float = 1.0,
        stem_stride: int = 1,
        norm: str = "batch",
        dropout: float = 0.1,
        weights: str | Path | None = None,
        mean: float | Sequence[float] | None = None,
        std: float | Sequence[float] | None = None,
    ) -> None:
        super().__init__()
        check_options(dropout, num_structures=num_structures)
        base = base_channels(width)
        self.multiple = 8 * stem_stride
        self.normalise = ImageNormalisation(in_channels, mean, std)
        self.segmentation_encoder = build_encoder(encoder, in_channels, base, stem_stride, norm, weights)
        levels = [base, 2 * base, 4 * base, 8 * base]
        later = "group" if norm == "group" else "batch"
        self.reduce = reductions(self.segmentation_encoder.channels, levels)
        self.steps = nn.ModuleList(ConvolvingStep(levels[i + 1], levels[i], later, dropout) for i in (2, 1, 0))
        self.head = nn.Conv2d(base, num_structures, kernel_size=1, bias=False)
        for part in (self.reduce, self.steps, self.head):
            init_convolutions(part)

    def forward(self, image: Tensor) -> Tensor:
        """Segment images (B,C,H,W) in [0,1]: logits (B,K,H,W)."""
        padded = pad_to_multiple(self.normalise(image), self.multiple)
        features = self.segmentation_encoder(padded)
        reduced = [reduce(features[i]) for i, reduce in enumerate(self.reduce)]
        feature = reduced[3]
        for i, step in enumerate(self.steps):
            feature = step(feature, reduced[2 - i])
        logits = resize(self.head(feature).to(image.dtype), padded.shape[2], padded.shape[3])
        return logits[:, :, : image.shape[2], : image.shape[3]]

    @torch.jit.export
    def explain(self, image: Tensor) -> Dict[str, Tensor]:  # noqa: UP006
        """Segment.

        Returns:
            ``segmentation_logits``, ``segmentation_probability`` (B,K,H,W) their softmax, ``pixel_uncertainty``
            (B,1,H,W) in [0,1).
        """
        logits = self.forward(image)
        probability = torch.softmax(logits, dim=1)
        uncertainty = 1 - probability.amax(dim=1, keepdim=True)
        return {
            "segmentation_logits": logits,
            "segmentation_probability": probability,
            "pixel_uncertainty": uncertainty,
        }
