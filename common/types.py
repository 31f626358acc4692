"""Protocols and typed records shared by every layer of the package."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

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


@dataclass(frozen=True)
class Stage:
    """One stage of a training, written down in the configuration.

    Attributes:
        name: shown in the history and used for the stage's checkpoint.
        epochs: longest duration; 0 skips the stage.
        trainable: names of the network's sub-modules that learn; all others are frozen: in evaluation mode, with
            unchanged parameters and buffers.
        optimizer: a new one for each stage, over the parameters that learn.
        loss: what this stage minimises, in training and in validation.
        scheduler: any scheduler of ``torch.optim.lr_scheduler`` stepped once per epoch; the plateau scheduler is
            given the monitored validation value.
        patience: epochs without improvement of the monitored value before the stage ends; None waits for ``epochs``.
        method: the network's method that training and validation call in this stage.
    """

    name: str
    epochs: int
    trainable: Sequence[str]
    optimizer: Optimizer
    loss: StagedLoss
    scheduler: torch.optim.lr_scheduler.LRScheduler | None = None
    patience: int | None = None
    method: str = "explain"

    def __post_init__(self) -> None:
        """Refuse impossible settings with a sentence that names them."""
        if self.epochs < 0:
            raise ValueError(f"stage '{self.name}': epochs is {self.epochs}, expected 0 (skip) or more")
        if not self.trainable:
            raise ValueError(f"stage '{self.name}': nothing is trainable; name at least one sub-module of the network")
        if self.patience is not None and self.patience < 1:
            raise ValueError(f"stage '{self.name}': patience is {self.patience}, expected 1 or more, or null")
        plateau = self.scheduler
        waits = plateau.patience + 1 if isinstance(plateau, torch.optim.lr_scheduler.ReduceLROnPlateau) else 0
        if waits and self.patience is not None and self.patience <= waits:
            raise ValueError(
                f"stage '{self.name}': early stopping after {self.patience} bad epochs would always come before "
                f"the learning rate drops (after {waits}); give the stage a patience above {waits} or the scheduler "
                "a smaller one"
            )
