"""The word-region loss: all captions at once against one after the other, and a report per exam or per view."""

from __future__ import annotations

import multiprocessing
import statistics
from concurrent.futures import ProcessPoolExecutor
from typing import Any

from benchmarks._local_contrast import added_mb, make_batch, step
from benchmarks._timing import in_turns, torch_threads

BATCH = 32
REGIONS = 19 * 19
WORDS = 30
CHANNELS = 768
EXAMS, VIEWS, EXAM_REGIONS, EXAM_WORDS = 3, 4, 32 * 32, 60


def memory_mb(form: str, threads: int) -> float:
    """Measure what a step adds to the peak memory of a process that has the inputs."""
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        return pool.submit(added_mb, form, threads, BATCH, REGIONS, WORDS, CHANNELS).result()


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
    single, exam = (
        make_batch(BATCH, 1, REGIONS, WORDS, CHANNELS),
        make_batch(EXAMS, VIEWS, EXAM_REGIONS, EXAM_WORDS, CHANNELS),
    )
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
