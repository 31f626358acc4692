"""What a network must offer to be perturbed and questioned; no class has to inherit anything."""

from __future__ import annotations

from typing import Protocol, runtime_checkable

from torch import Tensor

__all__ = ["MapClassifier", "check_evaluating"]


@runtime_checkable
class MapClassifier(Protocol):
    """A network that decides from an image and a map: prediction = C(x, E(x)) = ``classify(x, explanation(x))``."""

    def __call__(self, image: Tensor) -> Tensor:
        """Return logits (B,K) for images (B,C,H,W)."""
        ...

    def explanation(self, image: Tensor) -> Tensor:
        """Return the relevance map (B,1,H,W) in [0,1] for images (B,C,H,W)."""
        ...

    def classify(self, image: Tensor, explanation: Tensor) -> Tensor:
        """Return logits (B,K) for images (B,C,H,W) and given maps (B,1,H,W)."""
        ...


def check_evaluating(model: object) -> None:
    """Refuse a network in training mode: batch statistics and dropout would mix the images of a batch.

    Args:
        model: a network, or any callable (which has no mode and passes).

    Raises:
        ValueError: if the network is in training mode.
    """
    if getattr(model, "training", False):
        raise ValueError(f"{type(model).__name__} is in training mode, expected evaluation mode; call its eval() first")
