"""The network of exams and reports: answers by hand, missing things, and every way to run it."""

import numpy as np
import onnxruntime
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from common.networks import BagTextEncoder, MultiViewReportNet, TinyTextEncoder
from common.text import train_tokenizer
from tests.networks.exam_setup import WordMeans, exams, texts

PROMPTS = texts(2, 3, 2, 4, 7, absent=((0, 1, 0, 2), (0, 1, 0, 3), (1, 2, 1, 3)))
VARIANTS = {
    "plain": {},
    "light": {"decoder": "light"},
    "attention": {"fusion": "attention", "shared": False, "decoder": "paper"},
}


def build(**options) -> MultiViewReportNet:
    return MultiViewReportNet(WordMeans(), PROMPTS, **{"joint_width": 16, **options}).eval()


@torch.no_grad()
@pytest.mark.parametrize("variant", VARIANTS)
def test_outputs(variant):
    outputs = build(**VARIANTS[variant]).explain(exams(size=(64, 70)))
    pictures = {} if variant == "plain" else dict.fromkeys(["transmission", "enhanced"], (3, 4, 64, 70))
    assert {name: tuple(value.shape) for name, value in outputs.items()} == {
        **{"logits": (3, 6), "probability": (3, 6), "prompt_map": (3, 6, 4, 8, 9), "view_importance": (3, 4)},
        **{"view_vector": (3, 4, 16), "side_vector": (3, 2, 16), "exam_vector": (3, 16)},
        **{"region": (3, 4, 16, 8, 9), "region_mask": (3, 4, 8, 9), "view_mask": (3, 4), "side_mask": (3, 2)},
        **pictures,
    }


