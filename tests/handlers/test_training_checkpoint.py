"""last.pt through full disks, kills and wrong files."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.training_setup import build


def last(folder: Path) -> dict[str, Any]:
    return torch.load(folder / "checkpoints" / "last.pt", weights_only=True)


def weights(folder: Path) -> dict[str, torch.Tensor]:
    return torch.load(folder / "checkpoints" / "model.pt", weights_only=True)


def same(first: dict[str, torch.Tensor], second: dict[str, torch.Tensor]) -> bool:
    return first.keys() == second.keys() and all(torch.equal(first[key], second[key]) for key in first)


def fail_at_third(target: str, error: OSError, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the third replacement of a file of this name fail."""
    replace, times = os.replace, iter((False, False, True))

    def refuse(source: Any, destination: Any) -> None:
        if Path(destination).name == target and next(times, False):
            raise error
        replace(source, destination)

    monkeypatch.setattr("os.replace", refuse)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A training that nothing interrupted."""
    folder = tmp_path_factory.mktemp("whole")
    build(folder).run()
    return folder


def test_what_is_saved(whole: Path) -> None:
    """Plain values and tensors only: it was read with weights_only."""
    state = last(whole)
    assert (state["epoch"], state["iteration"]) == (6, 24)
    assert state["plan"] == [
        ["classifier", 2, ["classifier"]],
        ["explainer", 2, ["explainer"]],
        ["joint", 2, ["classifier", "explainer"]],
    ]
    assert state["handlers"]["stage_switch"]["finished"] is True
    assert len(state["handlers"]["history"]["rows"]) == 6
    assert same(state["network"], weights(whole)), "the last stage ends with its best weights"


@pytest.mark.parametrize(("target", "complete"), [("last.pt", 2), ("model.pt", 3), ("metrics.csv", 2)])
def test_full_disk_says_so_and_loses_nothing(
    tmp_path: Path, whole: Path, monkeypatch: pytest.MonkeyPatch, target: str, complete: int
) -> None:
    """The disk fills up after so many complete epochs (the third is no improvement and writes no model.pt); with space
    again the training ends as if nothing had happened."""
    with monkeypatch.context() as patch:
        fail_at_third(target, OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)), patch)
        with pytest.raises(OSError, match=rf"could not write .*{target} \(No space left on device\); .* is intact"):
            build(tmp_path).run()
    assert last(tmp_path)["epoch"] == complete
    assert not list(tmp_path.rglob("*.tmp"))
    build(tmp_path, resume=True).run()
    assert same(weights(tmp_path), weights(whole))


KILLED = """
import os, signal, sys
from pathlib import Path
from tests.training_setup import build
replace, times = os.replace, [0]
def kill(source, target):
    times[0] += Path(target).name == sys.argv[2]
    if times[0] == 3:
        os.kill(os.getpid(), signal.SIGKILL)
    replace(source, target)
os.replace = kill
build(Path(sys.argv[1])).run()
"""


@pytest.mark.parametrize("target", ["last.pt", "1_classifier.pt"])
@pytest.mark.slow
def test_kill_while_saving(tmp_path: Path, whole: Path, repository: Path, target: str) -> None:
    """A real SIGKILL at the moment between writing and replacing. What lies about afterwards is tidied up one day."""
    program = KILLED if target == "last.pt" else KILLED.replace("== 3", "== 1")
    child = subprocess.run(
        [sys.executable, "-c", program, str(tmp_path), target], cwd=repository, timeout=120, check=False
    )
    assert child.returncode == -signal.SIGKILL
    assert last(tmp_path)["epoch"] == (2 if target == "last.pt" else 1)
    (leftover,) = tmp_path.rglob("*.tmp")
    assert leftover.name.startswith(f".{target}.")
    os.utime(leftover, (0, 0))  # as if the kill were long ago
    build(tmp_path, resume=True).run()
    assert same(weights(tmp_path), weights(whole))
    assert not list(tmp_path.rglob("*.tmp"))


def test_weights_alone_cannot_be_resumed(tmp_path: Path, whole: Path) -> None:
    (tmp_path / "checkpoints").mkdir()
    (tmp_path / "checkpoints" / "last.pt").write_bytes((whole / "checkpoints" / "model.pt").read_bytes())
    with pytest.raises(ValueError, match=r"last.pt holds no state of a training.*--resume False"):
        build(tmp_path, resume=True).run()


def test_a_truncated_checkpoint_is_named(tmp_path: Path, whole: Path) -> None:
    (tmp_path / "checkpoints").mkdir()
    content = (whole / "checkpoints" / "last.pt").read_bytes()
    (tmp_path / "checkpoints" / "last.pt").write_bytes(content[: len(content) // 2])
    with pytest.raises(ValueError, match=r"last.pt \(\d+ bytes\) is truncated or damaged"):
        build(tmp_path, resume=True).run()


def test_resume_without_a_checkpoint_starts_at_the_beginning(tmp_path: Path, whole: Path) -> None:
    """So that one command line serves a first start and every restart."""
    build(tmp_path, resume=True).run()
    assert same(weights(tmp_path), weights(whole))
