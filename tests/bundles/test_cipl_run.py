"""The CIPL bundle, run through its public commands on a few tiny synthetic chest X-rays."""

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
from common.data.phantoms import ChestSettings, write_chests
from common.explain.prototype_files import load_prototypes
from common.networks import CIPLNet
from common.utils.bundle import Bundle
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

BUNDLE = ROOT / "bundles" / "cipl_multilabel_classification"
BACKGROUND = "No Finding"

SIZES = ["--image_size", "[64,64]", "--batch_size", "4", "--backbone", "tiny"]
HEAD = ["--prototypes_per_class", "2", "--prototype_channels", "16", "--similarity_scale", "2.0"]
TINY = [*SIZES, *HEAD, "--stage_epochs", "[1,2,1]", "--learning_rate", "0.003"]
QUICK = [
    "--baselines",
    "['random']",
    "--explained_cases",
    "2",
    "--perturbation_steps",
    "2",
    "--perturbation_kinds",
    "['gray']",
]
STAGES = ["warm_up", "joint", "joint", "last_layer"]
DECIDED = {"auroc", "auroc/Mass", "average_precision/Mass", "subset_accuracy", "hamming_loss", "f1_tuned/Mass"}
PLACED = {"pointing_game", "pointing_chance", "pointing_game/Mass", "energy_in_box", "t_iou/0.1", "entanglement"}
PROTOTYPES = {"prototype_purity", "prototype_uniqueness", "aopc", "aopc_random"}


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data") / "chests"
    options = {"count": 80, "size": 64, "nodule": [0.028, 0.036], "mass": [0.065, 0.09]}
    write_chests(ChestSettings.from_options(options), folder, progress=False)
    return folder


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory, data: Path) -> Path:
    """A run folder after training."""
    run = tmp_path_factory.mktemp("run")
    train(BUNDLE, run, data, *TINY)
    return run


@pytest.fixture(scope="module")
def explained(trained: Path, data: Path) -> list[dict[str, Any]]:
    """The records of all test cases."""
    places = ["--dataset_dir", str(data), "--output_dir", str(trained)]
    monai("run", "explaining", *settled(BUNDLE, "explain", trained), *places, *CPU, "--batch_size", "4")
    return [json.loads(path.read_text()) for path in sorted(trained.glob("explanations/*/explanation.json"))]


def evaluate(run: Path, data: Path, *arguments: str, overlay: str | None = None) -> dict[str, Any]:
    """Evaluate a run on the test cases; return the metrics."""
    files = configs(BUNDLE, "train", "evaluate", *([] if overlay is None else [overlay]))
    places = ["--dataset_dir", str(data), "--output_dir", str(run), "--ckpt_dir", str(run / "checkpoints")]
    monai("run", "evaluating", "--config_file", files, *places, *CPU, *SIZES, *HEAD, *QUICK, *arguments)
    return json.loads((run / "metrics.json").read_text())["test"]


def test_training_leaves_a_complete_run_folder(trained: Path) -> None:
    rows = history(trained)
    assert [row["stage"] for row in rows] == STAGES
    assert all(0 < float(row["validation/loss"]) < 10 for row in rows)
    assert rows[0]["train/cross"] == "", "pairs begin with the joint stage"
    assert all(float(row[f"train/{term}"]) > 0 for row in rows[1:3] for term in ("cross", "prediction"))
    assert {key.split(".")[0] for key in weights(trained)} == {"trunk", "add_on", "prototypes", "last_layer"}
    settings = json.loads((trained / "checkpoints" / "settings.json").read_text())
    assert (settings["image_size"], settings["background"], len(settings["classes"])) == ([64, 64], BACKGROUND, 6)


