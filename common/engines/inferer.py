"""Call the right method of a network, also through DistributedDataParallel."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from monai.inferers import Inferer
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel


class ExplainInferer(Inferer):
    """Run a network's ``explain`` (or another method) and return its dictionary."""

    def __init__(self, method: str = "explain") -> None:
        """Remember the method to call when none is named.

        Args:
            method: name of a method of the network that maps an image to a dictionary of tensors.
        """
        super().__init__()
        self.method = method

    def __call__(self, inputs: Tensor | Sequence[Tensor], network: Any, method: str | None = None) -> dict[str, Tensor]:
        """Return ``network.<method>(*inputs)``.

        Args:
            inputs: (B, D, H, W) images in [0, 1], or all that the method takes.
            network: the network, or a DistributedDataParallel around a :class:`DistributedExplain`.
            method: overrides the method given at construction.
        """
        name = method or self.method
        given = (inputs,) if isinstance(inputs, Tensor) else inputs
        if isinstance(network, DistributedDataParallel):
            return network(*given, method=name)
        return getattr(network, name)(*given)


class DistributedExplain(nn.Module):
    """What DistributedDataParallel has to wrap: its ``forward`` reaches every method of the network.

    Calling ``ddp.module.explain`` would bypass the gradient synchronisation, which happens in ``forward`` only.
    """

    def __init__(self, network: nn.Module) -> None:
        """Hold the network.

        Args:
            network: a network with an ``explain`` method.
        """
        super().__init__()
        self.network = network

    def forward(self, *inputs: Tensor, method: str = "explain") -> dict[str, Tensor]:
        """Return ``network.<method>(*inputs)``."""
        return getattr(self.network, method)(*inputs)


def inputs_of(batch: Mapping[str, Any], names: Sequence[str]) -> Tensor | tuple[Tensor, ...]:
    """Return what a method takes of a batch: the value itself where it is only one.

    Raises:
        ValueError: if the batch lacks one.
    """
    missing = [name for name in names if name not in batch]
    if missing:
        raise ValueError(
            f"the batch has no {', '.join(missing)}, only {', '.join(sorted(batch))}; the network's method takes "
            f"{', '.join(names)}: let the transforms make them"
        )
    values = tuple(batch[name] for name in names)
    return values[0] if len(values) == 1 else values
