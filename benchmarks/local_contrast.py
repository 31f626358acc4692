"""The word-region loss: all captions at once against one after the other, and a report per exam or per view."""

from __future__ import annotations

import multiprocessing
import resource
import statistics
from concurrent.futures import ProcessPoolExecutor
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from benchmarks._caption_loop import looped_scores
from benchmarks._timing import in_turns, torch_threads
from common.losses import double_softmax_scores, two_way_contrast

BATCH = 32
REGIONS = 19 * 19
WORDS = 30
CHANNELS = 768
EXAMS, VIEWS, EXAM_REGIONS, EXAM_WORDS = 3, 4, 32 * 32, 60
SCALE = 10.0


def make_batch(exams: int, views: int, regions: int, words: int) -> tuple[Tensor, Tensor]:
    """Return unit regions (E·V,D,R) and words (E,T,D)."""
    generator = torch.Generator().manual_seed(0)
    region = torch.randn(exams * views, CHANNELS, regions, generator=generator)
    return F.normalize(region, dim=1), torch.randn(exams, words, CHANNELS, generator=generator)


def batched_loss(region: Tensor, word: Tensor) -> Tensor:
    """Compute the loss of exams, each report once."""
    mask = torch.ones(word.shape[:2], dtype=torch.bool)
    return _contrast(double_softmax_scores(region, word, mask), len(word))


def looped_loss(region: Tensor, word: Tensor) -> Tensor:
    """Compute the loss of exams caption by caption, each repeated for every view as published."""
    views = len(region) // len(word)
    lengths = [word.shape[1]] * len(region)
    scores = looped_scores(region, word.repeat_interleave(views, 0), lengths, 4.0, 5.0)
    return _contrast(scores.unflatten(1, (len(word), views)).mean(2), len(word))


def _contrast(scores: Tensor, exams: int) -> Tensor:
    """Return the contrast of views (E·V,E), averaged over the views of an exam."""
    exam = torch.arange(exams)
    by_exam = SCALE * scores.unflatten(0, (exams, -1)).mean(1)
    return two_way_contrast(by_exam, torch.eye(exams, dtype=torch.bool), exam, exam, exams).mean()


def step(form: str, region: Tensor, word: Tensor) -> tuple[Tensor, ...]:
    """Return the loss and its gradients by regions and words."""
    leaves = [values.detach().requires_grad_() for values in (region, word)]
    loss = (looped_loss if form == "looped" else batched_loss)(*leaves)
    return (loss.detach(), *torch.autograd.grad(loss, leaves))


def memory_mb(form: str, threads: int) -> float:
    """Measure what a step adds to the peak memory of a process that has the inputs."""
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        return pool.submit(_added, form, threads, BATCH, REGIONS, WORDS).result()


def _added(form: str, threads: int, exams: int, regions: int, words: int) -> float:
    torch.set_num_threads(threads)
    batch = make_batch(exams, 1, regions, words)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    step(form, *batch)
    return (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024


def run(repeats: int = 3, threads: int = 1) -> dict[str, Any]:
    """Time forward and backward of both forms in turns.

    Args:
        repeats: timed runs of each.
        threads: torch's intra-operation threads.

    Returns:
        name; slow_s (looped) and fast_s (batched), median CPU seconds, and their ratio; exam_ratio, the same of exams
        of several views with a report each; slow_memory_mb and fast_memory_mb, what a step adds to the peak of its
        process, and memory_ratio; max_difference of losses and gradients over the largest value.
    """
    memory = {form: memory_mb(form, threads) for form in ("looped", "batched")}  # first, while this process is small
    single, exam = make_batch(BATCH, 1, REGIONS, WORDS), make_batch(EXAMS, VIEWS, EXAM_REGIONS, EXAM_WORDS)
    with torch_threads(threads):
        difference = max(
            float((slow - fast).abs().max() / slow.abs().max())
            for batch in (single, exam)
            for slow, fast in zip(step("looped", *batch), step("batched", *batch), strict=True)
        )
        seconds = in_turns(
            repeats,
            slow=lambda: step("looped", *single),
            fast=lambda: step("batched", *single),
            slow_exam=lambda: step("looped", *exam),
            fast_exam=lambda: step("batched", *exam),
        )
    median = {name: statistics.median(values) for name, values in seconds.cpu.items()}
    return {
        "name": "local_contrast",
        "slow_s": median["slow"],
        "fast_s": median["fast"],
        "ratio": median["slow"] / median["fast"],
        "exam_ratio": median["slow_exam"] / median["fast_exam"],
        "target": "ratio 5, exam_ratio 6, memory_ratio 0.5",
        "max_difference": difference,
        "slow_memory_mb": memory["looped"],
        "fast_memory_mb": memory["batched"],
        "memory_ratio": memory["batched"] / max(memory["looped"], 1.0),
        "batch": BATCH,
        "regions": REGIONS,
        "words": WORDS,
        "channels": CHANNELS,
        "repeats": repeats,
        "threads": threads,
        "note": "CPU seconds, forward and backward; memory is beyond the inputs",
    }
