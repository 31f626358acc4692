"""Channel mixing: the shuffle's permutation, and one matrix per image against the plain form."""

import pytest
import torch

from common.layers import ChannelMixer, PyramidMixer, shuffle_channels


def _order(channels: int, groups: int = 4) -> list[int]:
    return shuffle_channels(torch.arange(channels)[None], groups)[0].tolist()


def test_the_shuffle_of_sixteen_channels():
    assert _order(16) == [0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15]  # KarryRen/UML


def test_the_shuffle_of_the_published_width():
    assert _order(512) == [4 * k + g for g in range(4) for k in range(128)]  # KarryRen/UML


@pytest.mark.parametrize("channels", [4, 16, 512])
def test_shuffling_in_the_other_groups_undoes_it(channels):
    feature = torch.rand(2, channels, 3)
    assert torch.equal(shuffle_channels(shuffle_channels(feature), channels // 4), feature)


@pytest.mark.parametrize(("first", "second", "hidden", "out"), [(6, 10, 16, 8), (4, 4, 6, 12), (64, 64, 256, 64)])
def test_fused_is_plain(first, second, hidden, out):
    torch.manual_seed(0)
    mixer = ChannelMixer(first, second, hidden, out).double()
    features = [torch.rand(2, channels, 4, 5, dtype=torch.float64, requires_grad=True) for channels in (first, second)]
    results, gradients = [], []
    for mix in (mixer.mix_plain, mixer.mix_fused):
        result = mix(*features)
        weight = torch.arange(result.numel(), dtype=torch.float64).sin().view_as(result)
        results.append(result)
        gradients.append(torch.autograd.grad((result * weight).sum(), [*features, *mixer.parameters()]))
    plain, fused = results
    assert plain.shape == (2, out, 4, 5)
    assert (plain - fused).abs().max() < 1e-12 * plain.abs().max()
    for one, other in zip(*gradients, strict=True):
        assert (one - other).abs().max() <= 1e-10 * one.abs().max()
        assert one.abs().max() > 0


@pytest.mark.parametrize(
    ("second", "out", "fused"),
    [
        ((64, 256, 512, 1024), (64, 256, 512, 1024), [True, True, False, False]),  # attention
        ((64, 128, 256, 512), (64, 128, 256, None), [True, True, True, False]),  # reliable_mask
    ],
)
def test_large_maps_with_few_channels_are_fused(second, out, fused):
    mixer = PyramidMixer((64, 256, 512, 1024), second, 256, out)
    assert [level.fused for level in mixer.levels] == fused
    assert mixer.out_channels == tuple(channels or 512 for channels in out)


def test_without_projection_the_shuffled_channels_come_out():
    mixer = ChannelMixer(3, 5, 8, None)
    for parameter in mixer.attention.parameters():
        torch.nn.init.zeros_(parameter)
    first, second = torch.rand(1, 3, 2, 2), torch.rand(1, 5, 2, 2)
    wide = torch.cat([mixer.reduce_first(first), mixer.reduce_second(second)], dim=1)
    torch.testing.assert_close(mixer(first, second), 0.75 * wide[:, _order(16)])


def test_odd_hidden_channels():
    with pytest.raises(ValueError, match="hidden_channels is 5, expected an even number"):
        ChannelMixer(3, 3, 5, 4)
