"""The overlays for fine-tuning: accepted as they are, and from training to metrics on a few exams."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from monai.bundle import ConfigParser

from common.data.phantoms import ExamSettings, write_exams
from common.networks import ExamSegmenter
from common.utils.config_check import check_config, declared_ids
from tests.bundles.commands import CPU, ROOT, configs, monai, train

BUNDLE = ROOT / "bundles" / "vwyl_report_classification"
TASKS = ("classification", "segmentation")
TINY = ["--max_epochs", "1", "--steps_per_epoch", "2", "--batch_size", "4", "--warm_up_steps", "1"]
PHANTOM = {"count": (40, 24, 16), "size": 64, "missing_fraction": 0.2, "training_masks": True}


def parsed(*names: str) -> ConfigParser:
    parser = ConfigParser()
    parser.read_config([str(BUNDLE / "configs" / f"{name}.json") for name in names])
    return parser


@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize("evaluated", [False, True])
def test_the_overlays_are_accepted_and_allow_no_more_than_they_must(task: str, evaluated: bool) -> None:
    parser = parsed("train", f"train_{task}", *([f"evaluate_{task}"] if evaluated else []))
    allowed = declared_ids(parser)
    assert check_config(parser, allowed) == []
    unused = {problem.split(":")[0] for problem in check_config(parser)}
    assert unused == set(allowed)


@pytest.mark.parametrize("task", TASKS)
def test_what_is_replaced_by_its_place_is_what_is_meant(task: str) -> None:
    handlers = parsed("train", f"train_{task}").get("train::handlers")
    (place,) = [index for index, one in enumerate(handlers) if one["_target_"].endswith("SettingsWriter")]
    settings = handlers[place]["settings"]
    assert "text_encoder" not in settings
    assert {"views", "view_side", "backbone", "image_size"} <= settings.keys()


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("exams") / "data"
    write_exams(ExamSettings.from_options(PHANTOM), folder, progress=False)
    return folder


@pytest.fixture(scope="module")
def encoder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Weights of which only the image encoder can be meant."""
    torch.manual_seed(5)
    network = ExamSegmenter()
    state = {f"image_encoder.{name}": value for name, value in network.image_encoder.state_dict().items()}
    file = tmp_path_factory.mktemp("weights") / "model.pt"
    torch.save(state, file)
    return file


@pytest.mark.slow
@pytest.mark.parametrize(
    ("task", "metrics"),
    [
        ("classification", {"finding_auroc", "finding_auroc/side_mass"}),
        ("segmentation", {"lesion_froc/1", "lesion_tiou/0.1", "lesion_dice", "lesion_dice_all", "lesion_silence"}),
    ],
)
def test_from_pretrained_weights_to_metrics(
    data: Path, encoder: Path, tmp_path: Path, task: str, metrics: set[str]
) -> None:
    size = ["--image_size", "[64, 64]", "--train_pct", "0.5"]
    train(BUNDLE, tmp_path, data, *TINY, *size, "--pretrained", str(encoder), overlay=f"train_{task}")
    files = configs(BUNDLE, "train", f"train_{task}", f"evaluate_{task}")
    places = ["--dataset_dir", str(data), "--output_dir", str(tmp_path), "--ckpt_dir", str(tmp_path / "checkpoints")]
    monai("run", "evaluating", "--config_file", files, *places, *CPU, "--image_size", "[64, 64]")
    table = json.loads((tmp_path / "metrics.json").read_text())["test"]
    assert metrics <= table.keys()
    assert not [name for name in table if name.startswith("zero_shot")]
    settings = json.loads((tmp_path / "checkpoints" / "settings.json").read_text())
    assert settings["findings"] == ["mass", "calcification", "distortion"]
