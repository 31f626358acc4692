"""Classify by likeness to learned parts of training images.

Sources: Chen et al., "This Looks Like That: Deep Learning for Interpretable Image Recognition", NeurIPS 2019; Wang et
al., "An Interpretable and Accurate Deep-Learning Diagnosis Framework Modeled With Fully and Semi-Supervised Reciprocal
Learning", IEEE TMI 43(1), 2024.
"""

# No postponed annotations in this file: TorchScript must see the return types.

from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Dict  # noqa: UP035 - TorchScript reads this spelling

import torch
from torch import Tensor, nn

from common.layers.class_connected import ClassConnectedLinear
from common.layers.image_normalisation import ImageNormalisation
from common.layers.pooling import nearest_places
from common.layers.prototype_layer import PrototypeLayer, class_map_of
from common.networks.trunks import build_trunk, own_parts
from common.utils.choices import check_choice

__all__ = ["ADD_ONS", "ProtoPNet"]

ADD_ONS = ("regular", "bottleneck")


class ProtoPNet(nn.Module):
    """Feature map, similarity to P prototypes at every place, the best place of each, and a sum per class.

    Args:
        backbone: see :func:`common.networks.trunks.build_trunk`.
        in_channels: image channels.
        num_classes: number of classes C.
        prototypes_per_class: one number for all classes, or one per class. Published: 200.
        prototype_channels: channels D of feature map and prototypes.
        similarity: ``"exp_l2"``, ``"log_l2"`` or ``"cosine"``, see :func:`common.layers.similarity_from`.
        similarity_scale: what distances are divided by; None takes D for ``exp_l2`` and 1 else.
        top_k: places whose mean similarity counts; 1 is the best place alone.
        add_on: layers between backbone and prototypes: two 1x1 convolutions (``"regular"``) or, halving the channels
            step by step, more of them (``"bottleneck"``).
        dropout: share of features dropped before them.
        mean: channel means subtracted from the image, one number or one per channel; None for 0.
        std: channel standard deviations that the image is divided by; None for 1.
        weights: start weights of the backbone.
        dense: twice as fine a feature map, for localisation.
        shared: ``"nothing"`` for a network on images; ``"stem"`` or ``"trunk"`` for a branch that is given what a stem
            or a whole trunk outside has made of them.

    Raises:
        ValueError: if an option is out of range or unknown.
    """

    def __init__(
        self,
        backbone: str = "efficientnet-b0",
        in_channels: int = 3,
        num_classes: int = 2,
        prototypes_per_class: int | Sequence[int] = 200,
        prototype_channels: int = 128,
        similarity: str = "exp_l2",
        similarity_scale: float | None = None,
        top_k: int = 1,
        add_on: str = "regular",
        dropout: float = 0.2,
        mean: float | Sequence[float] | None = None,
        std: float | Sequence[float] | None = None,
        weights: str | Path | None = None,
        dense: bool = False,
        shared: str = "nothing",
    ) -> None:
        super().__init__()
        check_choice("add_on", add_on, ADD_ONS)
        if top_k < 1:
            raise ValueError(f"top_k is {top_k}, expected 1 (the best place) or more")
        if not 0 <= dropout < 1:
            raise ValueError(f"dropout is {dropout}, expected a share from 0 up to, not including, 1")
        class_map = class_map_of(num_classes, prototypes_per_class)
        prototypes = PrototypeLayer(class_map, prototype_channels, similarity, similarity_scale)
        trunk = build_trunk(backbone, in_channels, weights, dense)
        self.top_k = top_k
        self.stem, self.trunk = own_parts(trunk, shared, ImageNormalisation(in_channels, mean, std))
        self.add_on = nn.Sequential(nn.Dropout(dropout), *_add_on(add_on, trunk.channels, prototype_channels))
        self.prototypes = prototypes
        self.last_layer = ClassConnectedLinear(class_map, num_classes)

    def forward(self, image: Tensor) -> Tensor:
        """Predict logits (B,C) for images (B,3,H,W) in [0,1], or for what is shared with other branches."""
        return self.classify(self.feature(image))["logits"]

    @torch.jit.export
    def feature(self, image: Tensor) -> Tensor:
        """Return the feature map (B,D,h,w) in (0,1) that prototypes are compared with."""
        return self.add_on(self.trunk(self.stem(image)))

    @torch.jit.export
    def classify(self, feature: Tensor) -> Dict[str, Tensor]:  # noqa: UP006
        """Decide from a feature map.

        Args:
            feature: feature map (B,D,h,w).

        Returns:
            ``logits`` (B,C), ``distance`` (B,P) at the best place, ``similarity`` (B,P), the mean over the ``top_k``
            best places, and ``location`` (B,P), int64, the best place's flat index row · w + column. Float32.
        """
        return self._decide(self.prototypes(feature))

    @torch.jit.export
    def explain(self, image: Tensor) -> Dict[str, Tensor]:  # noqa: UP006
        """Predict and say why.

        Args:
            image: images (B,3,H,W) in [0,1], or what is shared with other branches.

        Returns:
            What :meth:`classify` returns, and ``probability`` (B,C) the softmax of the logits, ``contribution`` (B,P),
            whose sum over the prototypes of a class is its logit, and ``similarity_map`` (B,P,h,w).
        """
        distance = self.prototypes(self.feature(image))
        outputs = self._decide(distance)
        outputs["probability"] = torch.softmax(outputs["logits"], dim=1)
        outputs["contribution"] = self.last_layer.contributions(outputs["similarity"])
        outputs["similarity_map"] = self.prototypes.similarity_of(distance)
        return outputs

    def _decide(self, distance: Tensor) -> Dict[str, Tensor]:  # noqa: UP006
        nearest, places = nearest_places(distance, self.top_k)
        similarity = self.prototypes.similarity_of(nearest).mean(2)
        return {
            "logits": self.last_layer(similarity),
            "distance": nearest[:, :, 0],
            "similarity": similarity,
            "location": places[:, :, 0],
        }


def _add_on(kind: str, in_channels: int, channels: int) -> list[nn.Module]:
    """Return 1x1 convolutions from the backbone's channels to D, the last one followed by a sigmoid."""
    widths = [in_channels, channels]
    if kind == "bottleneck":
        widths = [in_channels, max(channels, in_channels // 2)]
        while widths[-1] > channels:
            widths.append(max(channels, widths[-1] // 2))
    layers: list[nn.Module] = []
    for before, after in pairwise(widths):
        layers += [nn.Conv2d(before, after, 1), nn.ReLU(), nn.Conv2d(after, after, 1), nn.ReLU()]
    layers[-1] = nn.Sigmoid()
    for layer in layers:
        if isinstance(layer, nn.Conv2d):
            nn.init.kaiming_normal_(layer.weight, mode="fan_out", nonlinearity="relu")
            nn.init.zeros_(layer.bias)  # type: ignore[arg-type]
    return layers
