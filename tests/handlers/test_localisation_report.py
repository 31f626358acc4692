"""Where maps point in source pixels, of three cases that can be computed by hand.

Images have 8 x 8 pixels. The map of the class "sick":

* spot, sick, 2 x 2 true box: 0.8 on exactly that box; p(sick) = 0.9.
* half, sick, 4 x 4 outline: 0.9 on the left half of it, but 1.0 on two pixels elsewhere; p(sick) = 0.5.
* calm, healthy: 0.5 on 2 x 2 pixels; p(sick) = 0.2.

The map of the class "healthy" is 1 in the last row.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from monai.transforms import Compose, EnsureChannelFirstd, LoadImaged, Resized
from PIL import Image
from torch import Tensor

from common.data import CropBreastd, FlipToLeftd, ImageReader2D, RecordSized, RoiMaskd
from common.handlers import LocalisationReport
from common.utils.batch import to_device
from tests.handlers.replay import replay

CLASSES = ["healthy", "sick"]
SICK = {"spot": 0.9, "half": 0.5, "calm": 0.2, "unknown": 0.7}
LABEL = {"spot": 1, "half": 1, "calm": 0, "unknown": 1}


class Drawn:
    """Takes the map of the class that is asked for from the output "maps" (B,C,h,w)."""

    def __call__(self, output: Mapping[str, Tensor], batch: Mapping[str, Any], index: Tensor | None = None) -> Tensor:
        chosen = output["probability"].argmax(dim=1) if index is None else index
        return output["maps"][torch.arange(len(chosen)), chosen][:, None]


class Everywhere:
    """A map without preference."""

    def __call__(self, output: Mapping[str, Tensor], batch: Mapping[str, Any], index: Tensor | None = None) -> Tensor:
        return torch.ones(len(output["probability"]), 1, 2, 2)


def filled(*parts: tuple[float, slice, slice]) -> Tensor:
    values = torch.zeros(8, 8)
    for value, rows, columns in parts:
        values[rows, columns] = value
    return values


MAPS = {
    "spot": filled((0.8, slice(0, 2), slice(0, 2))),
    "half": filled((1.0, slice(0, 1), slice(0, 2)), (0.9, slice(4, 8), slice(4, 6))),
    "calm": filled((0.5, slice(0, 2), slice(6, 8))),
    "unknown": filled((0.5, slice(0, 2), slice(6, 8))),
}
HEALTHY = filled((1.0, slice(7, 8), slice(0, 8)))


@pytest.fixture
def items(tmp_path: Path) -> list[dict[str, Any]]:
    mask = filled((255, slice(4, 8), slice(4, 8)))
    Image.fromarray(mask.byte().numpy()).save(tmp_path / "half.png")
    known = {"spot": {"boxes": [[0, 0, 2, 2]]}, "half": {"mask": str(tmp_path / "half.png")}}
    return [{"case_id": name, "label": LABEL[name], "patient_id": f"of {name}", **known.get(name, {})} for name in SICK]


def step(*names: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """Batch and output of an evaluation of these cases."""
    sick = torch.tensor([SICK[name] for name in names])
    batch = {
        "case_id": list(names),
        "label": torch.tensor([LABEL[name] for name in names]),
        "source_size": torch.tensor([[8, 8]] * len(names)),
    }
    maps = torch.stack([torch.stack([HEALTHY, MAPS[name]]) for name in names])
    return batch, {"probability": torch.stack([1 - sick, sick], dim=1), "maps": maps}


def measure(folder: Path, items: list[dict[str, Any]], *steps: Any, **options: Any) -> dict[str, Any]:
    settings = {"findings": ["sick"], "items": items, **options}
    replay(
        [LocalisationReport(folder, "test", CLASSES, Drawn(), **settings)],
        steps or [step("spot", "half"), step("calm")],
    )
    return json.loads((folder / "metrics.json").read_text())["test"]


def values(found: dict[str, Any], *names: str) -> list[float]:
    return [found[name]["value"] for name in names]


def test_pointing_and_energy_of_the_cases_that_have_a_finding(tmp_path: Path, items: list) -> None:
    found = measure(tmp_path, items)
    energy = 0.9 * 8 / (0.9 * 8 + 2)
    assert values(found, "pointing_game", "energy_in_roi") == pytest.approx([(1 + 0) / 2, (1 + energy) / 2])
    assert values(found, "pointing_chance", "roi_area") == pytest.approx([(4 + 16) / 64 / 2] * 2)
    assert {found[name]["n"] for name in ("pointing_game", "energy_in_roi", "pointing_chance", "roi_area")} == {2}


def test_boxes_of_all_images_are_ranked_together(tmp_path: Path, items: list) -> None:
    """Scores: spot 0.9·0.8 right, half 0.5·1 wrong, half 0.5·0.9 right up to an IoU of 1/2, calm 0.2·0.5 wrong."""
    found = measure(tmp_path, items, ious=[0.1, 0.5, 0.6])
    assert values(found, "pr_auc_iou/0.1", "pr_auc_iou/0.5") == pytest.approx([(1 + 2 / 3) / 2] * 2)
    assert values(found, "pr_auc_iou/0.6") == pytest.approx([1 / 2])
    assert found["pr_auc_iou/0.1"]["n"] == 3
    curves = json.loads((tmp_path / "curves.json").read_text())["test"]
    assert curves["box_precision_recall"]["0.5"]["x"] == [0.5, 0.5, 1, 1]
    assert curves["froc"]["y"] == [0.5, 0.5, 1, 1]


def test_boxes_of_another_class_do_not_count(tmp_path: Path, items: list) -> None:
    corner = {"boxes": [[0, 0, 2, 2], [6, 6, 8, 8]], "box_labels": ["sick", "healthy"]}
    assert measure(tmp_path, [items[0] | corner, *items[1:]]) == measure(tmp_path / "alone", items)
    elsewhere = items[0] | {"boxes": [[6, 6, 8, 8]], "box_labels": ["healthy"]}
    found = measure(tmp_path / "left out", [elsewhere, *items[1:]])
    assert (found["pointing_game"]["value"], found["pointing_game"]["n"]) == (0, 1)


def test_marks(tmp_path: Path, items: list) -> None:
    """The second finding is marked after one false alarm in three images."""
    found = measure(tmp_path, items, false_marks=[0.25, 0.34])
    assert values(found, "froc/0.25", "froc/0.34") == [0.5, 1]


def test_segmentation_is_compared_with_outlines_not_with_boxes(tmp_path: Path, items: list) -> None:
    """The largest part has 8 pixels, all of the outline's 16."""
    found = measure(tmp_path, items, target="lesion")
    assert values(found, "dice/lesion", "iou/lesion") == pytest.approx([2 * 8 / 24, 8 / 16])
    assert found["dice/lesion"]["n"] == 1
    every = measure(tmp_path / "all", items, parts=None)
    assert values(every, "dice/region") == pytest.approx([2 * 8 / 26])


