"""Fit the last layer of a prototype network to similarities that were computed once."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch.optim import Optimizer

from common.layers.class_connected import ClassConnectedLinear

__all__ = ["fit_last_layer"]


def fit_last_layer(
    layer: ClassConnectedLinear,
    optimizer: Optimizer,
    similarity: Tensor,
    target: Tensor,
    loss: Callable[[Tensor, Tensor], Tensor],
    passes: int = 20,
    batch_size: int = 64,
    seed: int = 0,
) -> list[float]:
    """Train the weights of the last layer, everything before it being fixed.

    A pass takes milliseconds where a pass over the images takes minutes.

    Args:
        layer: its weights are changed in place and stay at least 0.
        optimizer: over the layer's weights; other parameters it may hold are left alone.
        similarity: pooled similarities of all cases (N,P).
        target: what the loss compares logits with (N,...).
        loss: turns logits (B,C) and target (B,...) into a scalar.
        passes: times that every case is seen, at least 1.
        batch_size: cases B of a step.
        seed: of the order of the cases.

    Returns:
        The loss of all cases before the first and after each pass.

    Raises:
        ValueError: if there is no case, the sizes do not agree, or a number is not positive.
    """
    if len(similarity) == 0 or len(similarity) != len(target):
        raise ValueError(f"got similarities of {len(similarity)} and targets of {len(target)} cases, expected as many")
    if passes < 1 or batch_size < 1:
        raise ValueError(f"passes is {passes} and batch_size is {batch_size}, expected positive numbers")
    generator = torch.Generator().manual_seed(seed)
    history = [_loss_of_all(layer, similarity, target, loss)]
    for _ in range(passes):
        for index in torch.randperm(len(similarity), generator=generator).split(batch_size):
            place = index.to(similarity.device)
            optimizer.zero_grad(set_to_none=True)
            loss(layer(similarity[place]), target[place]).backward()
            optimizer.step()
            layer.clamp_()
        history.append(_loss_of_all(layer, similarity, target, loss))
    optimizer.zero_grad(set_to_none=True)
    return history


@torch.no_grad()
def _loss_of_all(
    layer: ClassConnectedLinear, similarity: Tensor, target: Tensor, loss: Callable[[Tensor, Tensor], Tensor]
) -> float:
    return loss(layer(similarity), target).item()
