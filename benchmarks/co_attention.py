"""Co-attention of two feature maps: one batched product, or a difference in every channel of every two places."""

from __future__ import annotations

import statistics
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from benchmarks._timing import in_turns, torch_threads
from benchmarks.prototypes import two_convolutions
from common.layers import co_attention, squared_distance

BATCH = 8
CHANNELS = 256
MAP = (16, 16)  # of the published images, 512 x 512 pixels
PROTOTYPES = 750
SCALE = 0.25  # random features lie far apart: with 1 every place would see a single other one

Rebuild = Callable[[Tensor, Tensor, float], tuple[Tensor, Tensor]]


def explicit_differences(first: Tensor, second: Tensor, scale: float) -> tuple[Tensor, Tensor]:
    """Rebuild both maps with the affinity written down: differences (B,D,N,M), squared and summed."""
    here, there = first.flatten(2), second.flatten(2)
    affinity = -scale * (here.unsqueeze(3) - there.unsqueeze(2)).square().sum(1)
    of_second = torch.einsum("bnm,bdm->bdn", affinity.softmax(2), there)
    of_first = torch.einsum("bnm,bdn->bdm", affinity.softmax(1), here)
    return of_second.view(first.shape), of_first.view(second.shape)


def forward_and_backward(form: Rebuild, first: Tensor, second: Tensor) -> tuple[Tensor, ...]:
    """Return both rebuilt maps and the gradients of a sum of squares by the given ones."""
    maps = [values.detach().requires_grad_() for values in (first, second)]
    rebuilt = form(maps[0], maps[1], SCALE)
    gradients = torch.autograd.grad(sum(values.square().sum() for values in rebuilt), maps)
    return tuple(values.detach() for values in (*rebuilt, *gradients))


def kept_mib(form: Rebuild, first: Tensor, second: Tensor) -> float:
    """Return the mebibytes that the forward pass keeps for the backward pass, each storage counted once."""
    kept: dict[int, int] = {}

    def note(values: Tensor) -> Tensor:
        storage = values.untyped_storage()
        kept[storage.data_ptr()] = storage.nbytes()
        return values

    with torch.autograd.graph.saved_tensors_hooks(note, lambda values: values):
        rebuilt = form(first.detach().requires_grad_(), second.detach().requires_grad_(), SCALE)
        total = sum(kept.values()) / 2**20
        del rebuilt
    return total


def run(repeats: int = 3, threads: int = 2) -> dict[str, Any]:
    """Time both forms, forward and backward, in turns; and the distances to the prototypes of the published network.

    Args:
        repeats: timed runs of each.
        threads: torch's intra-operation threads.

    Returns:
        name; slow_s (differences) and fast_s (one product), medians, their ratio and max_difference, of maps and
        gradients over the largest; slow_kept_mib and fast_kept_mib; distance_ratio, two convolutions over one product.
    """
    generator = torch.Generator().manual_seed(0)
    first, second = torch.rand(2, BATCH, CHANNELS, *MAP, generator=generator)
    prototype = torch.rand(PROTOTYPES, CHANNELS, generator=generator)
    with torch_threads(threads):
        with torch.no_grad():
            distances = in_turns(
                5 * repeats,
                convolutions=lambda: two_convolutions(first, prototype),
                product=lambda: squared_distance(first, prototype),
            )
        forms = [forward_and_backward(form, first, second) for form in (explicit_differences, co_attention)]
        difference = max(float((a - b).abs().max() / a.abs().max()) for a, b in zip(*forms, strict=True))
        seconds = in_turns(
            repeats,
            slow=lambda: forward_and_backward(explicit_differences, first, second),
            fast=lambda: forward_and_backward(co_attention, first, second),
        )
    median = {name: statistics.median(values) for name, values in (seconds.cpu | distances.cpu).items()}
    return {
        "name": "co_attention",
        "slow_s": median["slow"],
        "fast_s": median["fast"],
        "ratio": median["slow"] / median["fast"],
        "target": "ratio 20, distances 2.5",
        "max_difference": difference,
        "distance_ratio": median["convolutions"] / median["product"],
        "slow_kept_mib": kept_mib(explicit_differences, first, second),
        "fast_kept_mib": kept_mib(co_attention, first, second),
        "batch": BATCH,
        "channels": CHANNELS,
        "repeats": repeats,
        "threads": threads,
        "note": "CPU seconds, forward and backward; kept is what autograd holds meanwhile",
    }
