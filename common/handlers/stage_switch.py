"""Lead a training through its stages."""

from __future__ import annotations

import logging
import math
from pathlib import Path
from typing import Any

import torch
from ignite.engine import Engine, Events

from common.types import Stage
from common.utils.checkpoint import load_state, load_weights_only, save_atomic
from common.utils.distributed import is_main_process, wait_for_all

logger = logging.getLogger(__name__)


class StageSwitch:
    """Begin stages, keep the best weights of each, and end a stage when it is due.

    After every validation the monitored value decides: an improvement writes ``model.pt``; otherwise patience runs.
    When a stage ends its best weights are loaded again, kept as ``<number>_<name>.pt``, and the next stage starts
    from them. Without a validator every epoch counts as an improvement.

    Improvement is as in the reference code of xML (icrto/xML): value <= best - min_delta.
    """

    def __init__(
        self, ckpt_dir: str | Path, validator: Any = None, monitor: str = "loss", min_delta: float = 1e-4
    ) -> None:
        """Set the rules of switching.

        Args:
            ckpt_dir: folder for ``model.pt`` and the stages' weights; made when training starts.
            validator: the evaluator whose metrics are monitored; its loss and method follow the stage.
            monitor: name of the monitored metric, lower is better.
            min_delta: smallest decrease that counts.
        """
        self.ckpt_dir = Path(ckpt_dir)
        self.validator = validator
        self.monitor = monitor
        self.min_delta = min_delta
        self.index = 0
        self.stage_epoch = 0
        self.best = math.inf
        self.bad_epochs = 0
        self.finished = False
        self._engine: Any = None

    def attach(self, engine: Engine) -> None:
        """Register with a :class:`common.engines.StagedTrainer`; list it after the validation handler."""
        self._engine = engine
        engine.stateful["stage_switch"] = self
        engine.add_event_handler(Events.STARTED, self._begin)
        engine.add_event_handler(Events.EPOCH_STARTED, self._count)
        engine.add_event_handler(Events.EPOCH_COMPLETED, self._judge)
        engine.add_event_handler(Events.COMPLETED, self._load_best)

    @property
    def stage(self) -> Stage:
        """The stage in progress."""
        return self._engine.stages[self.index]

    def state_dict(self) -> dict[str, Any]:
        """Return all that an exact resumption needs, in plain values and tensors."""
        return {
            "index": self.index,
            "stage_epoch": self.stage_epoch,
            "best": self.best,
            "bad_epochs": self.bad_epochs,
            "finished": self.finished,
            "optimizer": self.stage.optimizer.state_dict(),
            "scheduler": self.stage.scheduler.state_dict() if self.stage.scheduler else None,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Return to the stage and the moment of :meth:`state_dict`."""
        for name in ("index", "stage_epoch", "best", "bad_epochs", "finished"):
            setattr(self, name, state[name])
        self._enter()
        self.stage.optimizer.load_state_dict(state["optimizer"])
        if self.stage.scheduler is not None:
            self.stage.scheduler.load_state_dict(state["scheduler"])
        if self.finished:
            self._engine.terminate()

    def _begin(self, engine: Engine) -> None:
        self.ckpt_dir.mkdir(parents=True, exist_ok=True)
        self._enter()

    def _enter(self) -> None:
        self._engine.enter(self.stage)
        if self.validator is not None:
            self.validator.loss, self.validator.method = self.stage.loss, self.stage.method

    def _count(self, engine: Engine) -> None:
        self.stage_epoch += 1

    def _judge(self, engine: Engine) -> None:
        """Compare, step the scheduler, and switch when the stage is over."""
        validated = self.validator is None or self.validator.state.epoch == engine.state.epoch
        value = self.validator.state.metrics[self.monitor] if validated and self.validator is not None else -math.inf
        if validated:
            self._compare(value)
        self._step_scheduler(value if validated else None)
        out_of_patience = self.stage.patience is not None and self.bad_epochs >= self.stage.patience
        if self.stage_epoch >= self.stage.epochs or out_of_patience:
            self._switch()

    def _compare(self, value: float) -> None:
        if not math.isfinite(self.best) or value <= self.best - self.min_delta:
            self.best, self.bad_epochs = value, 0
            self._save("model.pt")
        else:
            self.bad_epochs += 1

    def _save(self, name: str) -> None:
        if is_main_process():
            save_atomic(self._engine.network_def.state_dict(), self.ckpt_dir / name)

    def _step_scheduler(self, value: float | None) -> None:
        scheduler = self.stage.scheduler
        if isinstance(scheduler, torch.optim.lr_scheduler.ReduceLROnPlateau):
            if value is not None:
                scheduler.step(value)
        elif scheduler is not None:
            scheduler.step()

    def _switch(self) -> None:
        """End the stage with its best weights and begin the next one, if there is one."""
        if self.best == math.inf:
            logger.warning("stage '%s' ended before any validation: its last weights are kept", self.stage.name)
            self._save("model.pt")
        self._load_best(self._engine)
        self._save(f"{self.index + 1}_{self.stage.name}.pt")
        logger.info(
            "stage '%s' ended after %d epochs, best %s %.4f", self.stage.name, self.stage_epoch, self.monitor, self.best
        )
        if self.index + 1 == len(self._engine.stages):
            self.finished = True
            self._engine.terminate()
            return
        self.index += 1
        self.stage_epoch, self.best, self.bad_epochs = 0, math.inf, 0
        self._enter()

    def _load_best(self, engine: Engine) -> None:
        wait_for_all()
        path = self.ckpt_dir / "model.pt"
        if math.isfinite(self.best) or self.validator is None:
            load_state(self._engine.network_def, load_weights_only(path), str(path))
