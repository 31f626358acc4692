"""Tell losses how far the training is."""

from __future__ import annotations

from typing import Any

from ignite.engine import Events

from common.types import AnnealedLoss


class LossAnnealing:
    """Set the epoch of the loss, counted from 0 over all stages, when an epoch starts.

    The validator shares the stage's loss, so training and validation are annealed alike. There is no state to save:
    a resumed training knows its epoch.
    """

    def attach(self, engine: Any) -> None:
        """Register with a :class:`common.engines.StagedTrainer`.

        Raises:
            ValueError: if no stage has a loss that takes an epoch.
        """
        if not any(isinstance(stage.loss, AnnealedLoss) for stage in engine.stages):
            raise ValueError("LossAnnealing has nothing to do: no stage's loss has set_epoch; remove the handler")
        engine.add_event_handler(Events.EPOCH_STARTED, self)

    def __call__(self, engine: Any) -> None:
        """Set the epoch of the loss of the stage in progress."""
        if isinstance(engine.stage.loss, AnnealedLoss):
            engine.stage.loss.set_epoch(engine.state.epoch - 1)
