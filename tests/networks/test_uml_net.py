"""UML: published sizes, outputs that fit together, gradients everywhere, any image size, exports."""

import copy
import io

import numpy as np
import onnxruntime
import pytest
import torch
from torch import Tensor, nn

from common.layers import FrozenNorm2d, opinion
from common.losses import UMLLoss
from common.networks import UMLNet
from tests.networks.published_encoders import res2net_state

VARIANTS = ("attention", "reliable_mask")
PARTS = ["class_encoder", "segmentation_encoder", "mixer", "mutual_decoder", "segmentation_decoder", "classifier"]
COMMON = [
    "segmentation_logits",
    "segmentation_probability",
    "evidence",
    "probability",
    "belief",
    "uncertainty",
    "pixel_evidence",
    "pixel_probability",
    "pixel_belief",
    "pixel_uncertainty",
]
MASKS = ["reliable_mask_coarse", "reliable_mask_fine"]
LEVELS = {
    "attention": [f"pixel_evidence_{i}" for i in (2, 3, 4)],
    "reliable_mask": [f"side_logits_{i}" for i in (1, 2, 3, 4)],
}


def small(variant: str = "attention", **options) -> UMLNet:
    """A network for the CPU whose batch norms know its activations."""
    torch.manual_seed(0)
    network = UMLNet(variant, **{"encoder": "small", "width": 0.125, **options})
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.momentum = 1.0
    with torch.no_grad():
        network.train().explain_levels(torch.rand(4, network.normalise.in_channels, 48, 48))
    return network.eval()


@pytest.mark.parametrize(
    ("variant", "parts"),
    [
        ("attention", [8_636_548, 8_636_548, 4_008_964 - 4, 5_513_888, 5_426_153, 12_428_288]),
        ("reliable_mask", [8_636_548, 7_635_264, 3_058_692 - 4, 2_697_952, 3_782_528, 13_547_008]),
    ],
)
def test_parameters_of_the_published_networks(variant, parts):
    """KarryRen/UML: 44 650 389 and 39 357 992 without unused stages; less a bias per mixer that never learns."""
    network = UMLNet(variant, norm="frozen", weights="checkpoint", segmentation_weights="checkpoint")
    counts = {name: sum(p.numel() for p in part.parameters()) for name, part in network.named_children()}
    assert list(counts.values()) == [0, *parts]
    assert list(counts) == ["normalise", *PARTS]
    assert sum(parts) == {"attention": 44_650_389, "reliable_mask": 39_357_992}[variant] - 4
    assert sum(p.numel() for p in network.parameters()) == sum(parts)


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("stem_stride", [1, 2])
@pytest.mark.parametrize("size", [(48, 64), (37, 50)])
@torch.no_grad()
def test_outputs_fit_together(variant, stem_stride, size):
    network = small(variant, num_classes=4, num_structures=3, stem_stride=stem_stride, mean=0.4, std=[0.3, 0.2, 0.1])
    image = torch.rand(2, 3, *size)
    outputs = network.explain(image)
    assert list(outputs) == COMMON + (MASKS if variant == "reliable_mask" else [])
    for name, value in outputs.items():
        channels = 1 if name.endswith("uncertainty") else 3
        expected = (2, 4 if value.shape[1] != 1 else 1) if value.ndim == 2 else (2, channels, *size)
        assert value.shape == expected, name
        assert value.dtype == torch.float32
        assert torch.isfinite(value).all()
    assert torch.equal(network(image), outputs["segmentation_logits"])
    torch.testing.assert_close(outputs["segmentation_probability"], outputs["segmentation_logits"].softmax(1))
    for prefix in ("", "pixel_"):
        evidence, uncertainty = outputs[f"{prefix}evidence"], outputs[f"{prefix}uncertainty"]
        assert evidence.min() >= 0
        assert 0 < uncertainty.min() <= uncertainty.max() <= 1
        total = outputs[f"{prefix}belief"].sum(dim=1, keepdim=True) + uncertainty
        torch.testing.assert_close(total, torch.ones_like(total))
        torch.testing.assert_close(opinion(evidence)[0], outputs[f"{prefix}probability"])


