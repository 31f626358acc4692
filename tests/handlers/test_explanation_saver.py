"""Explanations of whole batches: what is written for which case."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from common.explain import EvidentialSegmentation
from common.explain.case_folder import load_map
from common.handlers import ExplanationSaver
from common.networks import UMLNet
from tests.handlers.replay import player, replay

ITEMS = [
    {"case_id": "scan1", "image": "/home/someone/data/visit2/scan1.png", "patient_id": "p9"},
    {"case_id": "scan2", "image": "scan2.png"},
]


def step() -> tuple[dict, dict]:
    """Two cases of 4 x 4 pixels computed from sources of 8 x 12 pixels; the second has no region of interest."""
    explanation = torch.zeros(2, 1, 4, 4)
    explanation[0, 0, 0, 0], explanation[0, 0, 3, 3] = 0.9, 0.3
    explanation[1] = 0.25
    mask = torch.zeros(2, 1, 4, 4)
    mask[:, :, :2, :2] = 1
    batch = {
        "image": torch.rand(2, 3, 4, 4, generator=torch.Generator().manual_seed(1)),
        "case_id": ["scan1", "scan2"],
        "source_size": torch.tensor([[8, 12], [8, 12]]),
        "label": torch.tensor([1, 1]),
        "mask": mask,
        "mask_given": torch.tensor([True, False]),
    }
    return batch, {"probability": torch.tensor([[0.25, 0.75], [0.5, 0.5]]), "explanation": explanation}


def saver(folder: Path, **options: Any) -> ExplanationSaver:
    return ExplanationSaver(folder, "xml_explainer_classification", ["no", "yes"], ITEMS, **options)


def record(folder: Path, case: str) -> dict[str, Any]:
    return json.loads((folder / "explanations" / case / "explanation.json").read_text())


def test_every_case_has_its_own_numbers(tmp_path: Path) -> None:
    replay([saver(tmp_path)], [step()])
    first, second = record(tmp_path, "scan1"), record(tmp_path, "scan2")
    assert first["prediction"] == {"index": 1, "class": "yes", "probabilities": {"no": 0.25, "yes": 0.75}}
    assert second["prediction"]["probabilities"] == {"no": 0.5, "yes": 0.5}
    assert first["label"] == second["label"] == {"index": 1, "class": "yes"}
    assert first["image"] == {"path": "visit2/scan1.png", "rows": 8, "columns": 12}, "no path of this machine"
    assert first["patient_id"] == "p9"
    assert "patient_id" not in second
    assert first["map"]["mean"] == pytest.approx(1.2 / 16)
    assert second["map"]["mean"] == pytest.approx(0.25)
    assert first["roi"]["energy"] == pytest.approx(0.9 / 1.2)
    assert first["roi"]["area"] == pytest.approx(0.25)
    assert first["roi"]["pointing_hit"] is True
    assert "roi" not in second, "a region that was made up because none is known is no region"
    assert first["evidence"][0]["box"] == [0, 0, 3, 2], "one of 4 x 4 cells, in pixels of the source: x0, y0, x1, y1"


def test_files_of_a_case_and_report_of_the_run(tmp_path: Path) -> None:
    replay([saver(tmp_path)], [step()])
    assert {path.name for path in (tmp_path / "explanations" / "scan1").iterdir()} == {
        "card.png",
        "explanation.json",
        "map.png",
    }
    assert load_map(tmp_path / "explanations" / "scan2" / "map.png").shape == (8, 12)
    assert load_map(tmp_path / "explanations" / "scan2" / "map.png").ravel() == pytest.approx(0.25, abs=1e-5)
    page = (tmp_path / "report.html").read_text()
    assert "scan1" in page
    assert "scan2" in page


def test_unlabelled_images_of_unknown_origin(tmp_path: Path) -> None:
    """A plain inference: neither label nor mask nor source size nor item."""
    batch, output = step()
    batch = {"image": batch["image"], "case_id": ["x1", "x2"]}
    replay([ExplanationSaver(tmp_path, "method", ["no", "yes"])], [(batch, output)])
    assert record(tmp_path, "x1")["image"] == {"path": "", "rows": 4, "columns": 4}
    assert not {"label", "roi", "patient_id"} & set(record(tmp_path, "x1"))


def test_the_limit_of_cards_is_kept_over_batches_and_begins_anew(tmp_path: Path) -> None:
    engine = player([saver(tmp_path / "run", max_cards=3)])
    steps = [step(), step()]
    steps[1][0]["case_id"] = ["scan3", "scan4"]
    engine.run(steps, max_epochs=1)
    written = tmp_path / "run" / "explanations"
    assert sorted(path.parent.name for path in written.glob("*/card.png")) == ["scan1", "scan2", "scan3"]
    assert sorted(path.parent.name for path in written.glob("*/explanation.json")) == [
        "scan1",
        "scan2",
        "scan3",
        "scan4",
    ]
    steps[0][0]["case_id"] = ["scan5", "scan6"]
    engine.run(steps[:1], max_epochs=1)
    assert {"scan5", "scan6"} <= {path.parent.name for path in written.glob("*/card.png")}, "a second run has its own"


@pytest.mark.parametrize("variant", ["attention", "reliable_mask"])
def test_an_evidential_network_is_explained_by_its_describer(tmp_path: Path, variant: str) -> None:
    torch.manual_seed(0)
    network = UMLNet(variant=variant, encoder="small", num_classes=2, num_structures=3, width=0.125, norm="batch")
    batch, _ = step()
    batch |= {"image": torch.rand(2, 3, 32, 32), "segmentation": torch.zeros(2, 1, 32, 32, dtype=torch.int64)}
    batch |= {"segmentation_given": torch.tensor([True, False]), "source_size": torch.tensor([[32, 32]] * 2)}
    with torch.no_grad():
        output = network.eval().explain(batch["image"])
    replay([saver(tmp_path, describer=EvidentialSegmentation(["background", "rim", "cup"]))], [(batch, output)])
    first, second = record(tmp_path, "scan1"), record(tmp_path, "scan2")
    assert first["uncertainty"]["class"] == pytest.approx(output["uncertainty"][0].item())
    assert list(second["beliefs"].values()) == pytest.approx(output["belief"][1].tolist())
    assert ("reliable_mask" in first["files"]) is (variant == "reliable_mask")
    counted = torch.bincount(output["segmentation_probability"][0].argmax(0).flatten(), minlength=3).tolist()
    areas = {item["name"]: item["area"] for item in first["evidence"] if item["kind"] == "structure"}
    assert (areas.get("rim", 0), areas.get("cup", 0)) == tuple(counted[1:])
    assert all(item["details"] == {"dice": 0.0} for item in first["evidence"] if item["kind"] == "structure")
    assert not any("details" in item for item in second["evidence"]), "the second mask is not known"
    for name in first["files"].values():
        assert (tmp_path / "explanations" / "scan1" / name["file"]).is_file()
