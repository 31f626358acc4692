"""Decoder steps: the order of resizing, convolving and concatenating."""

import pytest
import torch
import torch.nn.functional as F

from common.layers import ConcatenatingStep, ConvolvingStep


def _larger(feature):
    return F.interpolate(feature, (6, 8), mode="bilinear", align_corners=True)


def test_the_step_of_2024_convolves_before_and_after():
    step = ConvolvingStep(8, 4).eval()
    low, skip = torch.randn(2, 8, 3, 4), torch.randn(2, 4, 6, 8)
    expected = step.after(torch.cat([step.before(_larger(low)), skip], dim=1))
    torch.testing.assert_close(step(low, skip), expected)


def test_the_step_of_2023_leaves_convolving_to_the_next():
    step = ConcatenatingStep(8, 5).eval()
    low, skip = torch.randn(2, 8, 3, 4), torch.randn(2, 3, 6, 8)
    result = step(low, skip)
    assert result.shape == (2, 8, 6, 8)
    assert torch.equal(result[:, :3], skip)
    torch.testing.assert_close(result[:, 3:], step.before(_larger(low)))


@pytest.mark.parametrize(("in_channels", "count"), [(512, 3_542_016), (256, 886_272), (128, 221_952)])
def test_parameters_of_the_published_widths(in_channels, count):
    """Two double convolutions, n -> n/2 channels each, with biases and batch norms."""
    step = ConvolvingStep(in_channels, in_channels // 2)
    assert sum(parameter.numel() for parameter in step.parameters()) == count


def test_dropout_stands_where_each_form_has_it():
    assert [layer.dropout.p for layer in ConvolvingStep(4, 2, dropout=0.1).before] == [0.0, 0.1]
    assert [layer.dropout.p for layer in ConcatenatingStep(4, 2, dropout=0.1).before] == [0.1, 0.1]
