"""An engine that computes nothing: it plays given batches and outputs to the handlers under test."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from ignite.engine import Engine

Step = tuple[Any, Any]
"""What the engine's state shall hold after one iteration: batch and output."""


def replay(handlers: Sequence[Any], steps: Sequence[Step], epochs: int = 1, **attributes: Any) -> Engine:
    """Run handlers over steps and return the engine.

    Args:
        handlers: attached in this order.
        steps: one (batch, output) per iteration; every epoch plays them all.
        epochs: number of epochs.
        attributes: set on the engine before the handlers are attached, such as a trainer's ``stage``.
    """
    engine = player(handlers, **attributes)
    engine.run(steps, max_epochs=epochs)
    return engine


def player(handlers: Sequence[Any], **attributes: Any) -> Engine:
    """Return an engine with the handlers attached, not yet run; its data are (batch, output) pairs."""

    def show(engine: Engine, step: Step) -> Any:
        engine.state.batch, output = step
        return output

    engine = Engine(show)
    engine.state.device, engine.state.rank = torch.device("cpu"), 0
    engine.stateful = {}
    for name, value in attributes.items():
        setattr(engine, name, value)
    for handler in handlers:
        handler.attach(engine)
    return engine
