"""Rewrite a network so that every operation that matters to attribution is a module of its own, used once.

Attribution methods change how gradients pass through ReLUs, poolings, products and sums, and find these as modules.
Networks write many of them as functions or use one ReLU, in place, for a whole block. The rewritten copy computes the
same numbers.
"""

from __future__ import annotations

import copy
import operator
from collections.abc import Callable
from typing import Any, cast

import torch
import torch.nn.functional as F
from torch import Tensor, fx, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from common.layers.image_check import check_image
from common.layers.pooling import nearest_places
from common.layers.similarity import prototype_distance
from common.utils.precision import at_least_float32

__all__ = [
    "GlobalMaxPool",
    "MidpointProduct",
    "Product",
    "Sum",
    "TournamentPool",
    "fold_batch_norms",
    "modular_copy",
    "replace_modules",
]

WHOLE = (check_image, prototype_distance, nearest_places, at_least_float32)
"""Functions that look at shapes, types and devices, which cannot be traced; they are recorded as calls."""
TOURNAMENT_ROUNDS = 24
"""Enough for a window of 2^24 pixels."""


class Sum(nn.Module):
    """Sum of two features, as in a residual connection."""

    def forward(self, one: Tensor, other: Tensor) -> Tensor:
        """Return ``one + other``."""
        return one + other


class Product(nn.Module):
    """Product of a feature (B,D,h,w) and a gate (B,1,h,w)."""

    def forward(self, feature: Tensor, gate: Tensor) -> Tensor:
        """Return ``feature * gate``."""
        return feature * gate


class GlobalMaxPool(nn.Module):
    """Maximum of each channel."""

    def forward(self, feature: Tensor) -> Tensor:
        """Return the maxima (B,D) of a feature (B,D,h,w)."""
        return feature.amax(dim=(2, 3))


class Apart(nn.Module):
    """Keeps two modules apart: hooks on neighbours would meet at one tensor and run in the wrong order."""

    def forward(self, feature: Tensor) -> Tensor:
        """Return a copy of the feature."""
        return feature.clone()


class MidpointProduct(nn.Module):
    """Product whose gradient makes differences add up exactly, for a batch of images followed by their references.

    For a b against the reference a' b': a b - a' b' = (a - a') (b + b')/2 + (b - b') (a + a')/2, so the multiplier of
    each factor is the mean of the other one over image and reference: the Shapley value of a game of two.
    """

    def forward(self, feature: Tensor, gate: Tensor) -> Tensor:
        """Return ``feature * gate`` with the gradient of the midpoint rule."""
        linear = feature * _midpoint(gate) + gate * _midpoint(feature)
        return linear + (feature * gate - linear).detach()


class TournamentPool(nn.Module):
    """Max-pooling as a tournament of max(a, b) = a + relu(b - a), for features that are nowhere negative.

    DeepLift's rule for ReLUs thus covers it, also where windows overlap, which unpooling by indices does not.

    Args:
        pool: the pooling to replace.
    """

    def __init__(self, pool: nn.MaxPool2d | GlobalMaxPool) -> None:
        super().__init__()
        self.pool = pool
        self.relus = nn.ModuleList(nn.ReLU() for _ in range(TOURNAMENT_ROUNDS))

    def forward(self, feature: Tensor) -> Tensor:
        """Return what the pooling returns for a feature (B,D,h,w) of numbers of 0 and more."""
        candidates = self._windows(feature)
        for relu in self.relus:
            half = candidates.shape[-1] // 2
            if half == 0:
                break
            one, other, odd = candidates.split([half, half, candidates.shape[-1] - 2 * half], dim=-1)
            candidates = torch.cat([one + relu(other - one), odd], dim=-1)
        return candidates.squeeze(-1)

    def _windows(self, feature: Tensor) -> Tensor:
        if isinstance(self.pool, GlobalMaxPool):
            return feature.flatten(2)
        kernel, stride, padding = (cast(int, v) for v in (self.pool.kernel_size, self.pool.stride, self.pool.padding))
        # Zeros around the feature do not change the maximum of what is at least 0.
        padded = F.pad(feature, [padding] * 4)
        return padded.unfold(2, kernel, stride).unfold(3, kernel, stride).flatten(4)


