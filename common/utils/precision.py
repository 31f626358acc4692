"""Numbers precise enough for sums, logarithms and gamma functions."""

from __future__ import annotations

import torch
from torch import Tensor

__all__ = ["at_least_float32"]


def at_least_float32(values: Tensor) -> Tensor:
    """Lift half precision, which autocast leaves behind, to float32; float64 stays."""
    return values if values.dtype == torch.float64 else values.float()
