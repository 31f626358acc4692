"""Gates and loss: the gated ResNet-18 with the joint loss against torchvision's with cross entropy."""

from __future__ import annotations

import statistics
from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torchvision.models import resnet18

from benchmarks._timing import in_turns, quartiles, torch_threads
from common.layers import gate
from common.losses import ExplainerClassifierLoss
from common.networks import GatedResNet

SIZE = 224
BATCH = 4
ROUNDS = 5  # timed runs per repeat: an overhead of a few per cent needs many
#: Channels and the image's size over the feature's, at each of ResNet-18's nine gates.
GATED = [(64, 4)] * 3 + [(128, 8)] * 2 + [(256, 16)] * 2 + [(512, 32)] * 2


def make_pair() -> tuple[nn.Module, GatedResNet]:
    """Build torchvision's ResNet-18 and the gated one with the same random weights, both in training mode."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        plain = resnet18(num_classes=2)
    gated = GatedResNet("resnet18")
    gated.load_state_dict(plain.state_dict())
    return plain.train(), gated.train()


def plain_pass(plain: nn.Module, image: Tensor, label: Tensor) -> Tensor:
    """Run the plain network forward and backward with cross entropy; return the logits (B,K)."""
    plain.zero_grad(set_to_none=True)
    logits = plain(image)
    F.cross_entropy(logits, label).backward()
    return logits.detach()


def gated_pass(
    gated: nn.Module, loss: ExplainerClassifierLoss, image: Tensor, label: Tensor, explanation: Tensor
) -> Tensor:
    """Run the gated network forward and backward, to the map too, with the joint loss; return the logits (B,K)."""
    gated.zero_grad(set_to_none=True)
    explanation.grad = None
    logits = gated(image, explanation)
    loss({"logits": logits, "explanation": explanation}, {"label": label})["loss"].backward()
    return logits.detach()


def run(repeats: int = 3, threads: int = 2) -> dict[str, Any]:
    """Time forward and backward passes of both, 224 pixels, batch 4, and what is added to the plain network alone.

    Args:
        repeats: each stands for ``ROUNDS`` timed passes.
        threads: torch's intra-operation threads.

    Returns:
        name, slow_s (plain) and fast_s (gated, with the joint loss), medians; ratio, 1 meaning no overhead;
        quartiles of the ratio of passes timed next to each other, by the clock and in CPU seconds; max_difference of
        the logits for a map of ones; CPU milliseconds, forward and backward, of both losses and of all gates alone,
        the latter for a constant map (first stage) and with the map's gradient, which the plain network lacks.
    """
    image = torch.rand(BATCH, 3, SIZE, SIZE, generator=torch.Generator().manual_seed(0))
    label = torch.arange(BATCH) % 2
    explanation = torch.ones(BATCH, 1, SIZE, SIZE, requires_grad=True)
    plain, gated = make_pair()
    loss = ExplainerClassifierLoss(0.9)
    cross_entropy, joint_loss = _losses_alone(loss, label, explanation)
    constant = torch.ones_like(explanation)
    with torch_threads(threads):
        difference = plain_pass(plain, image, label) - gated_pass(gated, loss, image, label, explanation)
        seconds = in_turns(
            ROUNDS * repeats,
            slow=lambda: plain_pass(plain, image, label),
            fast=lambda: gated_pass(gated, loss, image, label, explanation),
            cross_entropy=cross_entropy,
            joint_loss=joint_loss,
            gates_constant_map=_gates_alone(constant),
            gates_with_map_gradient=_gates_alone(explanation),
        )
    median = {name: statistics.median(values) for name, values in seconds.wall.items()}
    alone = ("cross_entropy", "joint_loss", "gates_constant_map", "gates_with_map_gradient")
    return {
        "name": "gates",
        "slow_s": median["slow"],
        "fast_s": median["fast"],
        "ratio": median["slow"] / median["fast"],
        **_spread("ratio", seconds.wall),
        **_spread("cpu_ratio", seconds.cpu),
        "target": "1 within the quartiles",
        "max_difference": float(difference.abs().max()),
        **{f"{name}_cpu_ms": 1000 * statistics.median(seconds.cpu[name]) for name in alone},
        "network": "resnet18",
        "image_size": SIZE,
        "batch": BATCH,
        "repeats": repeats,
        "rounds": ROUNDS * repeats,
        "threads": threads,
        "note": "plain torchvision with cross entropy against gates, gradients of the map and the joint loss",
    }


def _spread(name: str, seconds: dict[str, list[float]]) -> dict[str, float]:
    """Give the quartiles of the ratios of passes that ran next to each other."""
    ratios = [slow / fast for slow, fast in zip(seconds["slow"], seconds["fast"], strict=True)]
    return dict(zip((f"{name}_q1", f"{name}_median", f"{name}_q3"), quartiles(ratios), strict=True))


def _losses_alone(
    loss: ExplainerClassifierLoss, label: Tensor, explanation: Tensor
) -> tuple[Callable[[], None], Callable[[], None]]:
    """Give cross entropy and the joint loss, forward and backward, on given logits and maps."""
    logits = torch.zeros(len(label), 2, requires_grad=True)

    def cross_entropy() -> None:
        F.cross_entropy(logits, label).backward()

    def joint_loss() -> None:
        loss({"logits": logits, "explanation": explanation}, {"label": label})["loss"].backward()

    return cross_entropy, joint_loss


def _gates_alone(explanation: Tensor) -> Callable[[], None]:
    """Give all gates of a ResNet-18, forward and backward, on random features."""
    batch, size = explanation.shape[0], explanation.shape[-1]
    features = [torch.rand(batch, depth, size // s, size // s, requires_grad=True) for depth, s in GATED]
    gradients = [torch.rand_like(feature) for feature in features]

    def gates() -> None:
        explanation.grad = None
        for feature in features:
            feature.grad = None
        torch.autograd.backward([gate(feature, explanation) for feature in features], gradients)

    return gates
