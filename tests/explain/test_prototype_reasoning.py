import json
import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from common.data.placement import Placement
from common.explain import Case, PrototypeReasoning, check_record, class_heatmap, load_map, load_record
from common.explain.case_folder import save_explanation
from common.explain.prototype_files import save_prototypes
from common.explain.prototype_words import NOT_PROJECTED, OTHER_PROTOTYPES, UNKNOWN_SOURCE
from common.layers import ClassConnectedLinear, PrototypeLayer
from tests.explain.prototype_run_folder import CLASSES, case_of, describer_of, project, small_network, write_images

SIZE = (96, 48)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("data")


@pytest.fixture(scope="module")
def items(folder):
    return write_images(folder, 8, SIZE)


@pytest.fixture(scope="module")
def projected(folder, items):
    """A network, and where the book of its prototypes is."""
    network = small_network((3, 4))
    save_prototypes(folder / "prototypes", project(network, folder, items[:6]))
    return network, folder / "prototypes"


def pencil_layers():
    """Three prototypes, of classes 0, 0, 1, with the weights 2, 1, 4."""
    class_map = torch.tensor([0, 0, 1])
    prototypes, last_layer = PrototypeLayer(class_map, 2, scale=1.0), ClassConnectedLinear(class_map)
    with torch.no_grad():
        last_layer.weight.copy_(torch.tensor([2.0, 1.0, 4.0]))
    return prototypes, last_layer


def pencil_case(task="multiclass", placement=None, teacher=None, **output):
    """Similarities 0.5, 0.25 and 0.5 on a map of 2 x 2: logits 1.25 and 2."""
    maps = np.zeros((3, 2, 2), np.float32)
    maps[0, 0, 0], maps[1, 1, 1], maps[2, 0, 1] = 0.5, 0.25, 0.5
    student = softmax([1.25, 2]) if task == "multiclass" else sigmoid([1.25, 2])
    given = {
        "logits": np.array([1.25, 2], np.float32),
        "probability": np.array(student, np.float32),
        "similarity": np.array([0.5, 0.25, 0.5], np.float32),
        "similarity_map": maps,
        "location": np.array([0, 3, 1]),
    }
    if teacher is not None:
        given |= {"student_logits": given["logits"], "student_probability": given["probability"]}
        given |= {"teacher_probability": np.array(teacher, np.float32)}
        given["probability"] = (given["student_probability"] + given["teacher_probability"]) / 2
    return Case(
        case_id="case",
        method="internrl_prototype_classification",
        classes=CLASSES,
        task=task,
        threshold=0.5,
        image_path="case.png",
        placement=placement or Placement((20, 20), (0, 0, 20, 20)),
        image=np.full((3, 10, 10), 0.5, np.float32),
        output=given | output,
        label=1 if task == "multiclass" else [0, 1],
    )


def softmax(logits):
    return [math.exp(value) / sum(map(math.exp, logits)) for value in logits]


def sigmoid(logits):
    return [1 / (1 + math.exp(-value)) for value in logits]


def test_the_record_by_pencil():
    record = PrototypeReasoning(*pencil_layers()).describe(pencil_case()).record
    assert record["prediction"]["logits"] == {"benign": 1.25, "malignant": 2.0}
    assert [item["name"] for item in record["evidence"]] == ["prototype 2", "prototype 0", "prototype 1"]
    first, second, third = record["evidence"]
    assert (first["class"], first["contribution"]) == ("malignant", 2.0)
    # the right upper cell of 2 x 2 over 20 x 20 pixels
    assert first["peak"] == [15, 5]
    assert first["box"][0] >= 10
    assert first["box"][3] <= 10
    assert first["details"]["similarity"] == 0.5
    assert first["details"]["weight"] == 4.0
    assert first["details"]["probability_without"] == pytest.approx(softmax([1.25, 0])[1])
    assert second["details"]["probability_without"] == pytest.approx(softmax([0.25, 2])[0])
    assert third["contribution"] == 0.25
    assert third["peak"] == [15, 15]
    assert "branches" not in record
    assert "student_probability_without" not in first["details"]
    assert record["summary"] == [
        "Logits: malignant 2.000, benign 1.250",
        "Without prototype 2, p(malignant) would be 0.22 instead of 0.68; the prediction would be benign",
    ]


