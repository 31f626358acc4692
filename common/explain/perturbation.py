"""Perturbation curves: how the score falls while the most relevant patches are removed, one after the other.

Source: Samek et al., "Evaluating the visualization of what a deep neural network has learned", IEEE TNNLS 28 (2017)
2660-2673; fills as in Rio-Torto, Fernandes, Teixeira, Pattern Recognition Letters 133 (2020) 373-380.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor

from common.explain.fills import check_fills, fill_images
from common.explain.interfaces import MapClassifier, check_evaluating
from common.explain.local_update import LocalExplainer, Window
from common.explain.schema import TASKS
from common.networks import ExplainerClassifier

__all__ = ["PerturbationCurve", "patch_ranks", "rank_map"]

SEMANTICS = ("recompute", "fixed")
TARGETS = ("predicted", "true")

Classify = Callable[[Tensor], Tensor]


def patch_ranks(relevance: Tensor, patch: int) -> Tensor:
    """Rank patches by their mean relevance, the most relevant first; ties in row-major order.

    The grid covers the whole image: where the size is no multiple of the patch, the last row and column of patches
    are incomplete and ranked by the mean of the pixels they have.

    Args:
        relevance: maps (B,1,H,W).
        patch: side of a patch in pixels.

    Returns:
        Ranks (B,h,w) int64, a permutation of 0 .. h·w-1 per map, with h = ceil(H/patch), w = ceil(W/patch).

    Raises:
        ValueError: if a map is not finite: it has no order.
    """
    if not bool(torch.isfinite(relevance).all()):
        raise ValueError("relevance holds NaN or infinite values, expected finite numbers; check the map's source")
    # In double precision the mean of equal float32 values is that value: constant maps tie at the border too.
    mean = F.avg_pool2d(relevance.double(), patch, ceil_mode=True)
    order = mean.flatten(1).argsort(dim=1, descending=True, stable=True)
    return order.argsort(dim=1).view(len(mean), *mean.shape[-2:])


def rank_map(ranks: Tensor, patch: int, height: int, width: int) -> Tensor:
    """Spread patch ranks over pixels, so that ``rank_map < k`` is where the first k patches are.

    Args:
        ranks: (B,h,w) as :func:`patch_ranks` returns them.
        patch: side of a patch in pixels.
        height: H in pixels.
        width: W in pixels.

    Returns:
        (B,1,H,W) int64.
    """
    pixels = ranks.repeat_interleave(patch, dim=1).repeat_interleave(patch, dim=2)
    return pixels[:, None, :height, :width]


class PerturbationCurve:
    """Scores f(x_0) .. f(x_L), where x_k is the image with its k most relevant patches replaced.

    f is the probability of one class: softmax, or sigmoid in a multi-label task. Patches are ranked once, on the clean
    image's relevance. The two semantics answer different questions and give different numbers: do not mix them.

    Off the GPU, which prefers large batches, the map of an :class:`common.networks.ExplainerClassifier` is redrawn by
    :class:`common.explain.local_update.LocalExplainer`, all fills of an image in lockstep.

    Args:
        patch: side of a patch in pixels.
        steps: number of patches L to remove; at most the whole grid is.
        kinds: fills, see :func:`common.explain.fills.fill_images`.
        semantics: ``"recompute"``: f(x_k) = C(x_k, E(x_k)), the map is drawn anew for every perturbed image.
            ``"fixed"``: f(x_k) = C(x_k, E(x_0)), for networks with a map only.
        target: ``"predicted"`` follows the class predicted on the clean image (in a multi-label task the most probable
            one), ``"true"`` the label.
        mean: channel means, for the fill ``mean``.
        blur_sigma: standard deviation of the fill ``blur``, in pixels.
        seed: of the fill ``uniform``.
        batch_size: largest number of images in one forward pass; about 8 on a CPU, 64 and more on a GPU.
        task: ``"multiclass"``, or ``"multilabel"`` where several classes may be present.

    Raises:
        ValueError: for options out of range.
    """

    def __init__(
        self,
        patch: int = 8,
        steps: int = 100,
        kinds: Sequence[str] = ("black", "white", "gray", "blur", "uniform"),
        semantics: str = "recompute",
        target: str = "predicted",
        mean: Sequence[float] | None = None,
        blur_sigma: float = 8.0,
        seed: int = 0,
        batch_size: int = 8,
        task: str = "multiclass",
    ) -> None:
        for name, value in (("patch", patch), ("steps", steps), ("batch_size", batch_size)):
            if value < 1:
                raise ValueError(f"{name} is {value}, expected 1 or more")
        for name, choice, choices in (
            ("semantics", semantics, SEMANTICS),
            ("target", target, TARGETS),
            ("task", task, TASKS),
        ):
            if choice not in choices:
                raise ValueError(f"{name} is {choice!r}, expected one of {', '.join(choices)}")
        if task == "multilabel" and target == "true":
            raise ValueError("target is 'true' in a multilabel task, where several classes may be; use 'predicted'")
        check_fills(kinds, mean, blur_sigma)
        self.patch = patch
        self.steps = steps
        self.kinds = tuple(kinds)
        self.semantics = semantics
        self.target = target
        self.mean = mean
        self.blur_sigma = blur_sigma
        self.seed = seed
        self.batch_size = batch_size
        self.task = task

    @property
    def names(self) -> list[str]:
        """The curves' names in curves.json, ``"<kind>/<patch>/<semantics>"``, in the order of the scores."""
        return [f"{kind}/{self.patch}/{self.semantics}" for kind in self.kinds]

    @torch.inference_mode()
    def __call__(
        self, model: MapClassifier | Classify, image: Tensor, relevance: Tensor, label: Tensor | None = None
    ) -> Tensor:
        """Measure the curves of a batch of images.

        Args:
            model: in evaluation mode; a network with a map, or any function from images to logits.
            image: images (B,C,H,W) in [0,1].
            relevance: what ranks the patches, (B,1,H,W): the map, an attribution, or a baseline.
            label: (B,) true classes, for ``target="true"``.

        Returns:
            Scores (B, kinds, L+1) in [0,1], L = min(steps, number of patches); :func:`common.metrics.aopc_curve` and
            :func:`common.metrics.aopc_from_scores` take them.

        Raises:
            ValueError: if the model is in training mode or has no map for ``fixed``, or if inputs do not fit.
        """
        check_evaluating(model)
        self._check_inputs(model, image, relevance, label)
        ranks = patch_ranks(relevance, self.patch)
        steps = min(self.steps, ranks[0].numel())
        fills = fill_images(image, self.kinds, self.mean, self.blur_sigma, self.seed)
        clean, functions = self._functions(model, image)
        target = clean.argmax(dim=1) if self.target == "predicted" or label is None else label
        first = self._probability(clean).gather(1, target[:, None])
        scores = first[:, :, None].repeat(1, len(self.kinds), steps + 1)
        for index, score in enumerate(scores):
            case = _Case(image[index], fills[:, index], ranks[index], self.patch)
            if isinstance(model, ExplainerClassifier) and self.semantics == "recompute" and not image.is_cuda:
                chunks = _local_logits(model, case, steps)
            else:
                chunks = _full_logits(functions[index], case, steps, self.batch_size)
            for step, logits in chunks:
                score[:, step : step + len(logits)] = self._probability(logits)[..., target[index]].T
        return scores

    def _probability(self, logits: Tensor) -> Tensor:
        return logits.softmax(dim=-1) if self.task == "multiclass" else logits.sigmoid()

    def _functions(self, model: MapClassifier | Classify, image: Tensor) -> tuple[Tensor, list[Classify]]:
        """Return the clean images' logits and, for each image, the function from its perturbed versions to logits."""
        if not isinstance(model, MapClassifier):
            return model(image), [model] * len(image)
        explanation = model.explanation(image)
        clean = model.classify(image, explanation)
        if self.semantics == "recompute":
            return clean, [model] * len(image)
        return clean, [partial(_classify_fixed, model, fixed) for fixed in explanation.split(1)]

    def _check_inputs(self, model: object, image: Tensor, relevance: Tensor, label: Tensor | None) -> None:
        expected = (len(image), 1, *image.shape[-2:])
        if tuple(relevance.shape) != expected:
            raise ValueError(f"relevance has shape {tuple(relevance.shape)}, expected {expected} for these images")
        if self.semantics == "fixed" and not isinstance(model, MapClassifier):
            raise ValueError(
                f"semantics 'fixed' holds a map still, and {type(model).__name__} has none (explanation, classify); "
                "use 'recompute'"
            )
        if self.target == "true" and label is None:
            raise ValueError("target is 'true', but no label was given; give label (B,) or use 'predicted'")


