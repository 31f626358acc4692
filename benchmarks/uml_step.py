"""UML's training step and evaluation against the published network's layer-by-layer form: time, memory, results."""

from __future__ import annotations

import copy
import statistics
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from benchmarks._published_uml import published_explain, settled_network
from benchmarks._timing import in_turns, torch_threads
from benchmarks._uml_training import Training, make_batch, peak_memory_mb
from common.networks import UMLNet

SIZE = 256
BATCH = 2


def run(repeats: int = 3, threads: int = 2) -> dict[str, Any]:
    """Compare both forms of the network of 2024: 256 pixels, batch 2, three structures, frozen norms, Adam.

    Args:
        repeats: timed steps of each, at least 1; the medians are compared.
        threads: torch's intra-operation threads.

    Returns:
        name, slow_s, fast_s (medians of a training step) and their ratio; the same for evaluation, which leaves out
        the coarser levels; peak memory of a process that takes one step or evaluates once, and its ratios; the part of
        our step that the losses take; max_difference of all training outputs in float64 and in float32, relative to
        the largest value where that exceeds 1. Rounding grows through random weights: in float32 either form is as far
        from the float64 result as from the other.
    """
    memory = {
        (form, mode): peak_memory_mb(form, mode, BATCH, SIZE, threads)
        for mode in ("step", "evaluate")
        for form in ("published", "ours")
    }
    batch, network = make_batch(BATCH, SIZE), settled_network()
    with torch_threads(threads):
        exact = output_difference(network, batch["image"].double())
        rounded = output_difference(network, batch["image"])
        published, ours = Training(network, "published"), Training(network, "ours")
        seconds = in_turns(
            repeats,
            slow=lambda: published.step(batch),
            fast=lambda: ours.step(batch),
            slow_evaluation=lambda: published.evaluate(batch),
            fast_evaluation=lambda: ours.evaluate(batch),
            losses=_losses_alone(ours, batch),
        )
    median = {name: statistics.median(values) for name, values in seconds.wall.items()}
    return {
        "name": "uml_step",
        "slow_s": median["slow"],
        "fast_s": median["fast"],
        "ratio": median["slow"] / median["fast"],
        "target": 1.4,
        "max_difference": exact,
        "float32_difference": rounded,
        "slow_memory_mb": memory["published", "step"],
        "fast_memory_mb": memory["ours", "step"],
        "memory_ratio": memory["ours", "step"] / memory["published", "step"],
        "memory_target": 0.8,
        "evaluation_slow_s": median["slow_evaluation"],
        "evaluation_fast_s": median["fast_evaluation"],
        "evaluation_ratio": median["slow_evaluation"] / median["fast_evaluation"],
        "evaluation_memory_ratio": memory["ours", "evaluate"] / memory["published", "evaluate"],
        "evaluation_memory_target": 0.6,
        "losses_share": median["losses"] / median["fast"],
        "losses_share_target": 0.02,
        "image_size": SIZE,
        "batch": BATCH,
        "repeats": repeats,
        "threads": threads,
        "note": "both without the published code's unused stages; memory includes interpreter, torch and weights",
    }


def output_difference(network: UMLNet, image: Tensor) -> float:
    """Compare all training outputs in training mode, with the same channels dropped; the network is left as it is."""
    forms: list[Callable[[UMLNet, Tensor], dict[str, Tensor]]] = [published_explain, UMLNet.explain_levels]
    results = []
    for form in forms:
        with torch.no_grad(), torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            results.append(form(copy.deepcopy(network).to(image.dtype).train(), image))
    slow, fast = results
    gaps = (float((slow[key] - fast[key]).abs().max() / slow[key].abs().max().clamp(min=1)) for key in fast)
    return max(gaps)


def _losses_alone(training: Training, batch: dict[str, Tensor]) -> Callable[[], None]:
    """Give the losses, forward and backward, on given outputs."""
    with torch.no_grad():
        outputs = copy.deepcopy(training).outputs(batch["image"])
    outputs = {key: value.requires_grad_() for key, value in outputs.items()}
    return lambda: training.loss(outputs, batch)["loss"].backward()
