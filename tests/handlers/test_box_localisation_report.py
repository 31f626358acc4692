"""Where the maps of two diseases point, on images of 8 x 8 pixels, by hand.

* left: Mass in the upper left 4 x 4; its map is 1 on the upper half of that and 0.6 on the lower one.
* two: both diseases; Mass in the upper left 2 x 2, where its map is 1; Effusion in the lower half, its map is the
  lowest row and 0.6 in the first one.
* none: no box.
"""

import json

import pytest
import torch

from common.handlers import BoxLocalisationReport
from tests.handlers.replay import replay

CLASSES = ["Mass", "Effusion"]


def image(*boxes):
    values = torch.zeros(8, 8)
    for value, x0, y0, x1, y1 in boxes:
        values[y0:y1, x0:x1] = value
    return values


MAPS = {
    "left": [image((1.0, 0, 0, 4, 2), (0.6, 0, 2, 4, 4)), image()],
    "two": [image((1.0, 0, 0, 2, 2)), image((1.0, 0, 7, 8, 8), (0.6, 0, 0, 8, 1))],
    "none": [image((1.0, 7, 7, 8, 8)), image()],
}
BOXES = {
    "left": [image((1, 0, 0, 4, 4)), image()],
    "two": [image((1, 0, 0, 2, 2)), image((1, 0, 4, 8, 8))],
    "none": [image(), image()],
}


class Drawn:
    """Takes the map of the class that is asked for from the output "maps" (B,C,h,w)."""

    def __call__(self, output, batch, index=None):
        return output["maps"][torch.arange(len(index)), index][:, None]


class Everywhere:
    """A map without preference, of a network of its own."""

    def __call__(self, output, batch, index=None):
        return torch.ones(len(batch["image"]), 1, 2, 2)


class Network:
    """Knows the maps of the cases of the other split: those of "left"."""

    def explain(self, image):
        return {"maps": torch.stack(MAPS["left"])[None]}


def step(*names, called=None):
    batch = {
        "case_id": list(called or names),
        "image": torch.zeros(len(names), 1, 8, 8),
        "finding_mask": torch.stack([torch.stack(BOXES[name]) for name in names]).to(torch.uint8),
    }
    return batch, {"maps": torch.stack([torch.stack(MAPS[name]) for name in names])}


def run(folder, steps, **options):
    report = BoxLocalisationReport(folder, "test", CLASSES, Drawn(), ious=(0.1, 0.5), **options)
    replay([report], steps)
    path = folder / "metrics.json"
    return json.loads(path.read_text())["test"] if path.exists() else None


def values(metrics):
    return {name: entry["value"] for name, entry in metrics.items()}


STEPS = [step("left", "two"), step("none")]
WHERE = {
    "pointing_game": 1.0,
    "pointing_game/Mass": 1.0,
    "pointing_game/Effusion": 1.0,
    "pointing_chance": pytest.approx((5 / 32 + 1 / 2) / 2),
    "pointing_chance/Mass": pytest.approx((1 / 4 + 1 / 16) / 2),
    "pointing_chance/Effusion": 0.5,
    "energy_in_box": pytest.approx((1 + 1 / 1.6) / 2),
    "energy_in_box/Mass": pytest.approx(1.0),
    "energy_in_box/Effusion": pytest.approx(1 / 1.6),
}


def test_each_disease_s_own_map_and_box(tmp_path):
    found = run(tmp_path, STEPS)
    # Otsu parts {0.6, 1} from 0 in every map: both masses are met wholly; of the Effusion one row of four
    assert values(found) == WHERE | {
        "t_iou/0.1": 1.0,
        "t_iou/0.1/Mass": 1.0,
        "t_iou/0.1/Effusion": 1.0,
        "t_iou/0.5": 0.5,
        "t_iou/0.5/Mass": 1.0,
        "t_iou/0.5/Effusion": 0.0,
        "t_iou_all/0.1": 1.0,  # the box around both rows of the Effusion is the whole image: 1/2
        "t_iou_all/0.5": 0.5,
        "t_iou_mask/0.1": 1.0,
        "t_iou_mask/0.5": 0.5,
        "t_iou_chance/0.1": 0.75,  # of the Mass one box of two
        "t_iou_chance/0.5": 0.0,
    }
    assert (found["t_iou/0.1"]["n"], found["t_iou/0.1/Mass"]["n"]) == (3, 2)


def test_maps_of_another_network_stand_beside(tmp_path):
    found = values(run(tmp_path, STEPS, others={"gradcam": Everywhere()}))
    assert found["pointing_game/gradcam/Mass"] == pytest.approx((1 / 4 + 1 / 16) / 2)
    assert found["energy_in_box/gradcam"] == pytest.approx((5 / 32 + 1 / 2) / 2)
    assert found["t_iou/0.1/gradcam"] == 0.0  # a map without preference draws nothing
    assert found["pointing_game"] == 1.0
    assert not [name for name in found if "chance" in name and "gradcam" in name]


def test_the_threshold_is_chosen_on_the_other_split(tmp_path):
    other = [step("left", called=["other"])[0]]
    found = run(tmp_path, STEPS, network=Network(), calibration=other, items=[{"case_id": "left"}])
    assert (found["box_threshold"]["value"], found["box_threshold"]["n"]) == (0.05, 1)  # the first of the best
    assert found["t_iou/0.5"]["value"] == 0.5


def test_a_split_without_boxes_leaves_the_threshold_to_otsu(tmp_path, caplog):
    other = [step("none", called=["other"])[0]]
    found = run(tmp_path, STEPS, network=Network(), calibration=other)
    assert "no case to choose the maps' thresholds on has a box" in caplog.text
    assert "box_threshold" not in found
    assert values(found)["t_iou/0.5/Mass"] == 1.0


def test_findings_of_a_patient_are_drawn_together(tmp_path):
    items = [{"case_id": name, "patient_id": "one"} for name in BOXES]
    found = run(tmp_path, STEPS, items=items)["energy_in_box"]
    assert found["low"] == found["high"] == pytest.approx(found["value"])


def test_nothing_is_written_without_boxes(tmp_path):
    assert run(tmp_path, [step("none")]) is None


def test_the_threshold_of_the_same_cases_is_refused(tmp_path):
    other = [step("left")[0]]
    with pytest.raises(ValueError, match="case 'left' is in the test split"):
        run(tmp_path, STEPS, network=Network(), calibration=other, items=[{"case_id": "left"}])


def test_batches_without_boxes_of_these_diseases_are_refused(tmp_path):
    batch, output = step("left")
    with pytest.raises(ValueError, match="the batch has none of a 'finding_mask'"):
        run(tmp_path, [({name: batch[name] for name in ("case_id", "image")}, output)])
    with pytest.raises(ValueError, match="has one of 1 classes"):
        run(tmp_path, [(batch | {"finding_mask": batch["finding_mask"][:, :1]}, output)])


def test_options_must_fit(tmp_path):
    with pytest.raises(ValueError, match="give BoxLocalisationReport the network too"):
        BoxLocalisationReport(tmp_path, "test", CLASSES, Drawn(), calibration=[])
    with pytest.raises(ValueError, match="IoU threshold is 1, expected"):
        BoxLocalisationReport(tmp_path, "test", CLASSES, Drawn(), ious=(0.5, 1))
