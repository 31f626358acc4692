"""UML: one network that classifies and segments, and says how much it knows of either.

Source: Ren et al., "Uncertainty-informed Mutual Learning for Joint Medical Image Classification and Segmentation",
MICCAI 2023; the networks of 2023 and 2024 in KarryRen/UML.
"""

# No postponed annotations in this file: TorchScript must see the class of the buffers.

from collections.abc import Sequence
from pathlib import Path
from typing import Dict, Final  # noqa: UP035 - TorchScript reads this spelling

import torch
from torch import Tensor, nn

from common.layers.channel_mixing import PyramidMixer
from common.layers.evidence import EVIDENCE_ACTIVATIONS, evidence_from, opinion
from common.layers.image_normalisation import ImageNormalisation
from common.layers.normalised_convolution import init_convolutions
from common.layers.resizing import pad_to_multiple, resize
from common.layers.uncertainty_instructor import UncertaintyInstructor
from common.networks.uml_attention import AttentionSegmentationDecoder, MutualDecoder
from common.networks.uml_encoders import base_channels, build_encoder, check_options
from common.networks.uml_reliable_mask import ConcatenatingMutualDecoder, ReliableMaskDecoder
from common.utils.choices import check_choice

__all__ = ["UMLNet"]

VARIANTS = ("attention", "reliable_mask")


