"""Hold a bundle's network against the metadata that describes it."""

import warnings
from collections.abc import Iterator
from typing import Any

import torch
from monai.bundle import ConfigParser
from torch import Tensor, nn

from common.utils.bundle import Bundle

__all__ = ["build_network", "example_image", "network_exports", "network_matches_metadata"]

#: Stands for '*' in a spatial shape: no multiple of anything, so that a network that pads must do so.
ANY_SIZE = 37


def build_network(bundle: Bundle) -> nn.Module:
    """Build ``network_def`` as inference does, with the trained settings if there are any; no weights are loaded.

    Returns:
        The network in evaluation mode.
    """
    parser = ConfigParser(bundle.trained_config("inference"))
    parser.read_meta(bundle.metadata)
    parser["bundle_root"] = str(bundle.folder)
    network: nn.Module = parser.get_parsed_content("network_def")
    return network.eval()


def example_image(bundle: Bundle, batch: int = 1) -> Tensor:
    """Make random images (B, C, H, W) of the shape and range that the metadata states for the input."""
    tensor = bundle.metadata["network_data_format"]["inputs"]["image"]
    size = [s if isinstance(s, int) else ANY_SIZE for s in tensor["spatial_shape"]]
    low, high = tensor["value_range"] or (0.0, 1.0)
    generator = torch.Generator().manual_seed(0)
    return low + (high - low) * torch.rand(batch, tensor["num_channels"], *size, generator=generator)


def network_matches_metadata(bundle: Bundle) -> Iterator[str]:
    """The network's outputs have the shapes, types and ranges that the metadata states."""
    network, image = build_network(bundle), example_image(bundle, batch=2)
    described = bundle.metadata["network_data_format"]["outputs"]
    with torch.no_grad():
        outputs: dict[str, Any] = {**network.explain(image), "pred": network(image)}  # type: ignore[operator]
    if not isinstance(outputs["pred"], Tensor):
        yield f"forward returns a {type(outputs['pred']).__name__}; expected one tensor"
        return
    for name, tensor in described.items():
        if name in outputs:
            yield from (f"{name}: {p}" for p in _differences(outputs[name], tensor, image))
        else:
            yield f"{name}: described by the metadata, but neither forward nor explain returns it"


def _differences(value: Tensor, stated: dict[str, Any], image: Tensor) -> Iterator[str]:
    size = [s if isinstance(s, int) else image.shape[2 + i] for i, s in enumerate(stated["spatial_shape"])]
    expected = (image.shape[0], stated["num_channels"], *size)
    if tuple(value.shape) != expected:
        yield f"shape is {tuple(value.shape)}, the metadata states {expected}"
    if str(value.dtype).removeprefix("torch.") != stated["dtype"]:
        yield f"type is {value.dtype}, the metadata states {stated['dtype']}"
    if stated["value_range"]:
        low, high = stated["value_range"]
        if value.min() < low or value.max() > high:
            yield f"values go from {value.min():.3g} to {value.max():.3g}, the metadata states {low} to {high}"


def network_exports(bundle: Bundle) -> Iterator[str]:
    """TorchScript and torch.export give the network's own results."""
    network, image = build_network(bundle), example_image(bundle)
    with torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # both announce each other's deprecation
        expected, explained = network(image), network.explain(image)  # type: ignore[operator]
        scripted = torch.jit.script(network)
        yield from _unequal("TorchScript forward", expected, scripted(image))
        for name, value in scripted.explain(image).items():
            yield from _unequal(f"TorchScript explain: {name}", explained[name], value)
        yield from _unequal("torch.export", expected, torch.export.export(network, (image,)).module()(image))


def _unequal(what: str, expected: Tensor, value: Tensor) -> Iterator[str]:
    if not torch.allclose(expected, value, rtol=1e-4, atol=1e-5):
        yield f"{what} differs by {(expected - value).abs().max():.2g}"
