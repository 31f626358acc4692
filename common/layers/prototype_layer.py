"""Prototypes: vectors that belong to classes and are looked for on feature maps."""

# No postponed annotations in this file: TorchScript must see the class of the buffer.

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from common.layers.class_connected import ClassConnectedLinear
from common.layers.similarity import SIMILARITIES, prototype_distance, similarity_from
from common.utils.choices import check_choice

__all__ = ["PrototypeLayer", "class_map_of", "forget_projection"]


def class_map_of(num_classes: int, prototypes_per_class: int | Sequence[int]) -> Tensor:
    """Give every class its block of prototypes.

    Args:
        num_classes: number of classes C.
        prototypes_per_class: one number for all classes, or one per class.

    Returns:
        Class of each prototype (P,), int64, ascending.

    Raises:
        ValueError: if a number is missing or below 1.
    """
    single = isinstance(prototypes_per_class, int)
    counts = [prototypes_per_class] * num_classes if single else list(prototypes_per_class)  # type: ignore[arg-type]
    if num_classes < 1 or len(counts) != num_classes or not all(isinstance(n, int) and n >= 1 for n in counts):
        raise ValueError(
            f"prototypes_per_class is {prototypes_per_class} for {num_classes} classes, expected a positive number, or "
            "one for every class"
        )
    return torch.arange(num_classes).repeat_interleave(torch.tensor(counts))


class PrototypeLayer(nn.Module):
    """Distances of P prototypes to every place of a feature map, and similarity.

    Args:
        class_map: class of each prototype (P,), int64.
        channels: channels D of the feature map.
        similarity: ``"exp_l2"``, ``"log_l2"`` or ``"cosine"``, see :func:`common.layers.similarity_from`.
        scale: what distances are divided by; None takes D for ``exp_l2`` (published: 128 for 128 channels) and 1 else.

    Attributes:
        vectors: prototypes (P,D), initialised uniformly in [0,1) like the sigmoid features they are compared with.
        class_map: class of each prototype (P,), int64.
        projected: whether the vectors are copies of places of training images, a boolean scalar; False at first.

    Raises:
        ValueError: for an unknown similarity or a scale that is not positive.
    """

    class_map: Tensor
    projected: Tensor

    def __init__(
        self, class_map: Tensor, channels: int, similarity: str = "exp_l2", scale: float | None = None
    ) -> None:
        super().__init__()
        check_choice("similarity", similarity, SIMILARITIES)
        if scale is not None and scale <= 0:
            raise ValueError(f"similarity_scale is {scale}, expected a positive number or null")
        if channels < 1:
            raise ValueError(f"prototype_channels is {channels}, expected a positive number")
        self.similarity = similarity
        default = float(channels) if similarity == "exp_l2" else 1.0
        self.scale = default if scale is None else float(scale)
        self.vectors = nn.Parameter(torch.rand(len(class_map), channels))
        self.register_buffer("class_map", class_map.clone())
        self.register_buffer("projected", torch.tensor(False))

    def forward(self, feature: Tensor) -> Tensor:
        """Compare every place of a feature map (B,D,h,w) with every prototype.

        Returns:
            Distance (B,P,h,w), at least 0, float32, see :func:`common.layers.prototype_distance`.
        """
        return prototype_distance(feature, self.vectors, self.similarity)

    @torch.jit.export
    def similarity_of(self, distance: Tensor) -> Tensor:
        """Turn distances of any shape into similarities."""
        return similarity_from(distance, self.similarity, self.scale)

    @torch.jit.export
    def similarity_maps(self, feature: Tensor, chosen: Tensor) -> Tensor:
        """Draw the similarity maps of some prototypes only.

        Args:
            feature: feature map (B,D,h,w).
            chosen: indices of prototypes (B,N), int64, of each image its own.

        Returns:
            Similarity (B,N,h,w).
        """
        return self.similarity_of(prototype_distance(feature, self.vectors[chosen], self.similarity))


def forget_projection(network: nn.Module) -> None:
    """Mark prototypes as no longer projected where they, or the features that they are compared with, are to train.

    That is so where anything requires a gradient in the module that holds the layer, but for its last layer, or in the
    ``stem`` that the network's branches share.

    Args:
        network: its layers' ``projected`` is changed in place.
    """
    stem = getattr(network, "stem", None)
    for name, module in network.named_modules():
        if isinstance(module, PrototypeLayer):
            holder = network.get_submodule(name.rpartition(".")[0])
            parts = [part for part in holder.children() if not isinstance(part, ClassConnectedLinear)]
            parts += [stem] if isinstance(stem, nn.Module) else []
            if any(parameter.requires_grad for part in parts for parameter in part.parameters()):
                module.projected.fill_(False)
