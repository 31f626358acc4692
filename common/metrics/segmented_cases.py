"""Scores of the segmentations in a batch, by their names in metrics.json."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from common.metrics.fundus import cup_to_disc_ratio
from common.metrics.segmentation import ASSD_RULES, overlap_scores, scored_structures, segmentation_scores
from common.utils.choices import check_choice

__all__ = ["SegmentationScores"]


class SegmentationScores:
    """What is scored in a segmentation, said once for training, evaluation and robustness.

    Reads "segmentation_logits" (B,K,H,W) from a network's outputs, and "segmentation" (B,1,H,W) from a batch. Cases
    without a mask ("segmentation_given" false) score NaN.

    Args:
        structures: names of the K structures in the order of their values, the background first; it is not scored.
        unions: further structures made of these, such as ``{"disc": ["rim", "cup"]}``.
        cup: name of the structure that is an eye's cup; with ``disc``, adds the vertical cup-to-disc ratio.
        disc: name of the whole disc.
        assd_rule: how the two directions of the surface distance are joined, see
            :func:`common.metrics.segmentation.distance_scores`.

    Raises:
        ValueError: if a name is unknown or given twice, or only one of cup and disc is given.
    """

    def __init__(
        self,
        structures: Sequence[str],
        unions: Mapping[str, Sequence[str]] | None = None,
        cup: str | None = None,
        disc: str | None = None,
        assd_rule: str = "pooled",
    ) -> None:
        check_choice("assd_rule", assd_rule, ASSD_RULES)
        self.structures = scored_structures(structures, unions)
        self.assd_rule = assd_rule
        self.cup, self.disc = cup, disc
        if (cup is None) != (disc is None):
            raise ValueError(f"cup is {cup!r} and disc {disc!r}: give the names of both, or neither")
        for option, name in (("cup", cup), ("disc", disc)):
            if name is not None:
                check_choice(option, name, self.structures)

    def __call__(self, outputs: Mapping[str, Tensor], batch: Mapping[str, Any]) -> dict[str, Tensor]:
        """Compute every score.

        Args:
            outputs: of the network's ``explain``.
            batch: what the network was given.

        Returns:
            The scores of :func:`common.metrics.segmentation.segmentation_scores` and, where cup and disc are named,
            ``cup_to_disc``, ``cup_to_disc_true`` and ``cup_to_disc_error``, the absolute difference of the two; (B,)
            each, float64 on the CPU. Nothing where the batch has no masks or the network
            does not segment.

        Raises:
            ValueError: if shapes do not fit.
        """
        if "segmentation" not in batch or "segmentation_logits" not in outputs:
            return {}
        prediction, truth, given = self.compared(outputs, batch)
        scores = segmentation_scores(prediction, truth, self.structures, self.assd_rule)
        if self.cup is not None and self.disc is not None:
            cup, disc = self.structures[self.cup], self.structures[self.disc]
            ratio, true = (cup_to_disc_ratio(labels, disc, cup) for labels in (prediction, truth))
            scores |= {"cup_to_disc": ratio, "cup_to_disc_true": true, "cup_to_disc_error": (ratio - true).abs()}
        return _where_given(scores, given)

    def overlap(self, outputs: Mapping[str, Tensor], batch: Mapping[str, Any]) -> dict[str, Tensor]:
        """Compute Dice and IoU alone, which cost next to nothing.

        Args:
            outputs: of the network's ``explain``.
            batch: what the network was given.

        Returns:
            ``dice/<structure>`` and ``iou/<structure>``, (B,) each. Nothing where the batch has no masks or the network
            does not segment.

        Raises:
            ValueError: if shapes do not fit.
        """
        if "segmentation" not in batch or "segmentation_logits" not in outputs:
            return {}
        prediction, truth, given = self.compared(outputs, batch)
        return _where_given(overlap_scores(prediction, truth, self.structures), given)

    def compared(self, outputs: Mapping[str, Tensor], batch: Mapping[str, Any]) -> tuple[Tensor, Tensor, Tensor]:
        """Return what is compared.

        Args:
            outputs: of the network's ``explain``.
            batch: what the network was given, with masks.

        Returns:
            Predicted and true values of structures (B,1,H,W), and whether each case's truth is known (B,), bool, on
            the CPU.
        """
        prediction = outputs["segmentation_logits"].argmax(dim=1, keepdim=True)
        truth = batch["segmentation"].as_subclass(Tensor).to(prediction.device)
        given = batch.get("segmentation_given")
        known = torch.ones(len(truth), dtype=torch.bool) if given is None else given.as_subclass(Tensor).cpu().bool()
        return prediction, truth, known


def _where_given(scores: Mapping[str, Tensor], given: Tensor) -> dict[str, Tensor]:
    return {name: values.masked_fill(~given, torch.nan) for name, values in scores.items()}
