"""Norms: the frozen one has no epsilon and never learns, all fold into the convolution before them."""

import copy

import pytest
import torch
from torch import nn

from common.layers import NORMS, FrozenNorm2d, GroupNorm2d, make_norm


def _filled(norm: nn.Module) -> nn.Module:
    """Give every tensor of a norm values that a trained one could have."""
    generator = torch.Generator().manual_seed(0)
    for key, value in norm.state_dict().items():
        if value.is_floating_point():
            value.copy_(torch.rand(value.shape, generator=generator) + (0.5 if "var" in key or "weight" in key else 0))
    return norm


def test_frozen_norm_on_paper():
    norm = FrozenNorm2d(1)
    for value, number in zip((norm.weight, norm.bias, norm.running_mean, norm.running_var), (2, 1, 3, 4), strict=True):
        value.fill_(number)
    image = torch.tensor([[[[3.0, 5.0], [-1.0, 7.0]]]])
    assert torch.equal(norm(image), torch.tensor([[[[1.0, 3.0], [-3.0, 5.0]]]]))  # (x - 3) / 2 * 2 + 1


def test_frozen_norm_has_no_epsilon():
    norm = FrozenNorm2d(1)
    norm.running_var.fill_(1e-10)
    assert norm(torch.ones(1, 1, 1, 1)).item() == pytest.approx(1e5)  # 316 with batch norm's 1e-5


def test_frozen_norm_gives_the_golden_values():
    """Two channels of KarryRen/UML's frozen norm."""
    norm = FrozenNorm2d(2).double()
    norm.weight.copy_(torch.tensor([0.081382953554, -0.381875490691]))
    norm.bias.copy_(torch.tensor([-0.198231222535, -0.042994309614]))
    norm.running_mean.copy_(torch.tensor([-0.403430278963, 0.429282407203]))
    norm.running_var.copy_(torch.tensor([0.323093382793, 0.709977954547]))
    image = torch.tensor([1.1240992438, -2.3885331599], dtype=torch.float64).view(1, 2, 1, 1)
    # with an epsilon of 1e-5 they would be 0.0204705 and 1.2340585
    torch.testing.assert_close(norm(image).flatten().tolist(), [0.0204739367, 1.2340675008], rtol=0, atol=2e-7)


def test_frozen_norm_before_weights_are_loaded_changes_nothing():
    image = torch.randn(2, 3, 4, 4)
    assert torch.equal(FrozenNorm2d(3)(image), image)


def test_frozen_norm_never_changes():
    norm = _filled(FrozenNorm2d(3)).train()
    before = copy.deepcopy(norm.state_dict())
    image = torch.randn(2, 3, 4, 4, requires_grad=True)
    norm(image).sum().backward()
    assert list(norm.parameters()) == []
    assert all(torch.equal(value, before[key]) for key, value in norm.state_dict().items())


@pytest.mark.parametrize("kind", NORMS)
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("training", [True, False])
def test_convolving_and_normalising_at_once_is_the_same(kind, bias, training):
    convolution = nn.Conv2d(3, 4, 3, stride=2, padding=1, bias=bias).double()
    norm = _filled(make_norm(kind, 4)).double().train(training)
    image = torch.randn(2, 3, 7, 9, dtype=torch.float64)
    other = copy.deepcopy(norm)
    at_once = norm.convolve(image, convolution.weight, convolution.bias, 2, 1)
    one_by_one = other(convolution(image))
    torch.testing.assert_close(at_once, one_by_one, rtol=1e-12, atol=1e-12)
    at_once.square().sum().backward()
    gradient = convolution.weight.grad.clone()
    convolution.zero_grad()
    one_by_one.square().sum().backward()
    torch.testing.assert_close(gradient, convolution.weight.grad, rtol=1e-9, atol=1e-9)
    for key, value in norm.state_dict().items():
        assert torch.equal(value, other.state_dict()[key]), key


def test_batch_norm_is_pytorchs():
    image = torch.randn(4, 3, 5, 5)
    ours, theirs = _filled(make_norm("batch", 3)), nn.BatchNorm2d(3)
    theirs.load_state_dict(ours.state_dict())
    assert torch.equal(ours.train()(image), theirs.train()(image))
    torch.testing.assert_close(ours.running_mean, theirs.running_mean)


@pytest.mark.parametrize(("channels", "groups"), [(1, 1), (8, 8), (26, 2), (64, 8), (104, 8)])
def test_groups_divide_the_channels(channels, groups):
    assert GroupNorm2d(channels).num_groups == groups


def test_group_norm_does_not_depend_on_the_batch():
    norm = make_norm("group", 8).train()
    image = torch.randn(3, 8, 4, 4)
    torch.testing.assert_close(norm(image)[:1], norm(image[:1]))


def test_unknown_norm():
    with pytest.raises(
        ValueError, match="norm is 'forzen', expected one of frozen, batch, group; did you mean 'frozen'"
    ):
        make_norm("forzen", 4)
