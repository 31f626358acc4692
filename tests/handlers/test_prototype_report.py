"""Quality of two prototypes per class, of four cases whose similarities are written down."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from common.handlers import PrototypeReport
from common.layers import PrototypeLayer
from tests.handlers.replay import replay

CLASSES = ["benign", "malignant"]
CLASS_MAP = torch.tensor([0, 0, 1, 1])
NAMES = ["c0", "c1", "c2", "c3"]
LABEL = torch.tensor([0, 0, 1, 1])
SIMILARITY = torch.tensor([[0.9, 0.9, 0.1, 0.3], [0.4, 0.4, 0.5, 0.2], [0.5, 0.5, 0.8, 0.6], [0.2, 0.2, 0.7, 0.9]])
PLACES = torch.tensor([[0, 1, 2, 3]] * 4)  # on a map of 2 x 2 cells
COLUMNS = 2


class Shaken:
    """A network that finds prototype 3 elsewhere in changed images; everything else stays."""

    def __init__(self) -> None:
        self.seen: list[int] = []

    def explain(self, image: Tensor) -> dict[str, Tensor]:
        self.seen.append(len(image))
        rows = image[:, 0, 0, 0].mul(10).round().long().clamp(0, 3)  # the image says which case it is
        return outputs(rows) | {"location": torch.tensor([[0, 1, 2, 3 + 5]] * len(rows))}


def outputs(rows: Tensor) -> dict[str, Tensor]:
    similarity = SIMILARITY[rows]
    malignant = similarity[:, 2:].sum(1) / similarity.sum(1)
    return {
        "probability": torch.stack([1 - malignant, malignant], dim=1),
        "similarity": similarity,
        "similarity_map": torch.zeros(len(rows), 4, 2, COLUMNS),
        "location": PLACES[rows].float(),  # as an evaluator hands it on
        "contribution": similarity.clone(),
    }


def prototypes() -> PrototypeLayer:
    layer = PrototypeLayer(CLASS_MAP, 2)
    with torch.no_grad():
        layer.vectors.copy_(torch.tensor([[0.0, 0.0], [0.0, 0.0], [1.0, 0.0], [1.0, 1.0]]))
    return layer


def steps(mask: bool = False) -> list[tuple[dict[str, Any], dict[str, Tensor]]]:
    """Two batches of two cases; the region of c2 touches the cell 2, c3 has no region."""
    found = []
    for first in (0, 2):
        rows = torch.arange(first, first + 2)
        image = (rows / 10).view(2, 1, 1, 1).expand(2, 3, 8, 8)
        batch: dict[str, Any] = {"image": image, "label": LABEL[rows], "case_id": NAMES[first : first + 2]}
        if mask:
            region = torch.zeros(2, 1, 8, 8)
            region[:, :, 6, 1] = 1
            batch |= {"mask": region, "mask_given": torch.tensor([first == 2, False])}
        found.append((batch, outputs(rows)))
    return found


def measure(folder: Path, network: Shaken | None = None, mask: bool = False, **options: Any) -> dict[str, Any]:
    settings = {"nearest": 2, "corruptions": [], **options}
    report = PrototypeReport(folder, "test", CLASSES, network or Shaken(), prototypes(), **settings)
    replay([report], steps(mask))
    return json.loads((folder / "metrics.json").read_text())["test"]


def test_what_prototypes_mean(tmp_path: Path) -> None:
    """Two most similar cases: prototypes 0 and 1 have c0 and c2, half of them of their class; 2 and 3 have c2 and c3.

    Pairs of a case of the class and another: 0 and 1 have three of four right, 2 has all, 3 has all.
    """
    found = measure(tmp_path)
    assert found["prototype_purity"]["value"] == pytest.approx((0.5 + 0.5 + 1 + 1) / 4)
    assert found["prototype_purity_chance"]["value"] == pytest.approx(0.5)
    assert found["prototype_class_specificity"]["value"] == pytest.approx((0.75 + 0.75 + 1 + 1) / 4)
    assert found["prototype_purity"]["n"] == 4


def test_terms_of_a_loss_are_left_alone(tmp_path: Path) -> None:
    batches = [(batch, {**out, "terms": {"classification": torch.zeros(2)}}) for batch, out in steps()]
    report = PrototypeReport(tmp_path, "test", CLASSES, Shaken(), prototypes(), nearest=2, corruptions=["jpeg"])
    replay([report], batches)
    found = json.loads((tmp_path / "metrics.json").read_text())["test"]
    assert found == measure(tmp_path / "without", corruptions=["jpeg"])


def test_how_prototypes_differ(tmp_path: Path) -> None:
    """With one case each: 0 and 1 both take c0 and leave c1 out, 2 takes c2, 3 takes c3. Vectors 0 and 1 are equal."""
    found = measure(tmp_path, nearest=1)
    assert found["prototype_coverage"]["value"] == pytest.approx((1 + 0 + 1 + 1) / 4)
    assert found["prototype_uniqueness"] == {"value": 3 / 4, "low": None, "high": None, "n": 4}
    spread = {name: found[f"prototype_spread/{name}"]["value"] for name in (*CLASSES, "between")}
    assert spread == pytest.approx({"benign": 0, "malignant": 1, "between": (1 + 2 + 1 + 2) / 4})


def test_relevance_is_asked_of_outlined_cases_of_the_class(tmp_path: Path) -> None:
    """Of c2 alone, and of prototypes 2 and 3: the first is found in the cell that the region touches, one of four."""
    found = measure(tmp_path, mask=True)
    assert found["prototype_relevance"]["value"] == pytest.approx((1 + 0) / 2)
    assert found["prototype_relevance_chance"]["value"] == pytest.approx(1 / 4)
    assert found["prototype_relevance"]["n"] == 1
    assert "prototype_relevance" not in measure(tmp_path / "without")


def test_stability_of_the_foremost_prototypes(tmp_path: Path) -> None:
    """Prototype 3 has moved from row 1 to row 4, which counts where it is among the foremost: in c2 and c3, malignant.

    With one foremost prototype it is that of c3 alone.
    """
    found = measure(tmp_path, corruptions=["jpeg"], foremost=2)
    assert found["prototype_place_stability/jpeg"]["value"] == pytest.approx((1 + 1 + 0.5 + 0.5) / 4)
    one = measure(tmp_path / "one", corruptions=["jpeg"], foremost=1)
    assert one["prototype_place_stability/jpeg"]["value"] == pytest.approx((1 + 1 + 1 + 0) / 4)
    assert found["prototype_order_stability/jpeg"]["value"] == pytest.approx(1)


def test_stability_of_chosen_cases(tmp_path: Path) -> None:
    network = Shaken()
    items = [{"case_id": name} for name in NAMES]
    found = measure(tmp_path, network, corruptions=["blur", "jpeg"], cases=2, items=items)
    assert found["prototype_place_stability/blur"]["n"] == 2
    assert network.seen == [1] * 4, "two cases of two batches, once for each corruption"
    assert found["prototype_purity"]["n"] == 4


def test_prototypes_of_the_background_belong_to_no_class(tmp_path: Path) -> None:
    """With "malignant" taken off the classes' list its prototypes are left out, and every label has both classes."""
    batches = [
        (batch | {"label": torch.nn.functional.one_hot(batch["label"], 2)[:, :1]}, out) for batch, out in steps()
    ]
    report = PrototypeReport(tmp_path, "test", ["benign"], Shaken(), prototypes(), nearest=2, corruptions=[])
    replay([report], batches)
    found = json.loads((tmp_path / "metrics.json").read_text())["test"]
    assert found["prototype_purity"]["value"] == pytest.approx(0.5)
    assert found["prototype_class_specificity"]["value"] == pytest.approx(0.75)
    assert [name for name in found if name.startswith("prototype_spread")] == ["prototype_spread/benign"]


