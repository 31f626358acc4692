"""Report the loss and its named terms over a whole epoch."""

from __future__ import annotations

from ignite.engine import Engine
from torch import Tensor

from common.handlers.collect import CollectHandler


class LossTerms(CollectHandler):
    """Reduce the terms of all samples of an epoch as if they were one batch.

    Attach it to the trainer (running training loss, at no cost) and to the validator. The engine's loss is used, so
    a stage switch changes what is reported.
    """

    def select(self, engine: Engine) -> dict[str, Tensor]:
        """Keep the terms, (B,) each, of an iteration that had labels."""
        return engine.state.output.get("terms", {})

    def compute(self, collected: dict[str, Tensor], engine: Engine) -> dict[str, float]:
        """Return the reduced terms: "loss" and its parts."""
        loss = engine.stage.loss if hasattr(engine, "stage") else engine.loss
        return {name: value.item() for name, value in loss.reduce(collected).items()}
