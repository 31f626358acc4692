"""The explainer against measured numbers of the reference, and its geometry."""

import math

import pytest
import torch
import torch.nn.functional as F

from common.networks import ExplainerUNet

# eval-mode means and train-mode means of a fresh reference explainer on noise; magnitudes, not bits
FIRST_MAPS = [(1.0, 0.7468948, 0.655), (2.0, 0.9615369, 0.908), (3.0, 0.9947065, 0.979), (10.0, 1.0, 1.0)]

SHAPES_IN_ORDER = [
    *[(32, 3, 3, 3), (32,), (32, 32, 3, 3), (32,)],
    *[(64, 32, 3, 3), (64,), (64, 64, 3, 3), (64,)],
    *[(128, 64, 3, 3), (128,), (128, 128, 3, 3), (128,)],
    *[(128, 128, 2, 2), (128,), (128, 128, 3, 3), (128,), (128, 128, 3, 3), (128,)],
    *[(128, 64, 2, 2), (64,), (64, 64, 3, 3), (64,), (64, 64, 3, 3), (64,)],
    *[(64, 32, 2, 2), (32,), (32, 32, 3, 3), (32,), (32, 32, 3, 3), (32,)],
    *[(1, 32, 1, 1), (1,), (1,), (1,)],
]


def test_parameters_are_those_of_the_reference_in_its_order():
    explainer = ExplainerUNet()
    assert [tuple(parameter.shape) for parameter in explainer.parameters()] == SHAPES_IN_ORDER
    assert sum(parameter.numel() for parameter in explainer.parameters()) == 781_283


def test_golden_weights_give_the_golden_map(golden, golden_image):
    explainer = golden(ExplainerUNet())
    with torch.no_grad():
        explainer.norm.weight.fill_(1.0)
        explainer.norm.bias.fill_(0.5)
        explanation = explainer(golden_image)
    assert explanation.mean().item() == pytest.approx(0.2059, abs=5e-5)
    assert (explanation == 0).float().mean().item() == pytest.approx(0.694, abs=5e-4)


@pytest.mark.parametrize(("init_bias", "in_eval", "in_train"), FIRST_MAPS)
def test_first_map_is_about_tanh_of_the_bias(init_bias, in_eval, in_train):
    explainer = ExplainerUNet(init_bias=init_bias)
    image = torch.rand(2, 3, 96, 96)
    slope = 1 - math.tanh(init_bias) ** 2  # the un-normalised head is a random number of about 0.1
    with torch.no_grad():
        assert explainer.eval()(image).mean().item() == pytest.approx(in_eval, abs=0.25 * slope + 1e-6)
        assert explainer.train()(image).mean().item() == pytest.approx(in_train, abs=0.04)
    assert explainer.initial_value == math.tanh(init_bias)


def test_only_the_norm_carries_the_initial_bias():
    explainer = ExplainerUNet(init_bias=3.0)
    large = [name for name, parameter in explainer.named_parameters() if parameter.abs().max() > 1.0]
    assert large == ["norm.bias"]


def test_zeroed_projection_gives_exactly_the_initial_value_everywhere():
    explainer = ExplainerUNet(init_bias=2.0).eval()
    torch.nn.init.zeros_(explainer.project.weight)
    torch.nn.init.zeros_(explainer.project.bias)
    explanation = explainer(torch.rand(1, 3, 40, 56))
    torch.testing.assert_close(explanation, torch.full((1, 1, 40, 56), 0.9640276), rtol=0, atol=1e-6)


def test_dead_zone_a_vanished_map_has_no_gradient():
    explainer = ExplainerUNet(init_bias=-5.0).eval()
    explanation = explainer(torch.rand(1, 3, 32, 32))
    explanation.sum().backward()
    assert torch.count_nonzero(explanation) == 0
    assert all(torch.count_nonzero(parameter.grad) == 0 for parameter in explainer.parameters())


@pytest.mark.parametrize("size", [(75, 101), (33, 32), (39, 64)])
def test_odd_sizes_are_padded_with_their_border_and_cropped_back(size):
    explainer = ExplainerUNet(init_bias=0.5).eval()
    image = torch.rand(1, 3, *size)
    height, width = size
    padded = F.pad(image, (0, -width % 8, 0, -height % 8), mode="replicate")
    assert torch.equal(explainer(image), explainer(padded)[:, :, :height, :width])


def test_a_pixel_is_seen_from_at_most_35_pixels_away():
    explainer = ExplainerUNet(init_bias=0.5).double().eval()
    image = torch.rand(1, 3, 96, 96, dtype=torch.float64)
    touched = image.clone()
    touched[:, :, 47, 47] += 1.0
    with torch.no_grad():
        rows, columns = (explainer(image) != explainer(touched))[0, 0].nonzero().unbind(1)
    assert 12 <= rows.min() <= rows.max() <= 82
    assert 12 <= columns.min() <= columns.max() <= 82


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"in_channels": 0}, "in_channels is 0, expected a positive number"),
        ({"init_bias": math.inf}, "init_bias is inf, expected a finite number; the published value is 3.0"),
    ],
)
def test_impossible_options_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        ExplainerUNet(**options)