def test_prototypes_have_sources_of_their_class_and_only_the_last_layer_changes_after(
    trained: Path, data: Path
) -> None:
    book, final = load_prototypes(trained / "prototypes"), weights(trained)
    joint = torch.load(trained / "checkpoints" / "2_joint.pt", weights_only=True)
    assert bool(final["prototypes.projected"])
    assert book.describes(final["prototypes.vectors"])
    changed = {name for name, value in joint.items() if not torch.equal(value, final[name])}
    assert changed == {"last_layer.weight"}
    assert bool((final["last_layer.weight"] >= 0).all())
    training = {item["case_id"]: item for item in load_section(data / "datalist.json", "training")}
    for source in book.prototypes:
        label = training[source.source_case]["label"]
        assert not any(label) if source.class_name == BACKGROUND else label[source.class_index]
    assert len({source.patient_id for source in book.prototypes}) == len(book.prototypes) == 14


def test_evaluation_measures_labels_places_and_prototypes(trained: Path, data: Path) -> None:
    metrics = evaluate(trained, data, "--baselines", "['random','saliency']")
    assert set(metrics) >= DECIDED | PLACED | PROTOTYPES | {"aopc/saliency"}
    for name in ("pointing_game", "energy_in_box", "prototype_purity", "hamming_loss"):
        assert metrics[name]["low"] <= metrics[name]["value"] <= metrics[name]["high"], name
    thresholds = json.loads((trained / "thresholds.json").read_text())
    assert set(metrics) > {f"f1_tuned/{name}" for name in thresholds["thresholds"]}
    together = json.loads((trained / "cooccurrence.json").read_text())
    assert np.array(together["true"]).shape == np.array(together["predicted"]).shape == (6, 6)
    assert json.loads((trained / "prototype_table.json").read_text())["classes"][-1] == BACKGROUND


def test_a_disease_is_its_likenesses_minus_those_of_the_background(
    trained: Path, data: Path, explained: list[dict[str, Any]]
) -> None:
    training = {item["case_id"]: item for item in load_section(data / "datalist.json", "training")}
    for record in explained:
        assert "warning" not in record
        total = dict.fromkeys([*record["classes"], BACKGROUND], 0.0)
        for item in record["evidence"]:
            total[item["class"]] += item["contribution"]
            label = training[item["source_case"]]["label"]
            assert label[record["classes"].index(item["class"])] if item["class"] != BACKGROUND else not any(label)
        assert len(record["evidence"]) == 14
        for name in record["classes"]:
            logit = total[name] - total[BACKGROUND]
            assert logit == pytest.approx(record["prediction"]["logits"][name], abs=1e-9)
            assert 1 / (1 + np.exp(-logit)) == pytest.approx(record["prediction"]["probabilities"][name], abs=1e-5)
        folder = trained / "explanations" / record["case_id"]
        assert (folder / "card.png").is_file()
        assert Image.open(folder / "heatmap_Mass.png").size == (64, 64)


def test_inference_predicts_as_explained_from_an_unrelated_directory(
    trained: Path, data: Path, explained: list[dict[str, Any]], tmp_path: Path
) -> None:
    places = ["--dataset_dir", str(data), "--output_dir", str(tmp_path)]
    monai("run", *settled(BUNDLE, "inference", trained), *places, *CPU, "--batch_size", "4", cwd=tmp_path)
    predictions = {row["case_id"]: row for row in table(tmp_path / "predictions.csv")}
    assert set(predictions) == {record["case_id"] for record in explained}
    for record in explained:
        row, probabilities = predictions[record["case_id"]], record["prediction"]["probabilities"]
        for name, value in probabilities.items():
            assert float(row[f"probability/{name}"]) == pytest.approx(value, abs=2e-6)
        found = [name for name, value in probabilities.items() if value >= 0.5]
        assert row["prediction"] == ("|".join(found) or BACKGROUND)


@pytest.mark.slow
def test_without_alignment_the_same_pairs_are_seen_and_nothing_else_is_asked(data: Path, tmp_path: Path) -> None:
    train(BUNDLE, tmp_path, data, *TINY, overlay="unaligned")
    rows = history(tmp_path)
    assert [row["stage"] for row in rows] == STAGES
    assert not {"train/cross", "train/interpretation", "train/prediction"} & set(rows[0])


