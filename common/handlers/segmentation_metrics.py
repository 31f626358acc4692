"""Dice while a training runs."""

from __future__ import annotations

import torch
from ignite.engine import Engine
from torch import Tensor

from common.handlers.collect import CollectHandler
from common.metrics.segmented_cases import SegmentationScores


class SegmentationMetrics(CollectHandler):
    """Compute Dice over an epoch: ``dice/<structure>``, the mean over cases, and ``dice``, the mean of those."""

    def __init__(self, scores: SegmentationScores) -> None:
        """Say what is scored.

        Args:
            scores: the structures.
        """
        super().__init__()
        self.scores = scores

    def select(self, engine: Engine) -> dict[str, Tensor]:
        """Keep the Dice of each case, NaN where it is undefined or the mask is missing; nothing if all are."""
        overlap = self.scores.overlap(engine.state.output, engine.state.batch)
        return {name: values.float() for name, values in overlap.items() if name.startswith("dice/")}

    def compute(self, collected: dict[str, Tensor], engine: Engine) -> dict[str, float]:
        """Return the means; one that no case defines is left out."""
        means = {name: values.nanmean() for name, values in collected.items() if not values.isnan().all()}
        if not means:
            return {}
        return {"dice": torch.stack(list(means.values())).mean().item()} | {n: v.item() for n, v in means.items()}
