"""Plain cross entropy in the two steps of all losses here, for black-box classifiers to compare with."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch.nn.functional as F
from torch import Tensor, nn

from common.losses.targets import as_class_weights, check_target, required, sample_weight
from common.utils.precision import at_least_float32

__all__ = ["CrossEntropyLoss"]


class CrossEntropyLoss(nn.Module):
    """Cross entropy of logits.

    Args:
        class_weights: one positive weight per class (C,); None weighs all alike.

    Raises:
        ValueError: if a weight is not a positive number.
    """

    class_weights: Tensor | None

    def __init__(self, class_weights: Sequence[float] | Tensor | None = None) -> None:
        super().__init__()
        # An option, not a state: it must not appear in checkpoints.
        self.register_buffer("class_weights", as_class_weights(class_weights), persistent=False)

    def terms(self, outputs: Mapping[str, Tensor], batch: Mapping[str, Any]) -> dict[str, Tensor]:
        """Compute the terms of each sample, in float32 also under autocast.

        Args:
            outputs: ``logits`` (B,C).
            batch: ``label`` (B,) int64.

        Returns:
            ``classification`` (B,), the cross entropy times the class weight, and ``class_weight`` (B,).

        Raises:
            ValueError: if a value is missing or does not fit.
        """
        logits = required(outputs, "logits", "the network's method must return it")
        label = check_target(required(batch, "label", "add it to the items of the datalist"), logits)
        weight = sample_weight(self.class_weights, label, logits)
        return {
            "classification": weight * F.cross_entropy(at_least_float32(logits), label, reduction="none"),
            "class_weight": weight,
        }

    def reduce(self, terms: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Make one loss of the terms of a batch or, concatenated, of a data set: torch's weighted mean.

        Returns:
            Scalars ``loss`` and ``classification``, which are equal.
        """
        loss = terms["classification"].sum() / terms["class_weight"].sum()
        return {"loss": loss, "classification": loss}

    def forward(self, outputs: Mapping[str, Tensor], batch: Mapping[str, Any]) -> dict[str, Tensor]:
        """Compute the loss of a batch; see :meth:`terms` and :meth:`reduce`."""
        return self.reduce(self.terms(outputs, batch))