@pytest.mark.parametrize(
    ("output", "final", "without", "words"),
    [
        ("ensemble", 0.5 * 0.6792 + 0.5 * 0.9, 0.5 * 0.2227 + 0.5 * 0.9, "the mean of student (0.68) and teacher"),
        ("student", 0.6792, 0.2227, "the student's alone; the teacher says 0.90"),
        ("teacher", 0.9, 0.9, "the teacher's alone; the student, whose reasons these are, says 0.68"),
    ],
)
def test_whose_prediction_changes_without_a_prototype(output, final, without, words):
    case = pencil_case(teacher=[0.1, 0.9])
    single = {"student": "student_probability", "teacher": "teacher_probability"}
    if output in single:
        case = replace(case, output=dict(case.output) | {"probability": case.output[single[output]]})
    record = PrototypeReasoning(*pencil_layers(), output=output).describe(case).record
    assert record["prediction"]["probabilities"]["malignant"] == pytest.approx(final, abs=1e-4)
    assert record["branches"]["student"] == pytest.approx(dict(zip(CLASSES, softmax([1.25, 2]), strict=True)))
    assert record["branches"]["teacher"] == pytest.approx({"benign": 0.1, "malignant": 0.9})
    details = record["evidence"][0]["details"]
    assert details["probability_without"] == pytest.approx(without, abs=1e-4)
    assert details["student_probability_without"] == pytest.approx(0.2227, abs=1e-4)
    assert words in record["summary"][0]
    assert record["prediction"]["logits"]["malignant"] == 2.0, "the student's, whoever answers"
    if output == "teacher":
        said = "Without prototype 2, the student's p(malignant) would be 0.22 instead of 0.68; the prediction stays"
        assert record["summary"][-1] == said


def test_branches_that_disagree_are_told():
    record = PrototypeReasoning(*pencil_layers()).describe(pencil_case(teacher=[0.9, 0.1])).record
    assert "The branches disagree: the student says malignant, the teacher says benign" in record["summary"]
    agreed = PrototypeReasoning(*pencil_layers()).describe(pencil_case(teacher=[0.1, 0.9])).record
    assert not any("disagree" in line for line in agreed["summary"])


def test_several_classes_at_once():
    record = PrototypeReasoning(*pencil_layers()).describe(pencil_case("multilabel")).record
    assert record["prediction"]["classes"] == CLASSES
    without = {item["name"]: item["details"]["probability_without"] for item in record["evidence"]}
    assert without["prototype 0"] == pytest.approx(sigmoid([0.25])[0])
    assert without["prototype 2"] == pytest.approx(0.5)
    assert record["summary"][-1] == "Without prototype 2, p(malignant) would be 0.50 instead of 0.88"


@pytest.mark.parametrize("output", ["ensemble", "student", "teacher"])
@pytest.mark.parametrize("prototypes", [(3, 4), (200, 150)])
def test_contributions_in_the_file_add_up_to_the_logits(tmp_path, folder, items, prototypes, output):
    network = small_network(prototypes, output)
    case = case_of(network, folder, items[7])
    path = save_explanation(tmp_path, describer_of(network, None, None).describe(case), card=False)
    content = json.loads((path / "explanation.json").read_text())
    assert len(content["evidence"]) == sum(prototypes)
    for index, name in enumerate(CLASSES):
        own = [item for item in content["evidence"] if item["class"] == name]
        logit = content["prediction"]["logits"][name]
        assert math.fsum(item["contribution"] for item in own) == pytest.approx(logit, rel=1e-12)
        assert case.output["student_logits"][index] == pytest.approx(logit, rel=1e-6), "that of the network"
        for item in own:
            assert item["contribution"] == item["details"]["similarity"] * item["details"]["weight"]
    assert load_record(path / "explanation.json") == content


