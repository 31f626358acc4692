"""Two processes take steps on half the pairs each: together those of one process on all, with one teacher."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
import torch.distributed as dist
from torch import Tensor
from torch.nn.parallel import DistributedDataParallel

from common.engines import DistributedExplain, PairStep, StagedTrainer
from tests.pair_setup import batch_of, joint_stage, plain_network, small_network
from tests.two_processes import in_two_processes

pytestmark = pytest.mark.slow


def half_of(batch: dict[str, Any], rank: int) -> dict[str, Any]:
    """Every second pair."""
    return {name: half_of(v, rank) if isinstance(v, dict) else v[rank::2] for name, v in batch.items()}


def train(batch: dict[str, Any], plain: bool) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """Three steps without the prediction term, which compares the images of a process; return network and teacher."""
    torch.manual_seed(0)
    network = plain_network() if plain else small_network()
    step = PairStep(momentum=0.8, teacher_norm="averaged")
    stage = joint_stage(network, step=step, prediction=0.0 if plain else 10.0)
    wrapped: Any = network
    if dist.is_initialized():
        wrapped = DistributedDataParallel(DistributedExplain(network), find_unused_parameters=True)
    trainer = StagedTrainer("cpu", 1, [batch] * 3, wrapped, [stage])
    trainer.enter(stage)
    trainer.run()
    return network.state_dict(), step.state_dict()["teacher"]


def train_half(folder: Path) -> list[Any]:
    """What one of two processes ends with."""
    batch = half_of(batch_of(4), dist.get_rank())
    return [train(batch, plain) for plain in (True, False)]


def test_two_halves_make_the_step_of_the_whole(tmp_path):
    first, second = in_two_processes(train_half, tmp_path)
    for number in range(2):
        for ours, theirs in zip(first[number], second[number], strict=True):
            assert all(torch.equal(value, theirs[key]) for key, value in ours.items())
    for both, alone in zip(first[0], train(batch_of(4), plain=True), strict=True):
        for key, value in alone.items():
            torch.testing.assert_close(both[key], value, rtol=1e-4, atol=1e-6, msg=key)
    network, teacher = first[0]
    assert not torch.equal(network["prototypes.vectors"], teacher["prototypes.vectors"])
