"""Lesions in the views of exams: soft Dice and binary cross entropy of the views whose lesions are known."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from common.losses.targets import required
from common.utils.precision import at_least_float32

__all__ = ["ExamSegmentationLoss", "lesion_target"]


def lesion_target(batch: Mapping[str, Any]) -> tuple[Tensor, Tensor]:
    """Join the masks of all findings of a view, and tell which views can be learned from.

    Args:
        batch: ``finding_mask`` (E,V,F,H,W), 1 inside, and ``finding_mask_given`` (E,V,F) bool: whether it is known
            where the finding is; see :class:`common.data.LoadFindingMasksd`.

    Returns:
        Lesions (E,V,H,W), bool; and the views (E,V), bool, of which every finding is known, be it that there is none.

    Raises:
        ValueError: if the masks are missing or do not fit.
    """
    remedy = "put LoadFindingMasksd into the preprocessing (finding_masks: true)"
    mask = required(batch, "finding_mask", remedy)
    given = required(batch, "finding_mask_given", remedy)
    if mask.ndim != 5 or given.shape != mask.shape[:3]:
        raise ValueError(
            f"got finding_mask of shape {tuple(mask.shape)} and finding_mask_given of {tuple(given.shape)}, expected "
            "(E,V,F,H,W) and (E,V,F): exams, views and findings"
        )
    known = given.to(torch.bool).all(2)
    return (mask > 0).any(2) & known[:, :, None, None], known


class ExamSegmentationLoss(nn.Module):
    """Dice and binary cross entropy of the pixels of all views whose lesions are known, those without any included.

    Dice is that of all views together, 1 - (2 inside + 1) / (true + predicted + 1) in pixels: what is drawn in a view
    without a lesion makes it worse, which a mean of the views' own Dice does not tell apart from much more drawn there.
    Views that are absent or whose lesions are unknown count nothing.

    Args:
        dice_weight: of Dice.
        cross_entropy_weight: of the cross entropy, the mean over the pixels.
        positive_weight: how much a lesion's pixel counts there, against 1 of any other.

    Raises:
        ValueError: if a weight is negative, or all are 0.
    """

    def __init__(
        self, dice_weight: float = 1.0, cross_entropy_weight: float = 1.0, positive_weight: float = 1.0
    ) -> None:
        super().__init__()
        if min(dice_weight, cross_entropy_weight) < 0 or dice_weight + cross_entropy_weight == 0:
            raise ValueError(
                f"dice_weight is {dice_weight} and cross_entropy_weight {cross_entropy_weight}, expected 0 or more and "
                "one of them above 0"
            )
        if positive_weight <= 0:
            raise ValueError(f"positive_weight is {positive_weight}, expected a number above 0")
        self.dice_weight, self.cross_entropy_weight = dice_weight, cross_entropy_weight
        self.positive_weight = positive_weight

    def terms(self, outputs: Mapping[str, Tensor], batch: Mapping[str, Any]) -> dict[str, Tensor]:
        """Compute the sums of each exam, in float32 also under autocast.

        Args:
            outputs: ``segmentation_logits`` (E,V,H,W).
            batch: see :func:`lesion_target`.

        Returns:
            ``cross_entropy``, ``pixels`` that count, and of Dice ``inside``, ``true`` and ``predicted``; each (E,).

        Raises:
            ValueError: if a value is missing or does not fit.
        """
        logits = at_least_float32(required(outputs, "segmentation_logits", "the network's method must return it"))
        lesion, known = lesion_target(batch)
        if lesion.shape != logits.shape:
            raise ValueError(
                f"got masks of shape {tuple(lesion.shape)} for logits of shape {tuple(logits.shape)}, expected "
                "(E,V,H,W) for both: one map for each view, in the size of the network's input"
            )
        true, counts = lesion.to(logits), known.to(logits)[:, :, None, None].expand_as(logits)
        weight = torch.as_tensor(self.positive_weight, dtype=logits.dtype, device=logits.device)
        each = F.binary_cross_entropy_with_logits(logits, true, reduction="none", pos_weight=weight)
        probability = torch.sigmoid(logits) * counts
        sums = {
            "cross_entropy": each * counts,
            "pixels": counts,
            "inside": probability * true,
            "true": true,
            "predicted": probability,
        }
        return {name: values.sum((1, 2, 3)) for name, values in sums.items()}

    def reduce(self, terms: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Return the scalars ``loss``, ``dice`` (1 minus the soft Dice) and ``cross_entropy`` of all views together."""
        sums = {name: values.sum() for name, values in terms.items()}
        dice = 1 - (2 * sums["inside"] + 1) / (sums["true"] + sums["predicted"] + 1)
        cross_entropy = sums["cross_entropy"] / sums["pixels"].clamp(min=1)
        loss = self.dice_weight * dice + self.cross_entropy_weight * cross_entropy
        return {"loss": loss, "dice": dice, "cross_entropy": cross_entropy}

    def forward(self, outputs: Mapping[str, Tensor], batch: Mapping[str, Any]) -> dict[str, Tensor]:
        """Compute the loss of a batch; see :meth:`terms` and :meth:`reduce`."""
        return self.reduce(self.terms(outputs, batch))
