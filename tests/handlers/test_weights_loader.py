"""Weights are loaded when a run starts, strictly, and nothing in the file is executed."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from common.handlers import WeightsLoader
from tests.handlers.replay import replay


def network(width: int = 2) -> nn.Module:
    return nn.Sequential(nn.Linear(3, width), nn.BatchNorm1d(width))


def test_weights_are_there_before_the_first_step(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    trained, fresh = network(), network()
    torch.save(trained.state_dict(), tmp_path / "model.pt")
    assert not torch.equal(fresh[0].weight, trained[0].weight)
    with caplog.at_level("INFO"):
        replay([WeightsLoader(fresh, tmp_path / "model.pt")], [({}, {})])
    assert all(torch.equal(value, trained.state_dict()[key]) for key, value in fresh.state_dict().items())
    assert f"loaded 7 tensors from {tmp_path / 'model.pt'}" in caplog.text


def test_nothing_is_read_before_the_run(tmp_path: Path) -> None:
    """A configuration can be built, checked and exported without weights."""
    WeightsLoader(network(), tmp_path / "absent.pt")


class Trap:
    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.path,)


def test_what_cannot_be_loaded(tmp_path: Path) -> None:
    torch.save(network(5).state_dict(), tmp_path / "wider.pt")
    (tmp_path / "pickle.pt").write_bytes(pickle.dumps(Trap(tmp_path / "executed")))
    torch.save(network().state_dict(), tmp_path / "model.pt")
    (tmp_path / "torn.pt").write_bytes((tmp_path / "model.pt").read_bytes()[:500])
    for name, error, message in (
        ("absent.pt", FileNotFoundError, "absent.pt does not exist; expected a file written by training"),
        ("wider.pt", ValueError, r"of another shape: 0.weight is \(5, 3\), expected \(2, 3\)"),
        ("pickle.pt", ValueError, "something other than plain weights; nothing in it was executed"),
        ("torn.pt", ValueError, r"torn.pt \(500 bytes\) is truncated or damaged"),
    ):
        fresh = network()
        before = fresh[0].weight.clone()
        with pytest.raises(error, match=message):
            replay([WeightsLoader(fresh, tmp_path / name)], [({}, {})])
        assert torch.equal(fresh[0].weight, before), name
    assert not (tmp_path / "executed").exists()
