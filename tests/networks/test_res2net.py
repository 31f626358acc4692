"""Res2Net: the published parameters, and its features computed a second way."""

import pytest
import torch

from common.networks import Res2NetEncoder
from common.networks.res2net import Res2NetBlock
from tests.networks.published_encoders import res2net_features, res2net_state


def _published() -> dict[str, torch.Tensor]:
    return {key: value for key, value in res2net_state().items() if not key.startswith(("layer4", "fc"))}


@pytest.mark.parametrize("stem_stride", [1, 2])
@pytest.mark.parametrize(("norm", "epsilon"), [("batch", 1e-5), ("frozen", 0.0)])
@torch.no_grad()
def test_two_implementations_one_answer(stem_stride, norm, epsilon):
    state = {key: value.double() for key, value in _published().items()}
    encoder = Res2NetEncoder(3, stem_stride, norm).double().eval()
    encoder.load_state_dict({key: value for key, value in state.items() if norm == "batch" or "num_batches" not in key})
    image = torch.rand(1, 3, 32, 48, dtype=torch.float64)
    features, expected = encoder(image), res2net_features(state, image, stem_stride, epsilon)
    assert [tuple(feature.shape[1:]) for feature in features] == [
        (channels, 32 // stride // stem_stride, 48 // stride // stem_stride)
        for channels, stride in zip(encoder.channels, (1, 2, 4, 8), strict=True)
    ]
    for one, other in zip(features, expected, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-9, atol=1e-9)


def test_keys_are_the_published_ones():
    assert set(Res2NetEncoder(norm="batch").state_dict()) == set(_published())


def test_parameters_are_those_of_the_used_stages():
    encoder = Res2NetEncoder(norm="frozen")
    count = sum(parameter.numel() for parameter in encoder.parameters())
    assert count == 23_609_732 - 14_973_184  # KarryRen/UML, less the stage that is never called
    assert all(parameter.ndim == 4 for parameter in encoder.parameters())


def test_widths_of_the_scales():
    encoder = Res2NetEncoder()
    widths = [stage[0].convs[0].in_channels for stage in (encoder.layer1, encoder.layer2, encoder.layer3)]
    assert widths == [26, 52, 104]


def test_groups_are_not_taken_in_silence():
    with pytest.raises(ValueError, match="groups is 2"):
        Res2NetBlock(64, 64, groups=2)
