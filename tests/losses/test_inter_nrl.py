"""The losses of the stages: golden totals, the terms, and one quantity for any batching."""

import math

import pytest
import torch
import torch.nn.functional as F

from common.losses import DistillationLoss, StudentLoss, TeacherLoss, distillation_hinge

CLASS_MAP = torch.tensor([0, 0, 1])


def outputs_of(batch: int, seed: int = 0) -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return {
        **{name: torch.randn(batch, 2, generator=generator) for name in ("logits", "student_logits", "teacher_logits")},
        "distance": 9 * torch.rand(batch, 3, generator=generator),
    }


def test_golden_total_of_the_student():
    """sendyma/Medical-XAI, step "bb": CE 0.648271 + 0.1 · 0.157951 + 0.1 · (10 - 0.166216) = 1.647444."""
    terms = {
        "classification": torch.full((6,), 0.6482706665992737),
        "cluster": torch.tensor([0.1579507291316986 / 0.02] * 4 + [0.0] * 2),
        "separation": torch.tensor([0.1662158966064453 / 0.02] * 4 + [0.0] * 2),
        "label_given": torch.tensor([1.0] * 4 + [0.0] * 2),
    }
    losses = StudentLoss(CLASS_MAP).reduce(terms)
    assert losses["loss"].item() == pytest.approx(1.6474441289901733, abs=1e-6)
    assert losses["cluster"].item() == pytest.approx(7.897536, abs=1e-5)


def test_terms_of_the_student_by_hand():
    outputs = {"logits": torch.zeros(2, 2), "distance": torch.tensor([[3.0, 1.0, 4.0], [2.0, 5.0, 6.0]])}
    batch = {"label": torch.tensor([0, 1])}
    loss = StudentLoss(CLASS_MAP, cluster=0.5, separation=0.25, margin=10.0)
    losses = loss.reduce(loss.terms(outputs, batch))
    expected = math.log(2) + 0.5 * (1 + 6) / 2 + 0.25 * (10 - (4 + 2) / 2)
    assert losses["loss"].item() == pytest.approx(expected)
    assert set(losses) == {"loss", "classification", "prototypes", "cluster", "separation"}


def test_pseudo_labels_change_the_classification_alone():
    outputs, label = outputs_of(4), torch.tensor([0, 1, 1, 0])
    target, weight = torch.rand(4, 2).softmax(1), torch.tensor([1.0, 0.0, 1.0, 1.0])
    loss = StudentLoss(CLASS_MAP)
    given = loss.terms(outputs, {"label": label})
    pseudo = loss.terms(outputs, {"label": label, "target": target, "target_weight": weight})
    expected = F.cross_entropy(outputs["logits"], target, reduction="none") * weight
    torch.testing.assert_close(pseudo["classification"], expected)
    for name in ("cluster", "separation", "label_given"):
        assert torch.equal(pseudo[name], given[name])


def test_consistency_counts_where_there_are_two_views():
    outputs, batch = outputs_of(2), {"label": torch.tensor([0, 1])}
    views = {"moved_map": torch.full((2, 2, 4, 4), 0.5), "original_map": torch.full((2, 2, 4, 4), 0.4)}
    batch["affine"] = torch.tensor([[[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]]] * 2)
    loss = StudentLoss(CLASS_MAP, consistency=200.0)
    plain, both = (loss.reduce(loss.terms(given, batch)) for given in (outputs, {**outputs, **views}))
    assert both["consistency"].item() == pytest.approx(0.01, rel=1e-5)
    assert (both["loss"] - plain["loss"]).item() == pytest.approx(2.0, rel=1e-5)
    assert "consistency" not in plain
    off = StudentLoss(CLASS_MAP, consistency=0.0)
    assert "consistency" not in off.terms({**outputs, **views}, batch)


@pytest.mark.parametrize("loss", [TeacherLoss(), StudentLoss(CLASS_MAP), DistillationLoss(CLASS_MAP)])
def test_batches_concatenated_give_the_loss_of_all_at_once(loss):
    outputs, label = outputs_of(7), torch.tensor([0, 1, 1, 0, 0, 1, 0])
    given = torch.tensor([1, 1, 0, 1, 0, 0, 1]).bool()

    def terms(part: slice) -> dict[str, torch.Tensor]:
        chosen = {name: value[part] for name, value in outputs.items()}
        return loss.terms(chosen, {"label": label[part], "label_given": given[part]})

    parts = [terms(slice(0, 3)), terms(slice(3, 7))]
    joined = {name: torch.cat([part[name] for part in parts]) for name in parts[0]}
    for name, value in loss.reduce(terms(slice(0, 7))).items():
        torch.testing.assert_close(loss.reduce(joined)[name], value, msg=name)


def test_what_a_step_adds_comes_out_as_its_mean():
    terms = {"classification": torch.ones(2), "feedback": torch.tensor([0.25, 0.75]), "unknown": torch.ones(2)}
    assert TeacherLoss().reduce(terms)["feedback"].item() == 0.5
    assert "unknown" not in TeacherLoss().reduce(terms)


@pytest.mark.parametrize(
    ("student", "teacher", "lead", "expected"),
    [
        ([0.0, 0.0], [0.0, 0.0], 0.2, 0.2),
        ([0.0, 0.0], [math.log(3), 0.0], 0.2, 0.45),  # 3/4 - 1/2 + 0.2
        ([math.log(3), 0.0], [0.0, 0.0], 0.2, 0.0),
        ([math.log(3), 0.0], [0.0, 0.0], 0.3, 0.05),
    ],
)
def test_hinge_of_the_distillation(student, teacher, lead, expected):
    hinge = distillation_hinge(torch.tensor([student]), torch.tensor([teacher]), torch.tensor([0]), lead)
    assert hinge.item() == pytest.approx(expected, abs=1e-6)


def test_the_teacher_does_not_learn_from_the_hinge():
    student, teacher = (torch.zeros(2, 2, requires_grad=True) for _ in range(2))
    distillation_hinge(student, teacher, torch.tensor([0, 1])).sum().backward()
    assert teacher.grad is None
    assert student.grad[0, 0] < 0 < student.grad[0, 1]


def test_total_of_the_predecessor():
    """CE + CE + 0.5 · hinge + 0.1 · C + 0.1 · max(0, 10 - E), all by hand for logits of 0."""
    outputs = {"student_logits": torch.zeros(1, 2), "teacher_logits": torch.zeros(1, 2)}
    outputs["distance"] = torch.tensor([[3.0, 1.0, 4.0]])
    loss = DistillationLoss(CLASS_MAP)
    losses = loss.reduce(loss.terms(outputs, {"label": torch.tensor([0])}))
    assert losses["loss"].item() == pytest.approx(2 * math.log(2) + 0.5 * 0.2 + 0.1 * 1 + 0.1 * (10 - 4))


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: StudentLoss(CLASS_MAP, consistency=-1), "consistency is -1"),
        (lambda: StudentLoss(CLASS_MAP, separation=-1), "separation is -1"),
        (lambda: DistillationLoss(CLASS_MAP, lead=-0.1), r"lead is -0\.1"),
        (
            lambda: StudentLoss(CLASS_MAP).terms({"logits": torch.zeros(1, 2)}, {"label": torch.tensor([0])}),
            "'distance'",
        ),
        (lambda: TeacherLoss().terms({}, {}), "the loss needs 'logits'"),
        (lambda: DistillationLoss(CLASS_MAP).terms(outputs_of(1), {}), "the loss needs 'label'"),
    ],
)
def test_refuses(build, message):
    with pytest.raises(ValueError, match=message):
        build()
