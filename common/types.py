"""Protocols and typed records shared by every layer of the package."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import torch
from torch import Tensor
from torch.optim import Optimizer


class ExplainingNetwork(Protocol):
    """A network that predicts with ``forward`` and answers "why" with ``explain``."""

    def __call__(self, image: Tensor) -> Tensor:
        """Return the prediction alone, (B, C) logits, for images (B, D, H, W) in [0, 1]."""
        ...

    def explain(self, image: Tensor) -> dict[str, Tensor]:
        """Return everything else: maps, similarities, evidence, uncertainty, and the logits again."""
        ...


class StagedLoss(Protocol):
    """A loss that can be summed up over any number of batches.

    ``reduce(concatenate(terms(batch) for batch in batches))`` is the loss of all those batches taken as one,
    so that the training loss and the validation loss are the same quantity.
    """

    def terms(self, outputs: Mapping[str, Tensor], batch: Mapping[str, Any]) -> dict[str, Tensor]:
        """Return one value per sample, (B,), for every named term."""
        ...

    def reduce(self, terms: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Return one scalar per name; ``loss`` is the one to minimise."""
        ...


@runtime_checkable
class AnnealedLoss(Protocol):
    """A loss that depends on how far the training is."""

    def set_epoch(self, epoch: int) -> None:
        """Set what the loss is in an epoch, counted from 0."""
        ...


class TrainingStep(Protocol):
    """How a stage takes a step, where that is more than to back-propagate its loss.

    Attributes:
        streams: what it wants of a :class:`common.data.StreamLoader`.
    """

    streams: Sequence[str]

    def begin_epoch(self, trainer: Any) -> None:
        """Prepare an epoch of the trainer; called before its first step."""
        ...

    def __call__(self, trainer: Any, batch: dict[str, Any]) -> dict[str, Any]:
        """Take a step and return the trainer's output: "loss" and "terms", at least.

        The batch is on the device, the network in the modes of the stage, and no parameter has a gradient.
        """
        ...

    def end_epoch(self, trainer: Any) -> None:
        """Finish an epoch; called after its last step and before validation."""
        ...

    def state_dict(self) -> dict[str, Any]:
        """Return all that an exact resumption needs, in plain values and tensors."""
        ...

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Return to the moment of :meth:`state_dict`."""
        ...


class StageEnd(Protocol):
    """What a stage does when its training is over, such as to replace prototypes by parts of training images."""

    def __call__(self, trainer: Any) -> None:
        """Change the network of the trainer.

        Called in all processes, with the stage's best weights loaded, before they are kept as ``<number>_<name>.pt``
        and the next stage begins. Of a training killed meanwhile the last epoch is repeated and this called again.
        """
        ...


@dataclass(frozen=True)
class Stage:
    """One stage of a training, written down in the configuration.

    Attributes:
        name: shown in the history and used for the stage's checkpoint.
        epochs: longest duration; 0 skips the stage.
        trainable: what learns: names of the network's direct sub-modules and of parameters that it holds itself. All
            others are frozen: sub-modules in evaluation mode, with unchanged parameters and buffers.
        optimizer: a new one for each stage, over the parameters that learn.
        loss: what this stage minimises, in training and in validation.
        scheduler: any scheduler of ``torch.optim.lr_scheduler``; the plateau scheduler is given the monitored
            validation value.
        patience: epochs without improvement of the monitored value before the stage ends; None waits for ``epochs``.
        method: the network's method that training and validation call in this stage.
        inputs: what of a batch the method is given, in this order.
        freeze_norm: names of sub-modules (dotted where nested) whose batch-norm layers keep their running statistics
            in this stage: they normalise with them, as in evaluation, while their weights and biases still learn.
        scheduler_interval: when the scheduler takes a step: after every ``"epoch"`` or after every ``"iteration"``.
        step: how the stage takes a step; None back-propagates the loss of a labelled batch.
        at_end: what is done to the stage's best weights when it ends.
    """

    name: str
    epochs: int
    trainable: Sequence[str]
    optimizer: Optimizer
    loss: StagedLoss
    scheduler: torch.optim.lr_scheduler.LRScheduler | None = None
    patience: int | None = None
    method: str = "explain"
    inputs: Sequence[str] = ("image",)
    freeze_norm: Sequence[str] = ()
    scheduler_interval: str = "epoch"
    step: TrainingStep | None = None
    at_end: StageEnd | None = None

    def __post_init__(self) -> None:
        """Refuse impossible settings with a sentence that names them."""
        if self.epochs < 0:
            raise ValueError(f"stage '{self.name}': epochs is {self.epochs}, expected 0 (skip) or more")
        if not self.trainable:
            raise ValueError(f"stage '{self.name}': nothing is trainable; name at least one part of the network")
        for option in ("trainable", "freeze_norm", "inputs"):
            if isinstance(getattr(self, option), str):
                given = getattr(self, option)
                raise ValueError(f"stage '{self.name}': {option} is the text '{given}', expected a list: ['{given}']")
        if self.patience is not None and self.patience < 1:
            raise ValueError(f"stage '{self.name}': patience is {self.patience}, expected 1 or more, or null")
        if self.scheduler_interval not in ("epoch", "iteration"):
            raise ValueError(
                f"stage '{self.name}': scheduler_interval is '{self.scheduler_interval}', expected epoch or iteration"
            )
        plateau = self.scheduler
        if self.scheduler_interval == "iteration" and isinstance(plateau, torch.optim.lr_scheduler.ReduceLROnPlateau):
            raise ValueError(
                f"stage '{self.name}': the plateau scheduler waits for a validation, it cannot step after every "
                "iteration; set scheduler_interval to epoch"
            )
        waits = plateau.patience + 1 if isinstance(plateau, torch.optim.lr_scheduler.ReduceLROnPlateau) else 0
        if waits and self.patience is not None and self.patience <= waits:
            raise ValueError(
                f"stage '{self.name}': early stopping after {self.patience} bad epochs would always come before "
                f"the learning rate drops (after {waits}); give the stage a patience above {waits} or the scheduler "
                "a smaller one"
            )