@dataclass(frozen=True)
class _Case:
    """One image (C,H,W), its fills (K,C,H,W) and the ranks (h,w) of its patches."""

    image: Tensor
    fill: Tensor
    ranks: Tensor
    patch: int

    def perturbed(self, steps: range) -> Tensor:
        """Return x_k for every step and fill, (steps·K,C,H,W)."""
        rank = rank_map(self.ranks[None], self.patch, *self.image.shape[-2:])
        k = torch.tensor(steps, device=rank.device).view(-1, 1, 1, 1, 1)
        return torch.where(rank < k, self.fill, self.image).flatten(0, 1).contiguous(memory_format=torch.channels_last)

    def windows(self) -> list[Window]:
        """Return where the patches are, in the order of their removal."""
        height, width = self.image.shape[-2:]
        cells = [divmod(cell, self.ranks.shape[1]) for cell in self.ranks.flatten().argsort().tolist()]
        corners = [(row * self.patch, column * self.patch) for row, column in cells]
        return [
            Window(top, min(top + self.patch, height), left, min(left + self.patch, width)) for top, left in corners
        ]


def _classify_fixed(model: MapClassifier, explanation: Tensor, image: Tensor) -> Tensor:
    return model.classify(image, explanation.expand(len(image), -1, -1, -1))


def _full_logits(classify: Classify, case: _Case, steps: int, batch_size: int) -> Iterator[tuple[int, Tensor]]:
    """Yield logits (steps, kinds, classes) of perturbed images, a few steps at a time, each with its first step."""
    kinds = len(case.fill)
    chunk = max(1, batch_size // kinds)
    for begin in range(1, steps + 1, chunk):
        removed = range(begin, min(begin + chunk, steps + 1))
        yield begin, classify(case.perturbed(removed)).unflatten(0, (len(removed), kinds))


def _local_logits(model: ExplainerClassifier, case: _Case, steps: int) -> Iterator[tuple[int, Tensor]]:
    """Yield the same, step by step: each changes one patch, so most of the map stands."""
    local = LocalExplainer(model.explainer, (case.image[None] - model.mean) / model.std, copies=len(case.fill))
    for k, window in enumerate(case.windows()[:steps], start=1):
        perturbed = case.perturbed(range(k, k + 1))
        explanation = local.update((perturbed - model.mean) / model.std, window)
        yield k, model.classify(perturbed, explanation)[None]