def test_without_a_prototype_is_what_the_network_says_with_its_weight_0(folder, items):
    network = small_network()
    case = case_of(network, folder, items[7])
    record = describer_of(network, None, None).describe(case).record
    for item in record["evidence"]:
        changed = small_network()
        with torch.no_grad():
            changed.student.last_layer.weight[int(item["name"].split()[1])] = 0
        output = case_of(changed, folder, items[7]).output
        index = CLASSES.index(item["class"])
        assert item["details"]["probability_without"] == pytest.approx(float(output["probability"][index]), abs=1e-6)
        student = float(output["student_probability"][index])
        assert item["details"]["student_probability_without"] == pytest.approx(student, abs=1e-6)


def test_peaks_are_where_the_network_looked_in_source_pixels(folder, items):
    """A mirrored image of twice the size: a cell in column c of n counts from the right."""
    network = small_network()
    case = case_of(network, folder, items[2], size=(64, 32))
    assert case.placement.flipped
    record = describer_of(network, None, None).describe(case).record
    rows, columns = case.output["similarity_map"].shape[1:]
    for item in record["evidence"]:
        row, column = divmod(int(case.output["location"][int(item["name"].split()[1])]), columns)
        x, y = (columns - 1 - column + 0.5) * 48 / columns, (row + 0.5) * 96 / rows
        assert item["peak"] == pytest.approx([x, y], abs=1)
        assert item["box"][0] <= item["peak"][0] < item["box"][2]
        assert item["box"][1] <= item["peak"][1] < item["box"][3]


def test_a_place_in_the_padding_has_no_box():
    record = PrototypeReasoning(*pencil_layers()).describe(pencil_case(placement=Placement((20, 20), (-20, 0, 20, 40))))
    boxes = {item["name"]: item.get("box") for item in record.record["evidence"]}
    assert boxes["prototype 0"] is None, "the upper left cell lies beside the image"
    assert boxes["prototype 1"] is None, "the lower right one below it"
    assert boxes["prototype 2"] is not None


def test_sources_come_from_the_book(projected, folder, items):
    network, prototypes = projected
    case = case_of(network, folder, items[6])
    explanation = describer_of(network, prototypes, folder).describe(case)
    record = check_record(explanation.record, "record")
    assert "warning" not in record
    sources = {item["name"]: item["source_case"] for item in record["evidence"]}
    known = json.loads((prototypes / "prototypes.json").read_text())["prototypes"]
    assert sources == {f"prototype {one['index']}": one["source_case"] for one in known}
    assert "looks like that part of a training image" in record["how_to_read"]


def test_a_training_image_looks_exactly_like_the_prototypes_taken_from_it(projected, folder, items):
    network, prototypes = projected
    known = json.loads((prototypes / "prototypes.json").read_text())["prototypes"]
    one = known[0]
    item = next(item for item in items if item["case_id"] == one["source_case"])
    record = describer_of(network, prototypes, folder).describe(case_of(network, folder, item)).record
    found = next(entry for entry in record["evidence"] if entry["name"] == "prototype 0")
    assert found["details"]["similarity"] == pytest.approx(1, abs=1e-4)
    assert (found["box"], found["peak"]) == (one["box"], one["peak"])


