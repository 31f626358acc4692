"""Train on images and texts together, in one pass or, for large batches, chunk by chunk with the same gradients.

Source: Gao et al., "Scaling Deep Contrastive Learning Batch Size under Memory Limited Setup", RepL4NLP 2021 (gradient
caching).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from common.engines.gradients import apply_gradients, gradients_of
from common.utils.batch_norm import keep_statistics
from common.utils.distributed import average

__all__ = ["ReportStep"]

INPUTS = ("image", "token", "word")


class ReportStep:
    """A step on a batch of exams with their reports; the network's method ``match`` sees both.

    With ``chunk``, the batch that is contrasted may be larger than what memory holds the activations of: all exams pass
    a few at a time without a graph, the loss of all outputs together is differentiated by the outputs, and each chunk
    passes again to carry its part on to the weights. That is the gradient of the whole batch, with the same dropout,
    but batch norms in training mode normalise chunk by chunk. It costs one more forward pass.

    A batch has ``image`` (E,V,1,H,W), ``token`` and ``word`` (E,N,T) and what the stage's loss asks for, such as
    ``text_key``; the loss is a :class:`common.losses.VWYLLoss`.

    Args:
        chunk: exams that pass at a time; None for all in one pass.

    Raises:
        ValueError: if the chunk is not positive.
    """

    streams = ("labelled",)

    def __init__(self, chunk: int | None = None) -> None:
        if chunk is not None and chunk < 1:
            raise ValueError(f"chunk is {chunk}, expected a positive number of exams, or null for all in one pass")
        self.chunk = chunk

    def begin_epoch(self, trainer: Any) -> None:
        """Do nothing; see :class:`common.types.TrainingStep`."""

    def end_epoch(self, trainer: Any) -> None:
        """Do nothing."""

    def state_dict(self) -> dict[str, Any]:
        """Return nothing: a step leaves no state."""
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Do nothing."""

    def __call__(self, trainer: Any, batch: dict[str, Any]) -> dict[str, Any]:
        """Take a step; see :class:`common.types.TrainingStep`."""
        missing = [name for name in INPUTS if name not in batch]
        if missing:
            raise ValueError(
                f"the batch has no {', '.join(missing)}, only {', '.join(sorted(batch))}; a step on reports needs "
                f"{', '.join(INPUTS)}: add TokenizeReportd to the transforms"
            )
        network, loss = trainer.network_def, trainer.stage.loss
        parameters = [parameter for parameter in network.parameters() if parameter.requires_grad]
        if self.chunk is None or self.chunk >= len(batch["image"]):
            with trainer.autocast():
                outputs = network.match(*(batch[name] for name in INPUTS))
            terms = loss.terms(outputs, batch)
            reduced = loss.reduce(terms)
            gradients = gradients_of(trainer, reduced["loss"], parameters)
        else:
            terms, reduced, gradients = self._cached(trainer, batch, parameters, self.chunk)
        apply_gradients(trainer, trainer.optimizer, parameters, gradients)
        trainer.grad_scaler.update()
        return {
            "loss": reduced["loss"].item(),
            "terms": {name: value.detach() for name, value in terms.items()},
            "label": batch.get("label"),
        }

    def _cached(
        self, trainer: Any, batch: Mapping[str, Any], parameters: Sequence[nn.Parameter], size: int
    ) -> tuple[dict[str, Tensor], dict[str, Tensor], list[Tensor | None]]:
        """Return terms, loss and gradients of the whole batch, of which a chunk at a time has a graph."""
        network, loss, device = trainer.network_def, trainer.stage.loss, batch["image"].device
        chunks = list(zip(*(batch[name].split(size) for name in INPUTS), strict=True))
        said: list[dict[str, Tensor]] = []
        states: list[list[Tensor]] = []
        with torch.no_grad(), trainer.autocast(), keep_statistics(network):
            for chunk in chunks:
                states.append(_random_state(device))
                said.append(network.match(*chunk))
        outputs = joined_outputs(said)
        leaves = {name: value.requires_grad_() for name, value in outputs.items() if value.is_floating_point()}
        terms = loss.terms(outputs, batch)
        reduced = loss.reduce(terms)
        trainer.check_finite(reduced["loss"])
        scaled = trainer.grad_scaler.scale(reduced["loss"])
        by_output = dict(
            zip(leaves, torch.autograd.grad(scaled, list(leaves.values()), allow_unused=True), strict=True)
        )
        gradients: list[Tensor | None] = [None] * len(parameters)
        for index, (chunk, state) in enumerate(zip(chunks, states, strict=True)):
            with trainer.autocast(), _replayed(state, device):
                again = network.match(*chunk)
            each = _carried_on(again, by_output, index * size, parameters)
            gradients = [b if a is None else a if b is None else a + b for a, b in zip(gradients, each, strict=True)]
        average(gradients)
        return terms, reduced, gradients


def joined_outputs(parts: Sequence[Mapping[str, Tensor]]) -> dict[str, Tensor]:
    """Join what a network said of parts of a batch.

    Args:
        parts: outputs (e,...) of each part, whose other axes may be shorter where texts are, and scalars, which are the
            same in all parts.

    Returns:
        Outputs (E,...), filled up with 0 or False, and scalars.
    """
    joined = {}
    for name, first in parts[0].items():
        values = [part[name] for part in parts]
        if first.ndim > 0:
            shape = [max(sizes) for sizes in zip(*(value.shape[1:] for value in values), strict=True)]
            values = [F.pad(value, _missing(value, shape)) for value in values]
        joined[name] = torch.cat(values) if first.ndim > 0 else first.clone()
    return joined


def _missing(value: Tensor, shape: Sequence[int]) -> list[int]:
    """Return what to add to the axes behind the first, in the order of ``torch.nn.functional.pad``."""
    lacking = [full - own for full, own in zip(shape, value.shape[1:], strict=True)]
    return [number for lack in reversed(lacking) for number in (0, lack)]


def _carried_on(
    outputs: Mapping[str, Tensor],
    by_output: Mapping[str, Tensor | None],
    start: int,
    parameters: Sequence[nn.Parameter],
) -> Sequence[Tensor | None]:
    """Return the gradients by the parameters that come through a chunk, whose first exam has the number ``start``.

    Scalars, which do not depend on the exams, count with the first chunk alone.
    """
    values, factors = [], []
    for name, value in outputs.items():
        gradient = by_output.get(name)
        if gradient is None or not value.requires_grad or (value.ndim == 0 and start > 0):
            continue
        if value.ndim > 0:
            gradient = gradient[(slice(start, start + len(value)), *(slice(size) for size in value.shape[1:]))]
        values.append(value)
        factors.append(gradient)
    if not values:
        return [None] * len(parameters)
    return torch.autograd.grad(values, parameters, factors, allow_unused=True)


def _random_state(device: torch.device) -> list[Tensor]:
    """Return the states of the generators that dropout draws from."""
    return [torch.get_rng_state(), *([torch.cuda.get_rng_state(device)] if device.type == "cuda" else [])]


@contextmanager
def _replayed(state: Sequence[Tensor], device: torch.device) -> Iterator[None]:
    """Draw again what was drawn from a state on, and go on as if that had not happened."""
    after = _random_state(device)
    _set_random_state(state, device)
    try:
        yield
    finally:
        _set_random_state(after, device)


def _set_random_state(state: Sequence[Tensor], device: torch.device) -> None:
    torch.set_rng_state(state[0])
    if device.type == "cuda":
        torch.cuda.set_rng_state(state[1], device)
