"""A reciprocal step against the same step written down, and what it must leave alone."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from common.engines import ReciprocalStep, StagedTrainer
from common.losses import affine_consistency
from tests.prototype_setup import Plain, batch_of, reciprocal, small_network, trainer_of

RATE = 0.05
GIVEN = (0, 1, 2, 5)


def plain() -> Plain:
    torch.manual_seed(0)
    return Plain()


def state_of(network: torch.nn.Module) -> dict[str, Tensor]:
    return {key: value.clone() for key, value in network.state_dict().items()}


def student_loss(student: Any, feature: Tensor, target: Tensor, unlabelled: dict[str, Tensor]) -> tuple[Tensor, Tensor]:
    """Cross entropy and 0.002 C + 0.002 max(0, 500 - E), as sums of squares and loops."""
    vectors, class_map = student.prototypes.vectors, student.prototypes.class_map
    distance = (feature.unsqueeze(1) - vectors[None, :, :, None, None]).square().sum(2).flatten(2).min(2).values
    logits = (torch.exp(-distance / 4) * student.last_layer.weight).view(len(feature), 2, 3).sum(2)
    known = [i for i, given in enumerate(unlabelled["label_given"]) if given]
    near = torch.stack([distance[i, class_map == unlabelled["label"][i]].min() for i in known]).mean()
    far = torch.stack([distance[i, class_map != unlabelled["label"][i]].min() for i in known]).mean()
    return F.cross_entropy(logits, target), 0.002 * near + 0.002 * (500 - far)


def step_by_hand(network: Plain, batch: dict[str, Any], names: tuple[str, ...]) -> tuple[Plain, float, float]:
    """The published step with plain gradient descent; return the network after it, the feedback and the loss."""
    network = copy.deepcopy(network)
    student, teacher, unlabelled = network.student, network.teacher, batch["unlabelled"]
    shared, known = network.stem(unlabelled["image"]).detach(), network.stem(batch["image"]).detach()
    parameters = [p for name in names for p in getattr(student, name).parameters()]
    pseudo = teacher(shared).argmax(1)
    entropy, prototypes = student_loss(student, student.feature(shared), pseudo, unlabelled)
    first = torch.autograd.grad(entropy + prototypes, parameters)
    with torch.no_grad():
        for parameter, gradient in zip(parameters, first, strict=True):
            parameter -= RATE * gradient
    second = torch.autograd.grad(F.cross_entropy(student(known), batch["label"]), parameters)
    feedback = 1e-3 * sum((a * b).sum() for a, b in zip(first, second, strict=True)).item()
    loss = feedback * F.cross_entropy(teacher(shared), pseudo) + F.cross_entropy(teacher(known), batch["label"])
    weights = list(teacher.parameters())
    gradients = torch.autograd.grad(loss, weights)
    with torch.no_grad():
        for parameter, gradient in zip(weights, gradients, strict=True):
            parameter -= RATE * gradient
        student.last_layer.weight.clamp_(min=0)
    return network, feedback, (entropy + prototypes).item()


@pytest.mark.parametrize(
    ("phase", "names"),
    [("features", ("trunk", "add_on", "prototypes")), ("joint", ("trunk", "add_on", "prototypes", "last_layer"))],
)
def test_equals_the_step_written_down(phase, names):
    network, batch = plain(), batch_of(given=GIVEN)
    expected, feedback, loss = step_by_hand(network, batch, names)
    stage = reciprocal(network, RATE, consistency=0, phases={phase: 1})
    output = stage.step(trainer_of(network, stage), batch)
    assert output["loss"] == pytest.approx(loss, rel=1e-5)
    assert output["terms"]["feedback"][0].item() == pytest.approx(feedback, rel=1e-3)
    assert feedback != 0
    for key, value in network.state_dict().items():
        torch.testing.assert_close(value, expected.state_dict()[key], rtol=1e-5, atol=1e-6, msg=key)


def test_feedback_decides_what_the_teacher_learns():
    """Twice the scale moves the teacher further by the same amount again, and not the student."""
    results = []
    for scale in (0.0, 1.0, 2.0):
        network = plain()
        stage = reciprocal(network, RATE, phases={"joint": 1}, feedback_scale=scale)
        torch.manual_seed(5)
        stage.step(trainer_of(network, stage), batch_of())
        results.append(state_of(network))
    weight = "teacher.0.weight"
    first, second = (results[i + 1][weight] - results[i][weight] for i in range(2))
    assert first.abs().max() > 1e-6
    torch.testing.assert_close(first, second, rtol=1e-2, atol=1e-7)
    assert all(torch.equal(results[0][key], results[2][key]) for key in results[0] if key.startswith("student"))


@pytest.mark.parametrize("rate", [1e-3, 1e-4])
def test_difference_is_the_step_size_times_the_product(rate):
    """For small plain gradient steps form (c) is form (a) with the step size for its scale."""
    feedback, batch = {}, batch_of()
    batch["image"], unlabelled = batch["image"].double(), batch["unlabelled"]
    unlabelled["image"] = unlabelled["image"].double()
    for form, scale in (("published", rate), ("finite_difference", 1.0)):
        network = plain().double()
        stage = reciprocal(network, rate, phases={"joint": 1}, feedback=form, feedback_scale=scale, consistency=0)
        output = stage.step(trainer_of(network, stage), batch)
        feedback[form] = output["terms"]["feedback"][0].item()
    assert feedback["finite_difference"] == pytest.approx(feedback["published"], rel=50 * rate)
    assert abs(feedback["published"]) > 1e-3 * rate


def test_forms_of_feedback():
    """Without prototype terms the published form and that of the cross entropy are one; the cosine is within ±scale."""
    feedback = {}
    for form in ("published", "cross_entropy", "cosine"):
        network = plain()
        stage = reciprocal(network, RATE, consistency=0, phases={"joint": 1}, feedback=form, feedback_scale=0.5)
        stage.loss.prototypes.cluster = stage.loss.prototypes.separation = 0.0
        feedback[form] = stage.step(trainer_of(network, stage), batch_of())["terms"]["feedback"][0].item()
    assert feedback["published"] == pytest.approx(feedback["cross_entropy"], rel=1e-6)
    assert 0 < abs(feedback["cosine"]) <= 0.5
    assert feedback["cosine"] * feedback["published"] > 0
    network = plain()
    stage = reciprocal(network, RATE, consistency=0, phases={"joint": 1}, feedback_scale=0.5)
    whole = stage.step(trainer_of(network, stage), batch_of())["terms"]["feedback"][0].item()
    assert whole != pytest.approx(feedback["cross_entropy"], rel=1e-6)


@pytest.mark.parametrize(
    ("phase", "frozen"),
    [
        ("features", ("stem", "student.last_layer")),
        ("last_layer", ("stem", "student.trunk", "student.add_on", "student.prototypes")),
        ("joint", ("stem",)),
    ],
)
def test_what_does_not_train_stays_to_the_last_bit(phase, frozen):
    """Weights and statistics, with momentum and decay in the optimisers; and all the rest moves."""
    torch.manual_seed(0)
    network = small_network()
    stage = reciprocal(network, 0.01, optimizer=torch.optim.Adam, phases={phase: 1}, teacher_consistency=1.0)
    trainer = trainer_of(network, stage)
    before = state_of(network)
    for seed in range(3):
        trainer._iteration(trainer, batch_of(seed=seed))
    stage.step.end_epoch(trainer)
    same = {key for key, value in network.state_dict().items() if torch.equal(value, before[key])}
    kept = {key for key in before if key.startswith(tuple(f"{name}." for name in frozen))}
    maps = {key for key in before if key.endswith(("class_map", "projected"))}
    assert kept - same == set()
    assert same - kept - maps == set()


@pytest.mark.parametrize(("consistency", "view"), [(10.0, "original"), (0.0, "image")])
def test_statistics_are_those_of_the_original_view_where_there_is_one(consistency, view):
    """One step, one update of the student's batch norms, though it saw three batches; the labelled one leaves none."""
    network, batch = small_network(), batch_of()
    expected = copy.deepcopy(network).train()
    expected.stem.eval()
    with torch.no_grad():
        expected.student.trunk(expected.stem(batch["unlabelled"][view]))
    stage = reciprocal(network, rate=1e-9, consistency=consistency, phases={"joint": 1})
    trainer = trainer_of(network, stage)
    trainer._iteration(trainer, batch)
    for key, value in network.student.trunk.state_dict().items():
        if "running" in key or "batches" in key:
            torch.testing.assert_close(value, expected.student.trunk.state_dict()[key], msg=key)
    counts = {int(value) for key, value in network.teacher.state_dict().items() if key.endswith("num_batches_tracked")}
    assert counts == {2}


