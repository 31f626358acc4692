"""Refuse targets that do not fit, before an index error, a device assertion or a silent broadcast answers them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

__all__ = ["as_class_weights", "check_target", "required", "sample_weight", "segmentation_target"]


def check_target(target: Tensor, scores: Tensor) -> Tensor:
    """Check class indices against the scores of the classes.

    Args:
        target: class indices (B,) or, for pixels, (B,H,W), of an integer type.
        scores: logits, evidence or probability (B,C) or (B,C,H,W).

    Returns:
        The indices as int64.

    Raises:
        ValueError: if shape, type or range do not fit.
    """
    if scores.ndim < 2:
        raise ValueError(f"got class scores of shape {tuple(scores.shape)}, expected (B,C) or (B,C,H,W)")
    expected = scores.shape[:1] + scores.shape[2:]
    if target.shape != expected:
        raise ValueError(
            f"got labels of shape {tuple(target.shape)} for class scores of shape {tuple(scores.shape)}, expected "
            f"{tuple(expected)}: one class index per {'image' if scores.ndim == 2 else 'pixel'}, without a class axis"
        )
    if target.is_floating_point() or target.is_complex() or target.dtype == torch.bool:
        raise ValueError(f"got labels of type {target.dtype}, expected class indices of an integer type (int64)")
    if target.numel() == 0:
        raise ValueError("got an empty batch, expected at least one image")
    low, high = target.aminmax()
    if low < 0 or high >= scores.shape[1]:
        raise ValueError(
            f"got labels from {int(low)} to {int(high)}, expected 0 to {scores.shape[1] - 1}; check the labels (of a "
            "mask: the values of its structures) in the datalist and the network's number of classes"
        )
    return target.long()


def segmentation_target(batch: Mapping[str, Any], logits: Tensor) -> tuple[Tensor, Tensor]:
    """Take the masks of a batch, and which of them are real.

    Args:
        batch: ``segmentation`` (B,1,H,W), class indices, and optionally ``segmentation_given`` (B,) bool: False where
            the case has no mask, and whatever stands in for it must not be learned.
        logits: class scores (B,K,H,W) of the pixels.

    Returns:
        Class indices (B,H,W) int64, 0 where no mask is given, and the given masks as weights (B,) of 0 or 1.

    Raises:
        ValueError: if masks are missing or do not fit.
    """
    segmentation = required(
        batch, "segmentation", "add 'mask' to the items of the datalist, or train the classification alone"
    )
    if logits.ndim != 4:
        raise ValueError(f"got class scores of pixels of shape {tuple(logits.shape)}, expected (B,K,H,W)")
    expected = (logits.shape[0], 1, *logits.shape[2:])
    if segmentation.shape != expected:
        raise ValueError(
            f"got masks of shape {tuple(segmentation.shape)} for class scores of shape {tuple(logits.shape)}, expected "
            f"{expected}: class indices with one channel, resized together with the image"
        )
    given = batch.get("segmentation_given")
    given = segmentation.new_ones(len(segmentation), dtype=torch.bool) if given is None else given.bool()
    if given.shape != segmentation.shape[:1]:
        raise ValueError(f"got segmentation_given of shape {tuple(given.shape)}, expected ({len(segmentation)},)")
    target = torch.where(given.view(-1, 1, 1), segmentation[:, 0], torch.zeros_like(segmentation[:, 0]))
    weight = given.to(logits.dtype if logits.dtype == torch.float64 else torch.float32)
    return check_target(target, logits), weight


def required(values: Mapping[str, Any], name: str, remedy: str) -> Tensor:
    """Return a value by its name.

    Raises:
        ValueError: if it is not there, with what there is and the remedy.
    """
    if name not in values:
        raise ValueError(f"the loss needs '{name}' but was given only {', '.join(sorted(values))}; {remedy}")
    return values[name]


def as_class_weights(class_weights: Sequence[float] | Tensor | None) -> Tensor | None:
    """Make a tensor (C,) of the option ``class_weights``.

    Raises:
        ValueError: if a weight is not a positive number.
    """
    if class_weights is None:
        return None
    weights = torch.as_tensor(class_weights, dtype=torch.float32)
    if not (weights.ndim == 1 and bool(torch.isfinite(weights).all() & (weights > 0).all())):
        raise ValueError(f"class_weights is {class_weights}, expected one positive number per class")
    return weights


def sample_weight(class_weights: Tensor | None, label: Tensor, scores: Tensor) -> Tensor:
    """Return the weight (B,) of the class of each label (B,); 1 for None.

    Raises:
        ValueError: if there are not as many weights as classes in the scores (B,C).
    """
    if class_weights is None:
        return torch.ones_like(label, dtype=torch.float32)
    if len(class_weights) != scores.shape[1]:
        raise ValueError(
            f"got {len(class_weights)} class_weights for {scores.shape[1]} classes, expected one per class"
        )
    return class_weights.to(label.device)[label]
