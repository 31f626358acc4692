"""Fitting the last layer to similarities computed once."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from common.layers import ClassConnectedLinear, class_map_of, fit_last_layer


def setup(cases: int = 60) -> tuple[ClassConnectedLinear, torch.Tensor, torch.Tensor]:
    """Two classes, two prototypes each: the first of each class tells them apart, the second is noise."""
    generator = torch.Generator().manual_seed(0)
    label = torch.arange(cases) % 2
    similarity = torch.rand(cases, 4, generator=generator)
    similarity[:, 0], similarity[:, 2] = (label == 0).float(), (label == 1).float()
    return ClassConnectedLinear(class_map_of(2, 2)), similarity, label


def test_useful_prototypes_gain_and_useless_ones_lose():
    layer, similarity, label = setup()
    history = fit_last_layer(
        layer, torch.optim.SGD(layer.parameters(), 1.0), similarity, label, F.cross_entropy, passes=40, batch_size=16
    )
    assert len(history) == 41
    assert history[-1] < 0.3 * history[0]
    useful, noise = layer.weight[[0, 2]], layer.weight[[1, 3]]
    assert useful.min() > 2
    assert noise.max() < useful.min() / 1.5
    assert layer.weight.min() >= 0


def test_one_pass_in_one_batch_is_one_step_by_hand():
    layer, similarity, label = setup()
    by_hand = (layer(similarity).softmax(1) - F.one_hot(label, 2)) / len(label)
    gradient = (by_hand.repeat_interleave(2, dim=1) * similarity).sum(0)
    history = fit_last_layer(
        layer, torch.optim.SGD(layer.parameters(), 0.5), similarity, label, F.cross_entropy, passes=1, batch_size=60
    )
    torch.testing.assert_close(layer.weight.detach(), 1 - 0.5 * gradient)
    assert history[0] == pytest.approx(F.cross_entropy(ClassConnectedLinear(layer.class_map)(similarity), label).item())


def test_other_parameters_of_the_optimiser_stay():
    layer, similarity, label = setup()
    other = nn.Parameter(torch.ones(3))
    optimizer = torch.optim.Adam([*layer.parameters(), other], 0.1, weight_decay=0.1)
    other.grad = torch.ones(3)
    fit_last_layer(layer, optimizer, similarity, label, F.cross_entropy, passes=2)
    assert other.tolist() == [1.0, 1.0, 1.0]


def test_the_seed_alone_decides_the_order():
    weights = []
    for _ in range(2):
        torch.manual_seed(torch.seed() % 1000)
        layer, similarity, label = setup()
        optimizer = torch.optim.SGD(layer.parameters(), 1.0)
        fit_last_layer(layer, optimizer, similarity, label, F.cross_entropy, passes=2, batch_size=7, seed=3)
        weights.append(layer.weight.detach())
    assert torch.equal(*weights)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"similarity": torch.rand(3, 4)}, "similarities of 3 and targets of 60 cases"),
        ({"similarity": torch.rand(0, 4), "target": torch.zeros(0)}, "similarities of 0"),
        ({"passes": 0}, "passes is 0"),
        ({"batch_size": 0}, "batch_size is 0"),
    ],
)
def test_refuses(change, message):
    layer, similarity, label = setup()
    optimizer = torch.optim.SGD(layer.parameters(), 1.0)
    options = {"similarity": similarity, "target": label, "loss": F.cross_entropy, **change}
    with pytest.raises(ValueError, match=message):
        fit_last_layer(layer, optimizer, **options)
