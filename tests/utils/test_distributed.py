"""One process and two: the same questions have the right answers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
import torch.distributed as dist

from common.utils.distributed import gather, is_distributed, is_main_process, wait_for_all
from tests.two_processes import in_two_processes


def test_alone() -> None:
    value = torch.rand(3, 2)
    assert gather(value) is value
    assert is_main_process()
    assert not is_distributed()
    wait_for_all()


def test_a_group_of_one_is_no_distribution() -> None:
    dist.init_process_group("gloo", store=dist.HashStore(), rank=0, world_size=1)
    try:
        value = torch.rand(3, 2)
        assert gather(value) is value
        assert is_main_process()
        assert not is_distributed()
        wait_for_all()
    finally:
        dist.destroy_process_group()


def ask(folder: Path) -> dict[str, Any]:
    """What each process is told; the first has one row of each kind, the second three."""
    rank = dist.get_rank()
    rows = torch.arange(10.0)[:, None].expand(10, 2)
    mine = rows[:1] if rank == 0 else rows[1:4]
    labels = torch.tensor([7]) if rank == 0 else torch.tensor([8, 9, 8])
    if rank == 1:
        (folder / "second_was_here").touch()
    wait_for_all()
    return {
        "main": is_main_process(),
        "distributed": is_distributed(),
        "rows": gather(mine),
        "labels": gather(labels),
        "flags": gather(labels > 7),
        "met": (folder / "second_was_here").exists(),
    }


@pytest.mark.slow
def test_two_processes(tmp_path: Path) -> None:
    """Uneven tensors of any type are joined in the order of the processes, in both alike."""
    first, second = in_two_processes(ask, tmp_path)
    assert (first["main"], second["main"]) == (True, False)
    for answers in (first, second):
        assert answers["distributed"] is True
        assert answers["met"] is True
        assert answers["rows"].tolist() == [[0.0, 0.0], [1.0, 1.0], [2.0, 2.0], [3.0, 3.0]]
        assert (answers["labels"].tolist(), answers["labels"].dtype) == ([7, 8, 9, 8], torch.int64)
        assert answers["flags"].tolist() == [False, True, True, True]
