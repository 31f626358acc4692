import copy
import sys

import pytest
import torch
from captum.attr import InputXGradient, IntegratedGradients, LayerGradCam, Saliency
from torch import nn

from benchmarks.aopc import settled_network
from common.explain.baselines import ATTRIBUTIONS, BASELINES, Attribution, centre_map, random_map
from common.explain.modular import fold_batch_norms, modular_copy, replace_modules
from common.networks.backbones import build_resnet


@pytest.fixture(scope="module")
def gated():
    torch.manual_seed(1)
    return settled_network()


@pytest.fixture(scope="module")
def image():
    return torch.rand(2, 3, 48, 56, generator=torch.Generator().manual_seed(2))


@pytest.fixture(scope="module")
def open_pair():
    """A gated network whose map is exactly 1 everywhere, and the plain ResNet it equals."""
    torch.manual_seed(3)
    model = settled_network()
    nn.init.zeros_(model.explainer.norm.weight)
    nn.init.constant_(model.explainer.norm.bias, 30.0)
    plain = build_resnet("resnet18").eval()
    plain.load_state_dict(model.classifier.state_dict())
    return model, plain


@pytest.mark.parametrize("method", BASELINES)
def test_every_method_draws_a_map_and_leaves_no_trace(method, gated, image):
    state = copy.deepcopy(gated.state_dict())
    kept = image.clone()
    attribution = Attribution(method, steps=3)(gated, image)
    assert attribution.shape == (2, 1, 48, 56)
    assert attribution.isfinite().all()
    assert attribution.min() >= 0
    assert attribution.std() > 0
    assert not attribution.requires_grad
    assert not image.requires_grad
    assert torch.equal(image, kept)
    assert all(torch.equal(value, state[name]) for name, value in gated.state_dict().items())
    assert all(parameter.requires_grad and parameter.grad is None for parameter in gated.parameters())
    _assert_no_hooks(gated)


@pytest.mark.parametrize("method", ATTRIBUTIONS)
def test_no_hook_survives_a_failure(method, gated, image):
    with pytest.raises((IndexError, AssertionError, RuntimeError)):
        Attribution(method, steps=3)(gated, image, target=torch.tensor([7, 7]))
    _assert_no_hooks(gated)


def _assert_no_hooks(model):
    for name, module in model.named_modules():
        for kind in ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks"):
            assert not getattr(module, kind), f"{kind} of {name}"


@pytest.mark.parametrize("method", ATTRIBUTIONS)
def test_a_map_of_ones_gives_the_plain_networks_attributions(method, open_pair, image):
    model, plain = open_pair
    assert model.explanation(image).min() == 1
    of_gated = Attribution(method, "fixed", steps=3)(model, image)
    of_plain = Attribution(method, steps=3)(plain, image)
    torch.testing.assert_close(of_gated, of_plain, atol=1e-4 * of_plain.max().item(), rtol=1e-3)


