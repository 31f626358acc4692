"""Joint loss of classifier and explainer.

Source: Rio-Torto, Fernandes, Teixeira, "Understanding the decisions of CNNs: An in-model approach",
Pattern Recognition Letters 133 (2020) 373-380.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from common.losses.explanation import ExplanationLoss

__all__ = ["ExplainerClassifierLoss"]


class ExplainerClassifierLoss(nn.Module):
    """alpha · classification + (1 - alpha) · explanation.

    The loss is made in two steps, so that training and validation measure the same quantity: :meth:`terms` gives
    numbers per sample, :meth:`reduce` makes one loss of the terms of a batch or, concatenated, of a whole data set.

    Args:
        alpha: weight of the classification loss against the explanation loss, in [0,1].
        beta: weight of sparsity against contiguity, see :class:`common.losses.ExplanationLoss`.
        gamma: weight of the leakage out of the region of interest; above 0 the batch needs a mask.
        class_weights: one positive weight per class (K,); None weighs all alike.
        tv_normalisation: see :func:`common.losses.contiguity`.

    Raises:
        ValueError: if an option is out of range or unknown.
    """

    class_weights: Tensor | None

    def __init__(
        self,
        alpha: float,
        beta: float = 0.9,
        gamma: float = 0.0,
        class_weights: Sequence[float] | Tensor | None = None,
        tv_normalisation: str = "code",
    ) -> None:
        super().__init__()
        if not 0.0 <= alpha <= 1.0:
            raise ValueError(f"alpha is {alpha}, expected a weight in [0,1]: 1 is classification alone")
        weights = None if class_weights is None else torch.as_tensor(class_weights, dtype=torch.float32)
        if weights is not None and not (
            weights.ndim == 1 and bool(torch.isfinite(weights).all() & (weights > 0).all())
        ):
            raise ValueError(f"class_weights is {class_weights}, expected one positive number per class")
        self.alpha = alpha
        self.explanation_loss = ExplanationLoss(beta, gamma, tv_normalisation)
        # An option, not a state: it must not appear in checkpoints.
        self.register_buffer("class_weights", weights, persistent=False)

    def terms(self, outputs: Mapping[str, Tensor], batch: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Compute the terms of each sample, in float32 also under autocast.

        Args:
            outputs: ``logits`` (B,K) and ``explanation`` (B,1,H,W) in [0,1].
            batch: ``label`` (B,) int64 and, for gamma > 0, ``mask`` (B,1,H,W) in [0,1], 1 inside the region of
                interest.

        Returns:
            ``classification`` (B,), the cross entropy times the class weight; ``class_weight`` (B,), the weight of
            the sample's class; ``sparsity`` (B,), ``contiguity`` (B,) and, for gamma > 0, ``roi`` (B,).

        Raises:
            ValueError: if a shape, a label or a mask does not fit, or the mask is missing.
        """
        logits, explanation = outputs["logits"], outputs["explanation"]
        label = _check_label(batch["label"], logits)
        weight = self._class_weight(label, logits)
        cross_entropy = F.cross_entropy(
            logits if logits.dtype == torch.float64 else logits.float(), label, reduction="none"
        )
        return {
            "classification": weight * cross_entropy,
            "class_weight": weight,
            **self.explanation_loss.terms(explanation, batch.get("mask")),
        }

    def reduce(self, terms: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Make one loss of the terms of a batch or a data set.

        Args:
            terms: what :meth:`terms` returns, one or many batches concatenated along the first axis.

        Returns:
            Scalars ``loss``, ``classification`` (torch's weighted mean: sum of the weighted cross entropies over the
            sum of the weights), ``explanation``, ``sparsity``, ``contiguity`` and, for gamma > 0, ``roi``.
        """
        classification = terms["classification"].sum() / terms["class_weight"].sum()
        explanation = self.explanation_loss.combine(dict(terms)).mean()
        parts = {name: terms[name].mean() for name in ("sparsity", "contiguity", "roi") if name in terms}
        loss = self.alpha * classification + (1 - self.alpha) * explanation
        return {"loss": loss, "classification": classification, "explanation": explanation, **parts}

    def forward(self, outputs: Mapping[str, Tensor], batch: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Compute the loss of a batch and its parts; see :meth:`terms` and :meth:`reduce`."""
        return self.reduce(self.terms(outputs, batch))

    def _class_weight(self, label: Tensor, logits: Tensor) -> Tensor:
        if self.class_weights is None:
            return torch.ones_like(label, dtype=torch.float32)
        if len(self.class_weights) != logits.shape[1]:
            raise ValueError(
                f"got {len(self.class_weights)} class_weights for {logits.shape[1]} classes, expected one per class"
            )
        return self.class_weights.to(label.device)[label]


def _check_label(label: Tensor, logits: Tensor) -> Tensor:
    """Refuse labels that cross entropy would answer with an index error, or a device assertion on a GPU."""
    if logits.ndim != 2:
        raise ValueError(f"got logits of shape {tuple(logits.shape)}, expected (B,K)")
    if label.shape != logits.shape[:1]:
        raise ValueError(f"got labels of shape {tuple(label.shape)} for {logits.shape[0]} images, expected (B,)")
    if label.is_floating_point() or label.dtype == torch.bool:
        raise ValueError(f"got labels of type {label.dtype}, expected class indices (int64)")
    low, high = label.aminmax()
    if low < 0 or high >= logits.shape[1]:
        raise ValueError(
            f"got labels from {int(low)} to {int(high)}, expected 0 to {logits.shape[1] - 1}; "
            "check the labels of the datalist and num_classes"
        )
    return label.long()
