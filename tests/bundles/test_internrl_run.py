"""The InterNRL bundle, run through its public commands on a few tiny synthetic mammograms."""

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
from common.data.phantoms import MammogramSettings, write_mammograms
from common.explain.prototype_files import load_prototypes
from common.networks import InterNRL
from common.utils.bundle import Bundle
from common.utils.network_check import build_network
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

BUNDLE = ROOT / "bundles" / "internrl_prototype_classification"

SIZES = ["--image_size", "[64,32]", "--batch_size", "4", "--prototypes_per_class", "[2,3]", "--crop_breast", "True"]
CYCLE = ["--phases", "{'features': 1, 'last_layer': 1}"]
TINY = [*SIZES, "--stage_epochs", "[1,2,1]", *CYCLE]
QUICK = ["--explained_cases", "2", "--perturbation_steps", "2"]
FINDINGS = ["--findings", "['malignant']"]
DECIDED = {"accuracy", "auroc", "sensitivity_at_specificity/0.9", "ece", "temperature", "error_auroc"}
BRANCHES = {"student/auroc", "teacher/auroc", "branch_agreement"}
PLACED = {"pointing_game", "pointing_chance", "pointing_game/gradcam", "energy_in_roi", "dice/region", "froc/1"}
PROTOTYPES = {"prototype_purity", "prototype_uniqueness", "prototype_coverage", "prototype_place_stability/jpeg"}


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data") / "mammograms"
    options = {"count": 40, "size": [96, 48], "radius": [0.06, 0.08]}
    write_mammograms(MammogramSettings.from_options(options), folder, progress=False)
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
    return explain(trained, data)


def evaluate(run: Path, data: Path, *arguments: str, overlay: str | None = None) -> dict[str, Any]:
    """Evaluate a run on the test cases; return the metrics."""
    files = configs(BUNDLE, "train", "evaluate", *([] if overlay is None else [overlay]))
    places = ["--dataset_dir", str(data), "--output_dir", str(run), "--ckpt_dir", str(run / "checkpoints")]
    monai("run", "evaluating", "--config_file", files, *places, *CPU, *SIZES, *QUICK, *FINDINGS, *arguments)
    return json.loads((run / "metrics.json").read_text())["test"]


def explain(run: Path, data: Path, *arguments: str) -> list[dict[str, Any]]:
    """Explain the test cases; return their records."""
    places = ["--dataset_dir", str(data), "--output_dir", str(run)]
    monai("run", "explaining", *settled(BUNDLE, "explain", run), *places, *CPU, "--batch_size", "4", *arguments)
    return [json.loads(path.read_text()) for path in sorted(run.glob("explanations/*/explanation.json"))]


def stage(run: Path, name: str) -> dict[str, torch.Tensor]:
    return torch.load(run / "checkpoints" / f"{name}.pt", weights_only=True)


def test_training_leaves_a_complete_run_folder(trained: Path) -> None:
    rows = history(trained)
    assert [row["stage"] for row in rows] == ["global", "reciprocal", "reciprocal", "retrain"]
    assert all(0 < float(row["validation/loss"]) < 10 for row in rows)
    assert float(rows[1]["train/consistency"]) > 0
    assert rows[1]["train/feedback"] != "0.0"
    assert float(rows[2]["train/feedback"]) == 0, "the epoch of the last layer has none"
    assert {key.split(".")[0] for key in weights(trained)} == {"stem", "teacher", "student"}
    settings = json.loads((trained / "checkpoints" / "settings.json").read_text())
    assert (settings["image_size"], settings["prototypes_per_class"], settings["crop_breast"]) == (
        [64, 32],
        [2, 3],
        True,
    )
    assert json.loads((trained / "run.json").read_text())["workflows"]["training"]["status"] == "completed"


def test_prototypes_are_projected_once_and_stay(trained: Path, data: Path) -> None:
    book = load_prototypes(trained / "prototypes")
    final, before = stage(trained, "3_retrain"), stage(trained, "2_reciprocal")
    assert bool(final["student.prototypes.projected"])
    assert book.describes(final["student.prototypes.vectors"])
    assert all(torch.equal(final[key], value) for key, value in before.items() if key.startswith(("student", "stem")))
    assert any(not torch.equal(final[key], value) for key, value in before.items() if key.startswith("teacher"))
    training = {item["case_id"]: item for item in load_section(data / "datalist.json", "training")}
    for source in book.prototypes:
        item = training[source.source_case]
        assert source.class_index == item["label"]
        assert (data / source.source_image).samefile(item["image"]), "written down relative to the data's folder"
    patients = [source.patient_id for source in book.prototypes]
    assert len(set(patients)) == len(patients) == 5
    assert {"auroc_before", "auroc_after", "auroc_after_refit", "mean_logit_change"} <= set(book.effect)


