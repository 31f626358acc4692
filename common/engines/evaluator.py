"""Evaluate a network: its outputs, and the named terms of its loss, batch by batch."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from monai.engines import SupervisedEvaluator
from monai.engines.utils import IterationEvents
from monai.inferers import Inferer
from torch import nn
from torch.utils.data import DataLoader

from common.engines.inferer import ExplainInferer, inputs_of
from common.types import StagedLoss
from common.utils.batch import to_device


class ExplainEvaluator(SupervisedEvaluator):
    """MONAI's evaluator for networks whose outputs are a dictionary.

    ``engine.state.output`` is that dictionary (for a network that returns a tensor: ``{"pred": tensor}``), joined
    by "terms" where a loss is set and labels are known; ``engine.state.batch`` holds the inputs on the device.
    """

    def __init__(
        self,
        device: torch.device | str,
        val_data_loader: DataLoader,
        network: nn.Module,
        inferer: Inferer | None = None,
        loss: StagedLoss | None = None,
        val_handlers: Sequence[Any] | None = None,
        amp: bool = False,
    ) -> None:
        """Set the evaluator up.

        Args:
            device: where to evaluate.
            val_data_loader: yields dictionaries with "image".
            network: the network, or a DistributedDataParallel around it.
            inferer: calls the network; default :class:`ExplainInferer`.
            loss: computes the named terms; None leaves them out.
            val_handlers: handlers to attach.
            amp: mixed precision.
        """
        super().__init__(
            device=torch.device(device),
            val_data_loader=val_data_loader,
            network=network,
            inferer=inferer or ExplainInferer(),
            val_handlers=val_handlers,
            amp=False,
            decollate=False,
        )
        self.amp = amp
        self.loss = loss
        self.method: str | None = None
        self.inputs: Sequence[str] = ("image",)
        self.autocast_dtype = torch.float16 if self.state.device.type == "cuda" else torch.bfloat16

    def _iteration(self, engine: Any, batchdata: dict[str, Any]) -> dict[str, Any]:
        """Run the network on one batch in evaluation mode."""
        batch = to_device(batchdata, self.state.device)
        self.state.batch = batch
        self.network.eval()
        arguments = {} if self.method is None else {"method": self.method}
        autocast = torch.autocast(self.state.device.type, dtype=self.autocast_dtype, enabled=self.amp)
        with torch.no_grad(), autocast:
            given = inputs_of(batch, self.inputs)
            outputs = self.inferer(given, self.network, **arguments)  # type: ignore[arg-type]
        if isinstance(outputs, torch.Tensor):
            outputs = {"pred": outputs}
        self.state.output = {
            name: value if value.dtype == torch.bool else value.float() for name, value in outputs.items()
        }
        if self.loss is not None and "label" in batch:
            self.state.output["terms"] = self.loss.terms(self.state.output, batch)
        self.fire_event(IterationEvents.MODEL_COMPLETED)
        return self.state.output
