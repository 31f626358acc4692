"""Zero-shot scores in metrics.json: of findings, sides, words of sides, filters and held-out combinations."""

import json

import pytest
import torch

from common.handlers import ZeroShotReport
from common.metrics.image_filters import FILTERS
from tests.handlers.exam_steps import FINDINGS, SIDES, VIEW_SIDE, Named, step
from tests.handlers.replay import replay


def run(folder, steps, **options):
    report = ZeroShotReport(folder, "test", SIDES, FINDINGS, VIEW_SIDE, **options)
    replay([report], steps)
    return json.loads((folder / "metrics.json").read_text())["test"]


def test_right_answers_score_one_and_filters_that_see_nothing_half(tmp_path):
    batches = [step(8), step(8, first=8)]
    metrics = run(tmp_path, batches, network=Named(), filters=["brightest_spot"])
    for finding in FINDINGS:
        assert metrics[f"zero_shot_auroc/{finding}"]["value"] == 1.0
        assert metrics[f"zero_shot_auroc/{finding}"]["n"] == 32
        assert metrics[f"zero_shot_average_precision/{finding}"]["value"] == 1.0
        assert metrics[f"zero_shot_prevalence/{finding}"]["value"] == 0.5
        assert metrics[f"zero_shot_auroc/side_{finding}"]["value"] == 1.0
        assert metrics[f"zero_shot_auroc/side_{finding}"]["n"] == 8
        assert metrics[f"zero_shot_text_side/{finding}"]["value"] == 1.0
        assert metrics[f"zero_shot_auroc/{finding}/brightest_spot"]["value"] == 0.5
        assert metrics[f"zero_shot_auroc/side_{finding}/brightest_spot"]["value"] == 0.5
    assert metrics["zero_shot_auroc"]["value"] == 1.0


def test_a_bright_mass_is_found_by_the_filters_too(tmp_path):
    batch, output = step(16)
    batch["image"][batch["finding_mask"][:, :, :1].bool()] = 0.8
    metrics = run(tmp_path, [(batch, output)])
    assert metrics["zero_shot_auroc/mass/brightest_spot"]["value"] == 1.0
    assert metrics["zero_shot_auroc/side_mass/difference_of_gaussians"]["value"] == 1.0
    assert {name.rpartition("/")[2] for name in metrics if name.startswith("zero_shot_auroc/mass/")} == set(FILTERS)


@pytest.mark.parametrize(("noted", "value"), [("left mass; right mass", 0.75), (True, 0.75), ("left mass", 0.5)])
def test_held_out_combinations(tmp_path, noted, value):
    """The sixth exam of eight has left mass 0.5 and right mass 0; four sides without a mass have -1, 0 and 0, 1."""
    batch, output = step(6)
    batch["label"] = torch.zeros(6, 4)
    batch["label"][5, [0, 2]] = 1
    batch["label"][1:4, [0, 2]] = 1
    output["logits"] = torch.zeros(6, 4)
    output["logits"][5, [0, 2]] = torch.tensor([0.0, 2.0])
    output["logits"][[0, 4], 0], output["logits"][[0, 4], 2] = torch.tensor([-1.0, 0.0]), torch.tensor([0.0, 1.0])
    metrics = run(tmp_path, [(batch, output)], items=[{"case_id": "e5", "held_out": noted}], filters=[])
    held_out = [name for name in metrics if "held_out" in name]
    assert held_out == ["zero_shot_auroc/held_out_mass"]
    assert metrics[held_out[0]]["value"] == pytest.approx(value)


def test_a_side_without_images_does_not_count(tmp_path):
    batch, output = step(16)
    batch["image"][:, 2:] = 0
    metrics = run(tmp_path, [(batch, output)], filters=[], network=Named())
    assert metrics["zero_shot_auroc/mass"]["n"] == 16
    assert not [name for name in metrics if "side" in name]


def test_the_patients_of_the_items_are_drawn(tmp_path):
    noisy = step(16)
    noisy[1]["logits"] += torch.randn(16, 4, generator=torch.Generator().manual_seed(0))
    patients = [{"case_id": f"e{number}", "patient_id": str(number // 8)} for number in range(16)]
    own = run(tmp_path / "a", [noisy], filters=[])["zero_shot_auroc/mass"]
    shared = run(tmp_path / "b", [noisy], filters=[], items=patients)["zero_shot_auroc/mass"]
    assert own["value"] == shared["value"]
    assert own["low"] != shared["low"]


def test_what_does_not_fit_is_refused(tmp_path):
    batch, output = step(4)
    with pytest.raises(ValueError, match="2 sides and 2 findings"):
        run(tmp_path, [({**batch, "label": batch["label"][:, :2]}, output)])
    with pytest.raises(ValueError, match="filters"):
        ZeroShotReport(tmp_path, "test", SIDES, FINDINGS, VIEW_SIDE, filters=["otsu"])