def test_gradcam_is_captums_on_the_plain_network(open_pair, image):
    model, plain = open_pair
    target = plain(image).argmax(dim=1)
    cam = LayerGradCam(plain, plain.layer4).attribute(image, target=target, relu_attributions=True)
    expected = nn.functional.interpolate(cam, (48, 56), mode="bilinear")
    torch.testing.assert_close(Attribution("gradcam")(model, image), expected.detach(), atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize(
    ("method", "kind", "options"),
    [
        ("saliency", Saliency, {}),
        ("input_x_gradient", InputXGradient, {}),
        ("integrated_gradients", IntegratedGradients, {"n_steps": 5}),
    ],
)
def test_gradients_are_captums_on_the_untouched_network(method, kind, options, gated, image):
    target = torch.tensor([1, 0])
    expected = kind(gated).attribute(image.clone().requires_grad_(), target=target, **options)
    expected = expected.abs().sum(dim=1, keepdim=True).detach()
    found = Attribution(method, steps=5)(gated, image, target)
    torch.testing.assert_close(found, expected, atol=1e-5 * expected.max().item(), rtol=1e-3)


class _Signed(Attribution):
    """Gives the attributions before absolute values and the sum over channels."""

    def __call__(self, model, image, target=None):
        signed = []
        original = self._attribute
        self._attribute = lambda *arguments: signed.append(original(*arguments)) or signed[0]
        super().__call__(model, image, target)
        return signed[0].detach()


@pytest.mark.parametrize("path", ["joint", "fixed"])
@pytest.mark.parametrize(
    "options", [{}, {"classifier": "resnet50"}, {"classifier": "vgg", "in_channels": 1, "mean": 0.4, "std": 0.3}]
)
def test_deeplift_adds_up_to_the_difference_of_logits(path, options):
    model = settled_network(**options).double()
    image = torch.rand(2, model.in_channels, 40, 48, dtype=torch.double)
    target = torch.tensor([[0], [1]])
    black = torch.zeros_like(image)
    with torch.no_grad():
        held = model.explanation(image)
        reference = model(black) if path == "joint" else model.classify(black, held)
        difference = (model(image) - reference).gather(1, target).flatten()
    total = _Signed("deeplift", path)(model, image, target.flatten()).sum(dim=(1, 2, 3))
    assert difference.abs().min() > 1e-4
    torch.testing.assert_close(total, difference, rtol=1e-4, atol=1e-6)


def test_integrated_gradients_add_up_to_the_difference_of_logits():
    model = settled_network(classifier="vgg").double()
    image = torch.rand(1, 3, 32, 32, dtype=torch.double) * 0.2
    target = torch.tensor([1])
    with torch.no_grad():
        held = model.explanation(image)
        difference = (model(image) - model.classify(torch.zeros_like(image), held))[:, 1]
    total = _Signed("integrated_gradients", "fixed", steps=100)(model, image, target).sum(dim=(1, 2, 3))
    torch.testing.assert_close(total, difference, rtol=0.03, atol=1e-4)


@pytest.mark.parametrize("options", [{}, {"classifier": "resnet50"}, {"mean": [0.5, 0.4, 0.3], "std": 0.2}])
def test_lrp_distributes_the_logit_less_the_last_bias(options):
    model = settled_network(**options).double()
    image = torch.rand(2, 3, 40, 48, dtype=torch.double)
    target = torch.tensor([1, 0])
    relevance = _Signed("lrp")(model, image, target)
    with torch.no_grad():
        expected = model(image)[[0, 1], target] - model.classifier.fc.bias[target]
    torch.testing.assert_close(relevance.sum(dim=(1, 2, 3)), expected, rtol=1e-4, atol=1e-6)


class _PositiveShare(nn.Module):
    """alpha-1-beta-0 written as a gradient: gradient times input of this is the rule's relevance."""

    def __init__(self, layer):
        super().__init__()
        self.layer, self.positive = layer, copy.deepcopy(layer)
        self.positive.weight.data.clamp_(min=0)
        nn.init.zeros_(self.positive.bias)

    def forward(self, feature):
        share = self.positive(feature)
        return share * (self.layer(feature) / (share + 1e-9)).detach()


class _PassedOn(nn.Module):
    def forward(self, feature):
        return feature * (torch.sigmoid(feature) / feature).detach()


@pytest.mark.parametrize("classifier", ["resnet18", "vgg"])
def test_lrp_equals_its_rules_written_as_gradients(classifier):
    model = settled_network(classifier=classifier).double()
    image = torch.rand(2, 3, 40, 48, dtype=torch.double)
    target = torch.tensor([1, 0])
    network = modular_copy(model.classifier)
    fold_batch_norms(network)
    replace_modules(network, nn.Conv2d, _PositiveShare)
    replace_modules(network, nn.Sigmoid, lambda _: _PassedOn())
    for name in ("head.0", "head.3") if classifier == "vgg" else ():
        network.set_submodule(name, _PositiveShare(network.get_submodule(name)))
    held = model.explanation(image).detach()
    expected = InputXGradient(network).attribute(
        image.clone().requires_grad_(), target=target, additional_forward_args=(held,)
    )
    found = _Signed("lrp")(model, image, target)
    torch.testing.assert_close(found, expected.detach(), atol=1e-6 * expected.abs().max().item(), rtol=1e-4)


def test_lrp_gives_nothing_to_what_the_gates_close(image):
    model = settled_network()
    half_open = torch.ones(2, 1, 48, 56)
    half_open[..., 28:] = 0
    model.explanation = lambda x: half_open
    relevance = Attribution("lrp")(model, image)
    # the last open feature, column 6 at stride 4, sees pixels up to 6*4 + 2 + 3
    assert relevance[..., 30:].max() == 0
    assert relevance[..., :30].min(dim=-1).values.max() > 0


def test_the_target_matters(gated, image):
    zero, one = (Attribution("gradcam")(gated, image, torch.full((2,), k)) for k in (0, 1))
    assert not torch.allclose(zero, one)
    predicted = gated(image).argmax(dim=1)
    expected = torch.where(predicted.view(-1, 1, 1, 1) == 0, zero, one)
    torch.testing.assert_close(Attribution("gradcam")(gated, image), expected)


@pytest.mark.parametrize("mode", [torch.no_grad, torch.inference_mode])
def test_callers_gradient_mode_does_not_matter(mode, gated, image):
    expected = Attribution("saliency")(gated, image)
    with mode():
        torch.testing.assert_close(Attribution("saliency")(gated, image * 1), expected)


def test_random_maps_belong_to_their_image_not_to_the_batch(image):
    maps = random_map(image, seed=1)
    assert torch.equal(maps[1:], random_map(image[1:], seed=1))
    assert not torch.equal(maps[0], maps[1])
    assert not torch.equal(maps, random_map(image, seed=2))
    assert 0.45 < maps.mean() < 0.55


def test_the_centre_is_most_relevant():
    centre = centre_map(torch.zeros(2, 3, 3, 5))
    assert centre.shape == (2, 1, 3, 5)
    assert centre[0, 0, 1, 2] == 1
    assert centre[0, 0, 0, 0] == centre[1, 0, 2, 4] == 0
    assert centre[0, 0, 1, 3].item() == pytest.approx(1 - 1 / 5**0.5)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("grad_cam",), "unknown method 'grad_cam'; did you mean 'gradcam'"),
        (("saliency", "explainer"), "expected one of joint, fixed"),
        (("integrated_gradients", "joint", 0), "steps is 0"),
    ],
)
def test_bad_options_are_named(arguments, message):
    with pytest.raises(ValueError, match=message):
        Attribution(*arguments)


def test_bad_networks_are_named(image):
    with pytest.raises(ValueError, match="training mode"):
        Attribution("saliency")(build_resnet(), image)
    with pytest.raises(ValueError, match="ResNet has none; use 'joint'"):
        Attribution("saliency", "fixed")(build_resnet().eval(), image)
    linear = nn.Sequential(nn.Flatten(), nn.Linear(3 * 48 * 56, 2)).eval()
    with pytest.raises(ValueError, match="no global pooling"):
        Attribution("gradcam")(linear, image)
    with pytest.raises(ValueError, match="does not begin with a convolution"):
        Attribution("lrp")(linear, image)


def test_missing_captum_says_how_to_get_it(monkeypatch, gated, image):
    monkeypatch.setitem(sys.modules, "captum.attr", None)
    with pytest.raises(ImportError, match=r"captum is not installed.*pip install"):
        Attribution("saliency")(gated, image)
    assert Attribution("random")(gated, image).shape == (2, 1, 48, 56)