def test_weights_of_the_last_layer_stay_at_least_zero():
    network = plain()
    stage = reciprocal(network, rate=50.0, consistency=0, phases={"joint": 1})
    stage.step(trainer_of(network, stage), batch_of())
    assert network.student.last_layer.weight.min() == 0


def test_consistency_compares_maps_of_one_prototype_of_each_class():
    network, batch = plain(), batch_of()
    stage = reciprocal(network, RATE, consistency=3.0, phases={"joint": 1})
    with torch.no_grad():
        maps = [
            network.student.explain(network.stem(batch["unlabelled"][key]))["similarity_map"]
            for key in ("image", "original")
        ]
    single = [affine_consistency(*(m[:, i : i + 1] for m in maps), batch["unlabelled"]["affine"]) for i in range(6)]
    value = stage.step(trainer_of(network, stage), batch)["terms"]["consistency"]
    for image, each in enumerate(value):
        possible = [(a[image] + b[image]) / 2 for a in single[:3] for b in single[3:]]
        assert min(abs(each - candidate) for candidate in possible) < 1e-7
    assert value.min() > 0


def test_unsure_images_do_not_count():
    """With a threshold that no probability reaches, the student learns from the prototype terms alone."""
    network = plain()
    stage = reciprocal(network, RATE, consistency=0, phases={"joint": 1}, threshold=0.999)
    terms = stage.step(trainer_of(network, stage), batch_of())["terms"]
    assert terms["pseudo_labels_used"].sum() == 0
    assert terms["classification"].abs().max() == 0
    assert terms["cluster"].min() > 0


