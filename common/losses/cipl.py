"""The loss of all stages of CIPL.

Source: Wang et al., "Cross- and Intra-image Prototypical Learning for Multi-label Disease Diagnosis and
Interpretation", IEEE TMI 2025. The public code leaves the last disease out of some terms; here all count everywhere.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from common.losses.alignment import ALIGNMENTS, REDUCTIONS, interpretation_alignment, prediction_alignment
from common.losses.multi_label import check_labels, multi_label_cross_entropy
from common.losses.prototype_loss import PrototypeTerms
from common.losses.targets import as_class_weights, required
from common.utils.choices import check_choice

__all__ = ["CIPLLoss"]

METHOD_HINT = "set the stage's method to the one of the network that returns it"


class CIPLLoss:
    """Classification, two terms that shape prototypes, one across images and two across views of an image.

    loss = X + cluster · C + separation · max(0, margin - E) + cross · Y + interpretation · I + prediction · G, where

    - X is :func:`common.losses.multi_label_cross_entropy` of the diseases,
    - C and E are those of :class:`common.losses.PrototypeTerms`; an image without a disease has the background class,
    - Y is X again for what two images have in common (:func:`common.layers.co_attention`), to be classified as the
      diseases that both have; those of one image alone count as absent,
    - I and G are :func:`common.losses.interpretation_alignment` and :func:`common.losses.prediction_alignment`.

    A term whose weight is 0 is not computed. Y, I and G exist in a :class:`common.engines.PairStep` only: a validation
    and a stage without that step have X, C and E. The weights are published; for a warm-up set the last three to 0.

    Args:
        class_map: class of each prototype (P,), int64, the background being the last of the C classes.
        cluster: weight of C.
        separation: weight of the hinge on E.
        margin: mean distance to the prototypes of other classes beyond which nothing is gained.
        cross: weight of Y.
        interpretation: weight of I.
        prediction: weight of G.
        alignment: form of I, ``"cosine"`` or ``"l2"``.
        reduction: ``"sum"`` (published) or ``"mean"`` over the places of I: with the sum, I grows with the image.
        temperature: of G.
        hinge_per_image: take the mean of the images' hinges instead of the hinge on their mean.
        class_weights: how often a case of a disease counts for it (C-1,), in X and Y; None for once.

    Raises:
        ValueError: if a number is out of range or a name unknown.
    """

    def __init__(
        self,
        class_map: Tensor,
        cluster: float = 0.02,
        separation: float = 0.02,
        margin: float = 2.0,
        cross: float = 0.5,
        interpretation: float = 0.5,
        prediction: float = 10.0,
        alignment: str = "cosine",
        reduction: str = "sum",
        temperature: float = 1.0,
        hinge_per_image: bool = False,
        class_weights: Sequence[float] | Tensor | None = None,
    ) -> None:
        check_choice("alignment", alignment, ALIGNMENTS)
        check_choice("reduction", reduction, REDUCTIONS)
        self.weights = {"cross": cross, "interpretation": interpretation, "prediction": prediction}
        for name, value in self.weights.items():
            if value < 0:
                raise ValueError(f"{name} is {value}, expected 0 or more")
        if temperature <= 0:
            raise ValueError(f"temperature is {temperature}, expected a positive number")
        self.prototypes = PrototypeTerms(class_map, cluster, separation, margin, hinge_per_image=hinge_per_image)
        self.num_classes = int(class_map.max()) + 1
        self.alignment, self.reduction, self.temperature = alignment, reduction, temperature
        self.class_weights = as_class_weights(class_weights)

    def uses(self, *names: str) -> bool:
        """Return whether any of the terms ``cross``, ``interpretation`` and ``prediction`` has a weight."""
        return any(self.weights[name] > 0 for name in names)

    def terms(self, outputs: Mapping[str, Tensor], batch: Mapping[str, Any]) -> dict[str, Tensor]:
        """Compute the terms of each sample; those of G are relative to the other samples of the batch.

        Args:
            outputs: ``logits`` (B,C-1) and ``distance`` (B,P); of a pair step ``cross_logits`` (B,C-1),
                ``similarity_map`` and ``teacher_map`` (B,P,h,w) and ``teacher_logits`` (B,C-1), as far as they count.
            batch: ``label`` (B,C-1), 0 or 1; for Y ``shared_label`` (B,C-1); for views that were moved ``affine``
                (B,2,3).

        Returns:
            ``classification`` and, as far as they count, ``cluster``, ``separation`` and ``label_given``, ``cross``,
            ``interpretation`` and ``prediction`` (B,).

        Raises:
            ValueError: if a value is missing or does not fit.
        """
        logits = required(outputs, "logits", METHOD_HINT)
        label = check_labels(required(batch, "label", "add it to the items of the datalist"), logits)
        terms = {"classification": multi_label_cross_entropy(logits, label, self.class_weights)}
        terms |= self._prototype_terms(required(outputs, "distance", METHOD_HINT), label)
        if self.uses("cross") and "cross_logits" in outputs:
            shared = required(batch, "shared_label", "it is what common.engines.PairStep makes")
            terms["cross"] = multi_label_cross_entropy(outputs["cross_logits"], shared, self.class_weights)
        if self.uses("interpretation") and "teacher_map" in outputs:
            maps = required(outputs, "similarity_map", METHOD_HINT), outputs["teacher_map"]
            affine = batch.get("affine")
            terms["interpretation"] = interpretation_alignment(*maps, affine, self.alignment, self.reduction)
        if self.uses("prediction") and "teacher_logits" in outputs:
            terms["prediction"] = prediction_alignment(logits, outputs["teacher_logits"], self.temperature)
        return terms

    def reduce(self, terms: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Make one loss of the terms of a batch or a data set.

        Returns:
            Scalars ``loss``, and ``classification`` and the other terms as far as they are there, unweighted.
        """
        parts = {"classification": terms["classification"].mean()}
        loss = parts["classification"]
        if "label_given" in terms:
            parts |= self.prototypes.reduce(terms)
            loss = loss + parts["prototypes"]
        for name, weight in self.weights.items():
            if name in terms:
                parts[name] = terms[name].mean()
                loss = loss + weight * parts[name]
        return {"loss": loss, **parts}

    def _prototype_terms(self, distance: Tensor, label: Tensor) -> dict[str, Tensor]:
        """Return the terms that shape prototypes; none if neither has a weight."""
        if self.prototypes.cluster == 0 and self.prototypes.separation == 0:
            return {}
        background = (label.sum(1, keepdim=True) == 0).to(label)
        membership = torch.cat([label, background], dim=1)
        terms = self.prototypes.terms(distance, membership, None, self.num_classes)
        unused = {name for name in ("cluster", "separation") if getattr(self.prototypes, name) == 0}
        return {name: value for name, value in terms.items() if name not in unused}
