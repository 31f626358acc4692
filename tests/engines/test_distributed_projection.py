"""Two processes project on half of the images each: together the result of one process on all of them."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
import torch.distributed as dist
from monai.data import DataLoader, DistributedSampler

from common.explain.prototype_files import load_prototypes
from common.handlers import PrototypeProjection
from tests.prototype_setup import items, small_network
from tests.two_processes import in_two_processes

pytestmark = pytest.mark.slow

OPTIONS: list[dict[str, Any]] = [{}, {"rule": "optimal", "unique": "none"}, {"memory_gb": 0.0, "rule": "optimal"}]
DATA, VALIDATION = items(15, seed=1), items(6, seed=2)  # an odd number: one image is in both shares


def loader(data: list[dict[str, Any]], even: bool) -> DataLoader:
    sampler = DistributedSampler(data, even_divisible=even, shuffle=even) if dist.is_initialized() else None
    return DataLoader(data, batch_size=4, sampler=sampler)


def project(folder: Path) -> list[dict[str, torch.Tensor]]:
    """The student's weights after each projection."""
    results = []
    for number, options in enumerate(OPTIONS):
        torch.manual_seed(0)
        network = small_network()
        arguments = {"items": DATA, "classes": ["a", "b"], "folder": folder / str(number), **options}
        handler = PrototypeProjection(loader(DATA, True), validation=loader(VALIDATION, False), **arguments)
        handler(SimpleNamespace(network_def=network, state=SimpleNamespace(device=torch.device("cpu"))))
        results.append({key: value.clone() for key, value in network.student.state_dict().items()})
    return results


def test_two_halves_give_what_the_whole_gives(tmp_path):
    first, second = in_two_processes(project, tmp_path / "two")
    alone = project(tmp_path / "alone")
    for number in range(len(OPTIONS)):
        for key, value in alone[number].items():
            assert torch.equal(first[number][key], second[number][key]), key
            torch.testing.assert_close(first[number][key], value, rtol=0, atol=1e-5, msg=key)
        books = [load_prototypes(folder / str(number)) for folder in (tmp_path / "two", tmp_path / "alone")]
        places = [[(s.source_case, s.row, s.column, s.shared, s.box) for s in book.prototypes] for book in books]
        assert places[0] == places[1]
        assert books[0].effect == pytest.approx(books[1].effect, abs=1e-5)
