"""A learning rate that is held at first and then falls to the end of a training."""

from __future__ import annotations

from torch import Tensor
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

__all__ = ["HeldPolynomialLR", "held_polynomial"]


def held_polynomial(
    step: float, base: float, held: float, total: float, power: float = 0.9, min_lr: float = 0.0
) -> float:
    """Compute the learning rate of a step.

    Args:
        step: the step t, counted from 0.
        base: the rate of the first steps.
        held: number of steps with the base rate.
        total: number of steps T after which the rate would be 0.
        power: how the rate falls, 1 is a straight line.
        min_lr: the rate never falls below this one; a smaller base rate is kept.

    Returns:
        base for t < held, then base · (1 - (t - t0) / (T - t0))^power with t0 = held - 1, the last step of the base
        rate.
    """
    if step < held:
        return base
    start = max(held - 1, 0)
    left = max(1 - (step - start) / (total - start), 0.0)
    return max(base * left**power, min(min_lr, base))


class HeldPolynomialLR(LRScheduler):
    """:func:`held_polynomial` for the learning rates of an optimiser, stepped after every iteration.

    Source: the code of Ren et al., MICCAI 2023 (KarryRen/UML): 100 epochs, 0.3 of them held, power 0.9, at least 1e-5.

    Args:
        optimizer: its learning rates are the base rates.
        epochs: epochs of the stage.
        steps_per_epoch: batches of an epoch, the length of the data loader.
        held: share of the epochs with the base rate, in [0,1).
        power: how the rate falls, 1 is a straight line.
        min_lr: the rate never falls below this one; a smaller base rate is kept.

    Raises:
        ValueError: if an option is out of range.
    """

    def __init__(
        self,
        optimizer: Optimizer,
        epochs: int,
        steps_per_epoch: int,
        held: float = 0.0,
        power: float = 0.9,
        min_lr: float = 0.0,
    ) -> None:
        if steps_per_epoch < 1:
            raise ValueError(f"steps_per_epoch is {steps_per_epoch}, expected the number of batches, 1 or more")
        if not 0 <= held < 1:
            raise ValueError(f"held is {held}, expected a share of the epochs in [0,1)")
        if power <= 0 or min_lr < 0:
            raise ValueError(f"power is {power} and min_lr {min_lr}, expected a positive power and no negative rate")
        self.held = round(held * epochs) * steps_per_epoch
        self.total = max(epochs, 1) * steps_per_epoch
        self.power = power
        self.min_lr = min_lr
        super().__init__(optimizer)

    def get_lr(self) -> list[float | Tensor]:
        """Return the rate of the current step for every parameter group."""
        return [
            held_polynomial(self.last_epoch, float(base), self.held, self.total, self.power, self.min_lr)
            for base in self.base_lrs
        ]