def test_patients_are_drawn_whole(tmp_path: Path) -> None:
    items = [{"case_id": name, "patient_id": "one"} for name in NAMES]
    entry = measure(tmp_path, items=items)["prototype_purity"]
    assert entry["low"] == entry["high"] == entry["value"]


def test_a_second_run_forgets_the_first(tmp_path: Path) -> None:
    report = PrototypeReport(tmp_path, "test", CLASSES, Shaken(), prototypes(), corruptions=["jpeg"])
    replay([report], steps())
    replay([report], steps()[:1])
    found = json.loads((tmp_path / "metrics.json").read_text())["test"]
    assert (found["prototype_purity"]["n"], found["prototype_place_stability/jpeg"]["n"]) == (2, 2)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"corruptions": ["jpg"]}, "did you mean 'jpeg'"),
        ({"strength": 0}, "strength is 0, expected 1 to 5"),
        ({"nearest": 0}, "nearest is 0 and foremost 3, expected 1 or more"),
        ({"cases": 2}, "no items to choose from"),
    ],
)
def test_refuses(tmp_path: Path, options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        measure(tmp_path, **options)


def test_a_network_without_prototypes_is_refused(tmp_path: Path) -> None:
    batch, _ = steps()[0]
    report = PrototypeReport(tmp_path, "test", CLASSES, Shaken(), prototypes())
    with pytest.raises(ValueError, match="outputs are logits, expected 'similarity' among them"):
        replay([report], [(batch, {"logits": torch.zeros(2, 2)})])
