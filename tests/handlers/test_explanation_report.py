"""Localisation, map dependence and perturbation of a network small enough to be computed by hand.

The network's map is the image itself. A pixel is lit where both image and map are above one half; the probability of
class 0 is 0.4 + 0.4 · (share of lit pixels). Image A has four 2 x 2 patches, image C is dark::

    A:  0.1  0.7      C: 0.1 everywhere
        0.9  0.8
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from common.explain import PerturbationCurve
from common.handlers import ExplanationReport
from common.handlers.explanation_report import evenly_chosen
from tests.handlers.replay import player

A = torch.tensor([[0.1, 0.7], [0.9, 0.8]]).repeat_interleave(2, 0).repeat_interleave(2, 1)
C = torch.full((4, 4), 0.1)


class LitShare(nn.Module):
    """The network of this file's first lines."""

    def explanation(self, image: Tensor) -> Tensor:
        return image[:, :1]

    def classify(self, image: Tensor, explanation: Tensor) -> Tensor:
        lit = ((image > 0.5) & (explanation > 0.5)).double().flatten(1).mean(1)
        first = 0.4 + 0.4 * lit
        return torch.stack([first, 1 - first], dim=1).log()

    def forward(self, image: Tensor) -> Tensor:
        return self.classify(image, self.explanation(image))


def corner(row: int, column: int) -> Tensor:
    """A mask of the patch in this row and column."""
    mask = torch.zeros(1, 4, 4)
    mask[:, 2 * row : 2 * row + 2, 2 * column : 2 * column + 2] = 1
    return mask


CASES = {
    "bright": {"image": A, "mask": corner(1, 0), "mask_given": True, "label": 0},
    "bright, other region": {"image": A, "mask": corner(0, 0), "mask_given": True, "label": 0},
    "dark, no region": {"image": C, "mask": torch.ones(1, 4, 4), "mask_given": False, "label": 0},
}
ITEMS = [{"case_id": name} for name in CASES]


def step(names: list[str]) -> tuple[dict, dict]:
    """Batch and output of an evaluation of these cases."""
    cases = [CASES[name] for name in names]
    image = torch.stack([case["image"][None] for case in cases])
    batch = {
        "image": image,
        "mask": torch.stack([case["mask"] for case in cases]),
        "mask_given": torch.tensor([case["mask_given"] for case in cases]),
        "label": torch.tensor([case["label"] for case in cases]),
        "case_id": names,
    }
    return batch, {"explanation": image.clone()}


def curve(semantics: str = "recompute") -> PerturbationCurve:
    return PerturbationCurve(patch=2, steps=4, kinds=("black", "white"), semantics=semantics)


def measure(folder: Path, steps: list[tuple[dict, dict]] | None = None, **options: Any) -> tuple[dict, dict]:
    """Return what a report of the three cases writes: metrics and perturbation curves of the split."""
    settings = {"curves": [curve(), curve("fixed")], "baselines": (), "items": ITEMS, **options}
    names = list(CASES)
    report = ExplanationReport(folder, "test", LitShare().eval(), **settings)
    player([report]).run(steps or [step(names[:2]), step(names[2:])], max_epochs=1)
    metrics = json.loads((folder / "metrics.json").read_text())["test"]
    return metrics, json.loads((folder / "curves.json").read_text())["test"]["perturbation"]


def values(metrics: dict[str, Any], *names: str) -> list[float]:
    return [metrics[name]["value"] for name in names]


def test_localisation_of_the_cases_that_have_a_region(tmp_path: Path) -> None:
    """The map's mass is 0.1 + 0.7 + 0.9 + 0.8 = 2.5 a patch: 0.9 of it in one region, 0.1 in the other."""
    metrics, _ = measure(tmp_path)
    assert values(metrics, "energy_in_roi", "pointing_game") == pytest.approx([(0.9 + 0.1) / 2.5 / 2, (1 + 0) / 2])
    assert values(metrics, "roi_area", "pointing_chance", "pompom") == pytest.approx([0.25, 0.25, 1.0])
    assert {metrics[name]["n"] for name in ("energy_in_roi", "pointing_game", "roi_area", "pompom")} == {2}


def test_without_any_region_there_is_no_localisation(tmp_path: Path) -> None:
    metrics, _ = measure(tmp_path / "given", [step(["dark, no region"])])
    assert not {"energy_in_roi", "roi_area", "pompom"} & set(metrics)
    batch, output = step(["bright"])
    del batch["mask"], batch["mask_given"]
    metrics, _ = measure(tmp_path / "absent", [(batch, output)])
    assert not {"energy_in_roi", "roi_area", "pompom"} & set(metrics)
    assert "aopc" in metrics