def test_evaluation_measures_branches_places_and_prototypes(trained: Path, data: Path) -> None:
    metrics = evaluate(trained, data, "--baselines", "['random','gradcam']")
    assert set(metrics) >= DECIDED | BRANCHES | PLACED | PROTOTYPES | {"aopc", "aopc_random", "aopc/gradcam"}
    for name in ("auroc", "student/auroc", "pointing_game", "energy_in_roi", "prototype_purity"):
        assert metrics[name]["low"] <= metrics[name]["value"] <= metrics[name]["high"], name


def test_explanations_add_up_and_name_their_sources(trained: Path, data: Path, explained: list[dict[str, Any]]) -> None:
    assert len(explained) == 8
    training = {item["case_id"]: item for item in load_section(data / "datalist.json", "training")}
    for record in explained:
        assert "warning" not in record
        logits = dict.fromkeys(record["classes"], 0.0)
        for item in record["evidence"]:
            logits[item["class"]] += item["contribution"]
            assert item["contribution"] == pytest.approx(item["details"]["similarity"] * item["details"]["weight"])
            assert record["classes"][training[item["source_case"]]["label"]] == item["class"]
        assert len(record["evidence"]) == 5
        assert logits == pytest.approx(record["prediction"]["logits"], abs=1e-9)
        student = np.array(list(logits.values()))
        shares = np.exp(student - student.max()) / np.exp(student - student.max()).sum()
        assert list(record["branches"]["student"].values()) == pytest.approx(shares, abs=1e-5)
        both = [record["branches"][branch].values() for branch in ("student", "teacher")]
        mean = [(a + b) / 2 for a, b in zip(*both, strict=True)]
        assert list(record["prediction"]["probabilities"].values()) == pytest.approx(mean, abs=1e-5)
        folder = trained / "explanations" / record["case_id"]
        assert (folder / "card.png").is_file()
        heatmap = Image.open(folder / "heatmap_malignant.png")
        assert heatmap.size == (48, 96), "in pixels of the source image"
    assert "What it compares with" in (trained / "report.html").read_text()


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
def test_images_from_elsewhere_are_explained_without_the_training(trained: Path, tmp_path: Path) -> None:
    """Square colour photographs, no datalist, no prototypes at hand: said on every record."""
    folder = tmp_path / "images"
    folder.mkdir()
    for index in range(2):
        pixels = np.random.default_rng(index).integers(0, 255, (50, 50, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / f"photo{index}.png")
    records = []
    for arguments in ([], ["--prototypes_dir", str(trained / "prototypes")]):
        run = tmp_path / f"out{len(arguments)}"
        places = ["--dataset_dir", str(folder), "--output_dir", str(run), "--crop_breast", "False", *CPU]
        monai("run", "explaining", *settled(BUNDLE, "explain", trained), *places, *arguments)
        records.append(json.loads((run / "explanations" / "photo0" / "explanation.json").read_text()))
    assert "prototypes.json" in records[0]["warning"]
    assert "source_case" not in records[0]["evidence"][0]
    assert "warning" not in records[1]
    assert records[1]["evidence"][0]["source_case"]


@pytest.mark.slow
def test_any_number_of_classes_from_the_datalist(data: Path, tmp_path: Path) -> None:
    content = json.loads((data / "datalist.json").read_text())
    content["meta"]["classes"].append("suspect")
    for item in content["training"][:4]:
        item["label"] = 2
    datalist = data / "three_classes.json"
    datalist.write_text(json.dumps(content))
    options = ["--datalist", str(datalist), "--prototypes_per_class", "1"]
    train(BUNDLE, tmp_path, data, *TINY, *options)
    records = explain(tmp_path, data, "--datalist", str(datalist))
    assert list(records[0]["branches"]["teacher"]) == ["benign", "malignant", "suspect"]
    assert len(records[0]["evidence"]) == 3


@pytest.mark.slow
def test_few_labels(data: Path, tmp_path: Path) -> None:
    printed = train(BUNDLE, tmp_path, data, *TINY, overlay="semi_supervised")
    labelled = [int(part.split()[0]) for part in printed.partition("labels: ")[2].partition(";")[0].split(", ")]
    assert 0 < sum(labelled) < 12
    assert "unlabelled stream: 24 cases" in printed
    rows = history(tmp_path)
    assert float(rows[1]["train/pseudo_label_accuracy"]) <= 1
    assert json.loads((tmp_path / "checkpoints" / "settings.json").read_text())["output"] == "ensemble"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("overlay", "stages", "absent"),
    [
        ("plain", ["plain"] * 4, BRANCHES | PLACED | PROTOTYPES | {"aopc"}),
        ("supervised_student", ["student"] * 4, BRANCHES | {"pointing_game/gradcam"}),
        ("braix", ["global", "student", "student", "joint"], set()),
    ],
)
def test_relatives_train_and_are_measured_by_what_they_have(
    data: Path, tmp_path: Path, overlay: str, stages: list[str], absent: set[str]
) -> None:
    train(BUNDLE, tmp_path, data, *TINY, overlay=overlay)
    assert [row["stage"] for row in history(tmp_path)] == stages
    metrics = evaluate(tmp_path, data, "--perturbation_kinds", "['gray']", overlay=overlay)
    expected = DECIDED | BRANCHES | PLACED | PROTOTYPES | {"aopc"}
    assert set(metrics) & expected == expected - absent
    assert (tmp_path / "prototypes" / "prototypes.json").is_file() == (overlay != "plain")


