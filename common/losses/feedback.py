"""How much the student's last step, taken on the teacher's pseudo labels, helped on labelled images.

The teacher's gradient on its pseudo labels is multiplied by it: above 0 the teacher grows surer of them, below 0 less.
Sources: Wang et al., IEEE TMI 43(1), 2024; Pham et al., "Meta Pseudo Labels", CVPR 2021, where it is the step size
times the product of the student's gradients on pseudo labels (before the step) and on labelled images (after it).
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

__all__ = ["FEEDBACKS", "cosine_feedback", "difference_feedback", "product_feedback"]

#: Form of feedback to its usual scale. ``published`` takes the gradient of the student's whole loss, ``cross_entropy``
#: that of its classification term alone; both are products of gradients, which ``cosine`` normalises.
FEEDBACKS = {"published": 1e-3, "cross_entropy": 1e-3, "finite_difference": 1.0, "cosine": 0.01}

Gradients = Sequence[Tensor | None]


def product_feedback(pseudo: Gradients, labelled: Gradients, scale: float = FEEDBACKS["published"]) -> Tensor:
    """Compute scale · ⟨g, g'⟩.

    Args:
        pseudo: gradients g of the student's loss on pseudo labels before its step, one per parameter; None means 0.
        labelled: gradients g' of its cross entropy on labelled images after the step, of the same parameters.
        scale: stands for the step size.

    Returns:
        Scalar, float64: to first order the fall of the labelled cross entropy, if ``scale`` is the step size of a plain
        gradient step.
    """
    return scale * _product(pseudo, labelled)


def cosine_feedback(pseudo: Gradients, labelled: Gradients, scale: float = FEEDBACKS["cosine"]) -> Tensor:
    """Compute scale · ⟨g, g'⟩ / (|g| |g'|), which does not depend on the size of the gradients.

    Args:
        pseudo: see :func:`product_feedback`.
        labelled: see :func:`product_feedback`.
        scale: largest absolute value.

    Returns:
        Scalar, float64, in [-scale, scale]; 0 where a gradient is 0.
    """
    lengths = (_product(pseudo, pseudo) * _product(labelled, labelled)).sqrt()
    return scale * _product(pseudo, labelled) / lengths.clamp(min=1e-30)


def difference_feedback(before: Tensor, after: Tensor, scale: float = FEEDBACKS["finite_difference"]) -> Tensor:
    """Compute scale · (before - after): the fall itself, whatever optimiser took the step, and no gradients to keep.

    Args:
        before: the student's cross entropy on labelled images before its step, scalar.
        after: the same after the step.
        scale: factor.

    Returns:
        Scalar, float64.
    """
    return scale * (before.detach().double() - after.detach().double())


def _product(first: Gradients, second: Gradients) -> Tensor:
    pairs = [(a, b) for a, b in zip(first, second, strict=True) if a is not None and b is not None]
    if not pairs:
        return torch.zeros((), dtype=torch.float64)
    return torch.stack([(a.double() * b.double()).sum() for a, b in pairs]).sum()
