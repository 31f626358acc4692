"""Time alternatives in turns, so that a busy machine slows all of them alike."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import numpy as np
import torch

__all__ = ["in_turns", "quartiles", "torch_threads"]


@contextmanager
def torch_threads(threads: int) -> Iterator[None]:
    """Set torch's intra-operation threads for a while."""
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def in_turns(rounds: int, **tasks: Callable[[], object]) -> dict[str, list[float]]:
    """Run every task once untimed, then all of them once per round, in reverse order every other round.

    Args:
        rounds: timed runs of each task, at least 1.
        tasks: what to time, by name.

    Returns:
        Seconds of each run, by name.
    """
    for task in tasks.values():
        task()
    seconds: dict[str, list[float]] = {name: [] for name in tasks}
    for index in range(rounds):
        for name in list(tasks)[:: -1 if index % 2 else 1]:
            begin = time.perf_counter()
            tasks[name]()
            seconds[name].append(time.perf_counter() - begin)
    return seconds


def quartiles(values: Sequence[float]) -> tuple[float, float, float]:
    """Return the lower quartile, the median and the upper quartile."""
    low, middle, high = np.quantile(values, (0.25, 0.5, 0.75)).tolist()
    return low, middle, high