def test_decision_under_changed_maps(tmp_path: Path) -> None:
    """Label 0 is right where the share of lit pixels is above 1/4: bright images seen through their own map (3/4), its
    binary version or ones; zeros and the inverse leave nothing lit. The dark image is never right."""
    metrics, _ = measure(tmp_path)
    right = {"own": 2 / 3, "binarised": 2 / 3, "ones": 2 / 3, "inverted": 0, "zeros": 0}
    assert {name: metrics[f"map_dependence/{name}"]["value"] for name in right} == pytest.approx(right)
    assert metrics["map_dependence/own"]["n"] == 3
    assert metrics["map_dependence/swapped"]["n"] == 2, "a batch of one has no other map"


def test_perturbation_curve_and_its_area(tmp_path: Path) -> None:
    """Removing 0.9, 0.8, 0.7, 0.1 of image A, black: p = 0.7, 0.6, 0.5, 0.4, 0.4, AOPC (0 + 1 + 2 + 3 + 3) / 50 = 0.18.

    White: only the last patch becomes lit, p = 0.7, 0.7, 0.7, 0.7, 0.8, AOPC -0.02. With the map held still it stays
    unlit. Image C, class 1: black leaves 0.6; white gives 0.6, 0.5, 0.4, 0.3, 0.2, AOPC 0.2; held still 0.6.
    """
    metrics, curves = measure(tmp_path)
    means = {name: points["mean"][-1] for name, points in curves["in_model"].items()}
    assert means == pytest.approx({
        "black/2/recompute": (0.18 + 0.18 + 0) / 3,
        "white/2/recompute": (-0.02 - 0.02 + 0.2) / 3,
        "black/2/fixed": (0.18 + 0.18 + 0) / 3,
        "white/2/fixed": 0,
    }, abs=1e-7)  # fmt: skip
    assert metrics["aopc"]["value"] == pytest.approx((0.12 + 0.16 / 3) / 2), "mean over the fills of the first curve"
    assert metrics["aopc"]["n"] == 3
    steps = [0, 0.1 / 2, (0.1 + 0.2) / 3, (0.1 + 0.2 + 0.3) / 4, (0.1 + 0.2 + 0.3 + 0.3) / 5]
    black = curves["in_model"]["black/2/recompute"]
    assert black["k"] == [0, 1, 2, 3, 4]
    assert black["mean"] == pytest.approx([value * 2 / 3 for value in steps], abs=1e-7)


def test_baselines_on_the_chosen_cases(tmp_path: Path) -> None:
    """Two of three, evenly: the first and the last. The centre map ties on all patches, so it removes them row by row:
    A black 0.7, 0.7, 0.6, 0.5, 0.4 gives AOPC 0.12, white 0.7, 0.8, 0.8, 0.8, 0.8 gives -0.08; C as before."""
    metrics, curves = measure(tmp_path, baselines=("centre", "random"), cases=2)
    assert values(metrics, "aopc", "aopc/centre") == pytest.approx(
        [((0.18 - 0.02) / 2 + 0.2 / 2) / 2, ((0.12 - 0.08) / 2 + 0.2 / 2) / 2], abs=1e-7
    )
    assert set(curves) == {"in_model", "centre", "random"}
    assert metrics["aopc"]["n"] == metrics["aopc/centre"]["n"] == metrics["aopc_random"]["n"] == 2
    assert metrics["energy_in_roi/centre"] == pytest.approx({"value": 0.25, "low": 0.25, "high": 0.25, "n": 1})
    assert metrics["energy_in_roi"]["n"] == 2, "the network's own map is compared on every case that has a region"
    assert not {"roi_area/centre", "pointing_chance/centre"} & set(metrics), "these describe the region alone"


def test_random_order_lies_between_best_and_worst(tmp_path: Path) -> None:
    metrics, _ = measure(
        tmp_path,
        [step(["bright"])],
        curves=[PerturbationCurve(patch=2, steps=4, kinds=("black",))],
        baselines=("random",),
    )
    worst = (0 + 0 + 0.1 + 0.2 + 0.3) / 5  # the unlit patch first
    assert metrics["aopc"]["value"] == pytest.approx(0.18)
    assert worst - 1e-9 <= metrics["aopc_random"]["value"] <= 0.18 + 1e-9


class MapBeside(nn.Module):
    """The same network without a say of its map in the decision: image A as it is, whatever the map."""

    def forward(self, image: Tensor) -> Tensor:
        return LitShare()(image)


def test_a_network_that_takes_no_map_is_measured_as_far_as_that_goes(tmp_path: Path) -> None:
    """Its map ranks the patches; there is no map to change, and none to hold still."""
    report = ExplanationReport(tmp_path / "beside", "test", MapBeside().eval(), [curve()], ("centre",), ITEMS)
    player([report]).run([step(list(CASES))], max_epochs=1)
    found = json.loads((tmp_path / "beside" / "metrics.json").read_text())["test"]
    full, _ = measure(tmp_path / "through", baselines=("centre",))
    assert not [name for name in found if name.startswith("map_dependence")]
    assert {name for name in full if not name.startswith("map_dependence")} == set(found)
    assert found["aopc"]["value"] == pytest.approx(full["aopc"]["value"])
    held = ExplanationReport(tmp_path / "held", "test", MapBeside().eval(), [curve("fixed")], ())
    with pytest.raises(ValueError, match="holds a map still, and MapBeside has none"):
        player([held]).run([step(list(CASES))], max_epochs=1)


