"""What a network says that holds several diseases against "No Finding"."""

import json
import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from common.data.placement import Placement
from common.explain import Case, PrototypeReasoning, check_record, load_map, load_record
from common.explain.case_folder import save_explanation
from common.layers import ClassConnectedLinear, PrototypeLayer
from tests.explain.background_run_folder import (
    BACKGROUND,
    DISEASES,
    background_describer,
    background_network,
    chest_case,
    project_chests,
    write_chests,
)

PENCIL = ["Mass", "Effusion"]


def pencil_layers():
    """Four prototypes, two of Mass, one of Effusion, one of the background, with the weights 2, 1, 4, 2."""
    class_map = torch.tensor([0, 0, 1, 2])
    prototypes, last_layer = PrototypeLayer(class_map, 2, scale=1.0), ClassConnectedLinear(class_map)
    with torch.no_grad():
        last_layer.weight.copy_(torch.tensor([2.0, 1.0, 4.0, 2.0]))
    return prototypes, last_layer


def pencil_case(**given):
    """Similarities 1, 0.5, 0.25, 0.75: sums 2.5, 1 and 1.5, logits 1 and -0.5."""
    maps = np.zeros((4, 2, 2), np.float32)
    maps[0, 0, 0], maps[1, 1, 1], maps[2, 0, 0], maps[3, 0, 1] = 1, 0.5, 0.25, 0.75
    output = {
        "logits": np.array([1, -0.5], np.float32),
        "probability": np.array([sigmoid(1), sigmoid(-0.5)], np.float32),
        "similarity": np.array([1, 0.5, 0.25, 0.75], np.float32),
        "similarity_map": maps,
        "location": np.array([0, 3, 0, 1]),
    }
    case = Case(
        case_id="case",
        method="cipl_multilabel_classification",
        classes=PENCIL,
        task="multilabel",
        threshold=0.5,
        image_path="case.png",
        placement=Placement((20, 20), (0, 0, 20, 20)),
        image=np.full((3, 10, 10), 0.5, np.float32),
        output=output,
        label=[1, 0],
    )
    return replace(case, **given)


def sigmoid(logit):
    return 1 / (1 + math.exp(-logit))


def describe(background=BACKGROUND, **given):
    return PrototypeReasoning(*pencil_layers(), background=background).describe(pencil_case(**given))


def test_the_record_by_pencil():
    record = describe().record
    assert record["classes"] == PENCIL
    assert record["background"] == BACKGROUND
    assert record["prediction"]["class_logits"] == {"Mass": 2.5, "Effusion": 1.0, BACKGROUND: 1.5}
    assert record["prediction"]["logits"] == {"Mass": 1.0, "Effusion": -0.5}
    assert record["prediction"]["classes"] == ["Mass"]
    told = [(item["name"], item["class"], item["contribution"]) for item in record["evidence"]]
    assert told == [
        ("prototype 0", "Mass", 2.0),
        ("prototype 3", BACKGROUND, 1.5),
        ("prototype 2", "Effusion", 1.0),
        ("prototype 1", "Mass", 0.5),
    ]
    first, against, *_ = record["evidence"]
    assert first["details"]["probability_without"] == pytest.approx(sigmoid(-1))
    assert "probability_without" not in against["details"], "it speaks against every class"
    assert record["summary"] == [
        "Mass: 2.500 less 1.500 of No Finding is logit 1.000, p 0.73",
        "Without prototype 0, p(Mass) would be 0.27 instead of 0.73; Mass would not be predicted",
    ]
    assert "less the same sum over those of 'No Finding'" in record["how_to_read"]


def test_several_diseases_are_told_one_by_one_and_where_they_share_a_place():
    lines = describe(threshold=0.3).record["summary"]
    assert [line.split(":")[0] for line in lines if " less " in line] == PENCIL
    assert "The first prototypes of Mass and Effusion look at the same place" in lines


def test_where_nothing_is_predicted_the_most_probable_disease_is_told():
    record = describe(threshold=0.9).record
    assert record["prediction"]["classes"] == []
    assert record["summary"][0] == "No class reaches the threshold 0.9; Mass comes closest"
    assert record["summary"][1].startswith("Mass: 2.500 less 1.500")


