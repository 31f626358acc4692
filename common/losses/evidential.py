"""Losses of evidence, for image-level classes (B,C) and pixels (B,C,H,W) alike.

Sources: Sensoy, Kaplan, Kandemir, "Evidential Deep Learning to Quantify Classification Uncertainty", NeurIPS 2018;
Ren et al., "Uncertainty-informed Mutual Learning for Joint Medical Image Classification and Segmentation", MICCAI 2023.
All functions return float32 (float64 for float64 evidence), also under autocast: digamma and lgamma need it.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from common.losses.targets import check_target
from common.utils.precision import at_least_float32

__all__ = ["annealing", "divergence_from_flat", "expected_cross_entropy"]


def annealing(epoch: int, epochs: int = 50) -> float:
    """Weigh the divergence little at first, so that evidence can grow before the wrong part of it is punished.

    Args:
        epoch: the epoch, counted from 0.
        epochs: from this epoch on the weight is full; 0 gives full weight always. Published: 50.

    Returns:
        min(1, epoch / epochs), in [0,1].

    Raises:
        ValueError: if either is negative.
    """
    if epoch < 0 or epochs < 0:
        raise ValueError(f"epoch is {epoch} of {epochs} annealing epochs, expected 0 or more for both")
    return 1.0 if epoch >= epochs else epoch / epochs


def expected_cross_entropy(evidence: Tensor, target: Tensor) -> Tensor:
    """Compute the cross entropy that a Dirichlet distribution expects: ψ(S) - ψ(e_y + 1), S = sum of (e + 1).

    Args:
        evidence: evidence (B,C,...), at least 0.
        target: true classes (B,...), integer.

    Returns:
        Cross entropy (B,...), above 0: without evidence the sum of 1/k for k from 1 to C-1, 1 for two classes.

    Raises:
        ValueError: if evidence is negative or targets do not fit.
    """
    known, index = _checked(evidence, target)
    return torch.digamma(_strength(known)) - torch.digamma(known.gather(1, index).squeeze(1) + 1)


def divergence_from_flat(evidence: Tensor, target: Tensor) -> Tensor:
    """Compute how far the evidence for wrong classes is from none at all.

    It is the Kullback-Leibler divergence of Dir(ẽ + 1) from the flat Dirichlet distribution, where ẽ is the evidence
    with that for the true class removed, and S̃ = sum of (ẽ + 1):
    lnΓ(S̃) - lnΓ(C) - sum lnΓ(ẽ_k + 1) + sum ẽ_k (ψ(ẽ_k + 1) - ψ(S̃)).

    Args:
        evidence: evidence (B,C,...), at least 0.
        target: true classes (B,...), integer.

    Returns:
        Divergence (B,...), at least 0, and 0 only without evidence for a wrong class.

    Raises:
        ValueError: if evidence is negative or targets do not fit.
    """
    known, index = _checked(evidence, target)
    return _Divergence.apply(known.scatter(1, index, 0.0))


class _Divergence(torch.autograd.Function):
    """The divergence of ẽ (B,C,...). Half of autograd's terms of its derivative cancel each other; none is computed."""

    @staticmethod
    def forward(ctx: Any, wrong: Tensor) -> Tensor:  # type: ignore[override]
        ctx.save_for_backward(wrong)
        strength = _strength(wrong)
        terms = wrong * torch.digamma(wrong + 1) - torch.lgamma(wrong + 1)
        rest = torch.lgamma(strength) - math.lgamma(wrong.shape[1]) - wrong.sum(1) * torch.digamma(strength)
        return terms.sum(1) + rest

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:  # type: ignore[override]
        (wrong,) = ctx.saved_tensors
        common = wrong.sum(1) * torch.polygamma(1, _strength(wrong))
        return gradient.unsqueeze(1) * (wrong * torch.polygamma(1, wrong + 1) - common.unsqueeze(1))


def _strength(evidence: Tensor) -> Tensor:
    """Return S (B,...), the sum of the Dirichlet parameters."""
    return evidence.sum(1) + evidence.shape[1]


def _checked(evidence: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
    """Return evidence lifted from half precision, and the targets with a class axis of 1 to gather by."""
    index = check_target(target, evidence).unsqueeze(1)
    known = at_least_float32(evidence)
    if (known < 0).any():
        raise ValueError(
            f"got evidence down to {known.min().item():.3g}, expected 0 or more; "
            "common.layers.evidence_from makes evidence of the raw outputs of a network"
        )
    return known, index
