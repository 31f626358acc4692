"""Run the commands a user types, as a user does: in a process of their own."""

from __future__ import annotations

import csv
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

ROOT = Path(__file__).resolve().parents[2]
BUNDLES = sorted(path.parent.parent for path in ROOT.glob("bundles/*/configs/metadata.json"))
CPU = ["--device", "cpu"]


def configs(bundle: Path, *names: str) -> str:
    """Return the value of --config_file for configurations of a bundle."""
    return str([str(bundle / "configs" / f"{name}.json") for name in names])


def settled(bundle: Path, name: str, run: Path) -> list[str]:
    """Return the options that run a configuration with what a training has left: its settings and its weights."""
    files = str([str(bundle / "configs" / f"{name}.json"), str(run / "checkpoints" / "settings.json")])
    return ["--config_file", files, "--ckpt_path", str(run / "checkpoints" / "model.pt")]


def python(*arguments: str | Path, cwd: Path = ROOT, fails: bool = False, timeout: float = 300) -> str:
    """Run ``python <arguments>`` and return what it printed; it must succeed, or fail where that is expected."""
    done = subprocess.run(
        [sys.executable, *map(str, arguments)],
        cwd=cwd,
        env=_environment(),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
    )
    printed = done.stdout + done.stderr
    assert (done.returncode != 0) == fails, f"exit status {done.returncode} of {arguments}:\n{printed[-4000:]}"
    return printed


def monai(*arguments: str | Path, **options: object) -> str:
    """Run ``python -m monai.bundle <arguments>``."""
    return python("-m", "monai.bundle", *arguments, **options)  # type: ignore[arg-type]


def train(bundle: Path, run: Path, data: Path, *arguments: str, overlay: str | None = None, **options: object) -> str:
    """Train from a data folder into a run folder, on the CPU, with train.json alone or with an overlay."""
    return monai(*_training(bundle, run, data, arguments, overlay), **options)


def train_until(file: str, bundle: Path, run: Path, data: Path, *arguments: str) -> None:
    """Train, and send SIGKILL as soon as a checkpoint of that name exists."""
    command = [sys.executable, "-m", "monai.bundle", *_training(bundle, run, data, arguments)]
    process = subprocess.Popen(command, cwd=ROOT, env=_environment(), stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 120
    while not (run / "checkpoints" / file).exists() and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL, f"the training ended before {file} was seen; it must have been killed"


def train_in_two_processes(bundle: Path, run: Path, data: Path, *arguments: str) -> None:
    """Train with torchrun and gloo."""
    torchrun = ["-m", "torch.distributed.run", "--standalone", "--nproc_per_node=2", "-m", "monai.bundle"]
    python(*torchrun, *_training(bundle, run, data, arguments, "multi_gpu_train"))


def _training(bundle: Path, run: Path, data: Path, arguments: tuple[str, ...], overlay: str | None = None) -> list[str]:
    files = configs(bundle, "train", *([] if overlay is None else [overlay]))
    places = ["--dataset_dir", str(data), "--output_dir", str(run), "--ckpt_dir", str(run / "checkpoints")]
    return ["run", "training", "--config_file", files, *places, *CPU, *arguments]


def _environment() -> dict[str, str]:
    return {**os.environ, "OMP_NUM_THREADS": "1", "COLUMNS": "120"}


def table(file: Path) -> list[dict[str, str]]:
    """Read a CSV file."""
    with file.open() as lines:
        return list(csv.DictReader(lines))


def history(run: Path) -> list[dict[str, str]]:
    """Read metrics.csv, without the seconds, which differ from run to run."""
    return [{key: value for key, value in row.items() if key != "seconds"} for row in table(run / "metrics.csv")]


def weights(run: Path) -> dict[str, Tensor]:
    """Read the weights that a training has left."""
    return torch.load(run / "checkpoints" / "model.pt", weights_only=True)


def assert_same_training(one: Path, other: Path) -> None:
    """Compare history and weights of two runs to the last bit."""
    assert history(one) == history(other)
    first, second = weights(one), weights(other)
    assert first.keys() == second.keys()
    assert all(torch.equal(first[key], second[key]) for key in first)


def with_weights(bundle: Path, folder: Path, state: dict[str, Tensor]) -> Path:
    """Copy a bundle into a folder and give it weights."""
    copy = folder / bundle.name
    shutil.copytree(bundle, copy, ignore=shutil.ignore_patterns("models", "data", "run"))
    (copy / "models").mkdir()
    torch.save(state, copy / "models" / "model.pt")
    return copy


def assert_exports_predict_as(network: nn.Module, bundle: Path, size: int) -> None:
    """Verify and export a bundle that has weights with MONAI's commands, and compare the predictions of one image."""
    models, meta = bundle / "models", bundle / "configs" / "metadata.json"
    common = ["--net_id", "network_def", "--meta_file", meta, "--config_file", bundle / "configs" / "inference.json"]
    monai("verify_net_in_out", *common, *CPU)
    monai("ckpt_export", *common, "--filepath", models / "model.ts", "--ckpt_file", models / "model.pt")
    monai("onnx_export", *common, "--filepath", models / "model.onnx", "--ckpt_file", models / "model.pt")
    import onnxruntime

    image = torch.rand(1, 3, size, size, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        expected = network(image)
        torch.testing.assert_close(torch.jit.load(models / "model.ts")(image), expected, rtol=1e-4, atol=1e-5)
    session = onnxruntime.InferenceSession(str(models / "model.onnx"))
    (exported,) = session.run(None, {session.get_inputs()[0].name: image.numpy()})
    np.testing.assert_allclose(exported, expected.numpy(), rtol=1e-3, atol=1e-4)
