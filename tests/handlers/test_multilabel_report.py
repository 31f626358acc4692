"""Sets of labels of four cases, at 0.5 and at thresholds chosen on two others, by hand."""

import json

import pytest
import torch

from common.handlers import MultiLabelReport
from tests.handlers.replay import replay

CLASSES = ["Mass", "Effusion"]
PROBABILITY = torch.tensor([[0.9, 0.3], [0.4, 0.3], [0.4, 0.1], [0.1, 0.1]])
LABEL = torch.tensor([[1, 1], [1, 1], [0, 0], [0, 0]])


def step(rows, prefix="c"):
    batch = {"case_id": [f"{prefix}{row}" for row in rows], "label": LABEL[rows], "image": torch.zeros(len(rows), 1)}
    return batch, {"probability": PROBABILITY[rows]}


class Network:
    """Knows the answers of the cases of the other split."""

    def explain(self, image):
        return {"probability": torch.tensor([[0.7, 0.25], [0.2, 0.15]])}


def read(folder, name="metrics.json"):
    return json.loads((folder / name).read_text())


def test_sets_calibration_and_cooccurrence_at_one_half(tmp_path):
    replay([MultiLabelReport(tmp_path, "test", CLASSES)], [step([0, 1]), step([2, 3])])
    found = {name: entry["value"] for name, entry in read(tmp_path)["test"].items()}
    assert found["subset_accuracy"] == 0.5
    assert found["hamming_loss"] == 3 / 8
    assert found["f1/Mass"] == pytest.approx(2 / 3)
    assert found["average_precision/Effusion"] == 1.0
    assert found["brier/Mass"] == pytest.approx((0.01 + 0.36 + 0.16 + 0.01) / 4)
    assert not [name for name in found if "tuned" in name or "threshold" in name]
    assert not (tmp_path / "thresholds.json").exists()
    assert read(tmp_path, "cooccurrence.json") == {
        "classes": CLASSES,
        "cases": 4,
        "thresholds": [0.5, 0.5],
        "true": [[2, 2], [2, 2]],
        "predicted": [[1, 0], [0, 0]],
    }


def test_thresholds_are_chosen_on_the_other_split(tmp_path):
    other = [step([0, 3], "other")[0]]
    report = MultiLabelReport(tmp_path, "test", CLASSES, network=Network(), calibration=other)
    replay([report], [step([0, 1, 2, 3])])
    table = read(tmp_path)["test"]
    assert {name: table[f"threshold/{name}"]["value"] for name in CLASSES} == pytest.approx(
        {"Mass": 0.45, "Effusion": 0.2}
    )
    assert table["threshold/Mass"]["n"] == 2
    assert table["f1_tuned/Effusion"]["value"] == 1.0
    assert table["f1_micro_tuned"]["value"] == pytest.approx(6 / 7)
    assert table["f1_micro"]["value"] == pytest.approx(2 / 5)
    assert read(tmp_path, "thresholds.json") == {
        "thresholds": {"Mass": pytest.approx(0.45), "Effusion": pytest.approx(0.2)},
        "chosen_on": 2,
    }
    assert read(tmp_path, "cooccurrence.json")["predicted"] == [[1, 1], [1, 2]]


def test_intervals_are_over_patients(tmp_path):
    items = [{"case_id": f"c{row}", "patient_id": "one"} for row in range(4)]
    replay([MultiLabelReport(tmp_path, "test", CLASSES, items)], [step([0, 1, 2, 3])])
    accuracy = read(tmp_path)["test"]["subset_accuracy"]
    assert (accuracy["low"], accuracy["high"]) == (0.5, 0.5)


def test_thresholds_of_the_same_cases_are_refused(tmp_path):
    report = MultiLabelReport(tmp_path, "test", CLASSES, network=Network(), calibration=[step([0, 3])[0]])
    with pytest.raises(ValueError, match="case 'c0' is in the test split"):
        replay([report], [step([0, 1])])


def test_a_disease_that_no_other_case_has_is_warned_about(tmp_path, caplog):
    other = [step([2, 3], "other")[0]]
    replay([MultiLabelReport(tmp_path, "test", CLASSES, network=Network(), calibration=other)], [step([0, 1])])
    assert "no case to choose thresholds on has Mass, Effusion" in caplog.text
    assert read(tmp_path, "thresholds.json")["thresholds"] == {"Mass": 0.5, "Effusion": 0.5}


def test_classes_that_exclude_each_other_are_refused(tmp_path):
    batch, output = step([0, 1])
    with pytest.raises(ValueError, match="leave MultiLabelReport out"):
        replay([MultiLabelReport(tmp_path, "test", CLASSES)], [(batch | {"label": torch.tensor([0, 1])}, output)])


def test_a_loader_needs_the_network(tmp_path):
    with pytest.raises(ValueError, match="give MultiLabelReport the network too"):
        MultiLabelReport(tmp_path, "test", CLASSES, calibration=[])
