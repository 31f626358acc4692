"""A step on pairs against the same step written down, its teacher, and a whole training with resumption."""

from __future__ import annotations

import copy
import csv
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from ignite.engine import Events
from torch import Tensor

from common.engines import PairStep
from common.engines.pair_step import joined
from common.losses import CIPLLoss
from tests.pair_setup import FEATURES, batch_of, build, joint_stage, plain_network, small_network, trainer_of

RATE = 0.05


def state_of(network: torch.nn.Module) -> dict[str, Tensor]:
    return {key: value.clone() for key, value in network.state_dict().items()}


def judged(network: Any, feature: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Logits against the background, distance of each prototype, and similarity maps, as sums of squares."""
    maps = (feature.unsqueeze(1) - network.prototypes.vectors[None, :, :, None, None]).square().sum(2)
    nearest = maps.flatten(2).amin(2)
    sums = ((-nearest / 6).exp() * network.last_layer.weight).view(len(feature), 3, 2).sum(2)
    return sums[:, :2] - sums[:, 2:], nearest, (-maps / 6).exp()


def rebuilt(own: Tensor, other: Tensor) -> Tensor:
    """One map of the places of another."""
    here, there = own.flatten(1).T, other.flatten(1).T
    share = (-(here[:, None] - there[None]).square().sum(2)).softmax(1)
    return (share @ there).T.view(own.shape)


def loss_by_hand(network: Any, teacher: Any, batch: dict[str, Any]) -> Tensor:
    """The six terms with their published weights."""
    partner = batch["partner"]
    label, shared = torch.cat([batch["label"], partner["label"]]), batch["label"] * partner["label"]
    feature = network.feature(torch.cat([batch["image"], partner["image"]]))
    logits, nearest, maps = judged(network, feature)
    first, second = feature.chunk(2)
    crossed = [
        torch.stack([rebuilt(a, b) for a, b in zip(*pair, strict=True)]) for pair in ((first, second), (second, first))
    ]
    cross = F.binary_cross_entropy_with_logits(judged(network, torch.cat(crossed))[0], shared.repeat(2, 1))
    near, far = [], []
    for index, row in enumerate(label):
        by_class = nearest[index].view(3, 2).amin(1)
        has = torch.cat([row > 0, row.sum(0, keepdim=True) == 0])
        near.append(by_class[has].sum())
        far.append(by_class[~has].min())
    separation = (2 - torch.stack(far).mean()).clamp(min=0)
    with torch.no_grad():
        taught = judged(teacher, teacher.feature(torch.cat([batch["original"], partner["original"]])))
    interpretation = (1 - F.cosine_similarity(maps, taught[2], dim=1)).sum((1, 2)).mean()
    p, q = (torch.stack([1 - z.sigmoid(), z.sigmoid()], 2).transpose(0, 1) for z in (logits, taught[0]))
    prediction = (p @ p.transpose(1, 2) - q @ q.transpose(1, 2)).square().mean()
    shaping = 0.02 * torch.stack(near).mean() + 0.02 * separation
    return (
        F.binary_cross_entropy_with_logits(logits, label)
        + shaping
        + 0.5 * cross
        + 0.5 * interpretation
        + 10 * prediction
    )


def test_two_steps_equal_those_written_down():
    """Plain gradient descent; in the second step the teacher has moved a tenth of the way."""
    network = plain_network()
    student, teacher = copy.deepcopy(network), copy.deepcopy(network)
    stage = joint_stage(network, RATE, step=PairStep(momentum=0.9))
    trainer, losses = trainer_of(network, stage), []
    for seed in range(2):
        batch = batch_of(seed=seed)
        with torch.no_grad():
            for own, other in zip(teacher.parameters(), student.parameters(), strict=True):
                own.copy_(0.9 * own + 0.1 * other)
        loss = loss_by_hand(student, teacher, batch)
        parameters = [p for name in FEATURES for p in getattr(student, name).parameters()]
        gradients = torch.autograd.grad(loss, parameters)
        with torch.no_grad():
            for parameter, gradient in zip(parameters, gradients, strict=True):
                parameter -= RATE * gradient
        losses.append((trainer._iteration(trainer, batch)["loss"], loss.item()))
    for ours, expected in losses:
        assert ours == pytest.approx(expected, rel=1e-5)
    for module, expected in ((network, student), (stage.step.teacher, teacher)):
        for key, value in module.state_dict().items():
            torch.testing.assert_close(value, expected.state_dict()[key], rtol=1e-4, atol=1e-6, msg=key)


def test_golden_moving_average():
    """Golden: cwangrun/CIPL, momentum 0.999, after one and after a hundred steps of a student that stands still."""
    student = torch.tensor([0.09536537, -0.72959104, -0.09118138, 1.06952808, 0.07577777, 0.6805664])
    start = torch.tensor([0.47459428, -0.32188177, -0.08883498, 0.04149659, 1.14609786, 0.49914544])
    expected = {
        1: [0.47421505, -0.32228948, -0.08883732, 0.04252462, 1.14502754, 0.49932686],
        100: [0.43848871, -0.3606989, -0.08905837, 0.13937326, 1.04419498, 0.51641814],
    }
    network = plain_network()
    stage = joint_stage(network, rate=0.0)
    trainer = trainer_of(network, stage)
    vectors = stage.step.teacher.prototypes.vectors
    with torch.no_grad():
        network.prototypes.vectors[0], vectors[0] = student, start
    for number in range(1, 101):
        trainer._iteration(trainer, batch_of(1))
        if number in expected:
            assert vectors[0].tolist() == pytest.approx(expected[number], abs=1e-5)


def test_equal_views_of_a_teacher_that_has_just_begun_align():
    network, batch = small_network(), batch_of()
    for half in (batch, batch["partner"]):
        half["original"] = half["image"]
    stage = joint_stage(network)
    trainer = trainer_of(network, stage)
    terms = trainer._iteration(trainer, batch)["terms"]
    assert terms["interpretation"].abs().max() < 1e-4
    assert terms["prediction"].max() < 1e-8
    assert terms["cross"].min() > 0.01


@pytest.mark.parametrize("norm", ["batch", "averaged"])
def test_the_norms_of_the_teacher(norm):
    """It keeps no statistics of what it sees; averaged, they follow the network's."""
    network = small_network()
    stage = joint_stage(network, step=PairStep(momentum=0.5, teacher_norm=norm))
    trainer = trainer_of(network, stage)
    key = "trunk.1.1.running_mean"
    start = network.state_dict()[key].clone()
    trainer._iteration(trainer, batch_of())
    after = network.state_dict()[key].clone()
    trainer._iteration(trainer, batch_of(seed=1))
    assert not torch.equal(start, after)
    expected = start if norm == "batch" else (start + after) / 2
    torch.testing.assert_close(stage.step.teacher.state_dict()[key], expected)
    assert stage.step.teacher.training == (norm == "batch")
    assert all(parameter.grad is None and not parameter.requires_grad for parameter in stage.step.teacher.parameters())


@pytest.mark.parametrize(("joint", "updates"), [(True, 1), (False, 2)])
def test_one_batch_or_two(joint, updates):
    """Without batch norm it makes no difference; with it, statistics are those of all images or of each half."""
    network = small_network()
    stage = joint_stage(network, step=PairStep(joint_batch=joint))
    trainer = trainer_of(network, stage)
    trainer._iteration(trainer, batch_of())
    assert network.state_dict()["trunk.1.1.num_batches_tracked"] == updates
    losses = []
    for each in (True, False):
        torch.manual_seed(0)
        plain = plain_network()
        stage = joint_stage(plain, step=PairStep(joint_batch=each))
        trainer = trainer_of(plain, stage)
        losses.append(trainer._iteration(trainer, batch_of())["loss"])
    assert losses[0] == pytest.approx(losses[1], rel=1e-5)


def test_what_has_no_weight_is_not_computed():
    network = small_network()
    stage = joint_stage(network, cross=0.0, interpretation=0.0, prediction=0.0)
    trainer = trainer_of(network, stage)
    terms = trainer._iteration(trainer, batch_of())["terms"]
    assert set(terms) == {"classification", "cluster", "separation", "label_given"}
    assert stage.step.teacher is None
    assert stage.step.state_dict() == {"initialised": False, "teacher": None}


@pytest.mark.parametrize("trainable", [FEATURES, ("last_layer",)])
def test_what_does_not_train_stays_to_the_last_bit(trainable):
    network = small_network()
    stage = joint_stage(network, trainable=trainable, optimizer=torch.optim.Adam)
    trainer, before = trainer_of(network, stage), state_of(network)
    for seed in range(2):
        trainer._iteration(trainer, batch_of(seed=seed))
    same = {key for key, value in network.state_dict().items() if torch.equal(value, before[key])}
    kept = {key for key in before if not key.startswith(tuple(f"{name}." for name in trainable))}
    options = {key for key in before if key.endswith(("class_map", "projected", ".mean", ".std"))}
    assert same == kept | options


def test_weights_of_the_last_layer_stay_at_least_zero():
    network = plain_network()
    with torch.no_grad():
        network.last_layer.weight.fill_(0.01)
    stage = joint_stage(network, rate=10.0, trainable=["last_layer"])
    trainer = trainer_of(network, stage)
    trainer._iteration(trainer, batch_of())
    assert network.last_layer.weight.min() == 0


def test_outputs_are_those_of_all_images():
    network, batch = plain_network(), batch_of()
    stage = joint_stage(network)
    trainer = trainer_of(network, stage)
    output = trainer._iteration(trainer, batch)
    assert torch.equal(output["label"], torch.cat([batch["label"], batch["partner"]["label"]]))
    assert output["probability"].shape == output["logits"].shape == (6, 2)


def test_what_pairs_share():
    batch = batch_of()
    batch["label"] = torch.tensor([[1.0, 1.0], [1.0, 0.0], [0.0, 0.0]])
    batch["partner"]["label"] = torch.tensor([[1.0, 0.0], [1.0, 1.0], [0.0, 0.0]])
    assert joined(batch)["shared_label"].tolist() == [[1, 0], [1, 0], [0, 0]] * 2
    del batch["original"]
    assert torch.equal(joined(batch)["original"], joined(batch)["image"])


def test_mixed_precision_decides_in_full():
    losses = []
    for amp in (False, True):
        torch.manual_seed(0)
        network = plain_network()
        stage = joint_stage(network)
        trainer = trainer_of(network, stage, amp=amp)
        output = trainer._iteration(trainer, batch_of())
        losses.append(output["loss"])
        assert {value.dtype for value in output["terms"].values()} == {torch.float32}
    assert losses[0] != losses[1]
    assert losses[1] == pytest.approx(losses[0], rel=0.02)


def test_a_batch_without_pairs_is_refused():
    network = plain_network()
    trainer = trainer_of(network, joint_stage(network))
    with pytest.raises(ValueError, match=r"has only image, label, but a step on pairs needs 'partner'.*PairLoader"):
        trainer._iteration(trainer, {"image": torch.rand(2, 3, 32, 32), "label": torch.ones(2, 2)})


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"momentum": 1.0}, r"momentum is 1\.0"),
        ({"teacher_norm": "train"}, "teacher_norm is 'train', expected one of batch, averaged"),
        ({"affinity_scale": -1.0}, r"affinity_scale is -1\.0"),
    ],
)
def test_refuses(options, message):
    with pytest.raises(ValueError, match=message):
        PairStep(**options)


