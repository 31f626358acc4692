"""The classifier of exams: sums, sides, levels, and weights of a pre-training."""

import pytest
import torch

from common.networks import ExamClassifier, MultiViewReportNet
from tests.networks.exam_setup import WordMeans, exams, texts

VARIANTS = [
    {},
    {"fusion": "attention"},
    {"feature": "vector"},
    {"feature": "vector", "fusion": "attention", "level": "exam", "shared": False},
]


@torch.no_grad()
@pytest.mark.parametrize("fusion", ["mean", "attention"])
def test_contributions_add_up_to_the_logits(fusion):
    network = ExamClassifier(fusion=fusion).eval()
    outputs = network.explain(exams(size=(64, 70)))
    assert outputs["contribution"].shape == (3, 6, 4, 8, 9)
    total = outputs["contribution"].flatten(2).sum(2).unflatten(1, [2, 3]) + network.head.bias
    torch.testing.assert_close((total * outputs["side_mask"].unsqueeze(2)).flatten(1), outputs["logits"])
    assert (outputs["contribution"][:, :3, 2:] == 0).all()
    assert (outputs["contribution"][0, :, 1] == 0).all()
    torch.testing.assert_close(outputs["probability"], torch.sigmoid(outputs["logits"]))
    assert (network.map_stride, network.map_offset) == (8, 0)


@torch.no_grad()
def test_the_exam_is_its_worst_side():
    image = exams()
    torch.manual_seed(0)
    sides = ExamClassifier().eval()
    exam = ExamClassifier(level="exam").eval()
    exam.load_state_dict(sides.state_dict())
    logits = sides(image).unflatten(1, [2, 3])
    expected = torch.stack([logits[0].amax(0), logits[1, 0], logits[2].amax(0)])
    assert torch.equal(exam(image), expected)
    assert sides(image)[1, 3:].tolist() == [0.0] * 3


@torch.no_grad()
@pytest.mark.parametrize("options", VARIANTS)
def test_scripted_and_exported(options):
    network, image = ExamClassifier(**options).eval(), exams()
    scripted = torch.jit.script(network)
    for name, value in network.explain(image).items():
        torch.testing.assert_close(scripted.explain(image)[name], value, rtol=1e-5, atol=1e-5, msg=name)
    exported = torch.export.export(network, (image,)).module()
    torch.testing.assert_close(exported(image), network(image), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("options", VARIANTS)
def test_gradient_reaches_every_parameter(options):
    network = ExamClassifier(**options)
    network(exams()).square().sum().backward()
    assert [name for name, parameter in network.named_parameters() if parameter.grad is None] == []


@torch.no_grad()
@pytest.mark.parametrize("options", VARIANTS)
def test_starts_from_a_pre_training(options, tmp_path):
    encoder = {key: value for key, value in options.items() if key in ("fusion", "shared")}
    trained = MultiViewReportNet(WordMeans(), texts(2, 3, 2, 1, 5), joint_width=16, **encoder).eval()
    torch.save(trained.state_dict(), tmp_path / "model.pt")
    network = ExamClassifier(joint_width=16, weights=tmp_path / "model.pt", **options).eval()
    expected, _, _ = trained.image_encoder(exams())
    found, _, _ = network.image_encoder(exams())
    name = "side_vector" if options.get("feature") else "side_feature"
    assert torch.equal(found[name], expected[name])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"num_findings": 0}, "num_findings is 0"),
        ({"feature": "word"}, "feature is 'word', expected one of pooled, vector"),
        ({"level": "breast"}, "level is 'breast', expected one of side, exam"),
        ({"dropout": 1.0}, "dropout is 1.0"),
        ({"weights": "a.pt", "trunk_weights": "b.pt"}, "weights and trunk_weights are both given"),
    ],
)
def test_refuses(options, message):
    with pytest.raises(ValueError, match=message):
        ExamClassifier(**options)
