"""Who looks where: two diseases and a background, a prototype each, maps of 2 x 2 cells of 4 pixels, by hand.

* both: has both diseases, boxed in the first and in the last cell. The prototype of Mass is at the Effusion, that of
  Effusion at home, the background's at the Mass.
* one: has an Effusion alone, boxed in the upper half of the second cell; all prototypes are in that cell.
* bare: has a Mass that nobody has boxed.
* calm: has nothing.
"""

import json

import pytest
import torch

from common.handlers import EntanglementReport
from common.layers import PrototypeLayer
from tests.handlers.replay import replay

CLASSES = ["Mass", "Effusion"]
NAMES = ["both", "one", "bare", "calm"]
LABEL = torch.tensor([[1, 1], [0, 1], [1, 0], [0, 0]])
LOCATION = torch.tensor([[3, 3, 0], [1, 1, 1], [0, 0, 0], [0, 0, 0]])
CONTRIBUTION = torch.tensor([[3.0, 2.0, 1.0], [1.0, 2.0, 1.0], [2.0, 0.0, 1.0], [0.0, 0.0, 2.0]])


@pytest.fixture
def prototypes():
    return PrototypeLayer(torch.tensor([0, 1, 2]), 4)


def step():
    mask = torch.zeros(4, 2, 8, 8, dtype=torch.uint8)
    mask[0, 0, :4, :4] = mask[0, 1, 4:, 4:] = mask[1, 1, :2, 4:] = 1
    batch = {"case_id": NAMES, "label": LABEL, "finding_mask": mask}
    output = {
        "similarity": CONTRIBUTION / 3,
        "contribution": CONTRIBUTION,
        "location": LOCATION,
        "similarity_map": torch.zeros(4, 3, 2, 2),
    }
    return batch, output


def run(folder, prototypes, batch_keys=("case_id", "label", "finding_mask"), **options):
    batch, output = step()
    handler = EntanglementReport(folder, "test", CLASSES, prototypes, **options)
    replay([handler], [({name: batch[name] for name in batch_keys}, output)])
    return [json.loads(path.read_text()) if (path := folder / name).exists() else None for name in FILES]


FILES = ("metrics.json", "prototype_table.json")


def test_entanglement_and_its_chance(tmp_path, prototypes):
    metrics, _ = run(tmp_path, prototypes)
    found = {name: (entry["value"], entry["n"]) for name, entry in metrics["test"].items()}
    assert found == {
        "entanglement": (0.5, 2),
        "entanglement/Mass": (1.0, 1),
        "entanglement/Effusion": (0.0, 1),
        "entanglement_chance": (0.25, 2),
        "entanglement_chance/Mass": (0.25, 1),
        "entanglement_chance/Effusion": (0.25, 1),
        "entanglement_absent": (0.5, 1),  # Mass in "one"
        "entanglement_absent/Mass": (0.5, 1),
        "entanglement_absent_chance": (0.125, 1),
        "entanglement_absent_chance/Mass": (0.125, 1),
        "prototype_in_box": (0.375, 3),
        "prototype_in_box/Mass": (0.0, 1),
        "prototype_in_box/Effusion": (0.75, 2),
        "prototype_in_box_chance": (pytest.approx((0.25 + 0.1875) / 2), 3),
        "prototype_in_box_chance/Mass": (0.25, 1),
        "prototype_in_box_chance/Effusion": (0.1875, 2),
    }


def test_the_table_of_diseases_and_prototypes(tmp_path, prototypes):
    _, table = run(tmp_path, prototypes, nearest=1)
    assert table == {
        "classes": [*CLASSES, "No Finding"],
        "diseases": CLASSES,
        "cases": [2, 2],
        "mean_contribution": [[2.5, 1.0, 1.0], [2.0, 2.0, 1.0]],
        "purity": [1.0, 1.0, 1.0],
        # rows: in whose boxes; columns: whose prototypes
        "entanglement": [[0.0, 0.0, 1.0], [1.0, 0.75, 0.25]],
        "entanglement_chance": [[0.25, 0.25, 0.25], [0.25, 0.1875, 0.1875]],
        "entanglement_absent": [[None, None, 1.0], [0.5, None, 0.25]],
    }


def test_without_boxes_there_is_the_table_alone(tmp_path, prototypes):
    metrics, table = run(tmp_path, prototypes, batch_keys=("case_id", "label"))
    assert metrics is None
    assert table["entanglement"] == [[None] * 3] * 2
    assert table["mean_contribution"] == [[2.5, 1.0, 1.0], [2.0, 2.0, 1.0]]


def test_a_network_without_background(tmp_path):
    batch, output = step()
    output = {name: value[:, :2] for name, value in output.items()}
    handler = EntanglementReport(tmp_path, "test", CLASSES, PrototypeLayer(torch.tensor([0, 1]), 4), background=None)
    replay([handler], [(batch, output)])
    assert json.loads((tmp_path / FILES[1]).read_text())["entanglement"] == [[0.0, 0.0], [1.0, 0.75]]


def test_networks_without_prototypes_are_refused(tmp_path, prototypes):
    batch, _ = step()
    with pytest.raises(ValueError, match="outputs are logits, expected 'similarity' among them; leave Entanglement"):
        replay([EntanglementReport(tmp_path, "test", CLASSES, prototypes)], [(batch, {"logits": torch.zeros(4, 2)})])


def test_masks_of_other_classes_are_refused(tmp_path, prototypes):
    batch, output = step()
    batch["finding_mask"] = batch["finding_mask"][:, :1]
    with pytest.raises(ValueError, match="'finding_mask' has 1 classes, expected 2"):
        replay([EntanglementReport(tmp_path, "test", CLASSES, prototypes)], [(batch, output)])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"background": None}, "prototypes have 3 classes, expected 2: Mass, Effusion"),
        ({"foremost": 0}, "foremost is 0"),
    ],
)
def test_options_must_fit(tmp_path, prototypes, options, message):
    with pytest.raises(ValueError, match=message):
        EntanglementReport(tmp_path, "test", CLASSES, prototypes, **options)
