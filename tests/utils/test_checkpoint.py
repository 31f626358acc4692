"""Checkpoints survive full disks and kills, execute nothing, and load strictly."""

import errno
import os
import pickle
import random
import resource
import signal
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path

import pytest
import torch
from torch import nn
from torchvision import models

from common.utils.checkpoint import load_state, load_weights_only, save_atomic, tensors_of

OLD = {"weight": torch.arange(4.0), "epoch": 7, "name": "old"}
NEW = {"weight": torch.zeros(1_000_000), "epoch": 8, "name": "new"}


@pytest.fixture
def checkpoint(tmp_path) -> Path:
    path = tmp_path / "run" / "model.pt"
    save_atomic(OLD, path)
    return path


def assert_old_is_intact_and_alone(path: Path) -> None:
    content = load_weights_only(path)
    assert torch.equal(content["weight"], OLD["weight"])
    assert (content["epoch"], content["name"]) == (7, "old")
    assert os.listdir(path.parent) == ["model.pt"]


def test_round_trip_makes_the_folder_and_leaves_nothing_else(checkpoint):
    assert_old_is_intact_and_alone(checkpoint)


def test_a_complete_new_file_replaces_the_old_one(checkpoint):
    save_atomic(NEW, checkpoint)
    assert load_weights_only(checkpoint)["epoch"] == 8
    assert os.listdir(checkpoint.parent) == ["model.pt"]


@pytest.mark.parametrize("failing", ["torch.save", "os.fsync", "os.replace"])
def test_full_disk_keeps_the_old_file(checkpoint, monkeypatch, failing):
    def full(*args, **kwargs):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr(failing, full)
        with pytest.raises(
            OSError, match=r"could not write .*model.pt \(No space left on device\).*intact.*Free some space"
        ):
            save_atomic(NEW, checkpoint)
    assert_old_is_intact_and_alone(checkpoint)


@contextmanager
def largest_file(size: int):
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_a_write_that_really_stops_half_way_keeps_the_old_file(checkpoint):
    with largest_file(1_000_000), pytest.raises(OSError, match=r"could not write .*model.pt .*intact"):
        save_atomic(NEW, checkpoint)
    assert_old_is_intact_and_alone(checkpoint)


@pytest.mark.parametrize("moment", ["fsync", "replace"])
def test_kill_while_saving_leaves_the_old_file(checkpoint, moment):
    """The child dies when everything is written but nothing is in place yet."""
    program = (
        "import os, signal, sys, torch\n"
        "from common.utils.checkpoint import save_atomic\n"
        f"os.{moment} = lambda *args: os.kill(os.getpid(), signal.SIGKILL)\n"
        "save_atomic({'weight': torch.zeros(1000), 'epoch': 8}, sys.argv[1])\n"
    )
    root = Path(__file__).resolve().parents[2]
    child = subprocess.run([sys.executable, "-c", program, str(checkpoint)], cwd=root, timeout=120, check=False)
    assert child.returncode == -signal.SIGKILL
    assert load_weights_only(checkpoint)["epoch"] == 7
    save_atomic(NEW, checkpoint)
    assert load_weights_only(checkpoint)["epoch"] == 8