class UMLNet(nn.Module):
    """Two encoders, one per task, whose features are mixed in a third, mutual branch that gives pixel evidence.

    The mutual branch's uncertainty navigates the segmentation, whose last feature instructs the classifier. The pixel
    uncertainty belongs to the mutual branch, not to the segmentation. Parts: ``class_encoder``,
    ``segmentation_encoder``, ``mixer``, ``mutual_decoder``, ``segmentation_decoder``, ``classifier``.

    Args:
        variant: ``"attention"`` (2024: two equal encoders, evidence at four levels, attention gates) or
            ``"reliable_mask"`` (2023: VGG16 for the segmentation beside a Res2Net, evidence at one level, reliable
            masks).
        encoder: ``"res2net50"`` (published), ``"vgg16"`` or ``"small"``, see
            :func:`common.networks.uml_encoders.build_encoder`.
        num_classes: image-level classes C, at least 2.
        num_structures: pixel classes K, background included, at least 2.
        in_channels: image channels.
        width: channels of everything but the published encoders, 1.0 as published; 0.125 trains on a CPU.
        stem_stride: 1 (published) or 2: features of half the size, four times cheaper, results resized.
        norm: ``"frozen"`` (published; needs ``weights``), ``"batch"`` or ``"group"``. Norms outside the encoders are
            batch norms unless it is ``"group"``.
        evidence: ``"softplus"`` (published), ``"relu"`` or ``"exp"``.
        dropout: probability of dropping a channel in the decoders and the classifier, in [0,1).
        weights: published weights of the encoders, see :func:`common.networks.uml_encoders.build_encoder`.
        segmentation_weights: those of the segmentation encoder; None for ``weights`` where both encoders are alike.
        mean: channel means subtracted inside the network, one number or one per channel; None for 0.
        std: channel standard deviations divided by inside the network, one number or one per channel; None for 1.

    Raises:
        ValueError: for unknown names, numbers out of range, or weights that do not fit.
    """

    reliable: Final[bool]

    def __init__(
        self,
        variant: str = "attention",
        encoder: str = "res2net50",
        num_classes: int = 2,
        num_structures: int = 3,
        in_channels: int = 3,
        width: float = 1.0,
        stem_stride: int = 1,
        norm: str = "batch",
        evidence: str = "softplus",
        dropout: float = 0.1,
        weights: str | Path | None = None,
        segmentation_weights: str | Path | None = None,
        mean: float | Sequence[float] | None = None,
        std: float | Sequence[float] | None = None,
    ) -> None:
        super().__init__()
        check_choice("variant", variant, VARIANTS)
        check_choice("evidence", evidence, EVIDENCE_ACTIVATIONS)
        check_options(dropout, num_classes=num_classes, num_structures=num_structures)
        self.reliable = variant == "reliable_mask"
        self.evidence = evidence
        self.multiple = 8 * stem_stride
        base = base_channels(width)
        second = "vgg16" if self.reliable and encoder == "res2net50" else encoder
        if second == encoder and segmentation_weights is None:
            segmentation_weights = weights
        self.normalise = ImageNormalisation(in_channels, mean, std)
        self.class_encoder = build_encoder(encoder, in_channels, base, stem_stride, norm, weights)
        self.segmentation_encoder = build_encoder(second, in_channels, base, stem_stride, norm, segmentation_weights)
        self._build_branches(base, num_classes, num_structures, "group" if norm == "group" else "batch", dropout)
        for part in (self.mixer, self.mutual_decoder, self.segmentation_decoder, self.classifier):
            init_convolutions(part)

    def _build_branches(self, base: int, classes: int, structures: int, norm: str, dropout: float) -> None:
        """Build what comes after the encoders; ``base`` is 64 as published."""
        first, second = self.class_encoder.channels, self.segmentation_encoder.channels
        levels = [base, 2 * base, 4 * base, 8 * base]
        mixed: Sequence[int | None] = [*levels[:3], None] if self.reliable else first
        self.mixer = PyramidMixer(first, second, 4 * base, mixed)
        deepest = first[3]
        if self.reliable:
            entering = self.mixer.out_channels
            deepest += entering[3]
            self.mutual_decoder: nn.Module = ConcatenatingMutualDecoder(entering, base, structures, norm, dropout)
            decoder: nn.Module = ReliableMaskDecoder(second, entering[3], base, structures, norm, dropout)
        else:
            self.mutual_decoder = MutualDecoder(self.mixer.out_channels, levels, structures, norm, dropout)
            decoder = AttentionSegmentationDecoder(second, levels, structures, norm, dropout)
        self.segmentation_decoder = decoder
        self.classifier = UncertaintyInstructor(
            deepest,
            decoder.out_channels,  # type: ignore[arg-type]
            16 * base,
            classes,
            norm,
            dropout,
            separable_dropout=0.0 if self.reliable else dropout,
            dropout_twice=self.reliable,
        )

    def forward(self, image: Tensor) -> Tensor:
        """Segment.

        Args:
            image: images (B,C,H,W) in [0,1], any size from 32 pixels on.

        Returns:
            Segmentation logits (B,K,H,W).

        Raises:
            ValueError: in eager mode, for a wrong number of channels or too small an image.
        """
        return self._run(image, classify=False, levels=False)["segmentation_logits"]

    @torch.jit.export
    def explain(self, image: Tensor) -> Dict[str, Tensor]:  # noqa: UP006
        """Classify and segment with evidence, belief and uncertainty.

        Args:
            image: images (B,C,H,W) in [0,1].

        Returns:
            ``evidence`` (B,C) at least 0, ``probability`` (B,C) the mean of the Dirichlet distribution, ``belief``
            (B,C), ``uncertainty`` (B,1) in (0,1]; ``segmentation_logits`` (B,K,H,W), ``segmentation_probability``
            (B,K,H,W) their softmax; of the mutual branch ``pixel_evidence``, ``pixel_probability``, ``pixel_belief``
            (B,K,H,W) and ``pixel_uncertainty`` (B,1,H,W); in the variant ``reliable_mask`` also
            ``reliable_mask_coarse`` and ``reliable_mask_fine`` (B,K,H,W), any real numbers. All are float32 (float64
            for float64 images), also under autocast.
        """
        return self._run(image, classify=True, levels=False)

    @torch.jit.export
    def explain_levels(self, image: Tensor) -> Dict[str, Tensor]:  # noqa: UP006
        """Explain, with the outputs of every level, for training.

        Args:
            image: images (B,C,H,W) in [0,1].

        Returns:
            As :meth:`explain`, and in the variant ``attention`` the evidence of the coarser levels resized to the
            image, ``pixel_evidence_2`` to ``pixel_evidence_4`` (B,K,H,W); in the variant ``reliable_mask`` the logits
            of all levels, ``side_logits_1`` to ``side_logits_4`` (B,K,H,W), the first being the segmentation's.
        """
        return self._run(image, classify=True, levels=True)

    def _run(self, image: Tensor, classify: bool, levels: bool) -> Dict[str, Tensor]:  # noqa: UP006
        padded = pad_to_multiple(self.normalise(image), self.multiple)
        class_features, features = self.class_encoder(padded), self.segmentation_encoder(padded)
        mixed = self.mixer(class_features, features)
        mutual, raw = self.mutual_decoder(mixed, levels)
        evidence = evidence_from(raw[0], self.evidence)
        feature, logits, masks = self.segmentation_decoder(features, mixed, mutual, evidence, opinion(evidence)[2])
        outputs = {"segmentation_logits": _at_image_size(logits[0], padded, image)}
        if not classify:
            return outputs
        outputs["segmentation_probability"] = torch.softmax(outputs["segmentation_logits"], dim=1)
        deepest = torch.cat([class_features[3], mixed[3]], dim=1) if self.reliable else class_features[3]
        instruction = resize(feature, deepest.shape[2], deepest.shape[3])
        known = evidence_from(self.classifier(deepest, instruction), self.evidence)
        outputs["evidence"] = known
        outputs["probability"], outputs["belief"], outputs["uncertainty"] = opinion(known)
        pixels = _at_image_size(evidence, padded, image)  # opinions of the resized evidence: their parts still add up
        outputs["pixel_evidence"] = pixels
        outputs["pixel_probability"], outputs["pixel_belief"], outputs["pixel_uncertainty"] = opinion(pixels)
        if self.reliable:
            outputs["reliable_mask_coarse"] = _at_image_size(masks[0], padded, image)
            outputs["reliable_mask_fine"] = _at_image_size(masks[1], padded, image)
        if levels:
            for i, side in enumerate(logits if self.reliable else raw):
                if self.reliable:
                    outputs[f"side_logits_{i + 1}"] = _at_image_size(side, padded, image)
                elif i > 0:
                    coarse = evidence_from(side, self.evidence)
                    outputs[f"pixel_evidence_{i + 1}"] = _at_image_size(coarse, padded, image)
        return outputs


def _at_image_size(values: Tensor, padded: Tensor, image: Tensor) -> Tensor:
    """Resize a map to the padded image and crop it; in the image's precision, also under autocast."""
    full = resize(values.to(image.dtype), padded.shape[2], padded.shape[3])
    return full[:, :, : image.shape[2], : image.shape[3]]
