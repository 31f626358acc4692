"""Collect values over an epoch and turn them into metrics at its end."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any

import torch
from ignite.engine import Engine, Events
from torch import Tensor

from common.utils.distributed import gather


class CollectHandler(ABC):
    """Keep named tensors of every iteration, join them (over processes too) and compute metrics once.

    Subclasses say what to keep (:meth:`select`) and what to make of it (:meth:`compute`); the result is written to
    ``engine.state.metrics``.
    """

    def __init__(self) -> None:
        """Start empty."""
        self._kept: dict[str, list[Tensor]] = {}
        self._computed: tuple[str, ...] = ()

    def attach(self, engine: Engine) -> None:
        """Register the handler's events with an engine."""
        engine.add_event_handler(Events.EPOCH_STARTED, self._start)
        engine.add_event_handler(Events.ITERATION_COMPLETED, self._keep)
        engine.add_event_handler(Events.EPOCH_COMPLETED, self._finish)

    @abstractmethod
    def select(self, engine: Engine) -> dict[str, Tensor]:
        """Return what to keep of the iteration, tensors of shape (B, ...)."""

    @abstractmethod
    def compute(self, collected: dict[str, Tensor], engine: Engine) -> dict[str, Any]:
        """Return metrics from the joined tensors, (N, ...)."""

    def _start(self, engine: Engine) -> None:
        self._kept = {}

    def _keep(self, engine: Engine) -> None:
        for name, value in self.select(engine).items():
            self._kept.setdefault(name, []).append(value.detach().cpu())

    def _finish(self, engine: Engine) -> None:
        for name in self._computed:  # a metric that this epoch leaves undefined must not keep its earlier value
            engine.state.metrics.pop(name, None)
        self._computed = ()
        if not self._kept:
            return
        device = engine.state.device
        joined = {name: gather(torch.cat(values).to(device)).cpu() for name, values in self._kept.items()}
        self._kept = {}
        metrics = self.compute(joined, engine)
        self._computed = tuple(metrics)
        engine.state.metrics.update(metrics)
