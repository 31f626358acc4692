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

__all__ = ["MidpointProduct", "Product", "Sum", "TournamentPool", "fold_batch_norms", "modular_copy", "replace_modules"]


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
    """Max-pooling as a tournament of max(a, b) = a + relu(b - a).

    The rescale rule for ReLUs thus covers it, also where windows overlap, which unpooling by indices does not.

    Args:
        pool: the pooling to replace.
    """

    def __init__(self, pool: nn.MaxPool2d) -> None:
        super().__init__()
        self.kernel, self.stride, self.padding = (int(cast(int, v)) for v in (pool.kernel_size, pool.stride, pool.padding))
        rounds = (self.kernel * self.kernel - 1).bit_length()
        self.relus = nn.ModuleList(nn.ReLU() for _ in range(rounds))

    def forward(self, feature: Tensor) -> Tensor:
        """Return the maxima of a feature that is nowhere negative, (B,D,h',w')."""
        # Zeros outside do not change the maximum of what is at least 0.
        padded = F.pad(feature, [self.padding] * 4)
        windows = padded.unfold(2, self.kernel, self.stride).unfold(3, self.kernel, self.stride).flatten(4)
        for relu in self.relus:
            half = windows.shape[-1] // 2
            one, other, odd = windows.split([half, half, windows.shape[-1] - 2 * half], dim=-1)
            windows = torch.cat([one + relu(other - one), odd], dim=-1)
        return windows.squeeze(-1)


def modular_copy(model: nn.Module, method: str = "forward") -> fx.GraphModule:
    """Rewrite one method of a network; the network itself is left alone.

    Args:
        model: any network that ``torch.fx`` can trace; all of this project's can.
        method: the method whose computation is rewritten, e.g. ``"forward"`` or ``"classify"``.

    Returns:
        A copy in evaluation mode, its parameters without gradient, that computes the same. ReLU, tanh, max-pooling
        are torch's modules and not in place; sums of two features are :class:`Sum`, products :class:`Product`.
    """
    root = copy.deepcopy(model).eval().requires_grad_(False)
    graph = _Tracer(method).trace(root)
    module = fx.GraphModule(root, graph)
    for node in list(graph.nodes):
        replacement = _as_module(module, node)
        if replacement is not None:
            _replace(module, node, *replacement)
    graph.eliminate_dead_code()
    module.recompile()
    return module


def replace_modules(module: fx.GraphModule, kind: type[nn.Module], make: Callable[[Any], nn.Module]) -> None:
    """Replace, in place, every module of one kind in a rewritten copy.

    Args:
        module: what :func:`modular_copy` returned.
        kind: exact type to replace.
        make: builds the replacement from the original.
    """
    for node in list(module.graph.nodes):
        if node.op == "call_module" and type(module.get_submodule(node.target)) is kind:
            _replace(module, node, make(module.get_submodule(node.target)), node.args)
    module.recompile()


def fold_batch_norms(module: fx.GraphModule) -> None:
    """Fold, in place, every batch norm of a rewritten copy into the convolution before it.

    Args:
        module: what :func:`modular_copy` returned.

    Raises:
        ValueError: if a batch norm does not follow a convolution of its own.
    """
    for node in list(module.graph.nodes):
        if node.op != "call_module" or not isinstance(module.get_submodule(node.target), nn.BatchNorm2d):
            continue
        before = node.args[0]
        conv = module.get_submodule(before.target) if before.op == "call_module" else None
        if not isinstance(conv, nn.Conv2d) or len(before.users) != 1:
            raise ValueError(f"batch norm '{node.target}' does not follow a convolution of its own; cannot fold it")
        norm = cast(nn.BatchNorm2d, module.get_submodule(node.target))
        _replace(module, before, fuse_conv_bn_eval(conv, norm), before.args)
        node.replace_all_uses_with(node.args[0])
        module.graph.erase_node(node)
    module.recompile()


class _Tracer(fx.Tracer):
    """Records one method; shape checks, which cannot be traced, are recorded as calls."""

    def __init__(self, method: str) -> None:
        super().__init__(autowrap_functions=(check_image,))
        self.traced_func_name = method


def _as_module(module: fx.GraphModule, node: fx.Node) -> tuple[nn.Module, tuple[Any, ...]] | None:
    """Return the module that stands for a node, and its arguments; None if the node stays."""
    if node.op == "call_module" and isinstance(module.get_submodule(str(node.target)), nn.ReLU):
        return nn.ReLU(), node.args
    if node.op != "call_function":
        return None
    if node.target in (F.relu, torch.relu):
        return nn.ReLU(), node.args[:1]
    if node.target is torch.tanh:
        return nn.Tanh(), node.args
    if node.target is F.max_pool2d:
        return nn.MaxPool2d(cast(int, node.args[1])), node.args[:1]
    if node.target in (operator.add, operator.iadd):
        return Sum(), node.args
    if node.target is operator.mul:
        return Product(), node.args
    return None


def _replace(module: fx.GraphModule, node: fx.Node, replacement: nn.Module, args: tuple[Any, ...]) -> None:
    name = f"{type(replacement).__name__.lower()}_{node.name}"
    module.add_submodule(name, replacement)
    with module.graph.inserting_after(node):
        new = module.graph.call_module(name, args)
    node.replace_all_uses_with(new)
    new.args = args
    module.graph.erase_node(node)


def _midpoint(value: Tensor) -> Tensor:
    return ((value + value.roll(len(value) // 2, dims=0)) / 2).detach()