@pytest.mark.parametrize("reason", ["never projected", "no folder", "no file", "trained again", "other book"])
def test_prototypes_that_are_no_parts_of_training_images_are_told(projected, folder, items, tmp_path, reason):
    network = small_network()
    network.load_state_dict(projected[0].state_dict())
    prototypes = {"no folder": None, "no file": tmp_path}.get(reason, projected[1])
    if reason in ("never projected", "trained again"):
        network.student.prototypes.projected.fill_(False)
    if reason == "other book":
        with torch.no_grad():
            network.student.prototypes.vectors[0] += 0.01
    record = describer_of(network, prototypes, folder).describe(case_of(network, folder, items[6])).record
    expected = {"other book": OTHER_PROTOTYPES, "no folder": UNKNOWN_SOURCE, "no file": UNKNOWN_SOURCE}
    assert record["warning"] == expected.get(reason, NOT_PROJECTED)
    assert not any("source_case" in item for item in record["evidence"])
    assert ("training image" in record["how_to_read"]) is (record["warning"] != NOT_PROJECTED)


def test_heatmaps_are_files_on_a_scale_of_the_network(projected, folder, items, tmp_path):
    network, prototypes = projected
    scales = []
    for item in items[6:]:
        case = case_of(network, folder, item)
        path = save_explanation(tmp_path, describer_of(network, prototypes, folder).describe(case), card=False)
        record = load_record(path / "explanation.json")
        for index, name in enumerate(CLASSES):
            entry = record["files"][f"heatmap_{name}"]
            scales.append(entry["scale"])
            maps = torch.from_numpy(case.output["similarity_map"])[None]
            layer = network.student.last_layer
            lowest, highest = entry["scale"]
            options = {"lowest": lowest, "highest": highest}
            expected = class_heatmap(maps, layer.weight, layer.class_map, torch.tensor([index]), **options)[0]
            saved = load_map(path / entry["file"])
            assert saved.shape == case.placement.source_size
            np.testing.assert_allclose(saved, case.to_source(expected.detach().numpy()), atol=1e-4)
    assert all(scale == scales[0] for scale in scales), "maps of different cases compare"
    assert 0 < scales[0][0] < scales[0][1] == 1


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"similarity_map": None},
            "expected 'similarity_map' among them; this describer is for networks with prototyp",
        ),
        ({"similarity": np.ones(4, np.float32)}, "compares with 4 prototypes and the describer knows 3"),
        ({"similarity": np.full(3, 0.5, np.float32)}, "the logits of its prototypes do not give the network's probab"),
    ],
)
def test_outputs_of_another_network_are_refused(change, message):
    case = pencil_case(**change)
    case = replace(case, output={name: value for name, value in case.output.items() if value is not None})
    with pytest.raises(ValueError, match=f"case 'case': .*{message}"):
        PrototypeReasoning(*pencil_layers()).describe(case)


def test_an_output_set_differently_from_the_network_is_refused():
    with pytest.raises(ValueError, match="the prediction is not that of the student; set 'output' as it is set for"):
        PrototypeReasoning(*pencil_layers(), output="student").describe(pencil_case(teacher=[0.1, 0.9]))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"output": "both"}, "output is 'both', expected one of ensemble, student, teacher"),
        ({"top": 0}, "top is 0, expected 1 to 6"),
        ({"combine": "sum"}, "combine is 'sum', expected one of max, mean"),
    ],
)
def test_options_are_checked_when_they_are_given(options, message):
    with pytest.raises(ValueError, match=message):
        PrototypeReasoning(*pencil_layers(), **options)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"branches": {"student": {"benign": 0.3}}}, r"branches.student names \['benign'\], expected the classes"),
        ({"branches": {"teacher": {"benign": -0.1, "malignant": 1.1}}}, "branches.teacher.benign is -0.1, expected 0"),
        ({"files": {"a": {"file": "a.png", "values": "share", "scale": [1.0, 0.5]}}}, "files.a.scale is .*two rising"),
        ({"evidence": [{"kind": "prototype", "name": "prototype 0"}]}, r"'evidence\[0\].class' is missing"),
    ],
)
def test_what_prototypes_add_to_a_record_is_checked(change, message):
    record = dict(PrototypeReasoning(*pencil_layers()).describe(pencil_case(teacher=[0.1, 0.9])).record)
    with pytest.raises(ValueError, match=f"a record: .*{message}"):
        check_record(record | change, "a record")
