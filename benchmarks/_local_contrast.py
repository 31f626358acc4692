"""Both forms of the word-region loss, and what a step of one needs, for a process of its own to import."""

from __future__ import annotations

import resource

import torch
import torch.nn.functional as F
from torch import Tensor

from benchmarks._caption_loop import looped_scores
from common.losses import double_softmax_scores, two_way_contrast

SCALE = 10.0


def make_batch(exams: int, views: int, regions: int, words: int, channels: int) -> tuple[Tensor, Tensor]:
    """Return unit regions (E·V,D,R) and words (E,T,D)."""
    generator = torch.Generator().manual_seed(0)
    region = torch.randn(exams * views, channels, regions, generator=generator)
    return F.normalize(region, dim=1), torch.randn(exams, words, channels, generator=generator)


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


def added_mb(form: str, threads: int, exams: int, regions: int, words: int, channels: int) -> float:
    """Return what a step adds to the peak memory of this process, which has the inputs, in MB."""
    torch.set_num_threads(threads)
    batch = make_batch(exams, 1, regions, words, channels)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    step(form, *batch)
    return (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
