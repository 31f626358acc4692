"""The joint evidential loss of classification and segmentation.

Source: Ren et al., "Uncertainty-informed Mutual Learning for Joint Medical Image Classification and Segmentation",
MICCAI 2023, and their code (KarryRen/UML): ``attention`` is its version of 2024, ``reliable_mask`` that of 2023.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from common.layers.evidence import opinion
from common.losses.evidential import annealing, divergence_from_flat, expected_cross_entropy
from common.losses.log_dice import ABSENT_STRUCTURES, dice_sums, log_dice
from common.losses.targets import as_class_weights, check_target, required, sample_weight, segmentation_target
from common.utils.choices import check_choice
from common.utils.precision import at_least_float32

__all__ = ["UMLLoss"]

DICE_ON = ("softmax_evidence", "dirichlet_mean")
LEVEL_REDUCTIONS = ("sum", "mean")
PARTS = ("classification", "segmentation", "evidential")


class _Variant(NamedTuple):
    """What a published variant compares with the masks."""

    logits: tuple[str, ...]
    evidence: tuple[str, ...]
    cross_entropy: bool
    level_reduction: str


VARIANTS = {
    "attention": _Variant(
        logits=("segmentation_logits",),
        evidence=("pixel_evidence", "pixel_evidence_2", "pixel_evidence_3", "pixel_evidence_4"),
        cross_entropy=True,
        level_reduction="sum",
    ),
    "reliable_mask": _Variant(
        logits=("side_logits_1", "side_logits_2", "side_logits_3", "side_logits_4"),
        evidence=("pixel_evidence",),
        cross_entropy=False,
        level_reduction="mean",
    ),
}
METHOD_HINT = "name the network's method that returns it (explain_levels) in the stage, or set its part's weight to 0"


class UMLLoss(nn.Module):
    """w_1 · classification + w_2 · segmentation + w_3 · evidential.

    Classification is the expected cross entropy of the image's evidence plus λ times the divergence of its wrong part
    from none. Segmentation is the logarithmic Dice loss of the masks' logits and, for ``attention``, their cross
    entropy. Evidential is the logarithmic Dice loss, expected cross entropy and λ times divergence of pixel evidence.
    A part of weight 0 is not computed, and neither the outputs nor the targets it needs have to be there.

    The loss is made in two steps, so that training and validation measure the same quantity: :meth:`terms` gives
    numbers per sample, :meth:`reduce` makes one loss of the terms of a batch or, concatenated, of a whole data set.

    λ grows during training (:meth:`set_epoch`, called by :class:`common.handlers.LossAnnealing`), and with it the loss:
    early epochs look better than they are, so choose the best epoch by a metric. Until an epoch is set λ is 1.

    Args:
        variant: ``"attention"`` or ``"reliable_mask"``.
        weights: w_1, w_2 and w_3, at least 0 and not all 0.
        level_reduction: ``"sum"`` or ``"mean"`` over the levels of pixel evidence (attention) or the side outputs
            (reliable_mask); None takes the published one, the sum for attention and the mean for reliable_mask.
        dice_on: what the Dice loss makes of pixel evidence: ``"softmax_evidence"`` (published) or ``"dirichlet_mean"``,
            the probability that is reported.
        class_weights: one positive weight per image-level class (C,); None weighs all alike.
        annealing_epochs: from this epoch on λ is 1.
        absent_structures: see :func:`common.losses.log_dice`.

    Raises:
        ValueError: if an option is out of range or unknown.
    """

    class_weights: Tensor | None

    def __init__(
        self,
        variant: str = "attention",
        weights: Sequence[float] = (0.5, 0.4, 0.1),
        level_reduction: str | None = None,
        dice_on: str = "softmax_evidence",
        class_weights: Sequence[float] | Tensor | None = None,
        annealing_epochs: int = 50,
        absent_structures: str = "penalise",
    ) -> None:
        super().__init__()
        check_choice("variant", variant, VARIANTS)
        check_choice("dice_on", dice_on, DICE_ON)
        check_choice("absent_structures", absent_structures, ABSENT_STRUCTURES)
        self.variant = VARIANTS[variant]
        self.level_reduction = self.variant.level_reduction if level_reduction is None else level_reduction
        check_choice("level_reduction", self.level_reduction, LEVEL_REDUCTIONS)
        if len(weights) != len(PARTS) or not all(0 <= w < float("inf") for w in weights) or sum(weights) == 0:
            raise ValueError(
                f"weights are {list(weights)}, expected three of at least 0, not all 0: {', '.join(PARTS)}"
            )
        if annealing_epochs < 0:
            raise ValueError(f"annealing_epochs is {annealing_epochs}, expected 0 (full weight always) or more")
        self.weights = {part: weight for part, weight in zip(PARTS, weights, strict=True) if weight > 0}
        self.dice_on = dice_on
        self.absent_structures = absent_structures
        self.annealing_epochs = annealing_epochs
        self.annealing = 1.0
        # An option, not a state: it must not appear in checkpoints.
        self.register_buffer("class_weights", as_class_weights(class_weights), persistent=False)

    def set_epoch(self, epoch: int) -> None:
        """Set λ for an epoch, counted from 0."""
        self.annealing = annealing(epoch, self.annealing_epochs)

    def terms(self, outputs: Mapping[str, Tensor], batch: Mapping[str, Any]) -> dict[str, Tensor]:
        """Compute the terms of each sample, in float32 also under autocast.

        Args:
            outputs: ``evidence`` (B,C); ``segmentation_logits`` or ``side_logits_1`` to ``_4`` (B,K,H,W);
                ``pixel_evidence`` and, for attention, ``pixel_evidence_2`` to ``_4`` (B,K,H,W).
            batch: ``label`` (B,) int64; ``segmentation`` (B,1,H,W) int64 and optionally ``segmentation_given`` (B,)
                bool, False where a case has no mask and only its class is learned.

        Returns:
            With L logits and E levels of evidence, those of the parts that count: ``classification_cross_entropy``,
            ``classification_divergence`` and ``class_weight`` (B,); ``segmentation_given`` (B,), 0 or 1;
            ``segmentation_cross_entropy`` (B,L) and ``segmentation_dice`` (B,L,3,K); ``evidential_cross_entropy`` and
            ``evidential_divergence`` (B,E) and ``evidential_dice`` (B,E,3,K). Divergences are left out while λ is 0.

        Raises:
            ValueError: if an output or a target is missing or does not fit.
        """
        terms: dict[str, Tensor] = {}
        if "classification" in self.weights:
            evidence = required(outputs, "evidence", METHOD_HINT)
            label = check_target(required(batch, "label", "add it to the items of the datalist"), evidence)
            terms |= self._divergent("classification", evidence, label)
            terms["class_weight"] = sample_weight(self.class_weights, label, evidence)
        for part, names in (("segmentation", self.variant.logits), ("evidential", self.variant.evidence)):
            if part in self.weights:
                levels = [required(outputs, name, METHOD_HINT) for name in names]
                target, terms["segmentation_given"] = segmentation_target(batch, levels[0])
                computed = [self._level(part, level, target, terms["segmentation_given"]) for level in levels]
                terms |= {name: torch.stack([level[name] for level in computed], dim=1) for name in computed[0]}
        return terms

    def reduce(self, terms: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Make one loss of the terms of a batch or a data set.

        Args:
            terms: what :meth:`terms` returns, one or many batches concatenated along the first axis.

        Returns:
            Scalars ``loss`` and, of the parts that count, ``classification`` (weighted mean over the samples),
            ``segmentation`` and ``evidential`` (over the samples with masks; 0 if there is none).
        """
        parts: dict[str, Tensor] = {}
        if "classification" in self.weights:
            parts["classification"] = self._mean("classification", terms, terms["class_weight"])
        for part in ("segmentation", "evidential"):
            if part in self.weights:
                levels = log_dice(terms[f"{part}_dice"], self.absent_structures)
                levels = levels + self._mean(part, terms, terms["segmentation_given"])
                parts[part] = levels.mean() if self.level_reduction == "mean" else levels.sum()
        loss = torch.stack([weight * parts[part] for part, weight in self.weights.items()]).sum()
        return {"loss": loss, **parts}

    def forward(self, outputs: Mapping[str, Tensor], batch: Mapping[str, Any]) -> dict[str, Tensor]:
        """Compute the loss of a batch and its parts; see :meth:`terms` and :meth:`reduce`."""
        return self.reduce(self.terms(outputs, batch))

    def _level(self, part: str, scores: Tensor, target: Tensor, given: Tensor) -> dict[str, Tensor]:
        """Compute the terms of one map of logits or evidence (B,K,H,W); Dice sums are 0 without a mask."""
        scores = at_least_float32(scores)
        if part == "evidential":
            terms = {name: value.mean((1, 2)) for name, value in self._divergent(part, scores, target).items()}
        elif self.variant.cross_entropy:
            terms = {f"{part}_cross_entropy": F.cross_entropy(scores, target, reduction="none").mean((1, 2))}
        else:
            terms = {}
        dirichlet = part == "evidential" and self.dice_on == "dirichlet_mean"
        sums = dice_sums(opinion(scores)[0] if dirichlet else scores.softmax(1), target)
        return {**terms, f"{part}_dice": sums * given.view(-1, 1, 1)}

    def _divergent(self, part: str, evidence: Tensor, target: Tensor) -> dict[str, Tensor]:
        """Compute cross entropy and, unless λ is 0, divergence of evidence (B,C,...), both (B,...)."""
        terms = {f"{part}_cross_entropy": expected_cross_entropy(evidence, target)}
        if self.annealing > 0:
            terms[f"{part}_divergence"] = divergence_from_flat(evidence, target)
        return terms

    def _mean(self, part: str, terms: Mapping[str, Tensor], weight: Tensor) -> Tensor:
        """Return the weighted mean (over B) of cross entropy plus λ · divergence, (B,) or (B,L); 0 without either."""
        factors = {f"{part}_cross_entropy": 1.0, f"{part}_divergence": self.annealing}
        costs = [factor * terms[name] for name, factor in factors.items() if name in terms]
        if not costs:
            return weight.new_zeros(())
        cost = torch.stack(costs).sum(0)
        weight = weight.view(-1, *[1] * (cost.ndim - 1))
        return (weight * cost).sum(0) / weight.sum().clamp(min=1e-12)  # a batch without masks costs 0 / tiny = 0
