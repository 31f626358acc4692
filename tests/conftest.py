"""What all tests share: one thread per process, and markers by place."""

import os

# before torch is imported: on two cores, one thread per process beats all threads in each
os.environ.setdefault("OMP_NUM_THREADS", "1")

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

torch.set_num_threads(int(os.environ["OMP_NUM_THREADS"]))


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark everything under tests/bundles as ``bundle``."""
    for item in items:
        if "bundles" in Path(item.path).parts[-3:-1]:
            item.add_marker(pytest.mark.bundle)


@pytest.fixture(autouse=True)
def _seeded() -> Iterator[None]:
    """Start every test from the same random state and leave the caller's alone."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        yield


@pytest.fixture(scope="session")
def repository() -> Path:
    """Give the root of the checkout."""
    return Path(__file__).resolve().parents[1]