@pytest.mark.parametrize("variant", VARIANTS)
@torch.no_grad()
def test_levels_come_on_top(variant):
    network, image = small(variant), torch.rand(2, 3, 40, 40)
    outputs, levels = network.explain(image), network.explain_levels(image)
    assert list(levels) == [*outputs, *LEVELS[variant]]
    for name, value in outputs.items():
        assert torch.equal(levels[name], value)
    for name in LEVELS[variant]:
        assert levels[name].shape == (2, 3, 40, 40)
        assert variant == "reliable_mask" or levels[name].min() >= 0
    if variant == "reliable_mask":
        assert torch.equal(levels["side_logits_1"], levels["segmentation_logits"])


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("options", [{}, {"stem_stride": 2, "norm": "group"}, {"encoder": "vgg16"}])
def test_gradient_reaches_every_parameter(variant, options):
    """In eval mode: in train mode a bias before a batch norm has no gradient by construction."""
    network = small(variant, **options)
    outputs = network.explain_levels(torch.rand(2, 3, 48, 48))
    sum(value.square().sum() for value in outputs.values()).backward()
    without = [name for name, p in network.named_parameters() if p.grad is None or not torch.count_nonzero(p.grad)]
    assert without == []


@pytest.mark.parametrize("variant", VARIANTS)
def test_the_loss_uses_every_parameter_in_training(variant):
    network = small(variant).train()
    batch = {"label": torch.tensor([0, 1]), "segmentation": torch.randint(3, (2, 1, 48, 48))}
    UMLLoss(variant)(network.explain_levels(torch.rand(2, 3, 48, 48)), batch)["loss"].backward()
    assert [name for name, parameter in network.named_parameters() if parameter.grad is None] == []


@pytest.mark.parametrize("variant", VARIANTS)
@torch.no_grad()
def test_padding_is_reflection_and_a_crop(variant):
    network = small(variant)
    image = torch.rand(1, 3, 41, 46)
    padded = nn.functional.pad(image, [0, 2, 0, 7], mode="reflect")
    cropped = {
        name: value[..., :41, :46] if value.ndim == 4 else value for name, value in network.explain(padded).items()
    }
    for name, value in network.explain(image).items():
        torch.testing.assert_close(value, cropped[name], msg=name)


