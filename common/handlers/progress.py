"""Show how far a training or an evaluation is, and how long it will take."""

from __future__ import annotations

import sys
from typing import Any

from ignite.engine import Engine, Events
from tqdm import tqdm

from common.utils.distributed import is_main_process


class Progress:
    """One bar over all iterations, with stage, epoch, loss, the latest validation values and the time left.

    Where the output is no terminal, one line per epoch is printed instead.
    """

    def __init__(
        self, description: str = "training", validator: Any = None, show: tuple[str, ...] = ("loss", "accuracy")
    ) -> None:
        """Say what to show.

        Args:
            description: first word of the bar.
            validator: the evaluator whose latest metrics are shown.
            show: names of those metrics.
        """
        self.description = description
        self.validator = validator
        self.show = tuple(show)
        self._bar: tqdm | None = None

    def attach(self, engine: Engine) -> None:
        """Register the handler's events; nothing is shown by processes other than the first."""
        if not is_main_process():
            return
        engine.add_event_handler(Events.EPOCH_STARTED, self._open)
        engine.add_event_handler(Events.ITERATION_COMPLETED, self._advance)
        engine.add_event_handler(Events.EPOCH_COMPLETED, self._epoch)
        engine.add_event_handler(Events.COMPLETED, self._close)

    def _open(self, engine: Engine) -> None:
        """Open the bar with the first epoch, when a resumed training knows where it stands."""
        if self._bar is not None:
            return
        length = engine.state.epoch_length
        total = None if length is None else length * (engine.state.max_epochs - engine.state.epoch + 1)
        self._bar = tqdm(
            total=total,
            desc=self.description,
            unit="batch",
            disable=not sys.stderr.isatty(),
            dynamic_ncols=True,
            leave=True,
        )

    def _title(self, engine: Any) -> str:
        stage = getattr(engine, "stage", None)
        if stage is None:
            return self.description
        return f"{self.description} {stage.name}, epoch {engine.state.epoch}/{engine.state.max_epochs}"

    def _values(self, engine: Engine) -> dict[str, str]:
        output = engine.state.output
        values = {"loss": f"{output['loss']:.4f}"} if isinstance(output, dict) and "loss" in output else {}
        if self.validator is not None:
            metrics = self.validator.state.metrics
            values |= {f"val {name}": f"{metrics[name]:.4f}" for name in self.show if name in metrics}
        return values

    def _advance(self, engine: Engine) -> None:
        if self._bar is not None and not self._bar.disable:
            self._bar.set_description(self._title(engine), refresh=False)
            self._bar.set_postfix(self._values(engine), refresh=False)
            self._bar.update()

    def _epoch(self, engine: Engine) -> None:
        if self._bar is not None and self._bar.disable:
            values = self._values(engine)
            if "loss" in engine.state.metrics:  # over the epoch, where known, not of its last batch
                values |= {"loss": f"{engine.state.metrics['loss']:.4f}"}
            if not values:
                values = {"batches": str(engine.state.iteration)}
            shown = [self._title(engine), *(f"{name} {value}" for name, value in values.items())]
            print("  ".join(shown), file=sys.stderr, flush=True)

    def _close(self, engine: Engine) -> None:
        if self._bar is not None:
            self._bar.close()
            self._bar = None
