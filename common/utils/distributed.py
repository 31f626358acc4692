"""The few questions the handlers ask about distributed training; all have an answer without it."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.distributed as dist
from monai.utils import evenly_divisible_all_gather


def is_main_process() -> bool:
    """Return whether this process writes files and progress bars."""
    return not is_distributed() or dist.get_rank() == 0


def is_distributed() -> bool:
    """Return whether a process group of more than one process is running."""
    return dist.is_available() and dist.is_initialized() and dist.get_world_size() > 1


def gather(value: torch.Tensor) -> torch.Tensor:
    """Return the values of all processes joined along the first axis, (N, ...)."""
    return evenly_divisible_all_gather(value, concat=True) if is_distributed() else value


def average(values: Sequence[torch.Tensor | None]) -> None:
    """Replace tensors, in place, by their mean over the processes; None must be None in all of them."""
    if is_distributed():
        for value in values:
            if value is not None:
                dist.all_reduce(value)
                value /= dist.get_world_size()


def wait_for_all() -> None:
    """Let every process arrive here before any goes on."""
    if is_distributed():
        dist.barrier()
