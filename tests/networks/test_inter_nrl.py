"""The prototype branch, the global branch, and both together."""

import itertools

import pytest
import torch
from torch import nn

from common.networks import GlobalNet, InterNRL, ProtoPNet

SMALL = {"backbone": "small", "prototype_channels": 16}


def build(**options) -> InterNRL:
    torch.manual_seed(0)
    settings = {**SMALL, "num_classes": 3, "prototypes_per_class": [2, 4, 3], "hidden": 8, **options}
    return InterNRL(**settings).eval()


def parameters_of(*modules: nn.Module) -> int:
    return sum(parameter.numel() for module in modules for parameter in module.parameters())


def test_parameter_counts_are_the_published_ones():
    """Golden: sendyma/Medical-XAI with its settings, without its dead tensor of ones."""
    network = InterNRL()
    teacher, student = network.teacher, network.student
    assert parameters_of(network.stem) == 928
    assert parameters_of(teacher.head) == 5_255_170
    assert parameters_of(network.stem, teacher) == 9_262_718
    assert parameters_of(student.add_on) == 180_480
    assert parameters_of(student.prototypes) == 51_200
    assert parameters_of(student.last_layer) == 400
    assert parameters_of(student) == 4_238_700
    assert parameters_of(network) == 13_501_418


def test_the_bottleneck_has_the_published_count():
    assert parameters_of(ProtoPNet(add_on="bottleneck").add_on) == 1_652_160


@torch.no_grad()
def test_explain_says_everything():
    network, image = build(), torch.rand(2, 3, 64, 96)
    outputs = network.explain(image)
    shapes = {name: tuple(value.shape) for name, value in outputs.items()}
    branches = ("", "student_", "teacher_")
    classes = {f"{branch}{name}": (2, 3) for branch, name in itertools.product(branches, ("logits", "probability"))}
    each = dict.fromkeys(["distance", "similarity", "location", "contribution"], (2, 9))
    assert shapes == {**classes, **each, "similarity_map": (2, 9, 4, 6)}
    assert outputs["location"].dtype == torch.int64


@torch.no_grad()
def test_contributions_add_up_to_the_students_logits():
    network = build()
    nn.init.uniform_(network.student.last_layer.weight)
    outputs = network.explain(torch.rand(2, 3, 64, 64))
    for index in range(3):
        own = outputs["contribution"][:, network.student.prototypes.class_map == index]
        torch.testing.assert_close(own.sum(1), outputs["student_logits"][:, index], rtol=1e-6, atol=0)


@torch.no_grad()
def test_the_ensemble_is_the_mean_of_both_probabilities():
    network, image = build(), torch.rand(2, 3, 64, 64)
    outputs = network.explain(image)
    mean = (outputs["student_probability"] + outputs["teacher_probability"]) / 2
    torch.testing.assert_close(network(image).softmax(1), mean)
    torch.testing.assert_close(outputs["probability"], mean)
    torch.testing.assert_close(outputs["logits"], network(image))
    assert not torch.allclose(outputs["student_probability"], outputs["teacher_probability"])


@torch.no_grad()
@pytest.mark.parametrize("branch", ["student", "teacher"])
def test_one_branch_alone(branch):
    whole, image = build(), torch.rand(2, 3, 64, 64)
    network = build(output=branch)
    expected = whole.explain(image)
    assert torch.equal(network(image), expected[f"{branch}_logits"])
    assert torch.equal(network.explain(image)["logits"], expected[f"{branch}_logits"])
    assert torch.equal(network.explain(image)["probability"], expected[f"{branch}_probability"])
    alone = getattr(whole, f"explain_{branch}")(image)
    assert torch.equal(alone["logits"], expected[f"{branch}_logits"])


@torch.no_grad()
@pytest.mark.parametrize("branch", ["student", "teacher"])
def test_the_other_branch_is_not_run(branch):
    network = build(output=branch)
    other = {"student": network.teacher, "teacher": network.student}[branch]
    for module in other.modules():
        module.register_forward_hook(lambda *_: pytest.fail("was run"))
    network(torch.rand(1, 3, 64, 64))
    getattr(network, f"explain_{branch}")(torch.rand(1, 3, 64, 64))


@torch.no_grad()
@pytest.mark.parametrize(("similarity", "top_k"), [("exp_l2", 1), ("log_l2", 3), ("cosine", 2)])
def test_similarity_is_the_mean_of_the_best_places_of_the_map(similarity, top_k):
    outputs = build(similarity=similarity, top_k=top_k).explain(torch.rand(2, 3, 64, 64))
    best = outputs["similarity_map"].flatten(2).topk(top_k)
    torch.testing.assert_close(outputs["similarity"], best.values.mean(2))
    at_location = outputs["similarity_map"].flatten(2).gather(2, outputs["location"].unsqueeze(2))
    torch.testing.assert_close(at_location.squeeze(2), best.values[:, :, 0])