@pytest.mark.slow
def test_a_black_box_of_the_same_backbone_is_measured_and_lends_its_gradients(
    trained: Path, data: Path, tmp_path: Path
) -> None:
    train(BUNDLE, tmp_path, data, *TINY, overlay="plain")
    assert [row["stage"] for row in history(tmp_path)] == ["plain"] * 4
    metrics = evaluate(tmp_path, data, overlay="plain")
    assert set(metrics) & (DECIDED | PLACED | PROTOTYPES) == DECIDED
    beside = evaluate(trained, data, "--plain_weights", str(tmp_path / "checkpoints" / "model.pt"))
    assert {"pointing_game/gradcam", "t_iou/0.1/gradcam"} <= set(beside)


@pytest.mark.slow
@pytest.mark.parametrize("overlay", ["published", "odir"])
def test_other_settings_train_a_smaller_network(data: Path, tmp_path: Path, overlay: str) -> None:
    train(BUNDLE, tmp_path, data, *TINY, "--sampling_overrides", "{'Mass': 9.0}", overlay=overlay)
    assert [row["stage"] for row in history(tmp_path)] == STAGES


@pytest.mark.slow
def test_published_settings_build_the_published_network() -> None:
    parser = Bundle(BUNDLE).parser("train", "published")
    parser["classes"] = [f"finding {index}" for index in range(14)]
    network = parser.get_parsed_content("network_def")
    assert network.prototypes.vectors.shape == (750, 256)
    assert network.prototypes.scale == 256
    assert parser.get_parsed_content("losses::joint").reduction == "sum"


@pytest.mark.slow
def test_a_misspelt_override_is_refused_with_a_suggestion(data: Path, tmp_path: Path) -> None:
    printed = train(BUNDLE, tmp_path, data, *TINY, "--teacher_momentun", "0.9", fails=True)
    assert "did you mean 'teacher_momentum'" in printed
    assert not (tmp_path / "checkpoints").exists(), "nothing may have been run"


@pytest.mark.slow
@pytest.mark.parametrize("file", ["1_warm_up.pt", "2_joint.pt"])
def test_killed_and_resumed_equals_uninterrupted(trained: Path, data: Path, tmp_path: Path, file: str) -> None:
    """A real SIGKILL in the second and in the third stage: teacher and pairs are the same."""
    train_until(file, BUNDLE, tmp_path, data, *TINY)
    train(BUNDLE, tmp_path, data, *TINY, "--resume", "True")
    assert_same_training(tmp_path, trained)
    resumed, whole = (load_prototypes(run / "prototypes") for run in (tmp_path, trained))
    assert resumed.prototypes == whole.prototypes


@pytest.mark.slow
def test_two_processes_train(data: Path, tmp_path: Path) -> None:
    """All stages run, one process writes, and what it writes fits the bare network."""
    train_in_two_processes(BUNDLE, tmp_path, data, *TINY)
    assert [row["stage"] for row in history(tmp_path)] == STAGES
    assert load_prototypes(tmp_path / "prototypes").describes(weights(tmp_path)["prototypes.vectors"])


@pytest.fixture(scope="module")
def network() -> CIPLNet:
    """The network that the configurations name, untrained."""
    torch.manual_seed(0)
    built = Bundle(BUNDLE).parser("inference").get_parsed_content("network_def").eval()
    assert isinstance(built, CIPLNet)
    return built


@pytest.mark.slow
def test_exports_predict_as_the_network(network: CIPLNet, tmp_path: Path) -> None:
    assert_exports_predict_as(network, with_weights(BUNDLE, tmp_path, network.state_dict()), size=128)


@pytest.mark.slow
def test_the_package_runs_without_the_repository(trained: Path, tmp_path: Path) -> None:
    bundle = with_weights(BUNDLE, tmp_path, weights(trained))
    (bundle / "models" / "settings.json").write_bytes((trained / "checkpoints" / "settings.json").read_bytes())
    printed = python("-m", "scripts.package", bundle, "--out", tmp_path / "dist")
    assert "proven in an empty directory without this library: inference, explain" in printed
    (archive,) = (tmp_path / "dist").glob("*.zip")
    names = set(zipfile.ZipFile(archive).namelist())
    assert {f"{BUNDLE.name}/{file}" for file in ("configs/train.json", "models/model.pt", "models/model.ts")} <= names