def test_soft_pseudo_labels():
    network, batch = plain(), batch_of()
    with torch.no_grad():
        shared = network.stem(batch["unlabelled"]["image"])
        target = (network.teacher(shared) / 2.0).softmax(1)
        expected = F.cross_entropy(network.student(shared), target, reduction="none")
    stage = reciprocal(network, RATE, consistency=0, phases={"joint": 1}, temperature=2.0)
    terms = stage.step(trainer_of(network, stage), batch)["terms"]
    torch.testing.assert_close(terms["classification"], expected)


def test_known_labels_take_the_place_of_pseudo_labels():
    network, batch = plain(), batch_of(given=GIVEN)
    with torch.no_grad():
        shared = network.stem(batch["unlabelled"]["image"])
        target = network.teacher(shared).argmax(1)
        truth = torch.where(batch["unlabelled"]["label_given"], batch["unlabelled"]["label"], target)
        expected = F.cross_entropy(network.student(shared), truth, reduction="none")
    assert not torch.equal(truth, target), "the teacher must be wrong somewhere"
    stage = reciprocal(network, RATE, consistency=0, phases={"joint": 1}, known_labels=True)
    output = stage.step(trainer_of(network, stage), batch)
    torch.testing.assert_close(output["terms"]["classification"], expected)
    assert output["label"].tolist() == batch["unlabelled"]["label"][list(GIVEN)].tolist()


def test_phases_follow_each_other_and_begin_anew():
    network = plain()
    stage = reciprocal(network, phases={"features": 2, "last_layer": 1, "joint": 1})
    trainer, seen = trainer_of(network, stage), []
    for _ in range(6):
        stage.step.begin_epoch(trainer)
        free = [n for n, part in network.student.named_children() if any(p.requires_grad for p in part.parameters())]
        seen.append((stage.step.phase, free))
        stage.step.end_epoch(trainer)
    features = ["trunk", "add_on", "prototypes"]
    every = {"features": features, "last_layer": ["last_layer"], "joint": [*features, "last_layer"]}
    order = ["features", "features", "last_layer", "joint", "features", "features"]
    assert seen == [(phase, every[phase]) for phase in order]


def test_the_published_cycle_is_the_default():
    network = plain()
    step = ReciprocalStep(torch.optim.SGD(network.teacher.parameters(), 0.1))
    assert step.cycle == ["features"] * 6 + ["last_layer", "joint"]


def test_the_last_layer_is_fitted_at_the_end_of_its_epoch():
    network, batch = plain(), batch_of()
    stage = reciprocal(network, 0.5, phases={"last_layer": 1}, last_layer_passes=30)
    trainer = trainer_of(network, stage)
    before = state_of(network)
    stage.step(trainer, batch)
    assert torch.equal(network.student.last_layer.weight, before["student.last_layer.weight"])
    earlier = copy.deepcopy(network)
    earlier.load_state_dict(before)
    shared = network.stem(batch["unlabelled"]["image"])
    said = earlier.teacher(shared).argmax(1)
    first = F.cross_entropy(network.student(shared), said)
    stage.step.end_epoch(trainer)
    assert F.cross_entropy(network.student(shared), said) < 0.99 * first
    assert all(torch.equal(value, before[key]) for key, value in network.state_dict().items() if "add_on" in key)


