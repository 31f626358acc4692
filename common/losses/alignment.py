"""Two views of an image should be explained and judged alike: a student's outputs against those of its teacher.

Source: Wang et al., "Cross- and Intra-image Prototypical Learning for Multi-label Disease Diagnosis and
Interpretation", IEEE TMI 2025.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from common.losses.consistency import moved_maps
from common.utils.choices import check_choice
from common.utils.precision import at_least_float32

__all__ = ["ALIGNMENTS", "REDUCTIONS", "interpretation_alignment", "prediction_alignment"]

ALIGNMENTS = ("cosine", "l2")
REDUCTIONS = ("sum", "mean")


def interpretation_alignment(
    student: Tensor, teacher: Tensor, affine: Tensor | None = None, form: str = "cosine", reduction: str = "sum"
) -> Tensor:
    """Compare what two views of an image look like, place by place.

    Each place has a vector of P similarities; ``cosine`` is 1 minus the cosine of the two, ``l2`` the square of their
    distance. Published: the sum over the places of the cosine form, which grows with the image; the mean with a weight
    h·w times as large is the same.

    Args:
        student: similarity maps (B,P,h,w) of one view.
        teacher: those of the other view (B,P,h',w'); no gradient flows into them.
        affine: the movement (B,2,3) that made the student's view of the teacher's, see
            :func:`common.losses.affine_consistency`; None where places stayed where they were. Places that it brings in
            from outside do not count.
        form: ``"cosine"`` or ``"l2"``.
        reduction: ``"mean"`` over the places that count, or ``"sum"``: that mean times h·w.

    Returns:
        Difference (B,), float32.

    Raises:
        ValueError: for an unknown form or reduction, or maps that do not fit.
    """
    check_choice("form", form, ALIGNMENTS)
    check_choice("reduction", reduction, REDUCTIONS)
    height, width = student.shape[2:]
    ours, target = at_least_float32(student), at_least_float32(teacher.detach())
    counts = torch.ones_like(ours[:, :1], dtype=torch.bool)
    if affine is not None:
        target, counts = moved_maps(target, affine, height, width)
    if ours.shape != target.shape:
        raise ValueError(
            f"got similarity maps of shape {tuple(student.shape)} and {tuple(teacher.shape)}, expected equal ones; "
            "give both views the same size"
        )
    each = 1 - F.cosine_similarity(ours, target, dim=1) if form == "cosine" else (ours - target).square().sum(1)
    mean = (each * counts[:, 0]).sum((1, 2)) / counts.sum((1, 2, 3)).clamp(min=1)
    return mean * height * width if reduction == "sum" else mean


def prediction_alignment(student: Tensor, teacher: Tensor, temperature: float = 1.0) -> Tensor:
    """Compare how alike the images of a batch are judged, disease by disease.

    With q_n = (1 - p_n, p_n) and the batch's Gram matrix G_nm = q_n · q_m, it is the mean over classes and entries of
    the squared difference of student and teacher. Whether p is large or small does not matter, only who is like whom.

    Args:
        student: logits (B,C) of one view of the images; p = sigmoid(logits / temperature).
        teacher: those of the other view; no gradient flows into them.
        temperature: positive; the larger, the softer.

    Returns:
        Squared difference (B,), the mean over classes and the batch's images that each image is compared with, float32.
    """
    # q_n · q_m = (1 + r_n r_m) / 2 with r = 2 p - 1 = tanh(z / 2)
    ours, target = ((at_least_float32(z) / (2 * temperature)).tanh() for z in (student, teacher.detach()))
    difference = (ours * ours.unsqueeze(1) - target * target.unsqueeze(1)) / 2
    return difference.square().mean((1, 2))
