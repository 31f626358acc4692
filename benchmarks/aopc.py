"""Perturbation curves: lockstep fills and local map updates against one image, one fill, one step at a time."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from common.explain.fills import fill_images
from common.explain.perturbation import PerturbationCurve
from common.networks import ExplainerClassifier

SIZE = 224
PATCH = 8
STEPS = 12
KINDS = ("black", "white", "gray", "blur", "uniform")


def settled_network(**options: Any) -> ExplainerClassifier:
    """Build a network with random weights whose batch norms know its activations, so that maps and scores vary.

    Args:
        options: of :class:`common.networks.ExplainerClassifier`, whose ``init_bias`` is 0.3 here.

    Returns:
        The network in evaluation mode.
    """
    model = ExplainerClassifier(**{"init_bias": 0.3, **options})
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.momentum = 1.0
        elif isinstance(module, nn.Conv2d | nn.Linear):
            nn.init.kaiming_normal_(module.weight)
    with torch.no_grad():
        model.train()(torch.rand(4, model.in_channels, 64, 64))
    return model.eval()


def slow_curve(model: ExplainerClassifier, image: Tensor, relevance: Tensor, curve: PerturbationCurve) -> Tensor:
    """Compute what ``curve`` computes in the obvious way: every perturbed image alone, through the whole network.

    Args:
        model: in evaluation mode.
        image: images (B,C,H,W) in [0,1].
        relevance: ranks the patches, (B,1,H,W).
        curve: gives the options; target ``predicted`` only.

    Returns:
        Scores (B, kinds, steps+1).
    """
    with torch.no_grad():
        return torch.stack(
            [
                torch.stack([_slow_case(model, one, other, kind, curve) for kind in curve.kinds])
                for one, other in zip(image.split(1), relevance.split(1), strict=True)
            ]
        )


def _slow_case(
    model: ExplainerClassifier, image: Tensor, relevance: Tensor, kind: str, curve: PerturbationCurve
) -> Tensor:
    patch, height, width = curve.patch, *image.shape[-2:]
    corners = [(top, left) for top in range(0, height, patch) for left in range(0, width, patch)]
    means = [relevance[0, 0, top : top + patch, left : left + patch].double().mean().item() for top, left in corners]
    order = sorted(range(len(corners)), key=lambda cell: -means[cell])
    fill = fill_images(image, [kind], curve.mean, curve.blur_sigma, curve.seed)[0]
    clean_map = model.explanation(image)
    target = int(model.classify(image, clean_map).argmax())
    scores = []
    for k in range(min(curve.steps, len(corners)) + 1):
        perturbed = image.clone()
        for top, left in (corners[cell] for cell in order[:k]):
            place = (..., slice(top, top + patch), slice(left, left + patch))
            perturbed[place] = fill[place]
        drawn = model.explanation(perturbed) if curve.semantics == "recompute" else clean_map
        scores.append(model.classify(perturbed, drawn).softmax(dim=1)[0, target])
    return torch.stack(scores)


def run(repeats: int = 3, threads: int = 2) -> dict[str, Any]:
    """Time both on one image: ResNet-18, 224 pixels, patch 8, five fills, the map recomputed.

    Args:
        repeats: timed runs of each, at least 1; the medians are compared.
        threads: torch's intra-operation threads.

    Returns:
        name, slow_s, fast_s (medians), ratio, max_difference of the scores, and the settings.
    """
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            model = settled_network()
            image = torch.rand(1, 3, SIZE, SIZE)
        curve = PerturbationCurve(PATCH, STEPS, KINDS)
        with torch.no_grad():
            relevance = model.explanation(image)
        short = PerturbationCurve(PATCH, 1, KINDS)
        short(model, image, relevance)  # what is done once per process is not timed
        seconds: dict[str, list[float]] = {"fast": [], "slow": []}
        for _ in range(repeats):  # in turns, so that a busy machine slows both
            fast = _timed(seconds["fast"], lambda: curve(model, image, relevance))
            slow = _timed(seconds["slow"], lambda: slow_curve(model, image, relevance, curve))
    finally:
        torch.set_num_threads(before)
    fast_s, slow_s = statistics.median(seconds["fast"]), statistics.median(seconds["slow"])
    return {
        "name": "aopc",
        "slow_s": slow_s,
        "fast_s": fast_s,
        "ratio": slow_s / fast_s,
        "max_difference": float((fast - slow).abs().max()),
        "network": "resnet18",
        "image_size": SIZE,
        "patch": PATCH,
        "steps": STEPS,
        "kinds": len(KINDS),
        "semantics": curve.semantics,
        "repeats": repeats,
        "threads": threads,
    }


def _timed(seconds: list[float], compute: Callable[[], Tensor]) -> Tensor:
    begin = time.perf_counter()
    result = compute()
    seconds.append(time.perf_counter() - begin)
    return result