def modular_copy(model: nn.Module, method: str = "forward") -> fx.GraphModule:
    """Rewrite one method of a network; the network itself is left alone.

    Args:
        model: any network that ``torch.fx`` can trace; all of this project's can.
        method: the method whose computation is rewritten, e.g. ``"forward"`` or ``"classify"``.

    Returns:
        A copy in evaluation mode, its parameters without gradient, that computes the same. ReLU, tanh and max-pooling
        are torch's modules and not in place; sums of two features are :class:`Sum`, their products with a gate
        :class:`Product` (with the gate as keyword), maxima over all pixels :class:`GlobalMaxPool`.
    """
    root = copy.deepcopy(model).eval().requires_grad_(False)
    graph = _Tracer(method).trace(root)
    module = fx.GraphModule(root, graph)
    for node in list(graph.nodes):
        replacement = _as_module(module, node)
        if replacement is None:
            continue
        name = f"{type(replacement).__name__.lower()}_{node.name}"
        module.add_submodule(name, replacement)
        features = node.args[:2] if isinstance(replacement, Sum) else node.args[:1]
        # The gate is a keyword, so that hooks on inputs find the feature alone.
        keywords = {"gate": node.args[1]} if isinstance(replacement, Product) else {}
        with graph.inserting_after(node):
            new = graph.call_module(name, features, keywords)
        node.replace_all_uses_with(new)
        graph.erase_node(node)
    module.recompile()
    module.delete_all_unused_submodules()
    return module


def replace_modules(module: nn.Module, kind: type[nn.Module], make: Callable[[Any], nn.Module]) -> None:
    """Replace, in place, every module of exactly one kind in a rewritten copy.

    Args:
        module: what :func:`modular_copy` returned.
        kind: type to replace.
        make: builds the replacement from the original.
    """
    for name, part in list(module.named_modules()):
        if type(part) is kind:
            module.set_submodule(name, make(part))


def fold_batch_norms(module: fx.GraphModule) -> None:
    """Fold, in place, every batch norm of a rewritten copy into the convolution before it.

    Args:
        module: what :func:`modular_copy` returned.

    Raises:
        ValueError: if a batch norm does not follow a convolution of its own.
    """
    for node in list(module.graph.nodes):
        norm = _module_of(module, node)
        if not isinstance(norm, nn.BatchNorm2d):
            continue
        before = node.args[0]
        conv = _module_of(module, before)
        if not isinstance(conv, nn.Conv2d) or len(before.users) != 1:
            raise ValueError(f"batch norm '{node.target}' does not follow a convolution of its own; cannot fold it")
        module.set_submodule(before.target, fuse_conv_bn_eval(conv, norm))
        node.replace_all_uses_with(before)
        module.graph.erase_node(node)
    module.recompile()
    module.delete_all_unused_submodules()


class _Tracer(fx.Tracer):
    """Records one method, some functions of it as calls."""

    def __init__(self, method: str) -> None:
        super().__init__(autowrap_functions=WHOLE)
        self.traced_func_name = method


def _as_module(module: fx.GraphModule, node: fx.Node) -> nn.Module | None:
    """Return the module that stands for a node; None if the node stays."""
    if isinstance(_module_of(module, node), nn.ReLU):
        return nn.ReLU()
    if node.op == "call_method" and node.target == "amax" and node.kwargs.get("dim") == (2, 3):
        return GlobalMaxPool()
    if node.op != "call_function":
        return None
    if node.target in (F.relu, torch.relu):
        return nn.ReLU()
    if node.target is torch.tanh:
        return nn.Sequential(nn.Tanh(), Apart())
    if node.target is F.max_pool2d:
        return nn.MaxPool2d(cast(int, node.args[1]))
    if node.target in (operator.add, operator.iadd):
        return Sum()
    return Product() if node.target is operator.mul else None


def _module_of(module: fx.GraphModule, node: fx.Node) -> nn.Module | None:
    return module.get_submodule(str(node.target)) if node.op == "call_module" else None


def _midpoint(value: Tensor) -> Tensor:
    return ((value + value.roll(len(value) // 2, dims=0)) / 2).detach()
