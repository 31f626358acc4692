"""metrics.json and curves.json of a classification: scikit-learn's numbers, patients resampled whole."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.metrics import accuracy_score, balanced_accuracy_score, f1_score, roc_auc_score, roc_curve

from common.handlers import ClassificationReport
from common.handlers.classification_report import patient_of
from tests.handlers.replay import player, replay

CLASSES = ["glioma", "meningioma", "pituitary"]


def predictions(count: int) -> tuple[np.ndarray, np.ndarray]:
    generator = np.random.default_rng(3)
    label = np.arange(count) % 3
    logits = generator.normal(size=(count, 3)) + 1.5 * np.eye(3)[label]
    probability = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    return probability.astype(np.float32), label


def steps(probability: np.ndarray, label: np.ndarray, cuts: list[int]) -> list[tuple[dict, dict]]:
    """Unequal batches, cut at these places."""
    cases = np.array([f"case{index}" for index in range(len(label))])
    parts = zip(*(np.split(array, cuts) for array in (probability, label, cases)), strict=True)
    return [
        ({"label": torch.tensor(part_label), "case_id": list(names)}, {"probability": torch.tensor(part)})
        for part, part_label, names in parts
    ]


def report(folder: Path, items: list[dict] | tuple = (), count: int = 30, **options: Any) -> dict[str, Any]:
    replay([ClassificationReport(folder, "test", CLASSES, items, **options)], steps(*predictions(count), [4, 17]))
    return json.loads((folder / "metrics.json").read_text())["test"]


def test_values_are_those_of_scikit_learn(tmp_path: Path) -> None:
    probability, label = predictions(30)
    decided = probability.argmax(1)
    areas = roc_auc_score(label, probability, multi_class="ovr", average=None)
    expected = {
        "accuracy": accuracy_score(label, decided),
        "balanced_accuracy": balanced_accuracy_score(label, decided),
        "f1": f1_score(label, decided, average="macro"),
        "auroc": areas.mean(),
        **{f"auroc/{name}": area for name, area in zip(CLASSES, areas, strict=True)},
    }
    table = report(tmp_path)
    assert {name: table[name]["value"] for name in expected} == pytest.approx(expected)
    assert all(entry["n"] == 30 and entry["low"] <= entry["value"] <= entry["high"] for entry in table.values())
    x, y, _ = roc_curve(label == 1, probability[:, 1])
    drawn = json.loads((tmp_path / "curves.json").read_text())["test"]["roc"]["meningioma"]
    np.testing.assert_allclose(drawn["x"], x)
    np.testing.assert_allclose(drawn["y"], y)


def test_patients_are_drawn_whole(tmp_path: Path) -> None:
    """With everything from one patient every resample is the sample itself; with two per patient intervals widen."""
    one = report(tmp_path / "one", [{"case_id": f"case{i}", "patient_id": "only"} for i in range(30)])["accuracy"]
    assert one["low"] == one["high"] == one["value"]
    each = report(tmp_path / "each")["accuracy"]
    known = report(tmp_path / "known", [{"case_id": f"case{i}", "patient_id": f"p{i}"} for i in range(30)])["accuracy"]
    assert known["value"] == each["value"]
    assert each["low"] < each["value"] < each["high"]


def test_patients_are_read_from_the_items() -> None:
    items = [{"case_id": "a", "patient_id": 7}, {"case_id": 2, "patient_id": "x"}, {"case_id": "b", "patient_id": None}]
    assert patient_of([*items, {"case_id": "c"}]) == {"a": "7", "2": "x"}


def test_seed_decides_the_interval_and_not_the_value(tmp_path: Path) -> None:
    first, again, other = (report(tmp_path / str(i), seed=seed)["auroc"] for i, seed in enumerate((0, 0, 1)))
    assert first == again
    assert other["value"] == first["value"]
    assert (other["low"], other["high"]) != (first["low"], first["high"])


def test_other_splits_and_metrics_stay(tmp_path: Path) -> None:
    (tmp_path / "metrics.json").write_text(json.dumps({"validation": {"loss": 1}, "test": {"aopc": 2}}))
    report(tmp_path)
    written = json.loads((tmp_path / "metrics.json").read_text())
    assert written["validation"] == {"loss": 1}
    assert written["test"]["aopc"] == 2


def test_a_second_run_forgets_the_first(tmp_path: Path) -> None:
    engine = player([ClassificationReport(tmp_path, "test", CLASSES)])
    for count in (30, 12):
        engine.run(steps(*predictions(count), [5]), max_epochs=1)
    assert json.loads((tmp_path / "metrics.json").read_text())["test"]["accuracy"]["n"] == 12


def test_one_class_only_leaves_auroc_undefined(tmp_path: Path) -> None:
    probability, _ = predictions(6)
    replay([ClassificationReport(tmp_path, "test", CLASSES)], steps(probability, np.zeros(6, dtype=int), [2]))
    table = json.loads((tmp_path / "metrics.json").read_text())["test"]
    assert table["auroc"] == {"value": None, "low": None, "high": None, "n": 6}
    assert table["accuracy"]["value"] is not None


def test_several_classes_may_be_present(tmp_path: Path) -> None:
    """Labels of 0 and 1 for each class: right answers at probability 0.5, and each class against the rest."""
    probability = np.array([[0.9, 0.2, 0.6], [0.1, 0.7, 0.4], [0.8, 0.6, 0.3], [0.3, 0.1, 0.2]], dtype=np.float32)
    label = np.array([[1, 0, 1], [0, 1, 1], [0, 1, 0], [1, 0, 0]], dtype=np.float32)
    replay([ClassificationReport(tmp_path, "test", CLASSES)], steps(probability, label, [1]))
    table = json.loads((tmp_path / "metrics.json").read_text())["test"]
    assert table["accuracy"]["value"] == pytest.approx(9 / 12)
    assert table["auroc/meningioma"]["value"] == 1.0
    assert table["auroc/glioma"]["value"] == pytest.approx(roc_auc_score(label[:, 0], probability[:, 0]))
    assert "balanced_accuracy" not in table
