"""The table of metrics against strengths, of a network small enough to be understood: ``Dimmed``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from common.data import CORRUPTIONS, corrupt
from common.handlers import RobustnessReport
from common.metrics import SegmentationScores, classification_scores
from tests.handlers.evidential_steps import STRUCTURES, Dimmed, random_steps
from tests.handlers.replay import player

NETWORK = Dimmed()
SCORES = SegmentationScores(STRUCTURES, {"disc": ["rim", "cup"]}, cup="cup", disc="disc")


def steps(count: int = 10, batch_size: int = 4) -> list[tuple[dict, dict]]:
    return [(batch, NETWORK.explain(batch["image"])) for batch, _ in random_steps(count, batch_size)]


def table(folder: Path, played: list[tuple[dict, dict]], **options: Any) -> dict[str, Any]:
    player([RobustnessReport(folder, "test", NETWORK, **options)]).run(played, max_epochs=1)
    return json.loads((folder / "curves.json").read_text())["test"]["robustness"]


def test_every_kind_has_every_strength_of_every_metric(tmp_path: Path) -> None:
    found = table(tmp_path, steps(4), scores=SCORES)
    assert list(found) == list(CORRUPTIONS)
    names = {name for columns in found.values() for name in columns}
    assert {"accuracy", "auroc", "kappa", "ece", "brier", "nll", "aurc", "mean_uncertainty"} <= names
    assert {"dice/disc", "iou/cup", "hd95/rim", "assd/rim", "cup_to_disc_error", "mean_pixel_uncertainty"} <= names
    for columns in found.values():
        assert set(columns) == names
        assert columns["strength"] == [0, 1, 2, 3, 4, 5]
        assert all(len(values) == 6 for values in columns.values())


def test_noise_raises_the_uncertainty_and_costs_dice(tmp_path: Path) -> None:
    columns = table(tmp_path, steps(6), scores=SCORES, kinds=["gaussian_noise"])["gaussian_noise"]
    assert columns["mean_uncertainty"] == sorted(columns["mean_uncertainty"])
    assert columns["mean_uncertainty"][5] > columns["mean_uncertainty"][0]
    assert columns["dice/cup"][0] == 1.0
    assert columns["dice/cup"][5] < 0.9


def test_values_are_those_of_the_network_on_the_corrupted_images(tmp_path: Path) -> None:
    found = table(tmp_path, steps(batch_size=4), kinds=["blur", "gaussian_noise"], seed=3)
    (batch, _), *rest = steps(batch_size=10)
    assert not rest
    assert list(found) == ["blur", "gaussian_noise"]
    for kind, columns in found.items():
        for strength in range(6):
            outputs = NETWORK.explain(corrupt(batch["image"], kind, strength, batch["case_id"], seed=3))
            scores = classification_scores(outputs["probability"], batch["label"])
            assert columns["mean_uncertainty"][strength] == pytest.approx(outputs["uncertainty"].mean().item())
            assert columns["balanced_accuracy"][strength] == pytest.approx(scores["balanced_accuracy"])
        assert "dice/cup" not in columns


def test_chosen_cases_only(tmp_path: Path) -> None:
    items = [{"case_id": f"c{index}"} for index in range(10)]
    played = steps(batch_size=1)
    found = table(tmp_path, played, kinds=["jpeg"], items=items, cases=2)["jpeg"]
    ends = torch.cat([played[0][1]["uncertainty"], played[-1][1]["uncertainty"]])
    assert found["mean_uncertainty"][0] == pytest.approx(ends.mean().item())


def test_an_undefined_metric_is_null(tmp_path: Path) -> None:
    found = table(tmp_path, steps(count=1), kinds=["contrast"])["contrast"]
    assert found["error_auroc"][0] is None


def test_the_batch_is_left_as_it_was(tmp_path: Path) -> None:
    played = steps()
    before = [batch["image"].clone() for batch, _ in played]
    table(tmp_path, played)
    assert all(torch.equal(batch["image"], image) for (batch, _), image in zip(played, before, strict=True))


def test_a_second_run_forgets_the_first(tmp_path: Path) -> None:
    engine = player([RobustnessReport(tmp_path, "test", NETWORK, kinds=["blur"])])
    written = []
    for count in (10, 4):
        engine.run(steps(count), max_epochs=1)
        written.append(json.loads((tmp_path / "curves.json").read_text())["test"]["robustness"])
    fresh = table(tmp_path / "fresh", steps(4), kinds=["blur"])
    assert written[1] == fresh != written[0]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"kinds": ["gaussian_noize"]}, "did you mean 'gaussian_noise'"),
        ({"cases": 0, "items": [{"case_id": "a"}]}, "cases is 0"),
        ({"cases": 3}, "no items to choose from"),
    ],
)
def test_impossible_options_are_named(tmp_path: Path, options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        RobustnessReport(tmp_path, "test", NETWORK, **options)
