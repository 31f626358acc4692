"""Gradients as lists, for steps that need them for more than one update."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from common.utils.distributed import average

__all__ = ["apply_gradients", "gradients_of"]

Gradients = list[Tensor | None]


def gradients_of(
    trainer: Any, loss: Tensor, parameters: Sequence[nn.Parameter], retain_graph: bool = False
) -> Gradients:
    """Compute the gradients of a loss, as the mean over the processes where several train.

    They go through no hook of DistributedDataParallel, so the network may be called in any way.

    Args:
        trainer: a :class:`common.engines.StagedTrainer`; its gradient scale is applied.
        loss: scalar.
        parameters: what to differentiate by.
        retain_graph: keep what the loss was computed from for another gradient.

    Returns:
        One gradient per parameter, times ``trainer.grad_scaler.get_scale()``; None where the loss does not depend on
        it.

    Raises:
        ValueError: if the loss is no number.
    """
    trainer.check_finite(loss)
    scaled = trainer.grad_scaler.scale(loss)
    gradients: Gradients = list(torch.autograd.grad(scaled, parameters, retain_graph=retain_graph, allow_unused=True))
    average(gradients)
    return gradients


def apply_gradients(
    trainer: Any, optimizer: Optimizer, parameters: Sequence[nn.Parameter], gradients: Sequence[Tensor | None]
) -> None:
    """Take an optimiser's step with given gradients, clipped if the trainer clips.

    The trainer's ``grad_scaler`` is to be updated once after all steps of an iteration.

    Args:
        trainer: a :class:`common.engines.StagedTrainer`.
        optimizer: its parameters without a gradient stay as they are.
        parameters: what the gradients belong to.
        gradients: what :func:`gradients_of` returned; left as they are.
    """
    for parameter, gradient in zip(parameters, gradients, strict=True):
        parameter.grad = None if gradient is None else gradient.clone()
    trainer.grad_scaler.unscale_(optimizer)
    if trainer.max_grad_norm is not None:
        nn.utils.clip_grad_norm_(list(parameters), trainer.max_grad_norm)
    trainer.grad_scaler.step(optimizer)
    optimizer.zero_grad(set_to_none=True)
