"""Labels of each side of an exam: binary cross entropy of the sides that have an image."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch.nn.functional as F
from torch import Tensor, nn

from common.losses.multi_label import check_labels
from common.losses.targets import required
from common.utils.precision import at_least_float32

__all__ = ["ExamLabelLoss"]


class ExamLabelLoss(nn.Module):
    """Mean binary cross entropy of all labels of sides that were imaged; a side without a view counts nothing."""

    def terms(self, outputs: Mapping[str, Tensor], batch: Mapping[str, Any]) -> dict[str, Tensor]:
        """Compute the terms of each exam, in float32 also under autocast.

        Args:
            outputs: ``logits`` (E,S·F), side by side, and ``side_mask`` (E,S) bool: which sides have a view.
            batch: ``label`` (E,S·F), 0 or 1.

        Returns:
            ``classification``, the sum over the labels that count, and ``labels``, how many these are; both (E,).

        Raises:
            ValueError: if a value is missing or does not fit.
        """
        logits = at_least_float32(required(outputs, "logits", "the network's method must return it"))
        label = check_labels(required(batch, "label", "add it to the items of the datalist"), logits)
        side = required(outputs, "side_mask", "the network's method must return it")
        if side.ndim != 2 or len(side) != len(logits) or logits.shape[1] % side.shape[1]:
            raise ValueError(
                f"got side_mask of shape {tuple(side.shape)} for logits of shape {tuple(logits.shape)}, expected (E,S) "
                "and (E,S·F): the network must judge each side (level: side)"
            )
        known = side.to(logits.dtype).repeat_interleave(logits.shape[1] // side.shape[1], dim=1)
        each = F.binary_cross_entropy_with_logits(logits, label, reduction="none")
        return {"classification": (each * known).sum(1), "labels": known.sum(1)}

    def reduce(self, terms: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Return the scalars ``loss`` and ``classification``, both the mean over all labels that count."""
        mean = terms["classification"].sum() / terms["labels"].sum().clamp(min=1)
        return {"loss": mean, "classification": mean}

    def forward(self, outputs: Mapping[str, Tensor], batch: Mapping[str, Any]) -> dict[str, Tensor]:
        """Compute the loss of a batch; see :meth:`terms` and :meth:`reduce`."""
        return self.reduce(self.terms(outputs, batch))