class Coarse:
    """Draws a map of 2 x 2 cells, the brightness of the patches, from an output of another name."""

    def __call__(self, output: dict[str, Tensor], batch: dict[str, Any], index: Tensor | None = None) -> Tensor:
        return torch.nn.functional.avg_pool2d(output["explanation_of_another_kind"], 2)


def test_a_relevance_takes_the_place_of_the_map(tmp_path: Path) -> None:
    """Patches are ranked as by the map itself; between the cells' centres the map is interpolated."""
    steps = [(batch, {"explanation_of_another_kind": output["explanation"]}) for batch, output in [step(list(CASES))]]
    report = ExplanationReport(
        tmp_path / "made", "test", MapBeside().eval(), [curve()], (), ITEMS, relevance=Coarse(), localisation=False
    )
    player([report]).run(steps, max_epochs=1)
    found = json.loads((tmp_path / "made" / "metrics.json").read_text())["test"]
    given, _ = measure(tmp_path / "given")
    assert found == {"aopc": given["aopc"]}, "and nothing about the region of interest, which is switched off"


class Upside(nn.Module):
    """A branch that sees the image upside down, with a say in nothing."""

    def forward(self, image: Tensor) -> Tensor:
        return LitShare()(image.flip(2))


def test_baselines_explain_a_part_and_the_whole_decides(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The baseline is asked about the part alone; the probabilities that fall are those of the whole network."""
    asked = []

    def attribute(self: object, model: nn.Module, image: Tensor, target: Tensor | None = None) -> Tensor:
        asked.append(type(model))
        return image[:, :1]

    monkeypatch.setattr("common.handlers.explanation_report.Attribution.__call__", attribute)
    options = {"baselines": ("saliency",), "explained": Upside().eval()}
    metrics, _ = measure(tmp_path, **options)
    assert set(asked) == {Upside}
    assert metrics["aopc/saliency"]["value"] == pytest.approx(metrics["aopc"]["value"])


def test_outputs_without_a_map_are_refused(tmp_path: Path) -> None:
    batch, _ = step(["bright"])
    report = ExplanationReport(tmp_path, "test", LitShare().eval(), [curve()], ())
    with pytest.raises(ValueError, match="outputs are evidence, expected 'explanation' among them: without a map"):
        player([report]).run([(batch, {"evidence": torch.zeros(1, 2)})], max_epochs=1)


def test_patients_are_drawn_whole(tmp_path: Path) -> None:
    """Energies 0.36 and 0.04: from two patients the interval spans both, from one there is nothing to draw."""
    apart, _ = measure(tmp_path / "apart", baselines=())
    together, _ = measure(tmp_path / "together", items=[{**item, "patient_id": "one"} for item in ITEMS])
    assert apart["energy_in_roi"] == pytest.approx({"value": 0.2, "low": 0.04, "high": 0.36, "n": 2})
    assert together["energy_in_roi"] == pytest.approx({"value": 0.2, "low": 0.2, "high": 0.2, "n": 2})
    assert together["aopc"]["low"] == pytest.approx(together["aopc"]["high"])
    assert apart["aopc"]["low"] < apart["aopc"]["high"]


def test_without_items_every_case_is_measured(tmp_path: Path) -> None:
    metrics, _ = measure(tmp_path, items=())
    assert metrics["aopc"]["n"] == 3


def test_a_second_run_forgets_the_first(tmp_path: Path) -> None:
    engine = player([ExplanationReport(tmp_path, "test", LitShare().eval(), [curve()], ())])
    engine.run([step(list(CASES))], max_epochs=1)
    engine.run([step(["bright"])], max_epochs=1)
    metrics = json.loads((tmp_path / "metrics.json").read_text())["test"]
    assert (metrics["aopc"]["n"], metrics["energy_in_roi"]["n"], metrics["map_dependence/own"]["n"]) == (1, 1, 1)


@pytest.mark.parametrize(
    ("names", "count", "chosen"),
    [("abcde", 2, "ae"), ("abcde", 3, "ace"), ("abcde", 5, "abcde"), ("abcde", 9, "abcde"), ("abcde", 1, "a")],
)
def test_cases_are_chosen_evenly(names: str, count: int, chosen: str) -> None:
    assert evenly_chosen(list(names), count) == set(chosen)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"curves": []}, "curves is empty"),
        ({"cases": 0}, "cases is 0, expected 1 or more"),
        ({"cases": 2, "items": ()}, "cases is 2, but there are no items to choose from"),
        ({"baselines": ("gradcm",)}, "did you mean 'gradcam'"),
    ],
)
def test_refuses(tmp_path: Path, options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        ExplanationReport(tmp_path, "test", LitShare(), **{"curves": [curve()], "items": ITEMS, **options})
