"""The xML bundle, run through its public commands on a few tiny synthetic images."""

from __future__ import annotations

import csv
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from common.data.phantoms import ShapesSettings, write_shapes
from tests.bundles.commands import ROOT, configs, monai, python

BUNDLE = ROOT / "bundles" / "xml_explainer_classification"

pytestmark = pytest.mark.bundle

CPU = ["--device", "cpu"]
TINY = [*CPU, "--image_size", "32", "--batch_size", "8", "--stage_epochs", "[1,1,1]"]


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data") / "shapes"
    options = {
        "count": 40,
        "size": 48,
        "shapes": [2, 3],
        "radius": [6, 8],
        "validation_fraction": 0.2,
        "test_fraction": 0.2,
    }
    write_shapes(ShapesSettings.from_options(options), folder, progress=False)
    return folder


def train(run: Path, data: Path, *arguments: str, **options: object) -> str:
    places = ["--dataset_dir", str(data), "--output_dir", str(run), "--ckpt_dir", str(run / "checkpoints")]
    return monai("run", "training", "--config_file", configs(BUNDLE, "train"), *places, *TINY, *arguments, **options)


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory, data: Path) -> Path:
    """A run folder after training, from the repository's root."""
    run = tmp_path_factory.mktemp("run")
    train(run, data)
    return run


def history(run: Path) -> list[dict[str, str]]:
    with (run / "metrics.csv").open() as file:
        return [{key: value for key, value in row.items() if key != "seconds"} for row in csv.DictReader(file)]


def test_training_leaves_a_complete_run_folder(trained: Path) -> None:
    rows = history(trained)
    assert [row["stage"] for row in rows] == ["classifier", "explainer", "joint"]
    assert all(0 < float(row["validation/loss"]) < 10 for row in rows)
    weights = torch.load(trained / "checkpoints" / "model.pt", weights_only=True)
    assert {key.split(".")[0] for key in weights} == {"mean", "std", "explainer", "classifier"}
    record = json.loads((trained / "run.json").read_text())["workflows"]["training"]
    assert record["status"] == "completed"
    assert "--stage_epochs" in record["command"]
    resolved = json.loads((trained / "config_training.json").read_text())
    assert resolved["stage_epochs"] == [1, 1, 1], "the override must be in the recorded configuration"


def test_run_and_run_training_are_the_same(trained: Path, data: Path, tmp_path: Path) -> None:
    """Also from inside the bundle's folder, with nothing but relative paths."""
    places = ["--dataset_dir", str(data), "--output_dir", str(tmp_path), "--ckpt_dir", str(tmp_path / "checkpoints")]
    monai("run", "--config_file", "configs/train.json", *places, *TINY, cwd=BUNDLE)
    assert history(tmp_path) == history(trained)


def test_evaluate_explain_and_infer_from_an_unrelated_directory(trained: Path, data: Path, tmp_path: Path) -> None:
    common = ["--dataset_dir", str(data), "--output_dir", str(trained), *CPU]
    few = ["--explained_cases", "4", "--perturbation_steps", "3"]
    monai("run", "evaluating", "--config_file", configs(BUNDLE, "train", "evaluate"), *common,
          "--ckpt_dir", str(trained / "checkpoints"), *TINY[2:6], *few, cwd=tmp_path)  # fmt: skip
    test = json.loads((trained / "metrics.json").read_text())["test"]
    assert {"accuracy", "auroc", "f1", "aopc", "aopc_random", "pompom", "energy_in_roi", "pointing_game"} <= set(test)
    assert all(entry["low"] is None or entry["low"] <= entry["value"] <= entry["high"] for entry in test.values())

    settings = trained / "checkpoints" / "settings.json"
    weights = ["--ckpt_path", str(trained / "checkpoints" / "model.pt")]
    explain = str([str(BUNDLE / "configs" / "explain.json"), str(settings)])
    monai("run", "explaining", "--config_file", explain, *common, *weights, cwd=tmp_path)
    records = [json.loads(path.read_text()) for path in trained.glob("explanations/*/explanation.json")]
    assert len(records) == 8
    assert all(record["image"] | {"rows": 48, "columns": 48} == record["image"] for record in records)
    assert "<script" in (trained / "report.html").read_text()

    inference = str([str(BUNDLE / "configs" / "inference.json"), str(settings)])
    monai("run", "--config_file", inference, *common, *weights, cwd=tmp_path)
    with (trained / "predictions.csv").open() as file:
        predictions = {row["case_id"]: row for row in csv.DictReader(file)}
    for record in records:
        for name, value in record["prediction"]["probabilities"].items():
            predicted = float(predictions[record["case_id"]][f"probability/{name}"])
            assert predicted == pytest.approx(value, abs=2e-6), "inference and explanation must agree"


