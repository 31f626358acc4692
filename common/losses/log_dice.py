"""Logarithmic soft Dice loss, in a form that can be added up over batches.

Source: Ren et al., "Uncertainty-informed Mutual Learning for Joint Medical Image Classification and Segmentation",
MICCAI 2023; the form of their code, which pools all pixels of a batch.
"""

from __future__ import annotations

import torch
from torch import Tensor

from common.losses.targets import check_target
from common.utils.choices import check_choice
from common.utils.precision import at_least_float32

__all__ = ["ABSENT_STRUCTURES", "dice_sums", "log_dice"]

ABSENT_STRUCTURES = ("penalise", "ignore")
"""What a structure costs that none of the masks shows."""


def dice_sums(probability: Tensor, target: Tensor) -> Tensor:
    """Add up over the pixels of each image what Dice needs of it.

    Args:
        probability: probability (B,K,H,W) of each structure, background included.
        target: true structures (B,H,W), integer.

    Returns:
        Sums (B,3,K) in pixels: probability inside the true structure, true pixels, probability everywhere. Float32
        (float64 for float64 probability).

    Raises:
        ValueError: if the targets do not fit.
    """
    index = check_target(target, probability).unsqueeze(1)
    p = at_least_float32(probability)
    true = torch.zeros_like(p).scatter_(1, index, 1.0)
    return torch.stack([(p * true).sum((2, 3)), true.sum((2, 3)), p.sum((2, 3))], dim=1)


def log_dice(sums: Tensor, absent: str = "penalise", eps: float = 1e-5) -> Tensor:
    """Compute the loss of all images together: mean over the structures of -ln D.

    D = (2 · inside + eps) / (true + everywhere + eps) of one structure, each summed over the images first. This is not
    the mean of the images' losses: a structure that is missing in some of the images does no harm.

    Args:
        sums: sums (B,...,3,K) of :func:`dice_sums`, of one batch or many.
        absent: ``"penalise"`` (published) lets a structure that no mask shows cost up to -ln(eps / pixels), 13 and
            more, which is noisy for small batches with rare structures; ``"ignore"`` leaves it out of the mean.
        eps: keeps the quotient finite.

    Returns:
        The loss (...), at least 0; a scalar for sums (B,3,K). 0 where all sums are 0: images without masks.

    Raises:
        ValueError: for an unknown ``absent``.
    """
    check_choice("absent_structures", absent, ABSENT_STRUCTURES)
    inside, true, everywhere = sums.sum(0).unbind(-2)
    loss = -torch.log((2 * inside + eps) / (true + everywhere + eps))
    if absent == "penalise":
        return loss.mean(-1)
    present = (true > 0).to(loss.dtype)
    return (loss * present).sum(-1) / present.sum(-1).clamp(min=1)
