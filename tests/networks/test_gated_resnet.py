"""Gated ResNets against torchvision and against measured numbers of the reference."""

import pytest
import torch
from torchvision import models

from common.networks import GatedResNet

FC_BIAS = [-0.08095679, -0.01585406]
GOLDEN_LOGITS = {
    "random": [[-0.05020247, 0.01065157], [-0.04684713, 0.01448488]],
    "ones": [[7.92228937, -3.30545163], [9.58202839, -3.18561101]],
    "half": [[-0.04942635, 0.01265704], [-0.04715536, 0.01412232]],
    "zeros": [FC_BIAS, FC_BIAS],
}
GATE_SQUASH = [  # mean |logit - fc bias| for a constant gate: roughly gate ** 9
    (1.0, 6.0313969),
    (0.99, 5.5050278),
    (0.95, 3.7827179),
    (0.9, 2.3066866),
    (0.8, 0.7707236),
    (0.7, 0.2136727),
    (0.5, 0.0309548),
]
SIZES = [  # parameters with two classes, gates per block
    ("resnet18", 11_177_538, 9),
    ("resnet34", 21_285_698, 17),
    ("resnet50", 23_512_130, 17),
    ("resnet101", 42_504_258, 34),
    ("resnet152", 58_147_906, 51),
]


@pytest.mark.parametrize(("name", "parameters", "gates"), SIZES)
def test_parameters_keys_and_gates(name, parameters, gates):
    with torch.device("meta"):
        network = GatedResNet(name)
        plain = models.get_model(name, num_classes=2)
        by_stage = GatedResNet(name, gate_positions="stage")
    assert sum(parameter.numel() for parameter in network.parameters()) == parameters
    assert list(network.state_dict()) == list(plain.state_dict()) == list(by_stage.state_dict())
    assert [n for n, _ in network.named_parameters()] == [n for n, _ in plain.named_parameters()]
    assert (network.gate_count, by_stage.gate_count) == (gates, 5)


@pytest.mark.parametrize("gate_positions", ["block", "stage"])
@pytest.mark.parametrize(("name", "size"), [("resnet18", (75, 101)), ("resnet34", (64, 64)), ("resnet50", (64, 96))])
def test_gate_of_ones_is_torchvision_bit_for_bit(name, size, gate_positions):
    plain = models.get_model(name, num_classes=3).eval()
    network = GatedResNet(name, num_classes=3, gate_positions=gate_positions).eval()
    network.load_state_dict(plain.state_dict())
    image = torch.rand(2, 3, *size)
    with torch.no_grad():
        assert torch.equal(network(image, torch.ones(2, 1, *size)), plain(image))


def test_same_seed_gives_torchvisions_initial_weights():
    torch.manual_seed(3)
    ours = GatedResNet("resnet18", num_classes=4).state_dict()
    torch.manual_seed(3)
    plain = models.resnet18(num_classes=4).state_dict()
    assert all(torch.equal(ours[key], plain[key]) for key in plain)


@pytest.mark.parametrize(
    ("name", "gate_positions"), [("resnet18", "block"), ("resnet18", "stage"), ("resnet50", "block")]
)
def test_gate_of_zeros_leaves_the_last_bias_for_any_image(name, gate_positions):
    network = GatedResNet(name, num_classes=3, gate_positions=gate_positions).eval()
    with torch.no_grad():
        logits = network(torch.rand(2, 3, 64, 64), torch.zeros(2, 1, 64, 64))
    assert torch.equal(logits, network.fc.bias.expand(2, 3))


@pytest.mark.parametrize("gate", GOLDEN_LOGITS)
def test_golden_weights_give_the_golden_logits(gate, golden, golden_image, golden_gate):
    constant = {"ones": 1.0, "half": 0.5, "zeros": 0.0}
    explanation = golden_gate if gate == "random" else torch.full_like(golden_gate, constant[gate])
    with torch.no_grad():
        logits = golden(GatedResNet("resnet18"))(golden_image, explanation)
    torch.testing.assert_close(logits, torch.tensor(GOLDEN_LOGITS[gate]), rtol=1e-5, atol=1e-6)


def test_grey_gates_squash_the_signal_as_measured(golden, golden_image):
    network = golden(GatedResNet("resnet18"))
    with torch.no_grad():
        for value, expected in GATE_SQUASH:
            logits = network(golden_image, torch.full((2, 1, 64, 64), value))
            assert (logits - network.fc.bias).abs().mean().item() == pytest.approx(expected, rel=1e-4), value


@pytest.mark.parametrize(("gate_positions", "gates"), [("block", 9), ("stage", 5)])
def test_gates_are_counted_on_the_identity_path(gate_positions, gates):
    """With residual branches and norms silenced the feature passes unchanged but for the gates."""
    network = GatedResNet("resnet18", gate_positions=gate_positions).eval()
    for name, parameter in network.named_parameters():
        if "bn2" in name:
            torch.nn.init.zeros_(parameter)
    image = torch.rand(1, 3, 64, 64)
    with torch.no_grad():
        full, grey = (network(image, torch.full((1, 1, 64, 64), g)) - network.fc.bias for g in (1.0, 0.9))
    torch.testing.assert_close(grey, full * 0.9**gates, rtol=1e-4, atol=1e-6)


def test_a_closed_gate_hides_what_is_under_it(golden, golden_image):
    """Gated by the left half, the right edge of the image beyond the stem's reach cannot change the decision."""
    network = golden(GatedResNet("resnet18"))
    explanation = torch.zeros(2, 1, 64, 64)
    explanation[:, :, :, :32] = 1.0
    changed = golden_image.clone()
    changed[:, :, :, 40:] = 0.0
    with torch.no_grad():
        assert torch.equal(network(golden_image, explanation), network(changed, explanation))
        assert not torch.equal(network(golden_image, 1 - explanation), network(changed, 1 - explanation))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"name": "resnet81"},
            "ResNet name is 'resnet81', expected one of resnet18, .*resnet152; did you mean 'resnet18'",
        ),
        (
            {"gate_positions": "blocks"},
            "gate_positions is 'blocks', expected one of block, stage; did you mean 'block'",
        ),
        ({"in_channels": 2}, r"in_channels is 2, expected 1 \(grey\) or 3 \(RGB\)"),
        ({"num_classes": 0}, "num_classes is 0, expected a positive number"),
    ],
)
def test_impossible_options_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        GatedResNet(**options)