def test_a_folder_of_images_with_a_bad_one(trained: Path, tmp_path: Path) -> None:
    """Inference on plain files: one bad image ends the run by name, or is skipped and recorded on request."""
    folder = tmp_path / "images"
    folder.mkdir()
    for index in range(3):
        pixels = np.random.default_rng(index).integers(0, 255, (50, 40), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / f"scan{index}.png")
    whole = (folder / "scan1.png").read_bytes()
    (folder / "scan1.png").write_bytes(whole[: len(whole) // 2])
    inference = str([str(BUNDLE / "configs" / "inference.json"), str(trained / "checkpoints" / "settings.json")])
    arguments = ["run", "--config_file", inference, "--dataset_dir", str(folder), "--output_dir", str(tmp_path / "out"),
                 "--ckpt_path", str(trained / "checkpoints" / "model.pt")]  # fmt: skip
    printed = monai(*arguments, fails=True)
    assert "scan1" in printed.splitlines()[-1]
    printed = monai(*arguments, "--on_error", "skip")
    assert "skipped: case 'scan1'" in printed
    with (tmp_path / "out" / "predictions.csv").open() as file:
        assert [row["case_id"] for row in csv.DictReader(file)] == ["scan0", "scan2"]
    failures = json.loads((tmp_path / "out" / "run.json").read_text())["workflows"]["inference"]["failures"]
    assert [failure["case"] for failure in failures] == ["scan1"]
    assert failures[0]["message"].startswith("scan1.png: ")


def test_a_misspelt_override_is_refused_with_a_suggestion(data: Path, tmp_path: Path) -> None:
    printed = train(tmp_path, data, "--learning_rat", "0.1", fails=True)
    assert "did you mean 'learning_rate'" in printed
    assert not (tmp_path / "checkpoints").exists(), "nothing may have been run"


def test_absent_data_says_how_to_get_some(tmp_path: Path) -> None:
    printed = train(tmp_path, tmp_path / "nowhere", fails=True)
    assert "does not exist" in printed.splitlines()[-1]
    assert "scripts.prepare" in printed


@pytest.mark.slow
def test_killed_and_resumed_equals_uninterrupted(trained: Path, data: Path, tmp_path: Path) -> None:
    """A real SIGKILL while the second stage runs; the history and weights come out the same to the last bit."""
    arguments = ["-m", "monai.bundle", "run", "training", "--config_file", configs(BUNDLE, "train"),
                 "--dataset_dir", str(data), "--output_dir", str(tmp_path),
                 "--ckpt_dir", str(tmp_path / "checkpoints"), *TINY]  # fmt: skip
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    process = subprocess.Popen([sys.executable, *arguments], cwd=ROOT, env=environment, stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 120
    while not (tmp_path / "checkpoints" / "1_classifier.pt").exists() and time.monotonic() < deadline:
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL, "the training must have been killed, not have ended"
    train(tmp_path, data, "--resume", "True")
    assert history(tmp_path) == history(trained)
    whole, resumed = (torch.load(run / "checkpoints" / "model.pt", weights_only=True) for run in (trained, tmp_path))
    assert all(torch.equal(whole[key], resumed[key]) for key in whole)


@pytest.mark.slow
def test_two_processes_train(data: Path, tmp_path: Path) -> None:
    """torchrun with gloo on the CPU: all stages run, and one process writes."""
    python("-m", "torch.distributed.run", "--standalone", "--nproc_per_node=2", "-m", "monai.bundle", "run", "training",
           "--config_file", configs(BUNDLE, "train", "multi_gpu_train"), "--dataset_dir", str(data), "--output_dir",
           str(tmp_path), "--ckpt_dir", str(tmp_path / "checkpoints"), *TINY)  # fmt: skip
    assert [row["stage"] for row in history(tmp_path)] == ["classifier", "explainer", "joint"]
    weights = torch.load(tmp_path / "checkpoints" / "model.pt", weights_only=True)
    assert not any(key.startswith("module.") for key in weights)


@pytest.mark.slow
def test_exports_predict_as_the_network(trained: Path, tmp_path: Path) -> None:
    bundle = tmp_path / BUNDLE.name
    shutil.copytree(BUNDLE, bundle, ignore=shutil.ignore_patterns("models", "data", "run"))
    (bundle / "models").mkdir()
    shutil.copyfile(trained / "checkpoints" / "model.pt", bundle / "models" / "model.pt")
    meta, inference = bundle / "configs" / "metadata.json", bundle / "configs" / "inference.json"
    monai(
        "verify_net_in_out",
        "--net_id",
        "network_def",
        "--meta_file",
        meta,
        "--config_file",
        inference,
        "--device",
        "cpu",
    )
    monai("ckpt_export", "--net_id", "network_def", "--filepath", bundle / "models" / "model.ts", "--ckpt_file",
          bundle / "models" / "model.pt", "--meta_file", meta, "--config_file", inference)  # fmt: skip
    monai("onnx_export", "--net_id", "network_def", "--filepath", bundle / "models" / "model.onnx", "--ckpt_file",
          bundle / "models" / "model.pt", "--meta_file", meta, "--config_file", inference)  # fmt: skip
    import onnxruntime

    from common.networks import ExplainerClassifier

    network = ExplainerClassifier(gate_positions="stage").eval()
    network.load_state_dict(torch.load(bundle / "models" / "model.pt", weights_only=True))
    image = torch.rand(1, 3, 224, 224, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        expected = network(image)
        torch.testing.assert_close(
            torch.jit.load(bundle / "models" / "model.ts")(image), expected, rtol=1e-4, atol=1e-5
        )
    session = onnxruntime.InferenceSession(str(bundle / "models" / "model.onnx"))
    (exported,) = session.run(None, {session.get_inputs()[0].name: image.numpy()})
    np.testing.assert_allclose(exported, expected.numpy(), rtol=1e-3, atol=1e-4)
