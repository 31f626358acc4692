"""A step of CIPL on pairs, its teacher and all terms included, against a plain DenseNet-121 on the same images."""

from __future__ import annotations

import statistics
from typing import Any

import torch
from torch import Tensor, nn
from torchvision.models import densenet121

from benchmarks._timing import in_turns, quartiles, torch_threads
from common.engines import PairStep, StagedTrainer
from common.engines.pair_step import joined
from common.losses import CIPLLoss, MultiLabelLoss
from common.networks import CIPLNet
from common.types import Stage

SIZE = 384
PAIRS = 1
DISEASES = 14
PROTOTYPES = 50  # per class
CHANNELS = 256


class Plain(nn.Module):
    """torchvision's DenseNet-121, called as trainers call networks."""

    def __init__(self) -> None:
        super().__init__()
        self.network = densenet121(num_classes=DISEASES)

    def explain(self, image: Tensor) -> dict[str, Tensor]:
        """Return the logits (B,C) of images (B,3,H,W)."""
        return {"logits": self.network(image)}


def make_batch() -> dict[str, Any]:
    """Return pairs with two views each."""
    generator = torch.Generator().manual_seed(0)

    def half() -> dict[str, Tensor]:
        image, original = torch.rand(2, PAIRS, 3, SIZE, SIZE, generator=generator)
        label = (torch.rand(PAIRS, DISEASES, generator=generator) < 0.3).float()
        label[:, 0] = 1
        return {"image": image, "original": original, "label": label}

    return {**half(), "partner": half()}


def trainer_of(network: nn.Module, loss: Any, step: PairStep | None) -> StagedTrainer:
    """Return a trainer in its first epoch, training all of the network with Adam."""
    optimizer = torch.optim.Adam(network.parameters(), 1e-4)
    parts = [name for name, _ in network.named_children()]
    stage = Stage("joint", 1, parts, optimizer, loss, step=step)
    trainer = StagedTrainer("cpu", 1, [{}], network, [stage])
    trainer.enter(stage)
    if step is not None:
        step.begin_epoch(trainer)
    return trainer


def run(repeats: int = 3, threads: int = 2) -> dict[str, Any]:
    """Time steps of both in turns.

    Args:
        repeats: timed steps of each.
        threads: torch's intra-operation threads.

    Returns:
        name; slow_s (plain) and fast_s (ours), medians; ratio, 1 meaning no overhead; step_ratio_q1, _median and _q3,
        quartiles of ours over plain of steps timed next to each other, in CPU seconds; max_difference of the feature
        maps of both networks before training.
    """
    plain, ours = Plain(), CIPLNet("densenet121", 3, DISEASES, PROTOTYPES, CHANNELS)
    stem, body = ours.trunk[1], ours.trunk[2]
    parts = list(plain.network.features.children())[:-1]  # without the last norm
    for own, theirs in zip([*stem.children(), *body.children()], parts, strict=True):
        own.load_state_dict(theirs.state_dict())
    batch = make_batch()
    images = joined(batch)
    with torch_threads(threads):
        with torch.no_grad():
            features = [
                network.eval()(images["image"]) for network in (nn.Sequential(*parts), nn.Sequential(stem, body))
            ]
        step = PairStep()
        usual = trainer_of(plain, MultiLabelLoss(), None)
        paired = trainer_of(ours, CIPLLoss(ours.prototypes.class_map), step)
        seconds = in_turns(
            repeats,
            slow=lambda: usual._iteration(usual, images),
            fast=lambda: paired._iteration(paired, batch),
        )
    median = {name: statistics.median(values) for name, values in seconds.wall.items()}
    ratios = [ours / plain for plain, ours in zip(seconds.cpu["slow"], seconds.cpu["fast"], strict=True)]
    return {
        "name": "pair_step",
        "slow_s": median["slow"],
        "fast_s": median["fast"],
        "ratio": median["slow"] / median["fast"],
        **dict(zip(("step_ratio_q1", "step_ratio_median", "step_ratio_q3"), quartiles(ratios), strict=True)),
        "target": "step_ratio 1.35",
        "max_difference": float((features[0] - features[1]).abs().max()),
        "image_size": SIZE,
        "pairs": PAIRS,
        "prototypes": PROTOTYPES * (DISEASES + 1),
        "repeats": repeats,
        "threads": threads,
        "note": "the plain network is trained on all 2B images; ours has a teacher that sees as many",
    }
