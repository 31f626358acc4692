"""Run a function in two processes of one group, as torchrun would."""

from __future__ import annotations

import gc
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from torch import multiprocessing


def in_two_processes(function: Callable[[Path], Any], folder: Path) -> list[Any]:
    """Return what the function, called with the folder, returned in each process.

    Args:
        function: of a module, so that a new process can import it; returns tensors and plain values.
        folder: for the results, and whatever the function writes.
    """
    folder.mkdir(parents=True, exist_ok=True)
    multiprocessing.spawn(_take_part, (function, folder), nprocs=2)
    return [torch.load(folder / f"result{rank}.pt", weights_only=True) for rank in range(2)]


def _take_part(rank: int, function: Callable[[Path], Any], folder: Path) -> None:
    torch.set_num_threads(1)
    place = f"file://{folder / 'rendezvous'}"
    dist.init_process_group("gloo", init_method=place, rank=rank, world_size=2, timeout=timedelta(seconds=120))
    torch.save(function(folder), folder / f"result{rank}.pt")
    gc.collect()  # a group that is still held in a cycle keeps its threads, which abort the process at its exit
    dist.barrier()
    dist.destroy_process_group()