def test_a_tolerance_forgives_near_misses(tmp_path: Path, items: list) -> None:
    """The two brightest pixels of "half" are 5 and 5.7 pixels away: one of them passes."""
    found = measure(tmp_path, items, tolerance=5)
    assert values(found, "pointing_game") == [(1 + 0.5) / 2]
    assert values(found, "energy_in_roi", "roi_area") == values(
        measure(tmp_path / "0", items), "energy_in_roi", "roi_area"
    )


def test_a_baseline_is_asked_where_it_points_only(tmp_path: Path, items: list) -> None:
    found = measure(tmp_path, items, baselines={"gradcam": Everywhere()})
    chance = found["pointing_chance"]["value"]
    assert values(found, "pointing_game/gradcam", "energy_in_roi/gradcam") == pytest.approx([chance, chance])
    assert not [
        name
        for name in found
        if name.endswith("/gradcam") and name.split("/")[0] not in ("pointing_game", "energy_in_roi")
    ]


def test_a_map_without_preference_draws_nothing(tmp_path: Path, items: list) -> None:
    report = LocalisationReport(tmp_path, "test", CLASSES, Everywhere(), ["sick"], items=items)
    replay([report], [step("spot", "half", "calm")])
    found = json.loads((tmp_path / "metrics.json").read_text())["test"]
    assert values(found, "pr_auc_iou/0.1", "froc/2", "dice/region") == [0, 0, 0]


