"""The three golden maps and masks (source: loss values measured on icrto/xML's code)."""

import numpy as np
import pytest
import torch
from torch import Tensor


@pytest.fixture
def golden_map() -> Tensor:
    """Three 8x10 maps with many exact zeros."""
    values = np.random.RandomState(0).rand(3, 1, 8, 10).astype(np.float32)
    return torch.from_numpy(np.where(values < 0.3, np.float32(0), values))


@pytest.fixture
def golden_mask() -> Tensor:
    """A box, the upper half, and everything."""
    mask = torch.ones(3, 1, 8, 10, dtype=torch.uint8)
    mask[0] = 0
    mask[0, :, 2:6, 3:8] = 1
    mask[1, :, 4:] = 0
    return mask