@pytest.mark.parametrize("copied", [False, True])
def test_the_student_may_begin_with_the_eyes_of_the_teacher(copied):
    """Once: in the second epoch its trunk is its own."""
    network = small_network()
    stage = reciprocal(network, copy_trunk=copied)
    trainer = trainer_of(network, stage)
    teacher, student = network.teacher.trunk.state_dict(), network.student.trunk.state_dict()
    assert all(torch.equal(value, student[key]) for key, value in teacher.items()) == copied
    stage.step.end_epoch(trainer)
    with torch.no_grad():
        network.student.trunk[0].first.weight.zero_()
    stage.step.begin_epoch(trainer)
    assert network.student.trunk[0].first.weight.abs().max() == 0


def test_no_sure_image_in_a_whole_epoch_leaves_the_last_layer():
    network = plain()
    stage = reciprocal(network, phases={"last_layer": 1}, threshold=0.999)
    trainer = trainer_of(network, stage)
    stage.step(trainer, batch_of())
    stage.step.end_epoch(trainer)
    assert network.student.last_layer.weight.tolist() == [1.0] * 6


def test_mixed_precision_decides_in_full():
    """The step under bfloat16 is about that in float32; distances, probabilities and weights stay float32."""
    losses = []
    for amp in (False, True):
        network = plain()
        stage = reciprocal(network, RATE, phases={"joint": 1})
        trainer = trainer_of(network, stage, amp=amp)
        torch.manual_seed(3)
        output = trainer._iteration(trainer, batch_of())
        losses.append(output["loss"])
        assert output["probability"].dtype == output["terms"]["cluster"].dtype == torch.float32
        assert all(parameter.dtype == torch.float32 for parameter in network.parameters())
    assert losses[0] != losses[1]
    assert losses[1] == pytest.approx(losses[0], rel=0.02)


def test_clipping_bounds_both_steps():
    network = plain()
    stage = reciprocal(network, rate=1.0, phases={"joint": 1}, consistency=200.0)
    before = state_of(network)
    trainer = trainer_of(network, stage, max_grad_norm=1e-3)
    trainer._iteration(trainer, batch_of())
    for part in ("student", "teacher"):
        moved = [
            value.float() - before[key].float() for key, value in network.state_dict().items() if key.startswith(part)
        ]
        assert torch.cat([value.flatten() for value in moved]).norm().item() == pytest.approx(1e-3, rel=1e-3)


def test_a_loss_that_is_no_number_stops_with_advice():
    network = plain()
    with torch.no_grad():
        network.student.prototypes.vectors.fill_(float("nan"))
    stage = reciprocal(network, phases={"joint": 1}, consistency=0)
    with pytest.raises(ValueError, match=r"the loss became nan in stage 'reciprocal'.* lower the learning rate"):
        stage.step(trainer_of(network, stage), batch_of())


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"feedback": "cosin"}, "feedback is 'cosin', expected one of .*did you mean 'cosine'"),
        ({"phases": {"feature": 1}}, "phase is 'feature', expected one of .*did you mean 'features'"),
        ({"phases": {}}, "phases are {}"),
        ({"phases": {"joint": 0}}, "phases are {'joint': 0}"),
        ({"threshold": 1.0}, r"threshold is 1\.0, expected a probability"),
        ({"temperature": 0.0}, r"temperature is 0\.0, expected a positive number"),
        ({"teacher_consistency": -1.0}, r"teacher_consistency is -1\.0"),
        ({"last_layer_passes": 0}, "last_layer_passes is 0"),
    ],
)
def test_refuses(options, message):
    with pytest.raises(ValueError, match=message):
        ReciprocalStep(torch.optim.SGD(plain().teacher.parameters(), 0.1), **options)


def test_is_a_step_of_the_trainer():
    """The protocol's parts are all there, and the trainer asks the step and not the loss."""
    network = plain()
    stage = reciprocal(network, phases={"joint": 1})
    trainer = StagedTrainer("cpu", 1, [batch_of()], network, [stage])
    trainer.run()
    assert stage.step.epoch == 1
    assert {"loss", "terms", "probability", "label"} <= set(trainer.state.output)
