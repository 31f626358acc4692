"""Time alternatives in turns, so that a busy machine slows all of them alike."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import NamedTuple

import numpy as np
import torch

__all__ = ["Seconds", "in_turns", "quartiles", "torch_threads"]


class Seconds(NamedTuple):
    """Durations of every timed run, by task.

    Attributes:
        wall: what a person waits.
        cpu: what the process computes, in all its threads; other programs disturb it less.
    """

    wall: dict[str, list[float]]
    cpu: dict[str, list[float]]


@contextmanager
def torch_threads(threads: int) -> Iterator[None]:
    """Set torch's intra-operation threads for a while."""
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def in_turns(rounds: int, **tasks: Callable[[], object]) -> Seconds:
    """Run every task once untimed, then all of them once per round, in reverse order every other round.

    Args:
        rounds: timed runs of each task, at least 1.
        tasks: what to time, by name.

    Returns:
        The duration of each run.
    """
    for task in tasks.values():
        task()
    seconds = Seconds({name: [] for name in tasks}, {name: [] for name in tasks})
    for index in range(rounds):
        for name in list(tasks)[:: -1 if index % 2 else 1]:
            wall, cpu = time.perf_counter(), time.process_time()
            tasks[name]()
            seconds.wall[name].append(time.perf_counter() - wall)
            seconds.cpu[name].append(time.process_time() - cpu)
    return seconds


def quartiles(values: Sequence[float]) -> tuple[float, float, float]:
    """Return the lower quartile, the median and the upper quartile."""
    low, middle, high = np.quantile(values, (0.25, 0.5, 0.75)).tolist()
    return low, middle, high
