import copy

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from benchmarks.aopc import settled_network
from common.explain.modular import (
    GlobalMaxPool,
    MidpointProduct,
    Product,
    Sum,
    TournamentPool,
    fold_batch_norms,
    modular_copy,
    replace_modules,
)
from common.networks.backbones import build_resnet


@pytest.mark.parametrize("classifier", ["resnet18", "resnet50", "vgg"])
def test_the_copy_computes_the_same_with_every_relu_its_own(classifier):
    model = settled_network(classifier=classifier)
    state = copy.deepcopy(model.state_dict())
    image = torch.rand(2, 3, 41, 33)
    with torch.no_grad():
        expected = model(image)
        explanation = model.explanation(image)
    network = modular_copy(model)
    torch.testing.assert_close(network(image), expected, atol=0, rtol=0)
    torch.testing.assert_close(modular_copy(model, "classify")(image, explanation), expected, atol=1e-6, rtol=0)
    called = [node.target for node in network.graph.nodes if node.op == "call_module"]
    assert len(called) == len(set(called))
    assert not any(module.inplace for module in network.modules() if isinstance(module, nn.ReLU))
    assert sum(isinstance(module, Product) for module in network.modules()) == model.classifier.gate_count
    assert all(torch.equal(value, state[name]) for name, value in model.state_dict().items())
    assert all(parameter.requires_grad for parameter in model.parameters())


def test_residual_sums_become_modules():
    network = modular_copy(build_resnet("resnet18"))
    assert sum(isinstance(module, Sum) for module in network.modules()) == 8
    assert sum(isinstance(module, nn.ReLU) for module in network.modules()) == 17


@pytest.mark.parametrize("name", ["resnet18", "resnet50"])
def test_folded_batch_norms_change_nothing(name):
    model = settled_network(classifier=name).classifier
    network = modular_copy(model)
    fold_batch_norms(network)
    assert not any(isinstance(module, nn.BatchNorm2d) for module in network.modules())
    image, gate = torch.rand(2, 3, 40, 40), torch.rand(2, 1, 40, 40)
    torch.testing.assert_close(network(image, gate), model(image, gate), atol=1e-3, rtol=1e-4)


def test_a_batch_norm_without_a_convolution_cannot_be_folded():
    network = modular_copy(nn.Sequential(nn.ReLU(), nn.BatchNorm2d(3)))
    with pytest.raises(ValueError, match="batch norm '1' does not follow a convolution"):
        fold_batch_norms(network)


@pytest.mark.parametrize("pool", [nn.MaxPool2d(2), nn.MaxPool2d(3, 2, 1), nn.MaxPool2d(4, 1), GlobalMaxPool()])
def test_a_tournament_finds_the_maximum(pool):
    feature = torch.rand(2, 3, 11, 8)
    tournament = TournamentPool(pool)
    torch.testing.assert_close(tournament(feature), pool(feature), atol=1e-6, rtol=0)


def test_replaced_pools_still_compute_the_same():
    model = settled_network(classifier="vgg")
    network = modular_copy(model)
    replace_modules(network, nn.MaxPool2d, TournamentPool)
    replace_modules(network, GlobalMaxPool, TournamentPool)
    assert sum(isinstance(module, TournamentPool) for module in network.modules()) == 3 + 4 + 1
    image = torch.rand(2, 3, 40, 33)
    torch.testing.assert_close(network(image), model(image), atol=1e-5, rtol=0)


def test_midpoint_rule_by_pencil():
    # 3*5 - 1*2 = 13 = (3-1)*(5+2)/2 + (5-2)*(3+1)/2 = 7 + 6
    feature = torch.tensor([3.0, 1.0], requires_grad=True)
    gate = torch.tensor([5.0, 2.0], requires_grad=True)
    product = MidpointProduct()(feature, gate)
    assert product.tolist() == [15, 2]
    by_feature, by_gate = torch.autograd.grad(product[0], (feature, gate))
    assert by_feature.tolist() == [3.5, 0]
    assert by_gate.tolist() == [2, 0]


def test_functions_become_modules():
    class Small(nn.Module):
        def forward(self, x):
            y = F.max_pool2d(F.relu(x), 2)
            y += torch.relu(y)
            return torch.tanh(y)

    network = modular_copy(Small())
    image = torch.randn(1, 1, 6, 6)
    torch.testing.assert_close(network(image), Small()(image))
    kinds = [type(network.get_submodule(n.target)).__name__ for n in network.graph.nodes if n.op == "call_module"]
    assert kinds == ["ReLU", "MaxPool2d", "ReLU", "Sum", "Sequential"]
