"""The VWYL bundle, run through its public commands on a few tiny synthetic exams."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from common.data.phantoms import ExamSettings, write_exams
from common.networks import MultiViewReportNet
from common.text import train_tokenizer
from common.utils.bundle import Bundle
from common.utils.network_check import build_network
from tests.bundles.commands import (
    CPU,
    ROOT,
    assert_same_training,
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

BUNDLE = ROOT / "bundles" / "vwyl_report_classification"

SIZES = ["--image_size", "[48,48]", "--batch_size", "4"]
TINY = [*SIZES, "--max_epochs", "2", "--val_interval", "1", "--warm_up_steps", "2"]
CLASSES = [f"{side} {finding}" for side in ("left", "right") for finding in ("mass", "calcification", "distortion")]
ASKED = {"zero_shot_auroc/mass", "zero_shot_auroc/mass/bright_specks", "zero_shot_auroc/side_mass"}
FOUND = {"retrieval_r5", "retrieval_chance_r5", "sentence_pointing/mass", "word_pointing/mass/brightest_spot"}


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data") / "exams"
    write_exams(ExamSettings.from_options({"count": [16, 8, 16], "size": 64}), folder, progress=False)
    return folder


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory, data: Path) -> Path:
    """A run folder after pre-training."""
    run = tmp_path_factory.mktemp("run")
    train(BUNDLE, run, data, *TINY)
    return run


@pytest.fixture(scope="module")
def explained(trained: Path, data: Path) -> list[dict[str, Any]]:
    """The records of all test exams."""
    places = ["--dataset_dir", str(data), "--output_dir", str(trained), "--max_cards", "3"]
    monai("run", "explaining", *settled(BUNDLE, "explain", trained), *places, *CPU, "--batch_size", "4")
    return [json.loads(path.read_text()) for path in sorted(trained.glob("explanations/*/explanation.json"))]


def evaluate(run: Path, data: Path, *arguments: str, by: str = "evaluate") -> dict[str, Any]:
    """Evaluate a run on the test exams; return the metrics."""
    settings = str(run / "checkpoints" / "settings.json")
    files = str([*(str(BUNDLE / "configs" / f"{name}.json") for name in ("train", by)), settings])
    places = ["--dataset_dir", str(data), "--output_dir", str(run), "--ckpt_dir", str(run / "checkpoints")]
    monai("run", "evaluating", "--config_file", files, *places, *CPU, *SIZES, *arguments)
    return json.loads((run / "metrics.json").read_text())["test"]


def test_training_leaves_a_complete_run_folder(trained: Path) -> None:
    rows = history(trained)
    assert [row["stage"] for row in rows] == ["report", "report"]
    assert all(0 < float(row["validation/loss"]) < 50 for row in rows), "also the validation contrasts texts and exams"
    assert {"train/global", "train/local"} <= set(rows[0])
    parts = {key.split(".")[0] for key in weights(trained)}
    assert parts == {"image_encoder", "text_encoder", "log_scale_global", "log_scale_local", "log_sharpness"}
    settings = json.loads((trained / "checkpoints" / "settings.json").read_text())
    assert (settings["classes"], settings["view_side"]) == (CLASSES, [0, 0, 1, 1])


def test_evaluation_asks_finds_and_points(trained: Path, data: Path) -> None:
    metrics = evaluate(trained, data)
    assert set(metrics) >= ASKED | FOUND
    assert metrics["retrieval_chance_r5"]["value"] == pytest.approx(5 / 16)
    examples = json.loads((trained / "retrieval.json").read_text())["examples"]
    assert all(len(example["top"]) == 5 for example in examples)


def test_explanations_say_what_the_network_says(explained: list[dict[str, Any]], trained: Path) -> None:
    assert len(explained) == 16
    for record in explained:
        assert record["classes"] == CLASSES
        assert len(record["views"]) == 4
        for name in CLASSES:
            logit = record["prediction"]["logits"][name]
            assert 1 / (1 + np.exp(-logit)) == pytest.approx(record["prediction"]["probabilities"][name], abs=1e-5)
    assert len(list(trained.glob("explanations/*/card.png"))) == 3
    assert (trained / "report.html").is_file()


def test_inference_predicts_as_explained_from_an_unrelated_directory(
    trained: Path, data: Path, explained: list[dict[str, Any]], tmp_path: Path
) -> None:
    places = ["--dataset_dir", str(data), "--output_dir", str(tmp_path)]
    monai("run", *settled(BUNDLE, "inference", trained), *places, *CPU, "--batch_size", "4", cwd=tmp_path)
    predictions = {row["case_id"]: row for row in table(tmp_path / "predictions.csv")}
    assert set(predictions) == {record["case_id"] for record in explained}
    for record in explained:
        for name, value in record["prediction"]["probabilities"].items():
            assert float(predictions[record["case_id"]][f"probability/{name}"]) == pytest.approx(value, abs=2e-6)


@pytest.mark.slow
def test_a_folder_of_exams_without_table_or_reports(trained: Path, data: Path, tmp_path: Path) -> None:
    """Views are told by their DICOM tags; one exam has lost a breast, which gets no opinion."""
    source = next(path for path in sorted((data / "images").iterdir()) if path.name.startswith("test"))
    for name, kept in (("whole", 4), ("one breast", 2)):
        (tmp_path / "exams" / name).mkdir(parents=True)
        for view in sorted(source.glob("*.dcm"))[:kept]:
            (tmp_path / "exams" / name / view.name).write_bytes(view.read_bytes())
    places = ["--dataset_dir", str(tmp_path / "exams"), "--output_dir", str(tmp_path / "out")]
    monai("run", *settled(BUNDLE, "inference", trained), *places, *CPU)
    rows = {row["case_id"]: row for row in table(tmp_path / "out" / "predictions.csv")}
    assert rows["one breast"]["probability/right mass"] == "", "no opinion on what was not seen"
    assert "right" not in rows["one breast"]["prediction"]
    assert float(rows["one breast"]["probability/left mass"]) == pytest.approx(
        float(rows["whole"]["probability/left mass"]), abs=2e-6
    )


@pytest.mark.slow
def test_other_prompts_ask_the_same_network(trained: Path, data: Path) -> None:
    prompts = str(BUNDLE / "configs" / "text" / "prompts_dutch.json")
    metrics = evaluate(trained, data, "--prompts", prompts, by="zero_shot")
    assert "zero_shot_auroc/mass" in metrics


@pytest.mark.slow
def test_a_tokenizer_and_prompts_of_ones_own_are_named_once(data: Path, tmp_path: Path) -> None:
    """Evaluation, inference and explanation take them, and the text encoder's options, from beside the weights."""
    train_tokenizer(["hamartoma " * 30]).save(tmp_path / "mine.json")
    asked = BUNDLE / "configs" / "text" / "prompts_dutch.json"
    own = ["--tokenizer", str(tmp_path / "mine.json"), "--prompts", str(asked)]
    train(BUNDLE, tmp_path, data, *TINY, *own, "--text_encoder", "{'name': 'tiny', 'width': 32}")
    (tmp_path / "mine.json").unlink()
    assert "zero_shot_auroc/mass" in evaluate(tmp_path, data)
    places = ["--dataset_dir", str(data), "--output_dir", str(tmp_path), *CPU]
    monai("run", *settled(BUNDLE, "inference", tmp_path), *places)
    monai("run", "explaining", *settled(BUNDLE, "explain", tmp_path), *places, "--max_cards", "1")
    record = json.loads(min(tmp_path.glob("explanations/*/explanation.json")).read_text())
    row = next(row for row in table(tmp_path / "predictions.csv") if row["case_id"] == record["case_id"])
    for name, value in record["prediction"]["probabilities"].items():
        assert float(row[f"probability/{name}"]) == pytest.approx(value, abs=2e-6)
    assert "borst" in json.dumps(record), "asked in Dutch"


