"""Relevance maps to compare a network's own map with: attribution methods, a random map, the image centre."""

from __future__ import annotations

import warnings
import zlib
from types import ModuleType
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, fx, nn

from common.explain.interfaces import MapClassifier, check_evaluating
from common.explain.modular import (
    GlobalMaxPool,
    MidpointProduct,
    Product,
    Sum,
    TournamentPool,
    fold_batch_norms,
    modular_copy,
    replace_modules,
)
from common.networks import ExplainerClassifier
from common.utils.messages import did_you_mean
from common.utils.optional import optional_import

__all__ = ["ATTRIBUTIONS", "BASELINES", "Attribution", "centre_map", "random_map"]

GRADIENTS = {
    "saliency": "Saliency",
    "input_x_gradient": "InputXGradient",
    "integrated_gradients": "IntegratedGradients",
    "guided_backprop": "GuidedBackprop",
    "deconvolution": "Deconvolution",
    "deeplift": "DeepLift",
}
"""Captum's class of each method that needs the network alone."""

ATTRIBUTIONS = (*GRADIENTS, "gradcam", "guided_gradcam", "lrp")
BASELINES = (*ATTRIBUTIONS, "random", "centre")
PATHS = ("joint", "fixed")


class Attribution:
    """One method that attributes a classifier's logit to pixels, or a map that looks at no classifier at all.

    Every attribution is captum's, of the trained network itself; a copy is rewritten so that captum's rules find what
    they act on (:mod:`common.explain.modular`), and the network is left without hooks.

    A network that decides from an image and its own map is explained as the function it is, C(x, E(x)), explainer
    included (``path="joint"``); ``path="fixed"`` holds the map still and explains C(x, z) at z = E(x). Where methods
    need more than gradients:

    * DeepLift multiplies differences from a black image; products of a feature and a gate follow the midpoint rule
      and max-poolings are tournaments of ReLUs, so that attributions add up to the difference of the logits.
    * Grad-CAM and Guided Grad-CAM look at the feature that enters global pooling, after its last gate.
    * LRP uses alpha-1-beta-0 without biases for convolutions, batch norms folded in, and hidden linear layers, and
      epsilon for the last layer, sums and poolings; its relevance adds up to the logit less the last layer's bias. A
      gate passes all relevance on to the feature it multiplies (Arras et al., WASSA 2017), so none reaches the
      explainer: LRP always explains C(x, z), whatever the path. The image must not be negative.
    * Integrated Gradients starts from a black image.

    Args:
        method: one of ``BASELINES``.
        path: ``"joint"`` or ``"fixed"``, for networks with a map.
        steps: points on the path of Integrated Gradients.
        seed: of the random map.

    Raises:
        ValueError: for an unknown method or path, or no steps.
    """

    def __init__(self, method: str, path: str = "joint", steps: int = 32, seed: int = 0) -> None:
        if method not in BASELINES:
            raise ValueError(
                f"unknown method '{method}'{did_you_mean(method, BASELINES)}; expected {', '.join(BASELINES)}"
            )
        if path not in PATHS:
            raise ValueError(f"path is {path!r}, expected one of {', '.join(PATHS)}")
        if steps < 1:
            raise ValueError(f"steps is {steps}, expected 1 or more")
        self.method = method
        self.path = path
        self.steps = steps
        self.seed = seed

    def __call__(self, model: nn.Module, image: Tensor, target: Tensor | None = None) -> Tensor:
        """Draw the map.

        Args:
            model: in evaluation mode; from images to logits, with or without a map of its own.
            image: images (B,C,H,W) in [0,1].
            target: (B,) the class whose logit is explained; None for the predicted one.

        Returns:
            The absolute attributions summed over channels, (B,1,H,W).

        Raises:
            ValueError: if the model is in training mode, or has no map to hold still.
            ImportError: if captum is not installed; the message says how to get it.
        """
        if self.method == "random":
            return random_map(image, self.seed)
        if self.method == "centre":
            return centre_map(image)
        check_evaluating(model)
        if self.path == "fixed" and not isinstance(model, MapClassifier):
            raise ValueError(f"path 'fixed' holds a map still, and {type(model).__name__} has none; use 'joint'")
        captum = optional_import("captum.attr", "xai")
        # Gradients are needed whatever the caller's mode; a clone made here can carry them.
        with torch.inference_mode(False), torch.enable_grad(), warnings.catch_warnings():
            warnings.filterwarnings("ignore", category=UserWarning, module="captum")
            image = image.detach().clone()
            with torch.no_grad():
                chosen = model(image).argmax(dim=1) if target is None else target.clone()
            attribution = self._attribute(captum, model, image, chosen)
        return attribution.detach().abs().sum(dim=1, keepdim=True)

    def _attribute(self, captum: ModuleType, model: nn.Module, image: Tensor, target: Tensor) -> Tensor:
        if self.method == "lrp":
            return _lrp(captum, model, image, target)
        network = modular_copy(model, "forward" if self.path == "joint" else "classify")
        held = None if self.path == "joint" else (_held_map(cast(MapClassifier, model), image),)
        if self.method == "deeplift":
            replace_modules(network, Product, lambda _: MidpointProduct())
            replace_modules(network, nn.MaxPool2d, TournamentPool)
            replace_modules(network, GlobalMaxPool, TournamentPool)
        if self.method in GRADIENTS:
            options: dict[str, object] = {}
            if self.method == "integrated_gradients":
                options = {"n_steps": self.steps, "internal_batch_size": max(len(image), 8)}
            method = getattr(captum, GRADIENTS[self.method])(network)
            return method.attribute(image, target=target, additional_forward_args=held, **options)
        layer = _feature_layer(network)
        if self.method == "guided_gradcam":
            return captum.GuidedGradCam(network, layer).attribute(
                image, target=target, additional_forward_args=held, interpolate_mode="bilinear"
            )
        cam = captum.LayerGradCam(network, layer).attribute(
            image, target=target, additional_forward_args=held, relu_attributions=True
        )
        return F.interpolate(cam, image.shape[-2:], mode="bilinear")


