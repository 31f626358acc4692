"""Write the whole state of a training after every epoch, and go on from it exactly."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

from ignite.engine import Events

from common.utils.checkpoint import load_state, load_weights_only, save_atomic
from common.utils.distributed import is_main_process, wait_for_all

logger = logging.getLogger(__name__)


class TrainingCheckpointSaver:
    """Save ``last.pt`` at the end of every epoch; with ``resume`` start from it.

    A training killed at any moment goes on from the last complete epoch. Epochs are seeded by their number
    (:class:`common.handlers.SeedEpoch`), so the result is that of an uninterrupted training.
    """

    def __init__(self, ckpt_dir: str | Path, resume: bool = False) -> None:
        """Say where, and whether to go on.

        Args:
            ckpt_dir: folder of ``last.pt``.
            resume: continue from ``last.pt`` if there is one.
        """
        self.path = Path(ckpt_dir) / "last.pt"
        self.resume = resume

    def attach(self, engine: Any) -> None:
        """Register with a trainer; list it last, so that it saves what all others have done."""
        engine.resuming = self.resume and self.path.is_file()
        engine.add_event_handler(Events.STARTED, self._load)
        engine.add_event_handler(Events.EPOCH_COMPLETED, self._save)

    def _plan(self, engine: Any) -> list[Any]:
        """Describe the stages; a checkpoint is only continued under the same plan."""
        return [[stage.name, stage.epochs, list(stage.trainable)] for stage in engine.stages]

    def _save(self, engine: Any) -> None:
        if is_main_process():
            save_atomic(
                {
                    "epoch": engine.state.epoch,
                    "iteration": engine.state.iteration,
                    "plan": self._plan(engine),
                    "network": engine.network_def.state_dict(),
                    "scaler": engine.grad_scaler.state_dict(),
                    "handlers": {name: handler.state_dict() for name, handler in engine.stateful.items()},
                },
                self.path,
            )
        wait_for_all()

    def _load(self, engine: Any) -> None:
        if not engine.resuming:
            if self.path.is_file():
                logger.warning(
                    "%s of an earlier training will be replaced; to go on from it pass --resume True", self.path
                )
            return
        state = load_weights_only(self.path)
        if not isinstance(state, dict) or "plan" not in state:
            raise ValueError(
                f"{self.path} holds no state of a training, expected what this handler wrote after an epoch; weights "
                "alone cannot be resumed. Start anew with --resume False"
            )
        if state["plan"] != self._plan(engine):
            raise ValueError(
                f"{self.path} was written by a training with the stages {state['plan']}, this one has "
                f"{self._plan(engine)}: resume with the same configuration, or start anew with --resume False"
            )
        load_state(engine.network_def, state["network"], str(self.path))
        engine.grad_scaler.load_state_dict(state["scaler"])
        engine.state.epoch, engine.state.iteration = state["epoch"], state["iteration"]
        for name, handler in engine.stateful.items():
            handler.load_state_dict(state["handlers"][name])
        logger.info("resumed after epoch %d, stage '%s'", state["epoch"], engine.stage.name)
