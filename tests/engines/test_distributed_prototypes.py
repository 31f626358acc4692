"""Two processes take a reciprocal step on half a batch each: together the step of one process on the whole."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.distributed as dist
from torch import Tensor
from torch.nn.parallel import DistributedDataParallel

from common.engines import DistributedExplain, StagedTrainer
from tests.prototype_setup import Plain, batch_of, reciprocal
from tests.two_processes import in_two_processes

pytestmark = pytest.mark.slow

RUNS = [("joint", "published"), ("joint", "finite_difference"), ("last_layer", "published")]


def half_of(batch: Mapping[str, Any], rank: int) -> dict[str, Any]:
    """Every second case."""
    return {name: half_of(v, rank) if isinstance(v, Mapping) else v[rank::2] for name, v in batch.items()}


def take_step(batch: dict[str, Any], phase: str, feedback: str) -> dict[str, Tensor]:
    """One epoch of one step; without consistency, which draws prototypes at random."""
    torch.manual_seed(0)
    network = Plain()
    # a known number of labels in both halves, or the means over the labelled images would not be of equal weight
    options = {"phases": {phase: 1}, "feedback": feedback, "feedback_scale": 1.0, "last_layer_passes": 2}
    stage = reciprocal(network, 0.05, consistency=0, **options)
    wrapped: Any = network
    if dist.is_initialized():
        wrapped = DistributedDataParallel(DistributedExplain(network), find_unused_parameters=True)
    trainer = StagedTrainer("cpu", 1, [batch], wrapped, [stage])
    trainer.enter(stage)
    trainer.run()
    return {key: value.clone() for key, value in network.state_dict().items()}


def train_half(folder: Path) -> list[dict[str, Tensor]]:
    """What one of two processes ends with."""
    return [take_step(half_of(batch_of(8), dist.get_rank()), *run) for run in RUNS]


def test_two_halves_make_the_step_of_the_whole(tmp_path):
    first, second = in_two_processes(train_half, tmp_path)
    for number, run in enumerate(RUNS):
        alone = take_step(batch_of(8), *run)
        for key, value in alone.items():
            assert torch.equal(first[number][key], second[number][key]), (run, key)
            if run[0] == "last_layer" and key.startswith("student.last_layer.weight"):
                continue  # fitted to all similarities, in another order
            torch.testing.assert_close(first[number][key], value, rtol=1e-4, atol=1e-6, msg=f"{run} {key}")
    moved = [result["student.last_layer.weight"] for result in first]
    assert all(not torch.equal(weight, torch.ones(6)) for weight in moved)