def test_where_every_class_is_outlined_the_true_class_is_asked_for(tmp_path: Path, items: list) -> None:
    """The healthy map of "calm" lights its last row, which is where its box says that health is."""
    items = [*items[:2], {"case_id": "calm", "label": 0, "boxes": [[0, 7, 8, 8]]}]
    found = measure(tmp_path, items, step("calm"), findings=None)
    assert values(found, "pointing_game", "pr_auc_iou/0.5") == [1, 1]


def test_the_outlined_classes_are_the_findings_unless_others_are_named(tmp_path: Path, items: list) -> None:
    assert measure(tmp_path / "named", items) == measure(tmp_path / "outlined", items, findings=None)


def test_findings_that_nobody_has_outlined_are_left_out(tmp_path: Path, items: list) -> None:
    full = measure(tmp_path / "with", items, step("spot", "unknown", "half"), step("calm", "unknown"))
    assert full == measure(tmp_path / "without", items)


def test_without_any_outline_nothing_is_written(tmp_path: Path, items: list) -> None:
    report = LocalisationReport(tmp_path, "test", CLASSES, Drawn(), ["sick"], items=items)
    replay([report], [step("calm", "unknown")])
    assert not (tmp_path / "metrics.json").exists()


def test_a_cropped_and_mirrored_map_is_put_back(tmp_path: Path) -> None:
    """The network saw the right half, mirrored: what is bright at its left lies at the image's right."""
    batch, output = step("spot")
    batch |= {"crop": torch.tensor([[4, 0, 8, 8]]), "flipped": torch.tensor([True])}
    output["maps"] = filled((0.8, slice(2, 4), slice(0, 2)))[None, None, :, :4].repeat(1, 2, 1, 1)
    found = measure(tmp_path, [{"case_id": "spot", "boxes": [[6, 2, 8, 4]]}], (batch, output))
    assert values(found, "pointing_game", "energy_in_roi", "pr_auc_iou/0.5", "froc/0.25") == [1, 1, 1, 1]


class Oracle:
    """Points at what the batch's mask says."""

    def __call__(self, output: Mapping[str, Tensor], batch: Mapping[str, Any], index: Tensor | None = None) -> Tensor:
        return batch["mask"]


@pytest.mark.parametrize("side", ["left", "right"])
def test_after_cropping_mirroring_and_resizing_an_oracle_is_right(tmp_path: Path, side: str) -> None:
    """A breast with its chest wall at this side goes through the transforms of a mammography bundle."""
    row, column = np.mgrid[:200, :120] + 0.5
    breast, outline = np.hypot(column, row - 90) < 70, np.hypot(column - 30, row - 110) < 12
    picture = 100 * breast + 80 * outline
    for name, pixels in (("image", picture), ("mask", 255 * outline)):
        turned = pixels[:, ::-1] if side == "right" else pixels
        Image.fromarray(np.ascontiguousarray(turned).astype(np.uint8)).save(tmp_path / f"{name}.png")
    item = {"case_id": "a", "label": 1, "image": str(tmp_path / "image.png"), "mask": str(tmp_path / "mask.png")}
    both = ["image", "mask"]
    seen = Compose(
        [
            LoadImaged("image", reader=ImageReader2D()),
            EnsureChannelFirstd("image"),
            RecordSized("image"),
            RoiMaskd("mask", missing="empty"),
            CropBreastd(both),
            FlipToLeftd(both),
            Resized("image", (128, 64)),
            Resized("mask", (128, 64), mode="nearest"),
        ]
    )(item)
    batch = {name: seen[name][None] for name in (*both, "source_size", "crop", "flipped")}
    batch |= {"case_id": ["a"], "label": torch.tensor([1])}
    report = LocalisationReport(tmp_path, "test", CLASSES, Oracle(), items=[item])
    replay([report], [(to_device(batch, torch.device("cpu")), {"probability": torch.tensor([[0.2, 0.8]])})])
    found = json.loads((tmp_path / "metrics.json").read_text())["test"]
    assert bool(seen["flipped"]) is (side == "right")
    assert values(found, "pr_auc_iou/0.5", "froc/0.25") == [1, 1]
    assert found["pointing_game"]["value"] > 0.95, "the maximum is a plateau, whose edge was resized twice"
    assert found["dice/region"]["value"] > 0.9
    assert found["energy_in_roi"]["value"] > 0.9


