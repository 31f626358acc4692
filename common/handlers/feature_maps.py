"""The feature maps of many images, computed once where they fit into memory."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from common.utils.batch import to_device

logger = logging.getLogger(__name__)

NEEDED = ("case_id", "label", "label_given", "source_size", "crop", "flipped")
"""What is kept of a batch beside its feature maps."""


class FeatureMaps:
    """Deliver the feature maps of a loader's images, with labels and places, as often as asked.

    The first time they are computed, in float32 also in a training with mixed precision, and kept in the computer's
    memory. Should they not fit, nothing is kept and the next time they are computed again.
    """

    def __init__(
        self,
        feature: Callable[[Tensor], Tensor],
        loader: Iterable[Mapping[str, Any]],
        device: torch.device,
        memory_gb: float = 2.0,
    ) -> None:
        """Say what to compute.

        Args:
            feature: images (B,C,H,W) to feature maps (B,D,h,w); of a network in evaluation mode.
            loader: yields batches with "image" and "case_id", the same ones each time.
            device: where to compute.
            memory_gb: gigabytes that may be used; 0 for maps that are needed once.
        """
        self.feature = feature
        self.loader = loader
        self.device = device
        self.limit = memory_gb * 1e9
        self._kept: list[tuple[Tensor, dict[str, Any]]] = []
        self._complete = False

    @torch.no_grad()
    def __iter__(self) -> Iterator[tuple[Tensor, dict[str, Any]]]:
        """Yield feature maps (B,D,h,w), float32, and of their batch what is in ``NEEDED``, with "image_size".

        Raises:
            ValueError: if a feature is not finite.
        """
        if self._complete:
            for feature, batch in self._kept:
                yield feature.to(self.device), batch
            return
        self._kept, used, fits = [], 0, True
        for one in self.loader:
            feature, batch = self._compute(to_device(one, self.device))
            used += feature.numel() * feature.element_size()
            if fits and used > self.limit:
                if self.limit:
                    logger.info("feature maps need more than %.3g GB, the images pass again", self.limit / 1e9)
                self._kept, fits = [], False
            if fits:
                self._kept.append((feature.cpu(), batch))
            yield feature, batch
        self._complete = fits

    def _compute(self, batch: dict[str, Any]) -> tuple[Tensor, dict[str, Any]]:
        feature = self.feature(batch["image"]).float()
        broken = ~torch.isfinite(feature).flatten(1).all(1)
        if broken.any():
            names = [str(name) for name, bad in zip(batch["case_id"], broken.tolist(), strict=True) if bad]
            raise ValueError(
                f"the features of case '{names[0]}' ({len(names)} of {len(broken)} in its batch) are not finite, "
                "expected numbers; the network has diverged: lower the learning rate, or go back to a checkpoint"
            )
        kept = {name: batch[name] for name in NEEDED if batch.get(name) is not None}
        return feature, {**kept, "image_size": tuple(batch["image"].shape[-2:])}


@contextmanager
def evaluating(network: nn.Module) -> Iterator[None]:
    """Put a network into evaluation mode for a while; afterwards every module is in the mode it was in."""
    modes = [(module, module.training) for module in network.modules()]
    network.eval()
    try:
        yield
    finally:
        for module, training in modes:
            module.training = training
