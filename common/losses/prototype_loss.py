"""The terms that shape prototypes, in the two steps of all losses here."""

from __future__ import annotations

from collections.abc import Mapping

import torch
import torch.nn.functional as F
from torch import Tensor

from common.losses.multi_label import check_labels
from common.losses.prototype import class_distance, cluster, orthogonality, separation
from common.losses.targets import check_target

__all__ = ["PrototypeTerms"]


class PrototypeTerms:
    """cluster · C + separation · max(0, margin - E) + orthogonality · O.

    C and E are the means, over the images whose label is given, of the distance to the nearest prototype of the own and
    of another class; O is :func:`common.losses.orthogonality`. Where no label is given C and E do not count. An image
    may have several classes: C adds up their distances.

    Args:
        class_map: class of each prototype (P,), int64.
        cluster: weight of C.
        separation: weight of the hinge on E.
        margin: mean distance to the prototypes of other classes beyond which nothing is gained.
        orthogonality: weight of O. Published (ST-ProtoPNet): 1e-3.
        prototype: the vectors (P,D) themselves, asked for by ``orthogonality``.
        hinge_per_image: take the mean of the images' hinges instead of the hinge on their mean, for which an image far
            beyond the margin makes up for one that is too near.

    Raises:
        ValueError: if a weight is negative, or the prototypes are missing or not as many as the class map says.
    """

    def __init__(
        self,
        class_map: Tensor,
        cluster: float,
        separation: float,
        margin: float,
        orthogonality: float = 0.0,
        prototype: Tensor | None = None,
        hinge_per_image: bool = False,
    ) -> None:
        options = {"cluster": cluster, "separation": separation, "margin": margin, "orthogonality": orthogonality}
        for name, value in options.items():
            if value < 0:
                raise ValueError(f"{name} is {value}, expected 0 or more")
        if orthogonality > 0 and (prototype is None or len(prototype) != len(class_map)):
            given = "missing" if prototype is None else f"{len(prototype)}"
            raise ValueError(
                f"orthogonality needs the {len(class_map)} prototypes' vectors, they are {given}; give the network's "
                "own (its student.prototypes.vectors) as prototype, or set orthogonality to 0"
            )
        self.class_map = class_map
        self.cluster, self.separation, self.margin = cluster, separation, margin
        self.orthogonality, self.prototype = orthogonality, prototype
        self.hinge_per_image = hinge_per_image

    def terms(self, distance: Tensor, label: Tensor, label_given: Tensor | None, num_classes: int) -> dict[str, Tensor]:
        """Compute the terms of each sample.

        Args:
            distance: smallest distance of each prototype (B,P).
            label: class index (B,), or 0 or 1 for every class (B,C); where it is not given it may be any class.
            label_given: whether it is (B,), bool; None stands for all.
            num_classes: C.

        Returns:
            ``cluster``, ``separation`` and ``label_given`` (B,), 0 without a label, and, where it counts,
            ``orthogonality`` (B,), which is the same for all.

        Raises:
            ValueError: if labels do not fit.
        """
        scores = distance.new_zeros(len(label), num_classes)
        given = scores.new_ones(len(label), dtype=torch.bool) if label_given is None else label_given.bool()
        if label.ndim == 2:
            positive = check_labels(label, scores).bool()
        else:
            positive = F.one_hot(check_target(label, scores), num_classes).bool()
        nearest = class_distance(distance, self.class_map.to(distance.device), num_classes)
        weight = given.to(nearest.dtype)
        terms = {
            "cluster": cluster(nearest, positive) * weight,
            "separation": separation(nearest, positive) * weight,
            "label_given": weight,
        }
        if self.orthogonality > 0 and self.prototype is not None:
            value = orthogonality(self.prototype, self.class_map.to(self.prototype.device))
            terms["orthogonality"] = value.expand(len(label))
        return terms

    def reduce(self, terms: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Make one loss of the terms of a batch or a data set.

        Returns:
            Scalars ``prototypes``, the weighted sum, and the means ``cluster``, ``separation`` and ``orthogonality``
            of the terms that are there.
        """
        count = terms["label_given"].sum()
        means = {name: terms[name].sum() / count.clamp(min=1) for name in ("cluster", "separation") if name in terms}
        total = torch.zeros_like(count)
        if "cluster" in terms:
            total = total + self.cluster * means["cluster"]
        if "separation" in terms:
            total = total + self.separation * self._hinge(terms, means["separation"], count)
        if "orthogonality" in terms:
            means["orthogonality"] = terms["orthogonality"].mean()
            total = total + self.orthogonality * means["orthogonality"]
        return {"prototypes": total, **means}

    def _hinge(self, terms: Mapping[str, Tensor], mean: Tensor, count: Tensor) -> Tensor:
        """Return the hinge on the mean separation of the images with a label, or the mean of their hinges."""
        if self.hinge_per_image:
            each = (self.margin - terms["separation"]).clamp(min=0) * terms["label_given"]
            return each.sum() / count.clamp(min=1)
        return (self.margin - mean).clamp(min=0) * (count > 0)