class Network:
    """Its map is the image: 1 in the middle, 0.3 around it."""

    def explain(self, image: Tensor) -> dict[str, Tensor]:
        return {
            "probability": torch.tensor([[0.5, 0.5]]).repeat(len(image), 1),
            "maps": image[:, :1].repeat(1, 2, 1, 1),
        }


def other_split(core: bool, name: str = "other") -> list[dict[str, Any]]:
    image = filled((0.3, slice(1, 7), slice(1, 7)), (1.0, slice(3, 5), slice(3, 5)))
    mask = (image > (0.5 if core else 0.1)).float()
    return [
        {
            "image": image.expand(1, 3, 8, 8),
            "mask": mask[None, None],
            "mask_given": torch.tensor([True]),
            "label": torch.tensor([1]),
            "case_id": [name],
        }
    ]


@pytest.mark.parametrize(("core", "threshold"), [(True, 0.35), (False, 0.05)])
def test_the_threshold_is_chosen_on_another_split(tmp_path: Path, items: list, core: bool, threshold: float) -> None:
    """The middle alone is what lies above 0.3 of the range; the first of the thresholds that do equally well counts."""
    found = measure(tmp_path, items, network=Network(), calibration=other_split(core))
    assert found["weak_threshold"] == {"value": threshold, "low": None, "high": None, "n": 1}
    assert values(found, "dice/region") == pytest.approx([2 / 3])


def test_without_another_split_there_is_no_threshold(tmp_path: Path, items: list, caplog: Any) -> None:
    assert "weak_threshold" not in measure(tmp_path, items)
    without = other_split(True)
    without[0]["mask_given"] = torch.tensor([False])
    assert "weak_threshold" not in measure(tmp_path, items, network=Network(), calibration=without)
    assert "no case to choose the map's threshold on has an outline" in caplog.text


def test_patients_are_drawn_whole(tmp_path: Path, items: list) -> None:
    apart = measure(tmp_path / "apart", items)["pointing_game"]
    together = measure(tmp_path / "together", [{**item, "patient_id": "one"} for item in items])["pointing_game"]
    assert (apart["low"], apart["high"]) == (0, 1)
    assert (together["low"], together["high"]) == (0.5, 0.5)


def test_a_second_run_forgets_the_first(tmp_path: Path, items: list) -> None:
    report = LocalisationReport(tmp_path, "test", CLASSES, Drawn(), ["sick"], items=items)
    replay([report], [step("spot", "half")])
    replay([report], [step("spot", "half")])
    assert json.loads((tmp_path / "metrics.json").read_text())["test"]["pr_auc_iou/0.1"]["n"] == 2


def test_refuses(tmp_path: Path, items: list) -> None:
    with pytest.raises(ValueError, match="did you mean 'sick'"):
        LocalisationReport(tmp_path, "test", CLASSES, Drawn(), ["sik"])
    with pytest.raises(ValueError, match="findings is empty"):
        LocalisationReport(tmp_path, "test", CLASSES, Drawn(), [])
    with pytest.raises(ValueError, match="give LocalisationReport the network too"):
        LocalisationReport(tmp_path, "test", CLASSES, Drawn(), calibration=other_split(True))
    with pytest.raises(ValueError, match="case 'spot' is in the test split and among those the map's threshold"):
        measure(tmp_path, items, network=Network(), calibration=other_split(True, "spot"))
    with pytest.raises(ValueError, match="case 'spot' is not among the items"):
        measure(tmp_path, items[1:])
    batch, output = step("spot")
    del batch["source_size"]
    with pytest.raises(ValueError, match="put RecordSized into the preprocessing"):
        measure(tmp_path, items, (batch, output))
