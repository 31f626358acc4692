"""The joint model: an explainer draws a map, a classifier decides from what the map leaves open.

Source: Rio-Torto, Fernandes, Teixeira, "Understanding the decisions of CNNs: An in-model approach",
Pattern Recognition Letters 133 (2020) 373-380.
"""

# No postponed annotations in this file: TorchScript must see the class of the buffers.

from collections.abc import Sequence
from pathlib import Path
from typing import Dict  # noqa: UP035 - TorchScript reads this spelling

import torch
from torch import Tensor, nn

from common.layers.image_check import check_image
from common.networks.backbones import RESNETS
from common.networks.explainer import ExplainerUNet
from common.networks.gated_resnet import GatedResNet
from common.networks.gated_vgg import GatedVGG
from common.utils.choices import check_choice

__all__ = ["ExplainerClassifier"]

CLASSIFIERS = (*RESNETS, "vgg")


class ExplainerClassifier(nn.Module):
    """prediction = C(x, E(x)) with x the normalised image, E the explainer and C a gated classifier.

    Args:
        classifier: ``resnet18``, ``resnet34``, ``resnet50``, ``resnet101``, ``resnet152`` or ``vgg``.
        in_channels: image channels C, 1 or 3.
        num_classes: number of classes K.
        init_bias: see :class:`common.networks.ExplainerUNet`.
        gate_positions: ``"block"`` or ``"stage"``, see :class:`common.networks.GatedResNet`; ``vgg`` has one gate per
            stage either way.
        mean: channel means subtracted inside the network, one number or one per channel; None for 0.
        std: channel standard deviations divided by inside the network, one number or one per channel; None for 1.
        weights: start weights of the ResNet, see :func:`common.networks.backbones.build_resnet`. ImageNet weights
            expect ``mean`` and ``std`` of ImageNet (``common.networks.backbones.IMAGENET_MEAN`` and ``_STD``).
        he_init: see :class:`common.networks.ExplainerUNet`.

    Raises:
        ValueError: for unknown names, a mean or std that does not fit, or weights given for ``vgg``.
    """

    mean: Tensor
    std: Tensor

    def __init__(
        self,
        classifier: str = "resnet18",
        in_channels: int = 3,
        num_classes: int = 2,
        init_bias: float = 3.0,
        gate_positions: str = "block",
        mean: float | Sequence[float] | None = None,
        std: float | Sequence[float] | None = None,
        weights: str | Path | None = None,
        he_init: bool = False,
    ) -> None:
        super().__init__()
        check_choice("classifier", classifier, CLASSIFIERS)
        self.in_channels = in_channels
        self.register_buffer("mean", _channel_values("mean", mean, in_channels, default=0.0))
        self.register_buffer("std", _channel_values("std", std, in_channels, default=1.0))
        if not bool((self.std > 0).all()):
            raise ValueError(f"std is {std}, expected positive numbers: the image is divided by them")
        self.explainer = ExplainerUNet(in_channels, init_bias, he_init)
        self.classifier = _build_classifier(classifier, in_channels, num_classes, gate_positions, weights)

    def forward(self, image: Tensor) -> Tensor:
        """Predict.

        Args:
            image: images (B,C,H,W) in [0,1], any size from 32 pixels on.

        Returns:
            Logits (B,K).

        Raises:
            ValueError: in eager mode, for a wrong number of channels or too small an image.
        """
        normalised = self._normalise(image)
        return self.classifier(normalised, self.explainer(normalised))

    @torch.jit.export
    def explain(self, image: Tensor) -> Dict[str, Tensor]:  # noqa: UP006
        """Predict and say why.

        Args:
            image: images (B,C,H,W) in [0,1].

        Returns:
            ``logits`` (B,K), ``probability`` (B,K) their softmax, ``explanation`` (B,1,H,W) in [0,1).
        """
        normalised = self._normalise(image)
        return self._decide(normalised, self.explainer(normalised))

    @torch.jit.export
    def explanation(self, image: Tensor) -> Tensor:
        """Draw the relevance map alone.

        Args:
            image: images (B,C,H,W) in [0,1].

        Returns:
            Relevance map (B,1,H,W) in [0,1).
        """
        return self.explainer(self._normalise(image))

    @torch.jit.export
    def classify(self, image: Tensor, explanation: Tensor) -> Tensor:
        """Predict with a given map.

        Args:
            image: images (B,C,H,W) in [0,1].
            explanation: relevance map (B,1,H,W) in [0,1].

        Returns:
            Logits (B,K).
        """
        return self.classifier(self._normalise(image), explanation)

    @torch.jit.export
    def explain_constant(self, image: Tensor) -> Dict[str, Tensor]:  # noqa: UP006
        """Predict with the map fixed at the explainer's initial value; the explainer is not run.

        This is what a training's first stage sees, where the explainer is still untouched and its map all but
        constant.

        Args:
            image: images (B,C,H,W) in [0,1].

        Returns:
            As :meth:`explain`.
        """
        normalised = self._normalise(image)
        shape = [image.shape[0], 1, image.shape[2], image.shape[3]]
        return self._decide(normalised, normalised.new_full(shape, self.explainer.initial_value))

    def _normalise(self, image: Tensor) -> Tensor:
        # Before the subtraction, which would broadcast a grey image to three channels in silence.
        if not torch.jit.is_scripting():
            check_image(image, self.in_channels)
        return (image - self.mean) / self.std

    def _decide(self, normalised: Tensor, explanation: Tensor) -> Dict[str, Tensor]:  # noqa: UP006
        logits = self.classifier(normalised, explanation)
        # In the map's precision: under autocast the logits may be bfloat16, too coarse for a probability.
        probability = torch.softmax(logits.to(explanation.dtype), dim=1)
        return {"logits": logits, "probability": probability, "explanation": explanation}


def _channel_values(name: str, values: float | Sequence[float] | None, channels: int, default: float) -> Tensor:
    if values is None:
        values = default
    numbers = [float(values)] * channels if isinstance(values, int | float) else [float(value) for value in values]
    if len(numbers) != channels:
        raise ValueError(f"{name} has {len(numbers)} values, expected one number or one per channel ({channels})")
    return torch.tensor(numbers).view(1, channels, 1, 1)


def _build_classifier(
    name: str, in_channels: int, num_classes: int, gate_positions: str, weights: str | Path | None
) -> nn.Module:
    if name != "vgg":
        return GatedResNet(name, in_channels, num_classes, gate_positions, weights)
    if weights is not None:
        raise ValueError(f"weights is {weights!r}, but no trained weights exist for 'vgg'; use null or a ResNet")
    return GatedVGG(in_channels, num_classes)