def random_map(image: Tensor, seed: int = 0) -> Tensor:
    """Draw uniform noise: perturbed in this order, patches are removed at random.

    Args:
        image: images (B,C,H,W). Each image's noise depends on its content and the seed, not on its batch.
        seed: of the noise.

    Returns:
        (B,1,H,W) in [0,1).
    """
    maps = []
    for case in image.detach().cpu():
        generator = torch.Generator().manual_seed(zlib.crc32(case.contiguous().numpy().tobytes(), seed))
        maps.append(torch.rand(1, *image.shape[-2:], generator=generator))
    return torch.stack(maps).to(image)


def centre_map(image: Tensor) -> Tensor:
    """Draw a cone over the image centre, which is where photographers put what matters.

    Args:
        image: images (B,C,H,W).

    Returns:
        1 minus the distance to the centre as a share of the half diagonal, (B,1,H,W) in [0,1].
    """
    height, width = image.shape[-2:]
    row = torch.arange(height, dtype=image.dtype, device=image.device) - (height - 1) / 2
    column = torch.arange(width, dtype=image.dtype, device=image.device) - (width - 1) / 2
    distance = torch.hypot(row[:, None], column[None])
    return (1 - distance / distance.max().clamp(min=1)).expand(len(image), 1, -1, -1)


class _NormalisedConvolution(nn.Module):
    """Convolution of (x - mean) / std as one layer of x, whose inputs are pixels in [0,1] and so never negative.

    What the mean contributes is a bias that varies near the border, where zeros take the place of normalised pixels.
    """

    bias: Tensor

    def __init__(self, conv: nn.Conv2d, mean: Tensor, std: Tensor, image: Tensor) -> None:
        super().__init__()
        self.stride, self.padding = conv.stride, conv.padding
        self.weight = nn.Parameter(conv.weight / std, requires_grad=False)
        constant = self._linear(mean.expand(1, *image.shape[1:]))
        bias = torch.zeros(len(conv.weight)).to(constant) if conv.bias is None else conv.bias
        self.register_buffer("bias", bias.view(1, -1, 1, 1) - constant)

    def forward(self, image: Tensor) -> Tensor:
        return self._linear(image) + self.bias

    def _linear(self, image: Tensor) -> Tensor:
        return F.conv2d(image, self.weight, stride=self.stride, padding=cast(tuple[int, int], self.padding))


def _lrp(captum: ModuleType, model: nn.Module, image: Tensor, target: Tensor) -> Tensor:
    """Propagate relevance through C(x, z); see :class:`Attribution` for the rules."""
    rules = optional_import("captum.attr._utils.lrp_rules", "xai")
    if isinstance(model, ExplainerClassifier):
        network, held = modular_copy(model.classifier), (_held_map(model, image),)
        mean, std = model.mean, model.std
    else:
        network, held = modular_copy(model), None
        mean, std = image.new_zeros(1, 1, 1, 1), image.new_ones(1, 1, 1, 1)
    fold_batch_norms(network)
    name = _first_convolution(network)
    first = cast(nn.Conv2d, network.get_submodule(name))
    network.set_submodule(name, _NormalisedConvolution(first, mean, std, image))
    *hidden, _ = [module for module in network.modules() if isinstance(module, nn.Linear)]
    for module in network.modules():
        if isinstance(module, nn.Conv2d | _NormalisedConvolution) or module in hidden:
            module.rule = rules.Alpha1_Beta0_Rule(set_bias_to_zero=True)
        elif isinstance(module, Product | Sum | GlobalMaxPool):
            module.rule = rules.EpsilonRule()
        elif isinstance(module, nn.Sigmoid):
            module.rule = rules.IdentityRule()
    return captum.LRP(network).attribute(image, target=target, additional_forward_args=held)


def _held_map(model: MapClassifier, image: Tensor) -> Tensor:
    with torch.no_grad():
        return model.explanation(image)


def _first_convolution(network: fx.GraphModule) -> str:
    """Return the name of the convolution that takes the image itself."""
    for node in network.graph.nodes:
        if node.op == "call_module":
            first = network.get_submodule(node.target)
            if isinstance(first, nn.Conv2d) and node.args[0].op == "placeholder":
                return str(node.target)
            break
    raise ValueError("the network does not begin with a convolution of the image itself, which LRP's rules need")


def _feature_layer(network: fx.GraphModule) -> nn.Module:
    """Return the module whose output enters global pooling."""
    for node in network.graph.nodes:
        pools = node.op == "call_module" and isinstance(
            network.get_submodule(node.target), nn.AdaptiveAvgPool2d | GlobalMaxPool
        )
        if pools and node.args[0].op == "call_module":
            return network.get_submodule(node.args[0].target)
    raise ValueError("the network has no global pooling over features, which Grad-CAM needs")