@pytest.mark.slow
def test_published_settings_train_a_smaller_network(data: Path, tmp_path: Path) -> None:
    """Their augmentation, schedules and restart of the teacher, with little else of theirs."""
    smaller = ["--backbone", "tiny", "--hidden", "8", "--prototype_channels", "8"]
    train(BUNDLE, tmp_path, data, *TINY, *smaller, overlay="published")
    rows = history(tmp_path)
    assert [row["stage"] for row in rows] == ["global", "reciprocal", "reciprocal", "retrain"]
    assert float(rows[0]["learning_rate"]) == 1e-4


@pytest.mark.slow
def test_published_settings_build_the_published_network() -> None:
    parser = Bundle(BUNDLE).parser("train", "published")
    parser["classes"] = ["benign", "malignant"]
    network = parser.get_parsed_content("network_def")
    count = sum(parameter.numel() for parameter in network.parameters())
    assert count == 9_262_718 + 4_238_700, "teacher with stem, and student"
    assert network.student.prototypes.scale == 128
    assert parser.get_parsed_content("losses::student").consistency == 200


@pytest.mark.slow
def test_a_misspelt_override_is_refused_with_a_suggestion(data: Path, tmp_path: Path) -> None:
    printed = train(BUNDLE, tmp_path, data, *TINY, "--label_fractoin", "0.5", fails=True)
    assert "did you mean 'label_fraction'" in printed
    assert not (tmp_path / "checkpoints").exists(), "nothing may have been run"


@pytest.mark.slow
@pytest.mark.parametrize("file", ["1_global.pt", "2_reciprocal.pt"])
def test_killed_and_resumed_equals_uninterrupted(trained: Path, data: Path, tmp_path: Path, file: str) -> None:
    """A real SIGKILL in the second and in the third stage; also the prototypes come out the same."""
    train_until(file, BUNDLE, tmp_path, data, *TINY)
    train(BUNDLE, tmp_path, data, *TINY, "--resume", "True")
    assert_same_training(tmp_path, trained)
    resumed, whole = (load_prototypes(run / "prototypes") for run in (tmp_path, trained))
    assert resumed.fingerprint == whole.fingerprint
    assert resumed.prototypes == whole.prototypes


@pytest.mark.slow
def test_two_processes_train(data: Path, tmp_path: Path) -> None:
    """All stages run, one process writes, and what it writes fits the bare network."""
    train_in_two_processes(BUNDLE, tmp_path, data, *TINY)
    assert [row["stage"] for row in history(tmp_path)] == ["global", "reciprocal", "reciprocal", "retrain"]
    book = load_prototypes(tmp_path / "prototypes")
    assert book.describes(weights(tmp_path)["student.prototypes.vectors"])


@pytest.fixture(scope="module")
def network() -> InterNRL:
    """The network that the configurations name, untrained."""
    torch.manual_seed(0)
    built = build_network(Bundle(BUNDLE))
    assert isinstance(built, InterNRL)
    return built


@pytest.mark.slow
def test_exports_predict_as_the_network(network: InterNRL, tmp_path: Path) -> None:
    assert_exports_predict_as(network, with_weights(BUNDLE, tmp_path, network.state_dict()), size=224)


@pytest.mark.slow
def test_the_package_runs_without_the_repository(network: InterNRL, tmp_path: Path) -> None:
    bundle = with_weights(BUNDLE, tmp_path, network.state_dict())
    printed = python("-m", "scripts.package", bundle, "--out", tmp_path / "dist")
    assert "proven in an empty directory without this library: inference, explain" in printed
    (archive,) = (tmp_path / "dist").glob("*.zip")
    names = set(zipfile.ZipFile(archive).namelist())
    assert {f"{BUNDLE.name}/{file}" for file in ("configs/train.json", "models/model.pt", "models/model.ts")} <= names
