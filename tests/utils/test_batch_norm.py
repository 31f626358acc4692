"""Looking at a batch without keeping its statistics."""

import pytest
import torch
from torch import nn

from common.utils.batch_norm import keep_statistics


def network() -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(2, 3, 1), nn.BatchNorm2d(3), nn.ReLU(), nn.BatchNorm2d(3, track_running_stats=False))


def test_the_output_is_the_same_and_the_statistics_stay():
    model, image = network(), torch.rand(4, 2, 5, 5)
    before = {key: value.clone() for key, value in model.state_dict().items()}
    with keep_statistics(model):
        output = model(image)
    assert all(torch.equal(value, before[key]) for key, value in model.state_dict().items())
    torch.testing.assert_close(output, model(image))
    assert not torch.equal(model[1].running_mean, before["1.running_mean"]), "afterwards they move again"
    assert model[3].track_running_stats is False


def test_in_evaluation_mode_the_running_statistics_are_used():
    model, image = network().eval(), torch.rand(4, 2, 5, 5)
    expected = model[:2](image)
    with keep_statistics(model):
        assert torch.equal(model[:2](image), expected)


def test_an_error_within_changes_nothing_for_good():
    model = network()
    with pytest.raises(RuntimeError), keep_statistics(model):
        model(torch.rand(1))
    assert model[1].track_running_stats is True
