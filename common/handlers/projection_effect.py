"""What a projection does to the predictions, and how the last layer makes up for it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from common.layers import ClassConnectedLinear, fit_last_layer
from common.metrics.classification import classification_scores
from common.utils.distributed import gather


class ProjectionEffect:
    """Compare predictions on the same images by the prototypes before and after, and with the last layer refitted.

    Args:
        branch: has ``prototypes``, ``last_layer`` and ``classify``, see :class:`common.networks.ProtoPNet`; its
            prototypes are the new ones.
        before: the old vectors (P,D).
        background: class of the cases that have none of several labels; None where there is none.
        device: that the processes exchange tensors on.

    Attributes:
        figures: what was measured, by name.
    """

    def __init__(self, branch: Any, before: Tensor, background: int | None, device: torch.device) -> None:
        self.branch = branch
        self.before = before
        self.background = background
        self.device = device
        self.figures: dict[str, float] = {}
        self._similarity = self._label = torch.empty(0)

    @torch.no_grad()
    def measure(self, maps: Iterable[tuple[Tensor, Mapping[str, Any]]]) -> None:
        """Predict the images of all batches with the old and the new prototypes."""
        layer = self.branch.prototypes
        new = layer.vectors.clone()
        rows: list[tuple[Tensor, Tensor, Tensor]] = []
        for feature, batch in maps:
            layer.vectors.copy_(self.before)
            old = self.branch.classify(feature)["similarity"]
            layer.vectors.copy_(new)
            rows.append((old, self.branch.classify(feature)["similarity"], batch["label"]))
        old, self._similarity, self._label = (
            gather(torch.cat(part).to(self.device)) for part in zip(*rows, strict=True)
        )
        logits = [self.branch.last_layer(similarity) for similarity in (old, self._similarity)]
        self.figures["mean_logit_change"] = float((logits[1] - logits[0]).abs().mean())
        self._score("auroc_before", logits[0])
        self._score("auroc_after", logits[1])

    @torch.no_grad()
    def measure_refit(self) -> None:
        """Predict the same images, if any, with what is the last layer now."""
        if len(self._similarity):
            self._score("auroc_after_refit", self.branch.last_layer(self._similarity))

    def _score(self, name: str, logits: Tensor) -> None:
        label = self._label
        if label.dim() == 1:
            probability = logits.softmax(1)
        else:
            probability = against_background(logits, self.background).sigmoid()
            label = without(label, self.background) if label.shape[1] == logits.shape[1] else label
        scores = classification_scores(probability.cpu().numpy(), label.cpu().numpy())
        if "auroc" in scores:
            self.figures[name] = scores["auroc"]


def fit_to_labels(
    layer: ClassConnectedLinear,
    similarity: Tensor,
    label: Tensor,
    background: int | None = None,
    passes: int = 20,
    rate: float = 1e-3,
) -> list[float]:
    """Fit the last layer to labels with Adam.

    Args:
        layer: see :func:`common.layers.fit_last_layer`; changed in place, trainable only meanwhile if it was not.
        similarity: of all cases (N,P).
        label: class indices (N,), for cross entropy, or 0 and 1 (N,C), for binary cross entropy of every class.
        background: class whose logit the others are compared with, in a problem of several labels.
        passes: over the cases.
        rate: learning rate.

    Returns:
        The loss before the first and after each pass.
    """

    def loss(logits: Tensor, target: Tensor) -> Tensor:
        if target.dim() == 1:
            return F.cross_entropy(logits, target)
        return F.binary_cross_entropy_with_logits(against_background(logits, background), without(target, background))

    place = layer.weight.device
    trained = layer.weight.requires_grad
    layer.requires_grad_(True)
    optimizer = torch.optim.Adam(layer.parameters(), rate)
    history = fit_last_layer(layer, optimizer, similarity.to(place), label.to(place), loss, passes)
    layer.requires_grad_(trained)
    return history


def against_background(logits: Tensor, background: int | None) -> Tensor:
    """Return logits (B,C) as they are, or, without its column, their differences from that of the background."""
    return logits if background is None else without(logits - logits[:, background : background + 1], background)


def without(values: Tensor, column: int | None) -> Tensor:
    """Return values (B,C) without a column; all of them for None."""
    kept = [index for index in range(values.shape[1]) if index != column]
    return values[:, kept]