class Malicious:
    """Creates a file when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self):
        return Path.touch, (self.path,)


@pytest.mark.parametrize("writer", ["torch", "pickle"])
def test_malicious_pickle_is_not_executed(tmp_path, writer):
    trap, path = tmp_path / "executed", tmp_path / "model.pt"
    content = {"state_dict": Malicious(trap)}
    if writer == "torch":
        torch.save(content, path)
    else:
        path.write_bytes(pickle.dumps(content))
    with pytest.raises(
        ValueError, match=r"model.pt holds something other than plain weights; nothing in it was executed"
    ) as caught:
        load_weights_only(path)
    assert not trap.exists()
    assert "weights_only" not in str(caught.value), "the message must not say how to switch the protection off"
    torch.load(path, weights_only=False) if writer == "torch" else pickle.loads(path.read_bytes())
    assert trap.exists(), "the trap works"


@pytest.mark.parametrize("fraction", [0.0, 0.002, 0.1, 0.5, 0.99])
def test_truncated_file(checkpoint, fraction):
    content = checkpoint.read_bytes()
    checkpoint.write_bytes(content[: int(len(content) * fraction)])
    with pytest.raises(ValueError, match=r"model.pt \(\d+ bytes\) is truncated or damaged; copy it again"):
        load_weights_only(checkpoint)


@pytest.mark.parametrize("zipped", [True, False])
def test_damaged_bytes_never_surface_as_a_readers_accident(tmp_path, zipped):
    path = tmp_path / "model.pt"
    torch.save(OLD, path, _use_new_zipfile_serialization=zipped)
    intact = path.read_bytes()
    generator = random.Random(0)
    messages = []
    for _ in range(100):
        damaged = bytearray(intact)
        for _ in range(3):
            damaged[generator.randrange(min(300, len(damaged)))] = generator.randrange(256)
        path.write_bytes(damaged)
        try:
            load_weights_only(path)  # a changed number is still a number
        except ValueError as error:
            messages.append(str(error))
    assert len(messages) > 50
    assert all(message.startswith(str(path)) for message in messages)


def test_a_page_saved_in_place_of_the_file(tmp_path):
    (tmp_path / "model.pt").write_text("<html>please log in</html>")
    with pytest.raises(ValueError, match=r"model.pt holds something other than plain weights"):
        load_weights_only(tmp_path / "model.pt")


def test_torchscript_in_place_of_weights(tmp_path):
    torch.jit.save(torch.jit.script(nn.Linear(2, 2)), tmp_path / "model.ts")
    with pytest.raises(ValueError, match=r"model.ts is a TorchScript export; expected the state dict"):
        load_weights_only(tmp_path / "model.ts")


def test_missing_file_and_folder(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"absent.pt does not exist; expected a file written by training"):
        load_weights_only(tmp_path / "absent.pt")
    with pytest.raises(FileNotFoundError, match=r"checkpoint .* is a folder; expected a file"):
        load_weights_only(tmp_path)


def small() -> nn.Module:
    return nn.Sequential(nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4))


@pytest.mark.parametrize("wrapper", [None, "state_dict", "model", "network"])
@pytest.mark.parametrize("prefix", ["", "module."])
def test_load_state_accepts_the_usual_wrappings(wrapper, prefix):
    trained, fresh = small(), small()
    state = {prefix + key: value for key, value in trained.state_dict().items()}
    report = load_state(fresh, {wrapper: state, "epoch": 3} if wrapper else state, "model.pt")
    assert all(torch.equal(value, trained.state_dict()[key]) for key, value in fresh.state_dict().items())
    assert str(report) == "loaded 7 tensors from model.pt"


def test_counters_of_early_pytorch_may_be_missing():
    trained, fresh = small(), small()
    state = {key: value for key, value in trained.state_dict().items() if "num_batches" not in key}
    report = load_state(fresh, state, "model.pt")
    assert torch.equal(fresh[0].weight, trained[0].weight)
    assert (report.loaded, report.notes) == (6, ("1 batch-norm counters not in the file, kept",))


def test_skipped_keys_are_left_as_they_are():
    trained, fresh = small(), small()
    kept = fresh[0].bias.clone()
    report = load_state(fresh, {**trained.state_dict(), "0.bias": torch.zeros(9)}, "model.pt", skip=["0.bias"])
    assert torch.equal(fresh[0].bias, kept)
    assert torch.equal(fresh[0].weight, trained[0].weight)
    assert report.loaded == 6


def test_misfit_lists_every_kind_of_difference_and_changes_nothing():
    network = small()
    before = {key: value.clone() for key, value in network.state_dict().items()}
    state = {key: torch.ones_like(value) for key, value in before.items()}
    del state["0.bias"]
    state["extra"] = torch.zeros(1)
    state["0.weight"] = torch.zeros(8, 3, 1, 1)
    with pytest.raises(ValueError, match="does not fit") as caught:
        load_state(network, state, "model.pt")
    assert str(caught.value) == (
        "model.pt does not fit Sequential: 1 missing: 0.bias; 1 unexpected: extra; 1 of another shape: 0.weight is "
        "(8, 3, 1, 1), expected (4, 3, 1, 1). It holds a network of 7 tensors, the network is a network of 7 tensors; "
        "build the network that the file was made with, or choose another file"
    )
    assert all(torch.equal(value, before[key]) for key, value in network.state_dict().items())


@pytest.mark.parametrize("name", ["resnet18", "resnet34", "resnet50", "resnet101", "resnet152"])
def test_another_architecture_is_called_by_its_name(name):
    with torch.device("meta"):
        state = {
            f"classifier.{key}": value for key, value in models.get_model(name, num_classes=5).state_dict().items()
        }
        state["explainer.norm.weight"] = torch.zeros(1)
    with pytest.raises(
        ValueError, match=rf"It holds a {name} with 5 classes, 3 image channels, an explainer, the network"
    ):
        load_state(small(), state, "model.pt")


def test_long_lists_are_cut():
    state = {f"layer{n}": torch.zeros(1) for n in range(9)}
    with pytest.raises(ValueError, match="9 unexpected: layer0, layer1, layer2, layer3, layer4 and 4 more"):
        load_state(small(), state, "model.pt")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"epoch": 3, "best": 0.5}, "model.pt holds a dictionary with epoch, best, expected a state dict"),
        ({}, "model.pt holds a dictionary with no keys, expected a state dict"),
        ([torch.zeros(1)], "model.pt holds a list, expected a state dict"),
        ({"model": {"weight": "text"}}, "model.pt holds a dictionary with weight, expected a state dict"),
    ],
)
def test_what_is_not_a_state_dict(content, message):
    with pytest.raises(ValueError, match=message):
        tensors_of(content, "model.pt")
