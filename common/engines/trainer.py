"""Train a network through the stages of its configuration."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

import torch
import torch.distributed as dist
from ignite.engine import Events
from monai.engines import SupervisedTrainer
from monai.inferers import Inferer
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.parallel import DistributedDataParallel
from torch.utils.data import DataLoader

from common.data.stream_loader import StreamLoader
from common.engines.inferer import DistributedExplain, ExplainInferer, inputs_of
from common.types import Stage
from common.utils.batch import to_device
from common.utils.distributed import is_distributed
from common.utils.messages import did_you_mean


class StagedTrainer(SupervisedTrainer):
    """MONAI's trainer for losses with named terms and for networks that are trained in stages.

    The handler :class:`common.handlers.StageSwitch` decides when a stage begins; :meth:`enter` does it.
    """

    def __init__(
        self,
        device: torch.device | str,
        max_epochs: int,
        train_data_loader: DataLoader,
        network: nn.Module,
        stages: Sequence[Stage],
        inferer: Inferer | None = None,
        train_handlers: Sequence[Any] | None = None,
        amp: bool = False,
        max_grad_norm: float | None = None,
    ) -> None:
        """Set the trainer up in its first stage.

        Args:
            device: where to train.
            max_epochs: cap on the epochs of all stages together.
            train_data_loader: yields dictionaries with "image" and what the losses ask for.
            network: the network, or a DistributedDataParallel around it.
            stages: what to train, in order.
            inferer: calls the network's method; default :class:`ExplainInferer`.
            train_handlers: handlers to attach.
            amp: mixed precision, float16 with gradient scaling on CUDA and bfloat16 elsewhere.
            max_grad_norm: clip the gradient's norm to this value; None leaves it alone.

        Raises:
            ValueError: if no stage has an epoch, the gradient norm is not positive, or there is nothing to train on.
        """
        self.stages = [stage for stage in stages if stage.epochs > 0]
        if not self.stages:
            raise ValueError("no stage has any epoch: set the epochs of at least one stage above 0")
        if max_grad_norm is not None and max_grad_norm <= 0:
            raise ValueError(f"max_grad_norm is {max_grad_norm}, expected a positive number or null")
        if isinstance(train_data_loader, DataLoader) and len(train_data_loader) == 0:
            raise ValueError(
                "the training loader has no batch: there are fewer cases than batch_size, and a smaller last batch is "
                "dropped; lower batch_size"
            )
        self.max_grad_norm = max_grad_norm
        self.stage = self.stages[0]
        self._evaluating: list[nn.Module] = []  # what stays in evaluation mode while the rest trains
        self.resuming = False  # TrainingCheckpointSaver says when a training goes on
        self.stateful: dict[str, Any] = {}  # handlers put themselves here when their state belongs in a checkpoint
        super().__init__(
            device=device,
            max_epochs=max_epochs,
            train_data_loader=train_data_loader,
            network=network,
            optimizer=self.stage.optimizer,
            loss_function=self.stage.loss,  # type: ignore[arg-type]
            inferer=inferer or ExplainInferer(),
            train_handlers=list(train_handlers or ()),  # None would leave out the trainer's own, too
            decollate=False,
            optim_set_to_none=True,
        )
        self.mixed_precision = amp  # MONAI's own amp would set up a CUDA scaler on any device
        on_gpu = self.state.device.type == "cuda"
        self.autocast_dtype = torch.float16 if on_gpu else torch.bfloat16
        self.grad_scaler = torch.amp.GradScaler(self.state.device.type, enabled=amp and on_gpu)

    @property
    def network_def(self) -> nn.Module:
        """The network itself, without the wrappers of distributed training."""
        module = self.network.module if isinstance(self.network, DistributedDataParallel) else self.network
        return module.network if isinstance(module, DistributedExplain) else module

    def enter(self, stage: Stage) -> None:
        """Begin a stage: its loss, its optimiser, and everything it does not train frozen.

        Raises:
            ValueError: if the stage names a part that the network does not have.
        """
        network = self.network_def
        children = dict(network.named_children())
        modules = {name: module for name, module in network.named_modules() if name}
        parts = children | dict(network.named_parameters(recurse=False))
        _check_names(f"stage '{stage.name}' trains", stage.trainable, parts)
        _check_names(f"stage '{stage.name}' freezes the batch norm of", stage.freeze_norm, modules)
        for name, part in parts.items():
            part.requires_grad_(name in stage.trainable)
        inside = (module for name in stage.freeze_norm for module in modules[name].modules())
        norms = [module for module in inside if isinstance(module, _BatchNorm)]
        self._evaluating = norms + [child for name, child in children.items() if name not in stage.trainable]
        self.stage, self.optimizer, self.loss_function = stage, stage.optimizer, stage.loss  # type: ignore[assignment]
        if isinstance(self.data_loader, StreamLoader):
            self.data_loader.select(("labelled",) if stage.step is None else stage.step.streams)

    def autocast(self) -> torch.autocast:
        """Return the context in which networks run: mixed precision, where it is asked for."""
        return torch.autocast(self.state.device.type, dtype=self.autocast_dtype, enabled=self.mixed_precision)

    def check_finite(self, loss: torch.Tensor) -> None:
        """Refuse a loss that is no number.

        Raises:
            ValueError: with advice.
        """
        if not torch.isfinite(loss):
            raise ValueError(
                f"the loss became {loss.item()} in stage '{self.stage.name}', epoch {self.state.epoch}: lower the "
                "learning rate, set max_grad_norm, or train without mixed precision (--amp False). "
                "The last checkpoint is unharmed."
            )

    def _register_handlers(self, handlers: Sequence[Any]) -> None:
        """Attach the handlers; what they do after an epoch finds it finished, and equal buffers in all processes."""
        self.add_event_handler(Events.EPOCH_STARTED, self._begin_epoch)
        self.add_event_handler(Events.EPOCH_COMPLETED, self._end_epoch)
        if is_distributed():
            self.add_event_handler(Events.EPOCH_COMPLETED, self._share_buffers)
        super()._register_handlers(handlers)

    def _begin_epoch(self) -> None:
        if isinstance(self.data_loader, StreamLoader):
            self.data_loader.set_epoch(self.state.epoch)
        if self.stage.step is not None:
            self.stage.step.begin_epoch(self)

    def _end_epoch(self) -> None:
        if self.stage.step is not None:
            self.stage.step.end_epoch(self)

    def _share_buffers(self) -> None:
        """Give every process the buffers of the first.

        DistributedDataParallel does so before a forward pass only: the last batch of an epoch leaves every process
        with its own batch-norm statistics, which validation would use.
        """
        for buffer in self.network_def.buffers():
            dist.broadcast(buffer, src=0)

    def _iteration(self, engine: Any, batchdata: dict[str, Any]) -> dict[str, Any]:
        """Take one optimisation step and return the named terms, one value per sample."""
        batch = to_device(batchdata, self.state.device)
        self.network.train()
        for module in self._evaluating:
            module.eval()
        self.network.zero_grad(set_to_none=True)  # all gradients: those of an earlier stage must not enter the norm
        if self.stage.step is not None:
            return self.stage.step(self, batch)
        with self.autocast():
            given = inputs_of(batch, self.stage.inputs)
            outputs = self.inferer(given, self.network, method=self.stage.method)  # type: ignore[arg-type]
        terms = self.stage.loss.terms(outputs, batch)
        reduced = self.stage.loss.reduce(terms)
        self._step(reduced["loss"])
        return {
            "loss": reduced["loss"].item(),
            "terms": {name: value.detach() for name, value in terms.items()},
            **{name: value.detach() for name, value in outputs.items()},
            "label": batch.get("label"),
        }

    def _step(self, loss: torch.Tensor) -> None:
        """Back-propagate and update, refusing a loss that is no number."""
        self.check_finite(loss)
        self.grad_scaler.scale(loss).backward()
        if self.max_grad_norm is not None:
            self.grad_scaler.unscale_(self.optimizer)
            nn.utils.clip_grad_norm_(self.network.parameters(), self.max_grad_norm)
        self.grad_scaler.step(self.optimizer)
        self.grad_scaler.update()


def _check_names(act: str, names: Collection[str], parts: Collection[str]) -> None:
    """Refuse names of parts that the network does not have."""
    unknown = sorted(set(names) - set(parts))
    if unknown:
        direct = sorted(name for name in parts if "." not in name)
        raise ValueError(f"{act} {unknown}, but the network has only {direct}{did_you_mean(unknown[0], parts)}")
