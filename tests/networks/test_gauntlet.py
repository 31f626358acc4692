"""What every network must survive: sizes, gradients, determinism, saving, scripting, exporting."""

import io
from collections.abc import Callable

import numpy as np
import onnxruntime
import pytest
import torch
from torch import Tensor, nn

from common.networks import CIPLNet, ExplainerClassifier, ExplainerUNet, GatedResNet, GatedVGG, InterNRL

NETWORKS: dict[str, tuple[Callable[[], nn.Module], int, int]] = {  # constructor, image channels, number of inputs
    "explainer": (lambda: ExplainerUNet(init_bias=0.5), 3, 1),
    "resnet18": (lambda: GatedResNet("resnet18", num_classes=3), 3, 2),
    "resnet50-stage-grey": (lambda: GatedResNet("resnet50", 1, 3, gate_positions="stage"), 1, 2),
    "vgg-grey": (lambda: GatedVGG(in_channels=1, num_classes=3), 1, 2),
    "joint-resnet18": (lambda: ExplainerClassifier("resnet18", num_classes=3, init_bias=0.5, mean=0.4, std=0.3), 3, 1),
    "joint-vgg-grey": (lambda: ExplainerClassifier("vgg", 1, 3, init_bias=0.5), 1, 1),
    "inter-nrl": (lambda: InterNRL("small", 3, 3, [2, 4, 3], 16, top_k=2, hidden=8, mean=0.4, std=0.3), 3, 1),
    "cipl": (lambda: CIPLNet("small", 3, 3, [2, 4, 3, 2], 16, mean=0.4, std=0.3), 3, 1),
    "cipl-dense-grey": (lambda: CIPLNet("resnet18", 1, 3, 2, 16, "cosine", dense=True), 1, 1),
    "inter-nrl-dense-grey": (lambda: InterNRL("resnet18", 1, 3, 2, 16, "cosine", hidden=8, dense=True), 1, 1),
}
SIZES = [(64, 64), (75, 101)]


@pytest.fixture(params=NETWORKS)
def case(request) -> tuple[nn.Module, Callable[[int, int, int], tuple[Tensor, ...]]]:
    """Build a network and a maker of inputs."""
    build, channels, arity = NETWORKS[request.param]

    def inputs(batch: int, height: int, width: int) -> tuple[Tensor, ...]:
        return (torch.rand(batch, channels, height, width), torch.rand(batch, 1, height, width))[:arity]

    return build().eval(), inputs


@torch.no_grad()
def test_sizes_and_determinism(case):
    network, inputs = case
    for size in SIZES:
        given = inputs(2, *size)
        output = network(*given)
        assert output.shape == ((2, 1, *size) if isinstance(network, ExplainerUNet) else (2, 3))
        assert output.dtype == torch.float32
        assert torch.isfinite(output).all()
        assert torch.equal(output, network(*given))
        torch.testing.assert_close(output[:1], network(*(tensor[:1] for tensor in given)), rtol=1e-4, atol=1e-5)


def test_inputs_are_left_alone(case):
    network, inputs = case
    given = inputs(1, 75, 101)
    kept = [tensor.clone() for tensor in given]
    network.train()(*inputs(2, 64, 64))
    network.eval()(*given)
    assert all(torch.equal(before, after) for before, after in zip(kept, given, strict=True))


def test_gradient_reaches_every_parameter(case):
    """In eval mode: in train mode a bias before a batch norm has no gradient by construction."""
    network, inputs = case
    network(*inputs(2, 64, 64)).square().sum().backward()
    without = [name for name, parameter in network.named_parameters() if not torch.count_nonzero(parameter.grad)]
    assert without == []


@torch.no_grad()
def test_saved_and_loaded_into_a_fresh_network(case, request):
    network, inputs = case
    buffer = io.BytesIO()
    torch.save(network.state_dict(), buffer)
    buffer.seek(0)
    fresh = NETWORKS[request.node.callspec.params["case"]][0]().eval()
    fresh.load_state_dict(torch.load(buffer, weights_only=True), strict=True)
    given = inputs(1, 64, 64)
    assert torch.equal(network(*given), fresh(*given))


@torch.no_grad()
def test_script_parity_after_saving_at_any_size(case):
    network, inputs = case
    buffer = io.BytesIO()
    torch.jit.save(torch.jit.script(network), buffer)
    buffer.seek(0)
    scripted = torch.jit.load(buffer)
    for size in SIZES:
        given = inputs(1, *size)
        torch.testing.assert_close(scripted(*given), network(*given), rtol=1e-5, atol=1e-6)


@torch.no_grad()
def test_export_parity(case):
    network, inputs = case
    given = inputs(1, 75, 101)
    exported = torch.export.export(network, given)
    torch.testing.assert_close(exported.module()(*given), network(*given), rtol=1e-5, atol=1e-6)


@torch.no_grad()
@pytest.mark.parametrize("classifier", ["resnet18", "vgg"])
def test_every_method_is_scripted(classifier):
    network = ExplainerClassifier(classifier, init_bias=0.5, mean=[0.4, 0.5, 0.6], std=0.3).eval()
    scripted = torch.jit.script(network)
    image = torch.rand(1, 3, 75, 101)
    for method in ("explain", "explain_constant"):
        expected, outputs = getattr(network, method)(image), getattr(scripted, method)(image)
        assert list(outputs) == ["logits", "probability", "explanation"]
        for name, value in expected.items():
            torch.testing.assert_close(outputs[name], value, rtol=1e-5, atol=1e-6)
    explanation = scripted.explanation(image)
    torch.testing.assert_close(explanation, network.explanation(image), rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(scripted.classify(image, explanation), network(image), rtol=1e-5, atol=1e-6)


@torch.no_grad()
def test_export_with_any_batch_size():
    network = ExplainerClassifier("vgg").eval()
    batch = torch.export.Dim("batch", min=1, max=16)
    exported = torch.export.export(network, (torch.rand(3, 3, 64, 64),), dynamic_shapes=({0: batch},)).module()
    image = torch.rand(5, 3, 64, 64)
    torch.testing.assert_close(exported(image), network(image), rtol=1e-5, atol=1e-6)


@torch.no_grad()
@pytest.mark.parametrize(("classifier", "size"), [("resnet18", 64), ("vgg", 224)])
def test_onnx_parity(classifier, size, tmp_path):
    network = ExplainerClassifier(classifier, init_bias=0.5).eval()
    image = torch.rand(1, 3, size, size)
    torch.onnx.export(network, (image,), str(tmp_path / "model.onnx"), verbose=False)
    session = onnxruntime.InferenceSession(str(tmp_path / "model.onnx"), providers=["CPUExecutionProvider"])
    (logits,) = session.run(None, {session.get_inputs()[0].name: image.numpy()})
    np.testing.assert_allclose(logits, network(image).numpy(), rtol=1e-4, atol=1e-5)