@torch.no_grad()
def test_a_prototype_put_on_a_place_is_found_there():
    """What projection relies on: features, prototypes, locations and distances speak of the same map."""
    network, image = build(), torch.rand(1, 3, 64, 96)
    feature = network.feature(image)
    network.student.prototypes.vectors[5] = feature[0, :, 2, 3]
    outputs = network.explain(image)
    assert outputs["location"][0, 5] == 2 * feature.shape[3] + 3
    assert outputs["distance"][0, 5] < 1e-5
    assert outputs["similarity"][0, 5] == pytest.approx(1, abs=1e-6)


@torch.no_grad()
def test_a_shared_trunk_is_run_once():
    network, image = build(shared="trunk"), torch.rand(1, 3, 64, 64)
    assert parameters_of(network.teacher.trunk, network.student.trunk) == 0
    assert parameters_of(network.stem) == parameters_of(build().stem, build().student.trunk)
    assert network.explain(image)["student_logits"].shape == (1, 3)


def test_an_image_of_another_range_is_normalised_inside():
    plain, normalising = build(), build(mean=0.5, std=0.25)
    image = torch.rand(2, 3, 64, 64)
    with torch.no_grad():
        torch.testing.assert_close(normalising(image * 0.25 + 0.5), plain(image), rtol=1e-4, atol=1e-5)


def test_branches_learn_alone():
    """A gradient of one branch reaches the other nowhere, and every weight of its own."""
    for branch, other in (("student", "teacher"), ("teacher", "student")):
        network = build()
        getattr(network, f"explain_{branch}")(torch.rand(2, 3, 64, 64))["logits"].square().sum().backward()
        assert all(parameter.grad is None for parameter in getattr(network, other).parameters())
        reached = [parameter.grad.abs().max() > 0 for parameter in getattr(network, branch).parameters()]
        assert all(reached)


@torch.no_grad()
@pytest.mark.parametrize(
    "options", [{}, {"similarity": "cosine", "top_k": 2, "output": "student"}, {"output": "teacher"}]
)
def test_every_method_is_scripted(options):
    network, image = build(**options), torch.rand(2, 3, 64, 96)
    scripted = torch.jit.script(network)
    torch.testing.assert_close(scripted(image), network(image))
    torch.testing.assert_close(scripted.feature(image), network.feature(image))
    for method in ("explain", "explain_student", "explain_teacher"):
        expected, outputs = getattr(network, method)(image), getattr(scripted, method)(image)
        assert set(outputs) == set(expected)
        for name, value in expected.items():
            torch.testing.assert_close(outputs[name], value, rtol=1e-5, atol=1e-5, msg=name)


@torch.no_grad()
@pytest.mark.slow
def test_efficientnet_is_scripted_and_exported():
    network, image = InterNRL(prototypes_per_class=3).eval(), torch.rand(2, 3, 64, 32)
    expected = network(image)
    torch.testing.assert_close(torch.jit.script(network)(image), expected)
    torch.testing.assert_close(torch.export.export(network, (image,)).module()(image), expected)


@torch.no_grad()
def test_decides_in_full_precision_under_autocast():
    network, image = build(), torch.rand(2, 3, 64, 64)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        outputs = network.explain(image)
        assert network(image).dtype == torch.float32
    assert {value.dtype for value in outputs.values()} == {torch.float32, torch.int64}


@torch.no_grad()
def test_both_branches_stand_alone_on_images():
    image = torch.rand(2, 3, 64, 64)
    prototypes = ProtoPNet(**SMALL, prototypes_per_class=2).eval()
    plain = GlobalNet("small", hidden=8, num_classes=2).eval()
    for network in (prototypes, plain):
        torch.testing.assert_close(torch.jit.script(network)(image), network(image))
        torch.testing.assert_close(network.explain(image)["logits"], network(image))


@pytest.mark.parametrize(
    ("network", "options", "message"),
    [
        (InterNRL, {"output": "both"}, "output is 'both', expected one of ensemble, student, teacher"),
        (InterNRL, {"shared": "nothing"}, "shared is 'nothing', expected one of stem, trunk"),
        (InterNRL, {"std": 0}, "std is 0"),
        (ProtoPNet, {"top_k": 0}, "top_k is 0"),
        (ProtoPNet, {"dropout": 1.0}, r"dropout is 1\.0"),
        (ProtoPNet, {"add_on": "none"}, "add_on is 'none', expected one of regular, bottleneck"),
        (ProtoPNet, {"prototypes_per_class": [3]}, r"prototypes_per_class is \[3\] for 2 classes"),
        (GlobalNet, {"hidden": 0}, "hidden is 0"),
        (GlobalNet, {"dropout": [0.5]}, r"dropout is \[0\.5\], expected two shares"),
        (
            GlobalNet,
            {"shared": "steam"},
            "shared is 'steam', expected one of nothing, stem, trunk; did you mean 'stem'",
        ),
    ],
)
def test_refuses(network, options, message):
    with pytest.raises(ValueError, match=message):
        network(**{"backbone": "small", **options})


def test_a_wrong_image_is_refused_by_name():
    with pytest.raises(ValueError, match="got 1 channels, network built for 3"):
        build()(torch.rand(1, 1, 64, 64))