@pytest.mark.parametrize("variant", VARIANTS)
@torch.no_grad()
def test_samples_do_not_see_each_other(variant):
    network, image = small(variant), torch.rand(3, 3, 48, 48)
    alone, together = network.explain(image[1:2]), network.explain(image)
    for name, value in alone.items():
        torch.testing.assert_close(together[name][1:2], value, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("variant", VARIANTS)
def test_a_batch_of_one_trains_with_group_norm(variant):
    network = small(variant, norm="group").train()
    network.explain_levels(torch.rand(1, 3, 48, 48))["evidence"].sum().backward()
    assert not any(isinstance(module, nn.BatchNorm2d) for module in network.modules())
    assert network.classifier.score.weight.grad.abs().max() > 0


@pytest.mark.parametrize("variant", VARIANTS)
def test_frozen_norms_stay_while_the_network_learns(variant, tmp_path):
    torch.save(res2net_state(), tmp_path / "res2net.pth")
    second = {"segmentation_weights": "checkpoint"} if variant == "reliable_mask" else {}
    network = UMLNet(variant, width=0.125, norm="frozen", weights=tmp_path / "res2net.pth", **second).train()
    norms = [module for module in network.modules() if isinstance(module, FrozenNorm2d)]
    before = copy.deepcopy([norm.state_dict() for norm in norms])
    weight = network.class_encoder.conv1[0].weight.clone()
    outputs = network.explain_levels(torch.rand(1, 3, 32, 32))
    sum(value.sum() for value in outputs.values()).backward()
    torch.optim.SGD(network.parameters(), lr=1e-3).step()
    assert len(norms) == (142 if variant == "attention" else 71 + 10)
    for norm, kept in zip(norms, before, strict=True):
        assert all(torch.equal(value, kept[key]) for key, value in norm.state_dict().items())
    assert not torch.equal(network.class_encoder.conv1[0].weight, weight)
    assert all(isinstance(m, nn.BatchNorm2d) for m in network.mutual_decoder.modules() if hasattr(m, "convolve"))


def test_both_encoders_start_from_the_same_file(tmp_path):
    torch.save(res2net_state(), tmp_path / "res2net.pth")
    network = UMLNet(width=0.125, norm="frozen", weights=tmp_path / "res2net.pth")
    own, other = network.class_encoder.state_dict(), network.segmentation_encoder.state_dict()
    assert all(torch.equal(value, other[key]) for key, value in own.items())


def test_uncertainty_navigates_and_segmentation_instructs():
    """What the branches learn from each other: gradients of one task's output reach the others' parts."""
    network = small()
    outputs = network.explain(torch.rand(1, 3, 48, 48))
    parts = {name: next(getattr(network, name).parameters()) for name in PARTS}

    def reached(value: Tensor) -> set[str]:
        gradients = torch.autograd.grad(value, list(parts.values()), retain_graph=True, allow_unused=True)
        return {name for name, gradient in zip(parts, gradients, strict=True) if gradient is not None}

    assert reached(outputs["pixel_evidence"].sum()) == set(PARTS[:4])
    assert reached(outputs["segmentation_logits"].square().sum()) == set(PARTS[:5])
    assert reached(outputs["evidence"].sum()) == set(PARTS)


@torch.no_grad()
def test_autocast_keeps_outputs_in_float32():
    network, image = small(), torch.rand(1, 3, 48, 48)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        outputs = network.explain(image)
    assert {value.dtype for value in outputs.values()} == {torch.float32}
    exact = network.explain(image)
    torch.testing.assert_close(outputs["pixel_uncertainty"], exact["pixel_uncertainty"], rtol=0, atol=0.1)


@pytest.mark.parametrize("variant", VARIANTS)
@torch.no_grad()
def test_script_parity_after_saving_at_two_sizes(variant):
    network = small(variant, stem_stride=2)
    buffer = io.BytesIO()
    torch.jit.save(torch.jit.script(network), buffer)
    buffer.seek(0)
    scripted = torch.jit.load(buffer)
    for size in ((48, 64), (37, 50)):
        image = torch.rand(1, 3, *size)
        torch.testing.assert_close(scripted(image), network(image), rtol=1e-5, atol=1e-5)
        expected, outputs = network.explain_levels(image), scripted.explain_levels(image)
        assert list(outputs) == list(expected)
        for name, value in expected.items():
            torch.testing.assert_close(outputs[name], value, rtol=1e-5, atol=1e-5)
        assert list(scripted.explain(image)) == list(network.explain(image))


class Explained(nn.Module):
    """``explain`` as ``forward``, for exports."""

    def __init__(self, network: UMLNet) -> None:
        super().__init__()
        self.network = network

    def forward(self, image: Tensor) -> tuple[Tensor, ...]:
        return tuple(self.network.explain(image).values())


@pytest.mark.slow
@pytest.mark.parametrize("variant", VARIANTS)
@torch.no_grad()
def test_exports_with_any_batch_size(variant, tmp_path):
    model, image, probe = Explained(small(variant)).eval(), torch.rand(2, 3, 37, 50), torch.rand(3, 3, 37, 50)
    shapes = {"image": {0: torch.export.Dim("batch", min=1)}}
    expected = model(probe)
    for one, other in zip(
        torch.export.export(model, (image,), dynamic_shapes=shapes).module()(probe), expected, strict=True
    ):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-4)
    path = str(tmp_path / "model.onnx")
    torch.onnx.export(model, (image,), path, input_names=["image"], dynamic_shapes=shapes, verbose=False)
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    for one, other in zip(session.run(None, {"image": probe.numpy()}), expected, strict=True):
        np.testing.assert_allclose(one, other.numpy(), rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("method", ["forward", "explain", "explain_levels"])
@pytest.mark.parametrize(
    ("shape", "message"),
    [
        ((1, 1, 48, 48), "got 1 channels, network built for 3"),
        ((1, 3, 8, 48), "got an image of 8x48 pixels, the smallest is 32x32"),
        ((3, 48, 48), "expected a batch of images"),
    ],
)
def test_wrong_images(method, shape, message):
    with pytest.raises(ValueError, match=message):
        getattr(small(), method)(torch.rand(shape))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"variant": "reliable"}, "variant is 'reliable', expected one of attention, reliable_mask; did you mean"),
        ({"encoder": "tiny"}, "encoder is 'tiny', expected one of res2net50, vgg16, small"),
        ({"evidence": "sigmoid"}, "evidence is 'sigmoid', expected one of softplus, relu, exp"),
        ({"num_classes": 1}, "num_classes is 1, expected 2 or more"),
        ({"num_structures": 1}, "num_structures is 1, expected 2 or more, the background counted"),
        ({"dropout": 1.0}, r"dropout is 1.0, expected a probability in \[0,1\)"),
        ({"width": -1.0}, "width is -1.0, expected a positive multiplier"),
        ({"encoder": "res2net50", "norm": "frozen"}, "norm is 'frozen', but weights is null"),
        ({"std": 0.0}, "std is 0.0, expected positive numbers"),
    ],
)
def test_impossible_options(options, message):
    with pytest.raises(ValueError, match=message):
        UMLNet(**{"encoder": "small", "width": 0.125, **options})
