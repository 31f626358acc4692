"""Several labels at once: binary cross entropy of every class, in the two steps of all losses here."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from common.losses.targets import as_class_weights, required
from common.utils.precision import at_least_float32

__all__ = ["MultiLabelLoss", "check_labels", "multi_label_cross_entropy"]


def multi_label_cross_entropy(logits: Tensor, label: Tensor, class_weights: Tensor | None = None) -> Tensor:
    """Compute the mean over the classes of softplus(z) - t z: for logits z, the binary cross entropy.

    Args:
        logits: logits (B,C), where it applies minus that of the background.
        label: 0 or 1 for each class (B,C).
        class_weights: how often a case that has the class counts for it (C,); None for once, like one without it.

    Returns:
        Cross entropy (B,), float32.

    Raises:
        ValueError: if labels or weights do not fit.
    """
    scores = at_least_float32(logits)
    target = check_labels(label, scores)
    each = F.softplus(scores) - target * scores
    if class_weights is not None:
        if len(class_weights) != scores.shape[1]:
            raise ValueError(
                f"got {len(class_weights)} class_weights for {scores.shape[1]} classes, expected one per class"
            )
        each = each * torch.where(target > 0, class_weights.to(each), 1.0)
    return each.mean(1)


def check_labels(label: Tensor, scores: Tensor) -> Tensor:
    """Check labels of several classes at once against the scores of the classes.

    Args:
        label: 0 or 1 for each class (B,C), of any type.
        scores: what they are compared with (B,C).

    Returns:
        The labels in the type of the scores.

    Raises:
        ValueError: if shape or values do not fit.
    """
    if scores.ndim != 2 or label.shape != scores.shape:
        raise ValueError(
            f"got labels of shape {tuple(label.shape)} for class scores of shape {tuple(scores.shape)}, expected "
            "(B,C) for both: 0 or 1 for every class; make the datalist with the task multilabel"
        )
    if label.numel() == 0:
        raise ValueError("got an empty batch, expected at least one image")
    target = label.to(scores.dtype)
    if not bool(((target == 0) | (target == 1)).all()):
        raise ValueError(
            f"got labels from {float(target.min()):.3g} to {float(target.max()):.3g}, expected 0 or 1 for every class"
        )
    return target


class MultiLabelLoss(nn.Module):
    """Binary cross entropy of every class, for black-box classifiers to compare with.

    Args:
        class_weights: how often a case that has the class counts for it (C,), positive; None for once.

    Raises:
        ValueError: if a weight is not a positive number.
    """

    class_weights: Tensor | None

    def __init__(self, class_weights: Sequence[float] | Tensor | None = None) -> None:
        super().__init__()
        # An option, not a state: it must not appear in checkpoints.
        self.register_buffer("class_weights", as_class_weights(class_weights), persistent=False)

    def terms(self, outputs: Mapping[str, Tensor], batch: Mapping[str, Any]) -> dict[str, Tensor]:
        """Compute the terms of each sample, in float32 also under autocast.

        Args:
            outputs: ``logits`` (B,C).
            batch: ``label`` (B,C), 0 or 1.

        Returns:
            ``classification`` (B,).

        Raises:
            ValueError: if a value is missing or does not fit.
        """
        logits = required(outputs, "logits", "the network's method must return it")
        label = required(batch, "label", "add it to the items of the datalist")
        return {"classification": multi_label_cross_entropy(logits, label, self.class_weights)}

    def reduce(self, terms: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Return the scalars ``loss`` and ``classification``, both the mean."""
        mean = terms["classification"].mean()
        return {"loss": mean, "classification": mean}

    def forward(self, outputs: Mapping[str, Tensor], batch: Mapping[str, Any]) -> dict[str, Tensor]:
        """Compute the loss of a batch; see :meth:`terms` and :meth:`reduce`."""
        return self.reduce(self.terms(outputs, batch))
