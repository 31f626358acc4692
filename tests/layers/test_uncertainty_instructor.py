"""Uncertainty instructor: h (1 + r), pooled and scored."""

import pytest
import torch
from torch import nn

from common.layers import UncertaintyInstructor


def test_it_is_the_definition():
    layer = UncertaintyInstructor(6, 4, 8, 3).eval()
    feature, instruction = torch.rand(2, 6, 4, 5), torch.rand(2, 4, 4, 5)
    hidden = feature
    for separable in layer.separable:
        hidden = separable(hidden)
    mean = (hidden * (1 + layer.instruct(instruction))).mean(dim=(2, 3))
    torch.testing.assert_close(layer(feature, instruction), mean @ layer.score.weight.T)


def test_without_instruction_the_encoder_decides_alone():
    layer = UncertaintyInstructor(6, 4, 8, 3).eval()
    nn.init.constant_(layer.instruct[1].norm.bias, -100.0)  # ReLU closes: r = 0
    feature = torch.rand(1, 6, 4, 4)
    alone = layer.score(layer.separable(feature).mean(dim=(2, 3)))
    torch.testing.assert_close(layer(feature, torch.rand(1, 4, 4, 4)), alone)


@pytest.mark.parametrize(
    ("in_channels", "instruction", "count"),
    [(1024, 64, 12_428_288), (1536, 128, 13_547_008)],  # KarryRen/UML, 2024 and 2023
)
def test_parameters_of_the_published_widths(in_channels, instruction, count):
    layer = UncertaintyInstructor(in_channels, instruction, 1024, 2)
    assert sum(parameter.numel() for parameter in layer.parameters()) == count


def test_dropout_options():
    layer = UncertaintyInstructor(4, 4, 8, 2, dropout=0.1, separable_dropout=0.2, dropout_twice=True)
    assert [separable[1].dropout.p for separable in layer.separable] == [0.2] * 4
    assert [convolution.dropout.p for convolution in layer.instruct] == [0.1, 0.1]
