"""Lead a training through its stages."""

from __future__ import annotations

import logging
import math
from pathlib import Path
from typing import Any

from ignite.engine import Engine, Events
from torch.optim.lr_scheduler import ReduceLROnPlateau

from common.layers.prototype_layer import forget_projection
from common.types import Stage
from common.utils.checkpoint import load_state, load_weights_only, save_atomic
from common.utils.choices import check_choice
from common.utils.distributed import is_main_process, wait_for_all
from common.utils.messages import did_you_mean

logger = logging.getLogger(__name__)

WORST = {"min": math.inf, "max": -math.inf}
"""Where the best value starts, by the mode of the monitored metric."""


class StageSwitch:
    """Begin stages, keep the best weights of each, and end a stage when it is due.

    After every validation the monitored value decides: an improvement writes ``model.pt``; otherwise patience runs.
    When a stage ends its best weights are loaded again, kept as ``<number>_<name>.pt``, and the next stage starts
    from them. Without a validator every epoch counts as an improvement.

    What a stage does at its end (:class:`common.types.StageEnd`) changes the best weights first. Then ``model.pt``
    follows only when the epoch is complete, ``last.pt`` included: until then a training that is killed needs the best
    weights as they were.

    Improvement is as in the reference code of xML (icrto/xML): value <= best - min_delta, or for a metric of which more
    is better value >= best + min_delta. Schedulers step here too: after every epoch or after every iteration, as their
    stage says.
    """

    def __init__(
        self,
        ckpt_dir: str | Path,
        validator: Any = None,
        monitor: str = "loss",
        mode: str = "min",
        min_delta: float = 1e-4,
    ) -> None:
        """Set the rules of switching.

        Args:
            ckpt_dir: folder for ``model.pt`` and the stages' weights; made when training starts.
            validator: the evaluator whose metrics are monitored; its loss, method and inputs follow the stage.
            monitor: name of the monitored metric, one of the validator's: "loss", "auroc", "dice" ...
            mode: "min" where lower is better, "max" where higher is.
            min_delta: smallest improvement that counts.

        Raises:
            ValueError: if the mode is unknown.
        """
        check_choice("mode", mode, WORST)
        self.ckpt_dir = Path(ckpt_dir)
        self.validator = validator
        self.monitor = monitor
        self.mode = mode
        self.min_delta = min_delta
        self.index = 0
        self.stage_epoch = 0
        self.best = WORST[mode]
        self.bad_epochs = 0
        self.finished = False
        self._engine: Any = None

    def attach(self, engine: Engine) -> None:
        """Register with a :class:`common.engines.StagedTrainer`; list it after the validation handler."""
        self._engine = engine
        engine.stateful["stage_switch"] = self
        engine.add_event_handler(Events.STARTED, self._begin)
        engine.add_event_handler(Events.EPOCH_STARTED, self._count)
        engine.add_event_handler(Events.ITERATION_COMPLETED, self._step_within_epoch)
        engine.add_event_handler(Events.EPOCH_COMPLETED, self._judge)
        engine.add_event_handler(Events.COMPLETED, self._complete)

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
            "step": self.stage.step.state_dict() if self.stage.step else None,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Return to the stage and the moment of :meth:`state_dict`."""
        for name in ("index", "stage_epoch", "best", "bad_epochs", "finished"):
            setattr(self, name, state[name])
        self._enter()
        self.stage.optimizer.load_state_dict(state["optimizer"])
        if self.stage.scheduler is not None:
            self.stage.scheduler.load_state_dict(state["scheduler"])
        if self.stage.step is not None:
            self.stage.step.load_state_dict(state["step"])
        if self.finished:
            self._engine.terminate()

    def _begin(self, engine: Engine) -> None:
        for stage in self._engine.stages:
            if isinstance(stage.scheduler, ReduceLROnPlateau) and stage.scheduler.mode != self.mode:
                raise ValueError(
                    f"stage '{stage.name}': the plateau scheduler has mode '{stage.scheduler.mode}', but the monitored "
                    f"'{self.monitor}' has mode '{self.mode}'; give both the same"
                )
        self.ckpt_dir.mkdir(parents=True, exist_ok=True)
        self._enter()

    def _enter(self) -> None:
        self._engine.enter(self.stage)
        if self.validator is not None:
            self.validator.loss, self.validator.method = self.stage.loss, self.stage.method
            self.validator.inputs = self.stage.inputs

    def _count(self, engine: Engine) -> None:
        self.stage_epoch += 1
        if self.stage_epoch == 1 and self.index > 0 and self._engine.stages[self.index - 1].at_end is not None:
            self._promote(self.index - 1)
        forget_projection(self._engine.network_def)

    def _judge(self, engine: Engine) -> None:
        """Compare, step the scheduler, and switch when the stage is over."""
        validated = self.validator is None or self.validator.state.epoch == engine.state.epoch
        value = self._monitored() if validated and self.validator is not None else -WORST[self.mode]
        if validated:
            self._compare(value)
        self._step_scheduler(value if validated else None)
        out_of_patience = self.stage.patience is not None and self.bad_epochs >= self.stage.patience
        if self.stage_epoch >= self.stage.epochs or out_of_patience:
            self._switch()

    def _monitored(self) -> float:
        metrics = self.validator.state.metrics
        if self.monitor not in metrics:
            raise ValueError(
                f"the monitored '{self.monitor}' is no metric of the validation, which has only "
                f"{', '.join(sorted(metrics))}{did_you_mean(self.monitor, metrics)}"
            )
        return metrics[self.monitor]

    def _compare(self, value: float) -> None:
        sign = 1 if self.mode == "min" else -1
        if not math.isfinite(self.best) or sign * value <= sign * self.best - self.min_delta:
            self.best, self.bad_epochs = value, 0
            self._save("model.pt")
        else:
            self.bad_epochs += 1

    def _save(self, name: str) -> None:
        if is_main_process():
            save_atomic(self._engine.network_def.state_dict(), self.ckpt_dir / name)

    def _step_scheduler(self, value: float | None) -> None:
        scheduler = self.stage.scheduler
        if isinstance(scheduler, ReduceLROnPlateau):
            if value is not None:
                scheduler.step(value)
        elif scheduler is not None and self.stage.scheduler_interval == "epoch":
            scheduler.step()

    def _step_within_epoch(self, engine: Engine) -> None:
        if self.stage.scheduler is not None and self.stage.scheduler_interval == "iteration":
            self.stage.scheduler.step()

    def _switch(self) -> None:
        """End the stage with its best weights and begin the next one, if there is one."""
        if self.best == WORST[self.mode]:
            logger.warning("stage '%s' ended before any validation: its last weights are kept", self.stage.name)
            self._save("model.pt")
        self._load_best(self._engine)
        self._end_stage(self._file_of(self.index))
        logger.info(
            "stage '%s' ended after %d epochs, best %s %.4f", self.stage.name, self.stage_epoch, self.monitor, self.best
        )
        if self.index + 1 == len(self._engine.stages):
            self.finished = True
            self._engine.terminate()
            return
        self.index += 1
        self.stage_epoch, self.best, self.bad_epochs = 0, WORST[self.mode], 0
        self._enter()

    def _end_stage(self, name: str) -> None:
        """Do what the stage does at its end, and keep the result under a name."""
        if self.stage.at_end is not None:
            self.stage.at_end(self._engine)
        self._save(name)
        if self.stage.at_end is not None:  # the processes may differ in the last digit; they go on as one
            self._load(name)

    def _complete(self, engine: Engine) -> None:
        if self.finished and self.stage.at_end is not None:
            self._promote(self.index)
            return
        if self.stage.at_end is not None:
            logger.warning("training stopped within stage '%s': what it does at its end was not done", self.stage.name)
        self._load_best(engine)

    def _file_of(self, index: int) -> str:
        return f"{index + 1}_{self._engine.stages[index].name}.pt"

    def _promote(self, index: int) -> None:
        """Make the weights that a stage ended with those of ``model.pt``; the network itself may have moved on."""
        if is_main_process():
            save_atomic(load_weights_only(self.ckpt_dir / self._file_of(index)), self.ckpt_dir / "model.pt")

    def _load_best(self, engine: Engine) -> None:
        if math.isfinite(self.best) or self.validator is None:
            self._load("model.pt")

    def _load(self, name: str) -> None:
        wait_for_all()
        path = self.ckpt_dir / name
        load_state(self._engine.network_def, load_weights_only(path), str(path))
