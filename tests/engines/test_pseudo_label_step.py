"""The teacher learns what the student says, and nothing else."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import torch.nn.functional as F

from common.engines import PseudoLabelStep
from common.losses import TeacherLoss
from common.types import Stage
from tests.prototype_setup import Plain, batch_of, small_network, trainer_of


def stage_of(network: torch.nn.Module, rate: float = 0.5, **options: Any) -> Stage:
    optimizer = torch.optim.SGD(network.teacher.parameters(), rate)
    return Stage("retrain", 1, ["teacher"], optimizer, TeacherLoss(), step=PseudoLabelStep(**options))


def test_equals_the_step_written_down():
    torch.manual_seed(0)
    network, batch = Plain(), batch_of()["unlabelled"]
    stage = stage_of(network)
    shared = network.stem(batch["image"])
    loss = F.cross_entropy(network.teacher(shared), network.student(shared).argmax(1))
    gradients = torch.autograd.grad(loss, list(network.teacher.parameters()))
    expected = [p - 0.5 * g for p, g in zip(network.teacher.parameters(), gradients, strict=True)]
    output = stage.step(trainer_of(network, stage), batch)
    assert output["loss"] == pytest.approx(loss.item(), rel=1e-6)
    for parameter, value in zip(network.teacher.parameters(), expected, strict=True):
        torch.testing.assert_close(parameter, value)


def test_true_labels_are_not_used():
    """But for the accuracy that is reported, of the images whose labels are given."""
    states = []
    for given in ((), (0, 3)):
        torch.manual_seed(0)
        network = Plain()
        stage = stage_of(network)
        output = stage.step(trainer_of(network, stage), batch_of(given=given)["unlabelled"])
        assert len(output["label"]) == len(output["probability"]) == len(given)
        assert len(output["terms"]["pseudo_label_accuracy"]) == len(given)
        states.append(network.state_dict())
    assert all(torch.equal(states[0][key], states[1][key]) for key in states[0])


def test_stem_and_student_stay_to_the_last_bit():
    network = small_network()
    stage = stage_of(network)
    trainer = trainer_of(network, stage)
    before = {key: value.clone() for key, value in network.state_dict().items()}
    for seed in range(2):
        trainer._iteration(trainer, batch_of(seed=seed)["unlabelled"])
    same = {key for key, value in network.state_dict().items() if torch.equal(value, before[key])}
    assert same == {key for key in before if not key.startswith("teacher")}


def test_unsure_images_do_not_count():
    torch.manual_seed(0)
    network = Plain()
    stage = stage_of(network, threshold=0.999)
    before = network.teacher[0].weight.clone()
    output = stage.step(trainer_of(network, stage), batch_of()["unlabelled"])
    assert output["terms"]["pseudo_labels_used"].sum() == 0
    assert torch.equal(network.teacher[0].weight, before)


def test_the_teacher_may_start_from_the_beginning():
    """With copies of the weights it was given, and only in the stage's first epoch."""
    torch.manual_seed(0)
    network = Plain()
    start = network.teacher.state_dict()
    first = {key: value.clone() for key, value in start.items()}
    stage = stage_of(network, restart_from=start)
    with torch.no_grad():
        network.teacher[0].weight.fill_(9.0)
    trainer = trainer_of(network, stage)
    assert all(torch.equal(value, first[key]) for key, value in network.teacher.state_dict().items())
    stage.step.end_epoch(trainer)
    with torch.no_grad():
        network.teacher[0].weight.fill_(9.0)
    stage.step.begin_epoch(trainer)
    assert network.teacher[0].weight.min() == 9
    again = stage_of(network, restart_from=first)
    again.step.load_state_dict(stage.step.state_dict())
    trainer_of(network, again)
    assert network.teacher[0].weight.min() == 9, "a resumed stage does not start anew"


@pytest.mark.parametrize(
    ("options", "message"),
    [({"threshold": -0.1}, "threshold is -0"), ({"temperature": -1}, "temperature is -1, expected a positive number")],
)
def test_refuses(options, message):
    with pytest.raises(ValueError, match=message):
        PseudoLabelStep(**options)