@torch.no_grad()
def test_zero_shot_by_hand():
    """Mean prompt vectors; positive minus negative; cosines of the side and of the regions attended to; their mean."""
    network, image = build(), exams()
    outputs = network.explain(image)
    side, finding, exam = 0, 1, 0  # the positive class has two prompts only, the exam one left view
    scores = []
    for kind, count in ((0, 2), (1, 4)):
        given = [value[side, finding, kind, :count] for value in PROMPTS]
        text = network.encode_text(*given)
        whole = F.normalize(text["sentence"].mean(0), dim=0)
        part = F.normalize(text["sentence_local"].mean(0), dim=0)
        cosine = outputs["region"][exam, 0].flatten(1).T @ part
        weight = torch.softmax(10 * cosine, 0)
        scores.append(14.3 * (outputs["side_vector"][exam, side] @ whole + (weight * cosine).sum()) / 2)
        if kind == 0:
            torch.testing.assert_close(outputs["prompt_map"][exam, 1, 0].flatten(), weight)
    torch.testing.assert_close(outputs["logits"][exam, 1], scores[0] - scores[1], rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(outputs["probability"], torch.sigmoid(outputs["logits"]))
    assert torch.equal(network(image), outputs["logits"])


@torch.no_grad()
def test_maps_lie_on_the_views_of_their_own_side():
    maps = build().explain(exams())["prompt_map"].flatten(3).sum(3)
    assert (maps[:, :3, 2:] == 0).all()
    assert (maps[:, 3:, :2] == 0).all()
    total = torch.tensor([[True, True], [True, False], [True, True]]).repeat_interleave(3, 1).float()
    torch.testing.assert_close(maps.sum(2), total)


@torch.no_grad()
def test_a_side_without_views_is_left_open():
    outputs = build(decoder="light").explain(exams())
    assert outputs["logits"][1, 3:].tolist() == [0.0] * 3
    assert outputs["probability"][1, 3:].tolist() == [0.5] * 3
    assert (outputs["logits"][1, :3] != 0).all()
    assert (outputs["transmission"][1, 2:] == 1).all()
    assert (outputs["enhanced"][1, 2:] == 0).all()


@torch.no_grad()
def test_other_prompts_than_its_own():
    network, image = build(), exams()
    fewer = tuple(value[:, :1] for value in PROMPTS)
    answers = network.zero_shot(image, *fewer)
    assert answers["logits"].shape == (3, 2)
    torch.testing.assert_close(answers["logits"], network(image)[:, ::3])
    swapped = tuple(value.flip(2) for value in PROMPTS)
    torch.testing.assert_close(network.zero_shot(image, *swapped)["logits"], -network(image))


@torch.no_grad()
def test_prompts_are_no_weights():
    """So that a trained network can be asked by more prompts."""
    network = build()
    assert not [key for key in network.state_dict() if "prompt" in key]
    other = MultiViewReportNet(WordMeans(), tuple(value[:, :, :, :1] for value in PROMPTS), joint_width=16)
    other.load_state_dict(network.state_dict(), strict=True)


def test_match():
    network, image = build(words=True, decoder="light").train(), exams()
    token, word = texts(3, 5, 7, absent=((0, 4), (1, 2), (1, 3), (1, 4)))
    token[2], word[2] = 0, -1  # no report at all
    token[..., 5:], word[..., 5:] = 0, -1  # nothing is that long
    outputs = network.match(image, token, word)
    mask = torch.tensor([[True] * 4 + [False], [True] * 2 + [False] * 3, [False] * 5])
    assert torch.equal(outputs["sentence_mask"], mask)
    for name in ("sentence", "sentence_local"):
        torch.testing.assert_close(outputs[name].norm(dim=2), mask.float())
    assert outputs["word_vector"].shape == (3, 5, 5, 16)
    assert torch.equal(outputs["word_mask"], mask.unsqueeze(2).expand(-1, -1, 5))
    mean = outputs["sentence"][1, :2].mean(0)
    torch.testing.assert_close(outputs["report_vector"][1], mean / mean.norm())
    assert (outputs["report_vector"][2] == 0).all()
    text = network.encode_text(token[0, 1:2], word[0, 1:2])
    torch.testing.assert_close(outputs["sentence"][0, 1:2], text["sentence"])
    torch.testing.assert_close(outputs["word_vector"][0, 1:2], text["word_vector"][:, :5])
    factors = [outputs[name].item() for name in ("scale_global", "scale_local", "sharpness")]
    assert factors == pytest.approx([14.3, 14.3, 10.0])
    sum(value.float().square().sum() for value in outputs.values() if value.requires_grad).backward()
    assert [name for name, parameter in network.named_parameters() if parameter.grad is None] == []


@torch.no_grad()
@pytest.mark.parametrize(("image", "offset"), [("tiny", 0), ("densenet121", 6)])
def test_transmission_of_regions_is_averaged_where_the_trunk_centres_them(image, offset):
    network = build(image=image, decoder="light")
    assert network.region_offset == offset
    outputs = network.match(exams(2, size=(64, 64)), *texts(2, 3, 7))
    reach, (rows, columns) = network.region_stride // 2, outputs["region"].shape[3:]
    padded = F.pad(outputs["transmission"], (reach,) * 4, value=float("nan"))
    for row, column in ((0, 0), (1, 2), (rows - 1, columns - 1)):
        top, left = (2 * reach * place + offset for place in (row, column))  # of the padded map
        cell = padded[:, :, top : top + 2 * reach, left : left + 2 * reach].flatten(2).nanmean(2)
        torch.testing.assert_close(outputs["region_transmission"][:, :, row, column], cell)


def test_without_words_and_without_sentences():
    network, (token, word) = build(), texts(2, 3, 7)
    assert "word_vector" not in network.match(exams(2), token, word)
    with pytest.raises(ValueError, match="no exam of the batch has a sentence"):
        network.match(exams(2), torch.zeros_like(token), torch.full_like(word, -1))


def test_a_factor_ends_at_100():
    network = build()
    nn.init.constant_(network.log_scale_local, 9.0)
    assert network.match(exams(2), *texts(2, 3, 7))["scale_local"] == 100


@torch.no_grad()
def test_decides_in_full_precision_under_autocast():
    network = build(decoder="light")
    with torch.autocast("cpu", dtype=torch.bfloat16):
        outputs = network.explain(exams())
    assert {value.dtype for value in outputs.values()} == {torch.float32, torch.bool}


@torch.no_grad()
@pytest.mark.parametrize("variant", VARIANTS)
def test_every_method_is_scripted(variant):
    network, image = build(**VARIANTS[variant]), exams()
    scripted = torch.jit.script(network)
    assert torch.equal(scripted(image), network(image))
    pairs = [(scripted.explain(image), network.explain(image)), (scripted.encode(image), network.encode(image))]
    pairs += [(scripted.encode_text(*texts(4, 7)), network.encode_text(*texts(4, 7)))]
    pairs += [(scripted.zero_shot(image, *PROMPTS), network.zero_shot(image, *PROMPTS))]
    for outputs, expected in pairs:
        assert set(outputs) == set(expected)
        for name, value in expected.items():
            torch.testing.assert_close(outputs[name], value, rtol=1e-5, atol=1e-5, msg=name)


@torch.no_grad()
@pytest.mark.slow
@pytest.mark.parametrize("variant", VARIANTS)
def test_exported_for_any_number_of_exams(variant):
    network, image = build(**VARIANTS[variant]), exams(3)
    shapes = {"image": {0: torch.export.Dim("batch", min=1)}}
    module = torch.export.export(network, (image,), dynamic_shapes=shapes).module()
    for count in (1, 4):
        torch.testing.assert_close(module(exams(count)), network(exams(count)), rtol=1e-4, atol=1e-5)


class Explaining(nn.Module):
    """What is exported of a network: all outputs."""

    def __init__(self, network: MultiViewReportNet) -> None:
        super().__init__()
        self.network = network

    def forward(self, image):
        return tuple(self.network.explain(image).values())


@torch.no_grad()
@pytest.mark.slow
def test_onnx(tmp_path):
    network, image = build(decoder="light"), exams(2)
    file = str(tmp_path / "model.onnx")
    shapes = {"image": {0: torch.export.Dim("batch", min=1)}}
    torch.onnx.export(Explaining(network).eval(), (image,), file, dynamo=True, dynamic_shapes=shapes, verbose=False)
    session = onnxruntime.InferenceSession(file, providers=["CPUExecutionProvider"])
    image = exams(3, seed=1)
    outputs = session.run(None, {session.get_inputs()[0].name: image.numpy()})
    for (name, value), other in zip(network.explain(image).items(), outputs, strict=True):
        np.testing.assert_allclose(other, value.numpy(), rtol=1e-3, atol=1e-4, err_msg=name)


@torch.no_grad()
@pytest.mark.parametrize("kind", [TinyTextEncoder, BagTextEncoder])
def test_with_the_text_encoders(kind):
    sentences = [
        "a mass in the left breast",
        "no mass in the left breast",
        "a mass in the right breast",
        "no mass seen",
    ]
    tokenizer = train_tokenizer(sentences)
    prompts = tuple(value.view(2, 1, 2, 1, 12) for value in tokenizer.encode(sentences, 12))
    network = MultiViewReportNet(kind(tokenizer, 16), prompts, findings=["mass"], joint_width=16).eval()
    image = exams()
    logits = network(image)
    assert logits.shape == (3, 2)
    assert (logits[0] != 0).all()
    torch.testing.assert_close(torch.jit.script(network)(image), logits)


@torch.no_grad()
def test_views_without_sides():
    prompts = tuple(value[:1] for value in PROMPTS)
    options = {"views": ["frontal", "lateral"], "view_side": [0, 0], "sides": ["chest"]}
    network = MultiViewReportNet(WordMeans(), prompts, **options, image="resnet18", mean=0.45, std=0.22).eval()
    outputs = network.explain(torch.rand(2, 2, 1, 64, 64))
    assert outputs["logits"].shape == (2, 3)
    assert outputs["prompt_map"].shape == (2, 3, 2, 4, 4)
    assert (network.region_stride, network.region_offset) == (16, 0)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"views": ["frontal"]}, r"views are \['frontal'\], view_side is \[0, 0, 1, 1\]"),
        ({"sides": ["chest"]}, r"sides are \['chest'\], but view_side"),
        ({"findings": ["mass"]}, r"prompts have tokens of shape \(2, 3, 2, 4, 7\)"),
        ({"image": "resnet"}, "image encoder is 'resnet'"),
        ({"decoder": "heavy"}, "decoder is 'heavy'"),
    ],
)
def test_refuses(options, message):
    with pytest.raises(ValueError, match=message):
        build(**options)


def test_refuses_what_cannot_be_asked():
    empty = texts(2, 3, 2, 2, 7, absent=((1, 0, 1, 0), (1, 0, 1, 1)))
    with pytest.raises(ValueError, match="finding 'mass' has no negative prompt for side 'right'"):
        MultiViewReportNet(WordMeans(), empty)
    with pytest.raises(ValueError, match="the text encoder is a Linear whose attribute dim is None"):
        MultiViewReportNet(nn.Linear(2, 2), PROMPTS)
