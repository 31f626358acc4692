"""Move batches between devices."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch


def to_device(batch: Mapping[str, Any], device: torch.device) -> dict[str, Any]:
    """Return the batch with every tensor on the device, as plain tensors; everything else is passed on as it is.

    A batch within the batch is treated likewise.

    MONAI's MetaTensor is unwrapped: its dispatch costs time on every operation and its metadata is not needed once
    the transforms are done.
    """

    def move(value: Any) -> Any:
        if isinstance(value, Mapping):
            return to_device(value, device)
        if not isinstance(value, torch.Tensor):
            return value
        return (value.as_tensor() if hasattr(value, "as_tensor") else value).to(device, non_blocking=True)

    return {name: move(value) for name, value in batch.items()}
