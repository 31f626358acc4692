"""Look without leaving a trace: batch norms that use a batch's statistics but do not keep them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

__all__ = ["keep_statistics"]


@contextmanager
def keep_statistics(module: nn.Module) -> Iterator[None]:
    """Leave the running statistics of a module's batch norms as they are for a while.

    In training mode they normalise with the batch's own statistics as before, in evaluation mode with the running ones.
    """
    norms = [layer for layer in module.modules() if isinstance(layer, _BatchNorm) and layer.track_running_stats]
    for layer in norms:
        layer.track_running_stats = not layer.training
    try:
        yield
    finally:
        for layer in norms:
            layer.track_running_stats = True
