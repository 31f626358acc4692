"""metrics.json and curves.json of an uncertainty."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.metrics import log_loss, roc_auc_score

from common.handlers import UncertaintyReport
from common.metrics import calibration_scores, fit_temperature, scale_temperature, selective_scores
from tests.handlers.evidential_steps import Recall, random_steps, renamed
from tests.handlers.replay import player, replay


def joined(steps: list[tuple[dict, dict]]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    probability = torch.cat([outputs["probability"] for _, outputs in steps]).numpy()
    uncertainty = torch.cat([outputs["uncertainty"] for _, outputs in steps]).numpy()[:, 0]
    return probability, torch.cat([batch["label"] for batch, _ in steps]).numpy(), uncertainty


def written(folder: Path, steps: list[tuple[dict, dict]], **options: Any) -> tuple[dict[str, Any], dict[str, Any]]:
    replay([UncertaintyReport(folder, "test", **options)], steps)
    return tuple(json.loads((folder / f"{name}.json").read_text())["test"] for name in ("metrics", "curves"))


def test_values_are_those_of_the_metrics_and_of_scikit_learn(tmp_path: Path) -> None:
    steps = random_steps(40)
    table, curves = written(tmp_path, steps)
    probability, label, uncertainty = joined(steps)
    wrong = probability.argmax(1) != label
    assert 0 < wrong.sum() < 40
    expected = {
        **calibration_scores(probability, label),
        **selective_scores(uncertainty, ~wrong),
        "nll": log_loss(label, probability.astype(float)),
        "error_auroc": roc_auc_score(wrong, uncertainty),
        "error_auroc/least_confidence": roc_auc_score(wrong, -probability.max(1)),
        "mean_uncertainty": uncertainty.mean(),
    }
    assert {name: table[name]["value"] for name in expected} == pytest.approx(expected, rel=1e-6)
    measures = ("least_confidence", "mutual_information", "dissonance")
    others = {f"error_auroc/{name}" for name in measures} | {f"mean_{name}" for name in measures}
    assert set(table) == set(expected) | others
    assert all(entry["n"] == 40 for entry in table.values())
    assert set(curves) == {"reliability", "risk_coverage"}
    assert set(curves["reliability"]) == {"confidence", "accuracy", "count"}
    assert sum(curves["reliability"]["count"]) == 40
    assert curves["risk_coverage"]["coverage"][-1] == 1.0
    assert curves["risk_coverage"]["risk"][-1] == pytest.approx(wrong.mean())


def test_patients_are_drawn_whole(tmp_path: Path) -> None:
    items = [{"case_id": f"c{index}", "patient_id": "only"} for index in range(24)]
    table, _ = written(tmp_path, random_steps(), items=items)
    assert all(entry["low"] == pytest.approx(entry["value"]) == entry["high"] for entry in table.values())


def test_the_temperature_comes_from_other_cases_and_both_calibrations_are_written(tmp_path: Path) -> None:
    steps, other = random_steps(40), renamed(random_steps(60, seed=5), "other ")
    network = Recall(other)
    table, curves = written(tmp_path, steps, network=network, calibration=network.batches)
    probability, label, _ = joined(other)
    temperature = fit_temperature(probability, label)
    assert table["temperature"] == {"value": pytest.approx(temperature), "low": None, "high": None, "n": 60}
    probability, label, _ = joined(steps)
    scaled = calibration_scores(scale_temperature(probability, temperature), label)
    for name, value in scaled.items():
        assert table[f"{name}_scaled"]["value"] == pytest.approx(value)
    assert table["nll"]["value"] == pytest.approx(calibration_scores(probability, label)["nll"])
    assert sum(curves["reliability_scaled"]["count"]) == 40


def test_a_temperature_is_not_fitted_on_the_cases_it_is_judged_by(tmp_path: Path) -> None:
    steps = random_steps(10)
    network = Recall(steps)
    with pytest.raises(ValueError, match=r"10 cases are in the test split and among those .* such as 'c0'"):
        written(tmp_path, steps, network=network, calibration=network.batches)


def test_foreign_images_are_told_apart(tmp_path: Path) -> None:
    """Foreign images without any evidence are the most uncertain; without a label, as foreign images may be."""
    steps = random_steps(20)
    blank = [
        ({"case_id": batch["case_id"]}, {**outputs, "uncertainty": outputs["uncertainty"] * 0 + 1})
        for batch, outputs in random_steps(12, seed=9)
    ]
    network = Recall(blank)
    table, _ = written(tmp_path, steps, network=network, foreign=network.batches)
    assert table["ood_auroc"] == {"value": 1.0, "low": 1.0, "high": 1.0, "n": 32}
    assert table["ood_fpr95"]["value"] == 0.0
    seen, strange = joined(steps)[0].max(1), np.concatenate([o["probability"].numpy() for _, o in blank]).max(1)
    expected = roc_auc_score(np.r_[np.zeros(20), np.ones(12)], -np.r_[seen, strange])
    assert table["ood_auroc/least_confidence"]["value"] == pytest.approx(expected)
    assert {name for name in table if name.startswith("ood")} == {
        f"{name}{suffix}"
        for name in ("ood_auroc", "ood_fpr95")
        for suffix in ("", "/least_confidence", "/mutual_information", "/dissonance")
    }


def test_a_network_without_evidence_is_reported_too(tmp_path: Path) -> None:
    steps = [(batch, {"probability": outputs["probability"]}) for batch, outputs in random_steps(40)]
    table, _ = written(tmp_path, steps)
    assert table["error_auroc"] == table["error_auroc/least_confidence"]


def test_a_second_run_forgets_the_first(tmp_path: Path) -> None:
    engine = player([UncertaintyReport(tmp_path, "test")])
    for count in (12, 6):
        engine.run(random_steps(count), max_epochs=1)
    assert json.loads((tmp_path / "metrics.json").read_text())["test"]["ece"]["n"] == 6


def test_a_loader_without_a_network_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="give UncertaintyReport the network too"):
        UncertaintyReport(tmp_path, "test", foreign=[])
