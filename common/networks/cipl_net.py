"""Several diseases at once, each by its likeness to learned parts of training images, against a common background.

Source: Wang et al., "Cross- and Intra-image Prototypical Learning for Multi-label Disease Diagnosis and
Interpretation", IEEE TMI 2025.
"""

# No postponed annotations in this file: TorchScript must see the return types.

from collections.abc import Sequence
from pathlib import Path
from typing import Dict  # noqa: UP035 - TorchScript reads this spelling

import torch
from torch import Tensor, nn

from common.layers.class_connected import ClassConnectedLinear
from common.layers.image_normalisation import ImageNormalisation
from common.layers.pooling import nearest_places
from common.layers.prototype_layer import PrototypeLayer, class_map_of
from common.networks.backbones import DENSENETS
from common.networks.trunks import build_trunk

__all__ = ["CIPLNet"]


class CIPLNet(nn.Module):
    """Feature map, similarity to P prototypes, and for each disease the question: it, or the background?

    The background ("no finding", "normal") is a class with prototypes of its own, the last of C. Every class adds up
    its prototypes; a disease's logit is its sum minus that of the background, and its probability the sigmoid of that.

    Args:
        backbone: see :func:`common.networks.trunks.build_trunk`. Published: densenet121, here too up to the raw output
            of its last dense block.
        in_channels: image channels.
        num_classes: number of diseases C-1, which is that of the logits.
        prototypes_per_class: one number for all C classes, or one per class, the background's last. Published: 50.
        prototype_channels: channels D of feature map and prototypes.
        similarity: ``"exp_l2"``, ``"log_l2"`` or ``"cosine"``, see :func:`common.layers.similarity_from`.
        similarity_scale: what distances are divided by; None takes D for ``exp_l2`` and 1 else.
        mean: channel means subtracted from the image, one number or one per channel; None for 0.
        std: channel standard deviations that the image is divided by; None for 1.
        weights: start weights of the backbone.
        dense: twice as fine a feature map, for localisation.

    Attributes:
        trunk: normalisation, backbone and a 1x1 convolution to D channels.
        add_on: two more 1x1 convolutions, the last one followed by a sigmoid.
        prototypes: vectors (P,D), those of a class side by side.
        last_layer: one weight per prototype (P,); seen as (C,K) where all classes have K prototypes.

    Raises:
        ValueError: if an option is out of range or unknown.
    """

    def __init__(
        self,
        backbone: str = "densenet121",
        in_channels: int = 3,
        num_classes: int = 14,
        prototypes_per_class: int | Sequence[int] = 50,
        prototype_channels: int = 256,
        similarity: str = "exp_l2",
        similarity_scale: float | None = None,
        mean: float | Sequence[float] | None = None,
        std: float | Sequence[float] | None = None,
        weights: str | Path | None = None,
        dense: bool = False,
    ) -> None:
        super().__init__()
        if num_classes < 1:
            raise ValueError(f"num_classes is {num_classes}, expected the number of diseases, at least 1")
        class_map = class_map_of(num_classes + 1, prototypes_per_class)
        prototypes = PrototypeLayer(class_map, prototype_channels, similarity, similarity_scale)
        stem, body, channels = build_trunk(backbone, in_channels, weights, dense)
        if backbone in DENSENETS and isinstance(body, nn.Sequential):
            body = body[:-2]  # without the norm and the ReLU after the last dense block
        top = _pointwise(channels, prototype_channels)
        self.trunk = nn.Sequential(ImageNormalisation(in_channels, mean, std), stem, body, top)
        inner, outer = (_pointwise(prototype_channels, prototype_channels) for _ in range(2))
        self.add_on = nn.Sequential(inner, nn.ReLU(), outer, nn.Sigmoid())
        self.prototypes = prototypes
        self.last_layer = ClassConnectedLinear(class_map, num_classes + 1)

    def forward(self, image: Tensor) -> Tensor:
        """Predict logits (B,C-1) of the diseases for images (B,3,H,W) in [0,1]."""
        return self.classify(self.feature(image))["logits"]

    @torch.jit.export
    def feature(self, image: Tensor) -> Tensor:
        """Return the feature map (B,D,h,w) in (0,1) that prototypes are compared with."""
        return self.add_on(self.trunk(image))

    @torch.jit.export
    def classify(self, feature: Tensor) -> Dict[str, Tensor]:  # noqa: UP006
        """Decide from a feature map.

        Args:
            feature: feature map (B,D,h,w), of an image or of what two images have in common.

        Returns:
            ``logits`` (B,C-1), ``class_logits`` (B,C) whose differences they are, ``distance`` and ``similarity`` (B,P)
            at the best place, and ``location`` (B,P), int64, its flat index row · w + column. Float32.
        """
        return self._decide(self.prototypes(feature))

    @torch.jit.export
    def explain_feature(self, feature: Tensor) -> Dict[str, Tensor]:  # noqa: UP006
        """Return what :meth:`explain` returns for images whose feature map (B,D,h,w) is known."""
        distance = self.prototypes(feature)
        outputs = self._decide(distance)
        outputs["probability"] = torch.sigmoid(outputs["logits"])
        outputs["contribution"] = self.last_layer.contributions(outputs["similarity"])
        outputs["similarity_map"] = self.prototypes.similarity_of(distance)
        return outputs

    @torch.jit.export
    def explain(self, image: Tensor) -> Dict[str, Tensor]:  # noqa: UP006
        """Predict and say why.

        Args:
            image: images (B,3,H,W) in [0,1].

        Returns:
            What :meth:`classify` returns, and ``probability`` (B,C-1), of each disease by itself, ``contribution``
            (B,P), whose sum over the prototypes of a class is its ``class_logits``, and ``similarity_map`` (B,P,h,w).
        """
        return self.explain_feature(self.feature(image))

    def _decide(self, distance: Tensor) -> Dict[str, Tensor]:  # noqa: UP006
        nearest, place = nearest_places(distance)
        similarity = self.prototypes.similarity_of(nearest.squeeze(2))
        class_logits = self.last_layer(similarity)
        return {
            "logits": class_logits[:, :-1] - class_logits[:, -1:],
            "class_logits": class_logits,
            "distance": nearest.squeeze(2),
            "similarity": similarity,
            "location": place.squeeze(2),
        }


def _pointwise(in_channels: int, channels: int) -> nn.Conv2d:
    """Return a 1x1 convolution, He-normal initialised (fan-out), its biases 0."""
    layer = nn.Conv2d(in_channels, channels, 1)
    nn.init.kaiming_normal_(layer.weight, mode="fan_out", nonlinearity="relu")
    nn.init.zeros_(layer.bias)  # type: ignore[arg-type]
    return layer