class Killed(BaseException):
    """Stands for a kill signal: nothing may catch it and tidy up."""


class KillAt:
    """Kill the training at its n-th iteration."""

    def __init__(self, iteration: int) -> None:
        self.iteration = iteration

    def attach(self, engine: Any) -> None:
        engine.add_event_handler(Events.ITERATION_COMPLETED(once=self.iteration), self.kill)

    def kill(self, engine: Any) -> None:
        raise Killed


def history(folder: Path) -> list[dict[str, str]]:
    with (folder / "metrics.csv").open() as file:
        return [{k: v for k, v in row.items() if k != "seconds"} for row in csv.DictReader(file)]


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    folder = tmp_path_factory.mktemp("whole")
    build(folder).run()
    return folder


def test_the_history_tells_what_each_stage_had(whole):
    rows = {row["stage"]: row for row in history(whole)}
    assert list(rows) == ["warm_up", "joint", "last_layer"]
    for name in ("cross", "interpretation", "prediction"):
        assert not rows["warm_up"].get(f"train/{name}")
        assert float(rows["joint"][f"train/{name}"]) > 0
        assert not rows["joint"].get(f"validation/{name}")
    assert all(row["train/auroc"] and row["validation/cluster"] for row in rows.values())


def test_the_teacher_goes_on_from_stage_to_stage(whole):
    step = torch.load(whole / "checkpoints" / "last.pt", weights_only=True)["handlers"]["stage_switch"]["step"]
    joint = torch.load(whole / "checkpoints" / "2_joint.pt", weights_only=True)
    assert step["initialised"]
    assert not torch.equal(step["teacher"]["prototypes.vectors"], joint["prototypes.vectors"])


@pytest.mark.parametrize("iteration", [2, 5, 7, 11])
def test_resumed_equals_uninterrupted(whole, tmp_path, iteration):
    """Three iterations make an epoch: kills in every stage, once and twice since the teacher began."""
    with pytest.raises(Killed):
        build(tmp_path, extra_handlers=[KillAt(iteration)]).run()
    build(tmp_path, resume=True).run()
    assert history(tmp_path) == history(whole)
    ours, expected = (torch.load(f / "checkpoints" / "last.pt", weights_only=True) for f in (tmp_path, whole))
    for key, value in expected["network"].items():
        assert torch.equal(ours["network"][key], value), key
    taught = [state["handlers"]["stage_switch"]["step"]["teacher"] for state in (ours, expected)]
    assert all(torch.equal(taught[0][key], value) for key, value in taught[1].items())


def test_the_loss_of_a_step_says_which_terms_it_weighs():
    loss = CIPLLoss(torch.tensor([0, 1]), cross=0.0, interpretation=0.0)
    assert loss.uses("prediction")
    assert not loss.uses("cross", "interpretation")
