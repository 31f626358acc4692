"""The last layer: sums per class, nothing else, and never a negative weight."""

import hypothesis.strategies as st
import pytest
import torch
from hypothesis import given, settings

from common.layers import ClassConnectedLinear, class_map_of


def layer_with(weights: list[float], class_map: list[int], **options: int) -> ClassConnectedLinear:
    layer = ClassConnectedLinear(torch.tensor(class_map), **options)
    with torch.no_grad():
        layer.weight.copy_(torch.tensor(weights))
    return layer


def test_golden_logits():
    """sendyma/Medical-XAI: ten similarities of two images, five weights per class."""
    weights = [0.69445443, 1.475734, 0.62382346, 0.50783557, 1.2359017]
    weights += [0.62012017, 0.55540866, 0.9804846, 1.0544925, 0.98541933]
    first = [0.98736036, 0.98897856, 0.9919619, 0.98900014, 0.9920245]
    first += [0.98791534, 0.984467, 0.9931698, 0.9925599, 0.9900845]
    second = [0.9865647, 0.99053997, 0.98960406, 0.98469776, 0.9921327]
    second += [0.9862774, 0.9885379, 0.99069434, 0.9876304, 0.99274564]
    layer = layer_with(weights, [0] * 5 + [1] * 5)
    logits = layer(torch.tensor([first, second]))
    torch.testing.assert_close(logits, torch.tensor([[4.49225, 4.15549], [4.49048, 4.15173]]), rtol=0, atol=1e-5)


@given(counts=st.lists(st.integers(1, 6), min_size=1, max_size=5), seed=st.integers(0, 2**16), batch=st.integers(1, 4))
@settings(max_examples=30, deadline=None)
def test_contributions_add_up_to_the_logit(counts, seed, batch):
    """Of every class its own prototypes', in any number per class, also if classes are not in blocks."""
    generator = torch.Generator().manual_seed(seed)
    class_map = class_map_of(len(counts), counts)[torch.randperm(sum(counts), generator=generator)]
    layer = ClassConnectedLinear(class_map, len(counts)).double()
    with torch.no_grad():
        layer.weight.copy_(torch.rand(sum(counts), generator=generator))
    similarity = torch.rand(batch, sum(counts), generator=generator, dtype=torch.float64)
    contribution, logits = layer.contributions(similarity), layer(similarity)
    for index in range(len(counts)):
        torch.testing.assert_close(contribution[:, class_map == index].sum(1), logits[:, index], rtol=1e-12, atol=0)


def test_no_connection_across_classes():
    layer = ClassConnectedLinear(class_map_of(3, [2, 1, 2]))
    similarity = torch.rand(1, 5, requires_grad=True)
    layer(similarity)[0, 1].backward()
    assert similarity.grad.tolist() == [[0, 0, 1, 0, 0]]


def test_full_precision_under_autocast():
    layer, similarity = ClassConnectedLinear(class_map_of(2, 200)), torch.rand(3, 400)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.equal(layer(similarity), layer(similarity.clone()))
        assert layer(similarity).dtype == torch.float32
    assert layer(similarity)[0, 0].item() == pytest.approx(similarity[0, :200].double().sum().item(), rel=1e-6)


def test_clamping_lifts_negative_weights_only():
    layer = layer_with([-1.0, 0.0, 2.0], [0, 1, 1])
    layer.clamp_()
    assert layer.weight.tolist() == [0.0, 0.0, 2.0]
    assert layer.weight.requires_grad


def test_a_class_without_prototypes_has_logit_zero():
    assert ClassConnectedLinear(torch.tensor([0, 2]), num_classes=4)(torch.ones(1, 2)).tolist() == [[1, 0, 1, 0]]


def test_a_class_out_of_range_is_refused():
    with pytest.raises(ValueError, match="class_map goes from 0 to 3, expected classes from 0 to 1"):
        ClassConnectedLinear(torch.tensor([0, 3]), num_classes=2)
