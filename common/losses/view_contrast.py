"""Contrast of two views of a side: the same breast seen from above and from the side.

Source: Yang et al., "Visualize What You Learn". Their local form compares whole maps place by place, though the two
views share one axis only; the profile along it is compared here.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from common.losses.report_contrast import two_way_contrast
from common.utils.choices import check_choice
from common.utils.precision import at_least_float32

__all__ = ["LOCAL_FORMS", "region_profile", "view_contrast", "view_pairs"]

LOCAL_FORMS = ("profile", "flatten")
SMALLEST = 1e-8


def view_pairs(view_side: Sequence[int]) -> list[tuple[int, int]]:
    """List all pairs of slots that show the same side, the earlier slot first."""
    slots = range(len(view_side))
    return [(i, j) for i in slots for j in slots[i + 1 :] if view_side[i] == view_side[j]]


def view_contrast(
    vector: Tensor, view_mask: Tensor, view_side: Sequence[int], scale: float = 10.0, contralateral: bool = False
) -> Tensor:
    """Find each view's partner among those of the batch, both ways.

    Args:
        vector: vectors (E,V,D) of views; their length does not matter.
        view_mask: (E,V) bool, the views that exist.
        view_side: side of each slot.
        scale: factor of the cosines.
        contralateral: let the other side of the same exam be a wrong answer, as published.

    Returns:
        (E,), whose mean over the exams is the contrast; 0 if no side has two views.

    Raises:
        ValueError: if there is not a side for each slot.
    """
    exams, views = vector.shape[:2]
    if len(view_side) != views:
        raise ValueError(f"view_side has {len(view_side)} entries for {views} views, expected one side per view")
    vector = at_least_float32(vector)
    pairs = view_pairs(view_side)
    if not pairs:
        return vector.new_zeros(exams)
    here, there = (torch.tensor(slots, device=vector.device) for slots in zip(*pairs, strict=True))
    with torch.autocast(vector.device.type, enabled=False):
        unit = vector / vector.norm(dim=2, keepdim=True).clamp(min=SMALLEST)
        scores = scale * unit[:, here].flatten(0, 1) @ unit[:, there].flatten(0, 1).T
    present = (view_mask[:, here] & view_mask[:, there]).flatten()
    exam = torch.arange(exams, device=vector.device).repeat_interleave(len(pairs))
    side = torch.tensor(view_side, device=vector.device)[here].repeat(exams)
    itself = torch.eye(len(exam), dtype=torch.bool, device=vector.device)
    other = exam.unsqueeze(1) != exam
    if contralateral:
        other |= side.unsqueeze(1) != side
    allowed = (other | itself) & present & present.unsqueeze(1)
    return two_way_contrast(scores, itself, exam, exam, exams, allowed)


def region_profile(region: Tensor, region_mask: Tensor, form: str = "profile") -> Tensor:
    """Make one vector of the regions of a view.

    Args:
        region: (E,V,D,h,w).
        region_mask: (E,V,h,w) bool, the regions that count.
        form: ``"profile"``: the mean over the rows of each column, the axis from chest wall to nipple that both views
            share; a column without regions is 0. ``"flatten"``: all numbers of the map, as published.

    Returns:
        (E,V,D·w) or (E,V,D·h·w).

    Raises:
        ValueError: for an unknown form.
    """
    check_choice("form", form, LOCAL_FORMS)
    if form == "flatten":
        return at_least_float32(region).flatten(2)
    weight = region_mask.unsqueeze(2)
    summed = (at_least_float32(region) * weight).sum(3)
    return (summed / weight.sum(3).clamp(min=1)).flatten(2)
