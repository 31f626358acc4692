"""Golden weights and inputs: formulas instead of files (source: numbers measured on icrto/xML's code)."""

from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor, nn


def _golden(module: nn.Module) -> nn.Module:
    """Fill parameter p with RandomState(1000 + p) normals times sqrt(2 / fan-in), 0.05 for vectors; + 1 for norms."""
    norms = {f"{name}.weight" for name, layer in module.named_modules() if isinstance(layer, nn.BatchNorm2d)}
    with torch.no_grad():
        for p, (name, parameter) in enumerate(module.named_parameters()):
            values = np.random.RandomState(1000 + p).standard_normal(tuple(parameter.shape))
            values *= np.sqrt(2 / parameter[0].numel()) if parameter.ndim >= 2 else 0.05
            parameter.copy_(torch.from_numpy((values + (name in norms)).astype(np.float32)))
    return module.eval()


@pytest.fixture
def golden() -> Callable[[nn.Module], nn.Module]:
    return _golden


@pytest.fixture
def golden_image() -> Tensor:
    return torch.from_numpy(np.random.RandomState(7).rand(2, 3, 64, 64).astype(np.float32))


@pytest.fixture
def golden_gate() -> Tensor:
    return torch.from_numpy(np.random.RandomState(8).rand(2, 1, 64, 64).astype(np.float32))
