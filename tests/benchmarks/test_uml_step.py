"""The published form of UML computes what the network computes, and its training step learns the same."""

import copy

import pytest
import torch

from benchmarks import uml_step
from benchmarks._published_uml import published_explain, settled_network
from benchmarks._uml_training import Training, make_batch


@pytest.fixture(scope="module")
def network():
    return settled_network(32, width=0.125)


@pytest.mark.parametrize("training", [True, False])
def test_outputs_and_gradients_are_equal_in_float64(network, training):
    image = make_batch(2, 32)["image"].double()
    forms, results, gradients = (published_explain, type(network).explain_levels), [], []
    for form in forms:
        own = copy.deepcopy(network).double().train(training)
        torch.manual_seed(1)  # the same channels are dropped
        outputs = form(own, image)
        kept = {name: value for name, value in sorted(outputs.items()) if not name.startswith("pixel_uncertainty_")}
        sum(((i + 1) * value.square().mean() for i, value in enumerate(kept.values()))).backward()
        results.append(kept)
        gradients.append({name: parameter.grad for name, parameter in own.named_parameters()})
    assert list(results[0]) == list(results[1])
    for name, value in results[0].items():
        torch.testing.assert_close(results[1][name], value, rtol=1e-8, atol=1e-9, msg=name)
    for name, value in gradients[0].items():
        largest = value.abs().max()
        assert largest > 0, name
        assert (gradients[1][name] - value).abs().max() <= 1e-6 * largest + 1e-9, name


def test_two_steps_of_training_agree(network):
    batch = make_batch(2, 32)
    both = [Training(copy.deepcopy(network).double(), form) for form in ("published", "ours")]
    batch["image"] = batch["image"].double()
    losses = []
    for training in both:
        torch.manual_seed(0)
        losses.append([training.step(batch) for _ in range(2)])
    assert losses[0] == pytest.approx(losses[1], rel=1e-6)
    assert losses[0][0] != pytest.approx(losses[0][1], rel=1e-3)


def test_evaluation_leaves_out_the_levels(network):
    outputs = Training(network, "ours").evaluate(make_batch(1, 32))
    assert "segmentation_logits" in outputs
    assert "pixel_evidence_2" not in outputs


def test_difference_leaves_the_network_alone(network):
    before = copy.deepcopy(network.state_dict())
    assert uml_step.output_difference(network, make_batch(2, 32)["image"].double()) < 1e-9
    assert all(torch.equal(value, before[key]) for key, value in network.state_dict().items())


def test_batch_has_all_targets():
    batch = make_batch(2, 9)
    assert batch["label"].tolist() == [0, 1]
    assert batch["segmentation"][0, 0, 0].tolist() == [0, 0, 0, 1, 1, 1, 2, 2, 2]