@pytest.mark.slow
def test_shuffled_reports_train_on_the_same_exams(trained: Path, data: Path, tmp_path: Path) -> None:
    train(BUNDLE, tmp_path, data, *TINY, overlay="shuffled")
    rows, own = history(tmp_path), history(trained)
    assert len(rows) == len(own)
    assert rows[0]["train/loss"] != own[0]["train/loss"]


@pytest.mark.slow
def test_every_part_of_the_loss_trains(data: Path, tmp_path: Path) -> None:
    every = ["--decoder", "light", "--visual_weight", "1.0", "--ranking_weight", "0.1", "--view_weight", "0.1"]
    every += ["--visual", "{'agreement': 1.0, 'normal': 1.0, 'outside': 1.0}"]
    words = ["--local", "cosine", "--level", "exam", "--fusion", "attention", "--chunk", "2"]
    train(BUNDLE, tmp_path, data, *TINY, *every, *words)
    rows = history(tmp_path)
    assert all(float(rows[0][f"train/{term}"]) > 0 for term in ("global", "local", "view", "reconstruction", "normal"))
    metrics = evaluate(tmp_path, data, "--decoder", "light", "--fusion", "attention")
    assert {"map_auprc", "map_dice", "map_dice/otsu"} <= set(metrics)


@pytest.mark.slow
def test_published_settings_train_a_smaller_network(data: Path, tmp_path: Path) -> None:
    smaller = ["--backbone", "tiny", "--joint_width", "32", "--decoder", "light", "--image_size", "[64,64]"]
    train(BUNDLE, tmp_path, data, *smaller, "--max_epochs", "1", overlay="published")
    assert [row["stage"] for row in history(tmp_path)] == ["report"]


@pytest.mark.slow
def test_a_misspelt_override_is_refused_with_a_suggestion(data: Path, tmp_path: Path) -> None:
    printed = train(BUNDLE, tmp_path, data, *TINY, "--max_sentence", "3", fails=True)
    assert "did you mean 'max_sentences'" in printed
    assert not (tmp_path / "checkpoints").exists(), "nothing may have been run"


@pytest.mark.slow
def test_killed_and_resumed_equals_uninterrupted(trained: Path, data: Path, tmp_path: Path) -> None:
    """A real SIGKILL after the first epoch."""
    train_until("last.pt", BUNDLE, tmp_path, data, *TINY)
    train(BUNDLE, tmp_path, data, *TINY, "--resume", "True")
    assert_same_training(tmp_path, trained)


@pytest.mark.slow
def test_two_processes_train(data: Path, tmp_path: Path) -> None:
    train_in_two_processes(BUNDLE, tmp_path, data, *TINY)
    assert len(history(tmp_path)) == 2


@pytest.fixture(scope="module")
def network() -> MultiViewReportNet:
    """The network that the configurations name, untrained."""
    torch.manual_seed(0)
    built = build_network(Bundle(BUNDLE))
    assert isinstance(built, MultiViewReportNet)
    return built


@pytest.mark.slow
def test_the_package_runs_without_the_repository(network: MultiViewReportNet, tmp_path: Path) -> None:
    bundle = with_weights(BUNDLE, tmp_path, network.state_dict())
    printed = python("-m", "scripts.package", bundle, "--out", tmp_path / "dist")
    assert "proven in an empty directory without this library: inference, explain" in printed
    (archive,) = (tmp_path / "dist").glob("*.zip")
    names = set(zipfile.ZipFile(archive).namelist())
    assert f"{BUNDLE.name}/configs/text/tokenizer.json" in names
    assert f"{BUNDLE.name}/models/model.ts" in names