@pytest.mark.parametrize(
    ("background", "given", "message"),
    [
        (None, {}, "the last layer has 3 classes, expected 2 for Mass, Effusion; name a background class with"),
        ("Mass", {}, "the background is 'Mass', the task multilabel with the classes Mass, Effusion; expected"),
        (BACKGROUND, {"task": "multiclass", "label": 0}, "the task multiclass with .* expected a multilabel task"),
        (BACKGROUND, {"classes": ["Mass"]}, "the last layer has 3 classes, expected 2 for Mass, No Finding"),
    ],
)
def test_a_background_that_does_not_fit_is_refused(background, given, message):
    with pytest.raises(ValueError, match=f"case 'case': .*{message}"):
        describe(background, **given)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"background": None}, "'background' and 'prediction.class_logits' go together"),
        ({"background": "Effusion"}, "background is 'Effusion', expected none of the classes"),
        ({"background": "Normal"}, "prediction.class_logits names .* expected .*'Normal'"),
        (
            {"logits": {"Mass": 1.1, "Effusion": -0.5}},
            "prediction.logits.Mass is 1.1, expected 1, its class_logit",
        ),
        (
            {"class_logits": {"Mass": 2.6, "Effusion": 1.1, BACKGROUND: 1.6}},
            "the contributions for 'Mass' add up to 2.5, expected its logit 2.6",
        ),
    ],
)
def test_sums_that_do_not_agree_are_refused(change, message):
    record = json.loads(json.dumps(describe().record))
    for name, value in change.items():
        (record["prediction"] if "logits" in name else record)[name] = value
    record = {name: value for name, value in record.items() if value is not None}
    with pytest.raises(ValueError, match=f"a record: {message}"):
        check_record(record, "a record")


@pytest.mark.parametrize("prototypes", [3, 50])
def test_the_file_holds_sums_that_give_the_networks_logits_exactly(tmp_path, prototypes):
    (item,) = write_chests(tmp_path, 1)
    network = background_network(prototypes)
    case = chest_case(network, tmp_path, item)
    path = save_explanation(tmp_path, background_describer(network, None, None).describe(case), card=False)
    content = load_record(path / "explanation.json")
    sums = dict.fromkeys([*DISEASES, BACKGROUND], 0.0)
    for name in sums:
        sums[name] = math.fsum(one["contribution"] for one in content["evidence"] if one["class"] == name)
    assert len(content["evidence"]) == prototypes * 5
    assert content["prediction"]["class_logits"] == pytest.approx(sums, rel=1e-12)
    for index, name in enumerate(DISEASES):
        assert content["prediction"]["logits"][name] == pytest.approx(sums[name] - sums[BACKGROUND], rel=1e-11)
        assert case.output["logits"][index] == pytest.approx(sums[name] - sums[BACKGROUND], abs=2e-5)
    for name in sums:
        key = f"heatmap_{name.replace(' ', '_')}"
        assert load_map(path / content["files"][key]["file"]).shape == (64, 64)


def test_without_a_prototype_is_what_the_network_says_with_its_weight_0(tmp_path):
    (item,) = write_chests(tmp_path, 1)
    network = background_network(2)
    record = background_describer(network, None, None).describe(chest_case(network, tmp_path, item)).record
    for one in [one for one in record["evidence"] if one["class"] != BACKGROUND]:
        changed = background_network(2)
        with torch.no_grad():
            changed.last_layer.weight[int(one["name"].split()[1])] = 0
        probability = chest_case(changed, tmp_path, item).output["probability"]
        expected = float(probability[DISEASES.index(one["class"])])
        assert one["details"]["probability_without"] == pytest.approx(expected, abs=1e-5)


def test_sources_of_the_background_come_from_images_without_a_disease(tmp_path):
    items = write_chests(tmp_path, 7)
    network = background_network(2)
    project_chests(network, tmp_path / "prototypes", tmp_path, items[:6])
    case = chest_case(network, tmp_path, items[6])
    record = background_describer(network, tmp_path / "prototypes", tmp_path).describe(case).record
    assert "warning" not in record
    sources = {one["source_case"] for one in record["evidence"] if one["class"] == BACKGROUND}
    assert sources == {"chest_02"}, "the only one without any"
