"""The xML bundle, run through its public commands on a few tiny synthetic images."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from common.data.phantoms import ShapesSettings, write_shapes
from common.networks import ExplainerClassifier
from tests.bundles.commands import (
    CPU,
    ROOT,
    assert_exports_predict_as,
    assert_same_training,
    configs,
    history,
    monai,
    settled,
    table,
    train,
    train_in_two_processes,
    train_until,
    weights,
    with_weights,
)

BUNDLE = ROOT / "bundles" / "xml_explainer_classification"

SIZES = ["--image_size", "32", "--batch_size", "8"]
TINY = [*SIZES, "--stage_epochs", "[1,1,1]"]
STAGES = ["classifier", "explainer", "joint"]


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


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory, data: Path) -> Path:
    """A run folder after training, from the repository's root."""
    run = tmp_path_factory.mktemp("run")
    train(BUNDLE, run, data, *TINY)
    return run


def test_training_leaves_a_complete_run_folder(trained: Path) -> None:
    rows = history(trained)
    assert [row["stage"] for row in rows] == STAGES
    assert all(0 < float(row["validation/loss"]) < 10 for row in rows)
    assert {key.split(".")[0] for key in weights(trained)} == {"mean", "std", "explainer", "classifier"}
    record = json.loads((trained / "run.json").read_text())["workflows"]["training"]
    assert record["status"] == "completed"
    assert "--stage_epochs" in record["command"]
    resolved = json.loads((trained / "config_training.json").read_text())
    assert resolved["stage_epochs"] == [1, 1, 1], "the override must be in the recorded configuration"


@pytest.mark.slow
def test_run_and_run_training_are_the_same(trained: Path, data: Path, tmp_path: Path) -> None:
    """Also from inside the bundle's folder, with nothing but relative paths."""
    places = ["--dataset_dir", str(data), "--output_dir", str(tmp_path), "--ckpt_dir", str(tmp_path / "checkpoints")]
    monai("run", "--config_file", "configs/train.json", *places, *CPU, *TINY, cwd=BUNDLE)
    assert_same_training(tmp_path, trained)


@pytest.mark.slow
def test_evaluate_explain_and_infer_from_an_unrelated_directory(trained: Path, data: Path, tmp_path: Path) -> None:
    common = ["--dataset_dir", str(data), "--output_dir", str(trained), *CPU]
    few = ["--explained_cases", "4", "--perturbation_steps", "3"]
    monai("run", "evaluating", "--config_file", configs(BUNDLE, "train", "evaluate"), *common,
          "--ckpt_dir", str(trained / "checkpoints"), *SIZES, *few, cwd=tmp_path)  # fmt: skip
    test = json.loads((trained / "metrics.json").read_text())["test"]
    assert {"accuracy", "auroc", "f1", "aopc", "aopc_random", "pompom", "energy_in_roi", "pointing_game"} <= set(test)
    assert all(entry["low"] is None or entry["low"] <= entry["value"] <= entry["high"] for entry in test.values())

    monai("run", "explaining", *settled(BUNDLE, "explain", trained), *common, cwd=tmp_path)
    records = [json.loads(path.read_text()) for path in trained.glob("explanations/*/explanation.json")]
    assert len(records) == 8
    assert all(record["image"] | {"rows": 48, "columns": 48} == record["image"] for record in records)
    assert "<script" in (trained / "report.html").read_text()

    monai("run", *settled(BUNDLE, "inference", trained), *common, cwd=tmp_path)
    predictions = {row["case_id"]: row for row in table(trained / "predictions.csv")}
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
    arguments = ["run", *settled(BUNDLE, "inference", trained), "--dataset_dir", str(folder),
                 "--output_dir", str(tmp_path / "out")]  # fmt: skip
    printed = monai(*arguments, fails=True)
    assert "scan1" in printed.splitlines()[-1]
    printed = monai(*arguments, "--on_error", "skip")
    assert "skipped: case 'scan1'" in printed
    assert [row["case_id"] for row in table(tmp_path / "out" / "predictions.csv")] == ["scan0", "scan2"]
    failures = json.loads((tmp_path / "out" / "run.json").read_text())["workflows"]["inference"]["failures"]
    assert [failure["case"] for failure in failures] == ["scan1"]
    assert failures[0]["message"].startswith("scan1.png: ")


def test_a_misspelt_override_is_refused_with_a_suggestion(data: Path, tmp_path: Path) -> None:
    printed = train(BUNDLE, tmp_path, data, *TINY, "--learning_rat", "0.1", fails=True)
    assert "did you mean 'learning_rate'" in printed
    assert not (tmp_path / "checkpoints").exists(), "nothing may have been run"


def test_absent_data_says_how_to_get_some(tmp_path: Path) -> None:
    printed = train(BUNDLE, tmp_path, tmp_path / "nowhere", *TINY, fails=True)
    assert "does not exist" in printed.splitlines()[-1]
    assert "scripts.prepare" in printed


@pytest.mark.slow
def test_killed_and_resumed_equals_uninterrupted(trained: Path, data: Path, tmp_path: Path) -> None:
    """A real SIGKILL while the second stage runs; the history and weights come out the same to the last bit."""
    train_until("1_classifier.pt", BUNDLE, tmp_path, data, *TINY)
    train(BUNDLE, tmp_path, data, *TINY, "--resume", "True")
    assert_same_training(tmp_path, trained)


@pytest.mark.slow
def test_two_processes_train(data: Path, tmp_path: Path) -> None:
    """All stages run, and one process writes."""
    train_in_two_processes(BUNDLE, tmp_path, data, *TINY)
    assert [row["stage"] for row in history(tmp_path)] == STAGES
    assert not any(key.startswith("module.") for key in weights(tmp_path))


@pytest.mark.slow
def test_exports_predict_as_the_network(trained: Path, tmp_path: Path) -> None:
    network = ExplainerClassifier(gate_positions="stage").eval()
    network.load_state_dict(weights(trained))
    assert_exports_predict_as(network, with_weights(BUNDLE, tmp_path, weights(trained)), size=224)
