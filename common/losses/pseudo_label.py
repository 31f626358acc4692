"""Targets that another network sets, and the cross entropy that takes them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from common.losses.targets import check_target, required
from common.utils.precision import at_least_float32

__all__ = ["pseudo_label", "soft_cross_entropy", "target_of"]


def pseudo_label(logits: Tensor, threshold: float = 0.0, temperature: float | None = None) -> tuple[Tensor, Tensor]:
    """Make targets of another network's logits.

    Args:
        logits: logits (B,C).
        threshold: images whose largest probability is below it do not count; 0 counts all.
        temperature: None gives hard labels; a number gives softmax(logits / temperature), the softer the larger.

    Returns:
        Target (B,C), probabilities that no gradient flows through, and weight (B,), 1 where the image counts, else 0.
    """
    scores = at_least_float32(logits.detach())
    weight = (scores.softmax(1).amax(1) >= threshold).to(scores.dtype)
    if temperature is None:
        return F.one_hot(scores.argmax(1), scores.shape[1]).to(scores.dtype), weight
    return (scores / temperature).softmax(1), weight


def soft_cross_entropy(logits: Tensor, target: Tensor) -> Tensor:
    """Compute -Σ_c target_c log softmax(logits)_c.

    Args:
        logits: logits (B,C).
        target: probabilities (B,C).

    Returns:
        Cross entropy (B,), float32.
    """
    return -(target * at_least_float32(logits).log_softmax(1)).sum(1)


def target_of(batch: Mapping[str, Any], logits: Tensor) -> tuple[Tensor, Tensor]:
    """Take a batch's pseudo labels where it has them, else its labels.

    Args:
        batch: ``target`` (B,C) and optionally ``target_weight`` (B,), or ``label`` (B,), class indices.
        logits: logits (B,C) that the target is for.

    Returns:
        Target (B,C), probabilities, and weight (B,).

    Raises:
        ValueError: if neither is there, or labels do not fit.
    """
    ones = torch.ones(len(logits), device=logits.device)
    if "target" in batch:
        return batch["target"], batch.get("target_weight", ones)
    label = check_target(required(batch, "label", "add it to the items of the datalist"), logits)
    return F.one_hot(label, logits.shape[1]).float(), ones
