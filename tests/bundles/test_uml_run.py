"""The UML bundle, run through its public commands on a few tiny synthetic photographs of the fundus."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from common.data import load_section
from common.data.phantoms import FundusSettings, write_fundus
from common.networks import UMLNet
from tests.bundles.commands import (
    CPU,
    ROOT,
    assert_exports_predict_as,
    assert_same_training,
    configs,
    history,
    monai,
    python,
    settled,
    table,
    train,
    train_in_two_processes,
    train_until,
    weights,
    with_weights,
)

BUNDLE = ROOT / "bundles" / "uml_evidential_segmentation"

SIZES = ["--image_size", "32", "--batch_size", "4", "--width", "0.125"]
TINY = [*SIZES, "--max_epochs", "1"]
EYE = ["--unions", "{'disc': ['rim', 'cup']}", "--cup", "cup", "--disc", "disc"]
PARTS = {"class_encoder", "segmentation_encoder", "mixer", "mutual_decoder", "segmentation_decoder", "classifier"}
CLASSIFIED = {"accuracy", "kappa", "auroc/glaucoma", "ece", "ece_scaled", "aurc", "error_auroc", "mean_uncertainty"}
SEGMENTED = {"dice/rim", "dice/cup", "iou/cup", "hd95/rim", "assd/cup", "pixel_error_auroc"}
CORRUPTIONS = {"gaussian_noise", "blur", "contrast", "jpeg"}


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data") / "fundus"
    write_fundus(FundusSettings.from_options({"count": [8, 4, 6], "size": 64}), folder, progress=False)
    return folder


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory, data: Path) -> Path:
    """A run folder after training."""
    run = tmp_path_factory.mktemp("run")
    train(BUNDLE, run, data, *TINY, *EYE)
    return run


@pytest.fixture(scope="module")
def explained(trained: Path, data: Path) -> list[dict[str, Any]]:
    """The records of all test cases."""
    return explain(trained, data)


def evaluate(run: Path, data: Path, *arguments: str, overlay: str | None = None) -> tuple[Any, Any]:
    """Evaluate a run on the test cases; return metrics and curves."""
    files = configs(BUNDLE, "train", "evaluate", *([] if overlay is None else [overlay]))
    places = ["--dataset_dir", str(data), "--output_dir", str(run), "--ckpt_dir", str(run / "checkpoints")]
    monai("run", "evaluating", "--config_file", files, *places, *CPU, *SIZES, *arguments)
    return tuple(json.loads((run / f"{name}.json").read_text())["test"] for name in ("metrics", "curves"))


def explain(run: Path, data: Path) -> list[dict[str, Any]]:
    """Explain the test cases; return their records."""
    places = ["--dataset_dir", str(data), "--output_dir", str(run)]
    monai("run", "explaining", *settled(BUNDLE, "explain", run), *places, *CPU, "--batch_size", "4")
    return [json.loads(path.read_text()) for path in sorted(run.glob("explanations/*/explanation.json"))]


def infer(run: Path, data: Path, cwd: Path = ROOT) -> None:
    places = ["--dataset_dir", str(data), "--output_dir", str(run)]
    monai("run", "predicting", *settled(BUNDLE, "inference", run), *places, *CPU, "--batch_size", "4", cwd=cwd)


def labels(file: Path) -> np.ndarray:
    return np.asarray(Image.open(file))


def assert_inference_agrees(run: Path, cases: int) -> None:
    """The pictures of inference and explanation are the same, pixel by pixel."""
    pictures = sorted(run.glob("segmentations/*.png"))
    assert len(pictures) == cases
    for file in pictures:
        np.testing.assert_array_equal(labels(file), labels(run / "explanations" / file.stem / "segmentation.png"))


def test_training_leaves_a_complete_run_folder(trained: Path) -> None:
    (row,) = history(trained)
    assert row["stage"] == "joint"
    for split in ("train", "validation"):
        losses = {name: float(row[f"{split}/{name}"]) for name in ("classification", "segmentation", "evidential")}
        total = 0.5 * losses["classification"] + 0.4 * losses["segmentation"] + 0.1 * losses["evidential"]
        assert float(row[f"{split}/loss"]) == pytest.approx(total, rel=1e-5)
        dice = [float(row[f"{split}/dice/{name}"]) for name in ("rim", "cup", "disc")]
        assert float(row[f"{split}/dice"]) == pytest.approx(np.mean(dice))
    assert {"validation/accuracy", "validation/auroc", "learning_rate"} <= set(row)
    assert {key.split(".")[0] for key in weights(trained)} - {"normalise"} == PARTS
    record = json.loads((trained / "run.json").read_text())["workflows"]["training"]
    assert record["status"] == "completed"
    resolved = json.loads((trained / "config_training.json").read_text())
    assert resolved["width"] == 0.125, "the override must be in the recorded configuration"
    settings = json.loads((trained / "checkpoints" / "settings.json").read_text())
    assert [structure["name"] for structure in settings["structures"]] == ["background", "rim", "cup"]
    assert (settings["image_size"], settings["width"], settings["crop"]) == (32, 0.125, False)


def test_evaluation_measures_both_tasks_their_uncertainty_and_robustness(trained: Path, data: Path) -> None:
    metrics, curves = evaluate(trained, data, *EYE)
    assert set(metrics) >= CLASSIFIED | SEGMENTED | {"dice/disc", "cup_to_disc_error", "temperature"}
    for name, entry in metrics.items():
        # Cases drawn again rather add to a calibration error: its interval may lie above its value.
        low = entry["low"] if not name.startswith(("ece", "mce")) else None
        assert low is None or low <= entry["value"] <= entry["high"], name
    assert metrics["temperature"]["n"] == 4, "fitted on the validation cases"
    assert {"roc", "reliability", "risk_coverage", "dice", "pixel_retention", "robustness"} <= set(curves)
    assert set(curves["robustness"]) == CORRUPTIONS
    for measured in curves["robustness"].values():
        assert measured["strength"] == [0, 1, 2, 3, 4, 5]
        for name in ("accuracy", "dice/disc", "ece", "mean_uncertainty", "mean_pixel_uncertainty"):
            assert measured[name][0] == pytest.approx(metrics[name]["value"], abs=1e-6), f"{name} of clean images"
        assert measured["mean_pixel_uncertainty"][0] != measured["mean_pixel_uncertainty"][5], "another image"


def test_explanations_have_records_cards_and_a_report(trained: Path, explained: list[dict[str, Any]]) -> None:
    assert len(explained) == 6
    for record in explained:
        beliefs, unknown = record["beliefs"], record["uncertainty"]["class"]
        assert sum(beliefs.values()) + unknown == pytest.approx(1, abs=1e-6)
        for name, probability in record["prediction"]["probabilities"].items():
            assert probability == pytest.approx(beliefs[name] + unknown / 2, abs=1e-6), "the Dirichlet mean"
        assert (record["image"]["rows"], record["image"]["columns"]) == (64, 64)
        folder = trained / "explanations" / record["case_id"]
        assert labels(folder / "segmentation.png").shape == labels(folder / "pixel_uncertainty.png").shape == (64, 64)
        assert (folder / "card.png").is_file()
    assert "<script" in (trained / "report.html").read_text()


def test_inference_segments_in_source_pixels_as_the_explanation(
    trained: Path, explained: list[dict[str, Any]], data: Path, tmp_path: Path
) -> None:
    """From an unrelated directory."""
    infer(trained, data, cwd=tmp_path)
    assert_inference_agrees(trained, cases=6)
    folder = trained / "segmentations"
    assert json.loads((folder / "values.json").read_text()) == {"0": "background", "1": "rim", "2": "cup"}
    rows = table(trained / "predictions.csv")
    assert [row["case_id"] for row in rows] == [record["case_id"] for record in explained]
    for row in rows:
        found = labels(folder / f"{row['case_id']}.png")
        assert found.shape == (64, 64)
        shares = [(found == index).mean() for index in (1, 2)]
        assert [float(row["share/rim"]), float(row["share/cup"])] == pytest.approx(shares, abs=1e-6)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("overlay", "written", "absent"),
    [("classifier", CLASSIFIED, SEGMENTED), ("segmenter", SEGMENTED, CLASSIFIED)],
)
def test_a_single_task_overlay_writes_what_it_can(
    overlay: str, written: set[str], absent: set[str], data: Path, tmp_path: Path
) -> None:
    """The networks to compare with, trained and evaluated with the same data, budget and numbers."""
    train(BUNDLE, tmp_path, data, *TINY, overlay=overlay)
    (row,) = history(tmp_path)
    measured = {"validation/accuracy": CLASSIFIED, "validation/dice": SEGMENTED}
    assert {name for name in measured if name in row} == {name for name, found in measured.items() if found is written}
    metrics, curves = evaluate(tmp_path, data, overlay=overlay)
    assert written <= set(metrics)
    assert not absent & set(metrics)
    assert set(curves["robustness"]) == CORRUPTIONS
    assert not absent & set(curves["robustness"]["blur"])


@pytest.mark.slow
@pytest.mark.parametrize("variant", ["attention", "reliable_mask"])
def test_cut_outs_are_put_back_into_their_source(variant: str, data: Path, tmp_path: Path) -> None:
    train(BUNDLE, tmp_path, data, *TINY, "--crop", "True", "--variant", variant)
    records = explain(tmp_path, data)
    boxes = {item["case_id"]: item["crop"] for item in load_section(data / "datalist.json", "test")}
    assert len(records) == 6
    for record in records:
        x0, y0, x1, y1 = boxes[record["case_id"]]
        assert (x1 - x0) * (y1 - y0) < 64 * 64, "the phantom's boxes must be parts of the image"
        assert record["evidence"]
        for item in record["evidence"]:
            left, top, right, bottom = item["box"]
            assert x0 <= left < right <= x1
            assert y0 <= top < bottom <= y1
        folder = tmp_path / "explanations" / record["case_id"]
        assert (folder / "reliable_mask.png").is_file() == (variant == "reliable_mask")
        outside = np.ones((64, 64), dtype=bool)
        outside[y0:y1, x0:x1] = False
        assert not labels(folder / "segmentation.png")[outside].any()
    infer(tmp_path, data)
    assert_inference_agrees(tmp_path, cases=6)


@pytest.mark.slow
def test_three_classes_and_other_structures_come_from_the_datalist(data: Path, tmp_path: Path) -> None:
    """What the network has to be for inference and explanation is in settings.json, not in their configurations."""
    content = json.loads((data / "datalist.json").read_text())
    content["meta"]["classes"].append("suspect")
    content["meta"]["structures"] = [{"name": "outside", "values": [255]}, {"name": "disc", "values": [0, 128]}]
    content["training"][0]["label"] = 2
    datalist = data / "three_classes.json"
    datalist.write_text(json.dumps(content))
    places = ["--datalist", str(datalist), "--output_dir", str(tmp_path), *CPU]
    train(BUNDLE, tmp_path, data, *TINY, "--datalist", str(datalist))
    monai("run", "explaining", *settled(BUNDLE, "explain", tmp_path), *places)
    monai("run", "predicting", *settled(BUNDLE, "inference", tmp_path), *places)
    record = json.loads(next(tmp_path.glob("explanations/*/explanation.json")).read_text())
    assert list(record["beliefs"]) == ["no glaucoma", "glaucoma", "suspect"]
    assert json.loads((tmp_path / "segmentations" / "values.json").read_text()) == {"0": "outside", "1": "disc"}
    assert_inference_agrees(tmp_path, cases=6)


@pytest.mark.slow
def test_a_misspelt_override_is_refused_with_a_suggestion(data: Path, tmp_path: Path) -> None:
    printed = train(BUNDLE, tmp_path, data, *TINY, "--annealing_epoch", "10", fails=True)
    assert "did you mean 'annealing_epochs'" in printed
    assert not (tmp_path / "checkpoints").exists(), "nothing may have been run"


@pytest.mark.slow
def test_a_missing_mask_is_refused_unless_allowed(data: Path, tmp_path: Path) -> None:
    content = json.loads((data / "datalist.json").read_text())
    case = content["training"][0]
    del case["mask"]
    datalist = data / "one_without_mask.json"
    datalist.write_text(json.dumps(content))
    printed = train(BUNDLE, tmp_path / "refused", data, *TINY, "--datalist", str(datalist), fails=True)
    assert f"{case['case_id']}" in printed.splitlines()[-1]
    assert "has no 'mask'" in printed.splitlines()[-1]
    allowed = tmp_path / "allowed"
    train(BUNDLE, allowed, data, *TINY, "--datalist", str(datalist), "--allow_missing_masks", "True")
    (row,) = history(allowed)
    assert 0 < float(row["train/loss"]) < 20


@pytest.mark.slow
def test_published_settings_ask_for_weights(data: Path, tmp_path: Path) -> None:
    """Frozen norms without published statistics would be no norms at all."""
    printed = train(BUNDLE, tmp_path, data, *TINY, overlay="published", fails=True)
    assert "norm is 'frozen', but weights is null" in printed


@pytest.mark.slow
def test_killed_and_resumed_equals_uninterrupted(data: Path, tmp_path: Path) -> None:
    """A real SIGKILL after the first epoch; annealing, schedule, history and weights go on as if nothing had been."""
    whole, resumed = tmp_path / "whole", tmp_path / "resumed"
    three = [*SIZES, "--max_epochs", "3", "--annealing_epochs", "2"]
    train(BUNDLE, whole, data, *three)
    train_until("last.pt", BUNDLE, resumed, data, *three)
    train(BUNDLE, resumed, data, *three, "--resume", "True")
    assert len(history(whole)) == 3
    assert_same_training(resumed, whole)


@pytest.mark.slow
def test_two_processes_train(data: Path, tmp_path: Path) -> None:
    """One process writes, and what it writes fits the bare network."""
    train_in_two_processes(BUNDLE, tmp_path, data, *TINY)
    assert [row["stage"] for row in history(tmp_path)] == ["joint"]
    UMLNet(encoder="small", width=0.125).load_state_dict(weights(tmp_path))


@pytest.fixture(scope="module")
def network() -> UMLNet:
    """The network that the configurations name, untrained."""
    torch.manual_seed(0)
    return UMLNet(encoder="small", width=0.25).eval()


@pytest.mark.slow
def test_exports_predict_as_the_network(network: UMLNet, tmp_path: Path) -> None:
    assert_exports_predict_as(network, with_weights(BUNDLE, tmp_path, network.state_dict()), size=256)


@pytest.mark.slow
def test_the_package_runs_without_the_repository(network: UMLNet, tmp_path: Path) -> None:
    bundle = with_weights(BUNDLE, tmp_path, network.state_dict())
    printed = python("-m", "scripts.package", bundle, "--out", tmp_path / "dist")
    assert "proven in an empty directory without this library: inference, explain" in printed
    (archive,) = (tmp_path / "dist").glob("*.zip")
    names = set(zipfile.ZipFile(archive).namelist())
    assert {f"{BUNDLE.name}/{file}" for file in ("configs/train.json", "models/model.pt", "models/model.ts")} <= names
