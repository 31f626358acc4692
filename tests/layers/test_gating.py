"""Gates against a slow loop, the reference's cascade of poolings, and their invariants."""

import math

import hypothesis.strategies as st
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from torch import Tensor, nn

from common.layers import GatedStage, gate, pool_map

sizes = st.integers(1, 24)


def loop_pool(explanation: Tensor, height: int, width: int) -> Tensor:
    """Mean over the window floor(i·H/h) .. ceil((i+1)·H/h), one output pixel at a time."""
    batch, _, rows, columns = explanation.shape
    pooled = torch.zeros(batch, 1, height, width)
    for b in range(batch):
        for i in range(height):
            for j in range(width):
                top, bottom = i * rows // height, math.ceil((i + 1) * rows / height)
                left, right = j * columns // width, math.ceil((j + 1) * columns / width)
                pooled[b, 0, i, j] = explanation[b, 0, top:bottom, left:right].mean()
    return pooled


@given(rows=sizes, columns=sizes, height=sizes, width=sizes)
@settings(max_examples=25, deadline=None)
def test_pool_map_is_the_mean_of_each_window(rows, columns, height, width):
    explanation = torch.rand(2, 1, rows, columns)
    pooled = pool_map(explanation, torch.zeros(2, 3, height, width))
    torch.testing.assert_close(pooled, loop_pool(explanation, height, width))


@pytest.mark.parametrize("stride", [4, 8, 16, 32])
def test_pool_map_equals_the_references_cascade_where_sizes_divide(stride):
    explanation = torch.rand(2, 1, 64, 96)
    cascade = F.avg_pool2d(explanation, 4, 4)
    while cascade.shape[-1] > 96 // stride:
        cascade = F.avg_pool2d(cascade, 2)
    torch.testing.assert_close(pool_map(explanation, torch.zeros(2, 5, 64 // stride, 96 // stride)), cascade)


@given(rows=sizes, columns=sizes, height=sizes, width=sizes, value=st.sampled_from([0.0, 1.0]))
@settings(max_examples=25, deadline=None)
def test_maps_of_ones_and_zeros_stay_exact_at_any_size(rows, columns, height, width, value):
    feature = torch.randn(1, 4, height, width)
    assert torch.equal(gate(feature, torch.full((1, 1, rows, columns), value)), feature * value)


def test_gate_acts_on_all_channels_alike_and_on_each_sample_by_its_own_map():
    feature = torch.ones(2, 3, 1, 2)
    explanation = torch.tensor([[[[0.0, 0.5, 1.0, 1.0]]], [[[0.2, 0.4, 0.0, 0.0]]]])
    expected = torch.tensor([[0.25, 1.0], [0.3, 0.0]]).view(2, 1, 1, 2).expand(2, 3, 1, 2)
    torch.testing.assert_close(gate(feature, explanation), expected)


def test_float32_map_keeps_half_precision_features_in_half_precision():
    gated = gate(torch.ones(1, 2, 4, 4, dtype=torch.bfloat16), torch.full((1, 1, 8, 8), 0.5))
    assert gated.dtype == torch.bfloat16
    assert torch.equal(gated, torch.full((1, 2, 4, 4), 0.5, dtype=torch.bfloat16))


@pytest.mark.parametrize(("every_block", "expected"), [(True, 0.5**3), (False, 0.5)])
def test_gated_stage_gates_after_every_block_or_once(every_block, expected):
    stage = GatedStage(nn.AvgPool2d(2), nn.Identity(), nn.Identity(), every_block=every_block)
    gated = stage(torch.ones(1, 2, 4, 4), torch.full((1, 1, 8, 8), 0.5))
    assert torch.equal(gated, torch.full((1, 2, 2, 2), expected))


def test_gated_stage_has_the_keys_of_a_plain_stage():
    blocks = [nn.Conv2d(2, 2, 1), nn.Conv2d(2, 2, 1)]
    assert list(GatedStage(*blocks).state_dict()) == list(nn.Sequential(*blocks).state_dict())
