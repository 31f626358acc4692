"""Alignment of a student with its teacher: golden and pencil values, and what must not matter."""

import pytest
import torch
from torch import Tensor

from common.losses import interpretation_alignment, prediction_alignment
from tests.golden_multi_label import STUDENT, TEACHER


def maps(seed: int = 0, batch: int = 2) -> Tensor:
    return torch.rand(batch, 5, 3, 4, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize(("temperature", "expected"), [(1.0, 0.1551659), (2.0, 0.0459377)])
def test_golden_value_of_predictions(temperature, expected):
    value = prediction_alignment(torch.tensor(STUDENT), torch.tensor(TEACHER), temperature).mean()
    assert value.item() == pytest.approx(expected, abs=1e-6)


def test_predictions_equal_the_gram_matrices_written_down():
    student, teacher = torch.tensor(STUDENT), torch.tensor(TEACHER)
    total = 0.0
    for index in range(4):
        gram = []
        for logits in (student, teacher):
            p = logits[:, index].sigmoid()
            rows = torch.stack([1 - p, p], dim=1)
            gram.append(rows @ rows.T)
        total += (gram[0] - gram[1]).square().sum(1) / 6 / 4
    torch.testing.assert_close(prediction_alignment(student, teacher), total)


def test_one_image_pencil_value():
    """p = 1/2 against p = 3/4: Gram 1/2 against 1/16 + 9/16 = 5/8."""
    value = prediction_alignment(torch.tensor([[0.0]]), torch.tensor([[3.0]]).log())
    assert value.item() == pytest.approx((5 / 8 - 1 / 2) ** 2)


def test_interpretation_pencil_values():
    """Places with vectors (1,0) and (0,1) against (1,1) twice: 1 - cos = 1 - √½, squared distance 1."""
    student = torch.tensor([[[[1.0, 0.0]], [[0.0, 1.0]]]])
    teacher = torch.ones(1, 2, 1, 2)
    assert interpretation_alignment(student, teacher).item() == pytest.approx(2 * (1 - 0.5**0.5))
    assert interpretation_alignment(student, teacher, reduction="mean").item() == pytest.approx(1 - 0.5**0.5)
    assert interpretation_alignment(student, teacher, form="l2", reduction="mean").item() == pytest.approx(1.0)
    assert interpretation_alignment(student, 3 * teacher).item() == pytest.approx(2 * (1 - 0.5**0.5)), (
        "lengths do not count"
    )


@pytest.mark.parametrize("form", ["cosine", "l2"])
def test_equal_views_cost_nothing_and_others_do(form):
    assert interpretation_alignment(maps(), maps(), form=form).abs().max() < 1e-5
    assert interpretation_alignment(maps(), maps(1), form=form).min() > 0.01
    logits = torch.tensor(STUDENT)
    assert prediction_alignment(logits, logits).tolist() == [0.0] * 6


def test_the_teacher_gets_no_gradient_and_the_student_does():
    student, teacher = maps().requires_grad_(), maps(1).requires_grad_()
    logits, targets = torch.tensor(STUDENT, requires_grad=True), torch.tensor(TEACHER, requires_grad=True)
    (interpretation_alignment(student, teacher).sum() + prediction_alignment(logits, targets).sum()).backward()
    assert teacher.grad is None
    assert targets.grad is None
    assert student.grad.abs().max() > 0
    assert logits.grad.abs().max() > 0


def test_order_of_the_batch_does_not_matter():
    order = torch.tensor([3, 0, 5, 1, 4, 2])
    student, teacher = torch.tensor(STUDENT), torch.tensor(TEACHER)
    permuted = prediction_alignment(student[order], teacher[order])
    torch.testing.assert_close(permuted, prediction_alignment(student, teacher)[order])


@pytest.mark.parametrize("form", ["cosine", "l2"])
def test_maps_moved_with_the_image_cost_nothing(form):
    """A mirrored image has mirrored maps, exactly; so has one pushed by a column, but for the one that came in."""
    mirror = torch.tensor([[[-1.0, 0, 0], [0, 1, 0]]]).expand(2, 2, 3)
    assert interpretation_alignment(maps().flip(3), maps(), mirror, form).abs().max() < 1e-5
    assert interpretation_alignment(maps(), maps(), mirror, form).min() > 0.01
    push = torch.tensor([[[1.0, 0, -2 / 4], [0, 1, 0]]]).expand(2, 2, 3)
    pushed = maps(7)
    pushed[..., 1:] = maps()[..., :-1]
    assert interpretation_alignment(pushed, maps(), push, form).abs().max() < 1e-5


def test_places_from_outside_are_made_up_for():
    """The sum is the mean over the places that count times all places, so that a large movement is no way out."""
    push = torch.tensor([[[1.0, 0, -2 / 4], [0, 1, 0]]])
    student, teacher = maps(1, batch=1), maps(0, batch=1)
    direct = interpretation_alignment(student[..., 1:], teacher[..., :-1], reduction="mean")
    torch.testing.assert_close(interpretation_alignment(student, teacher, push), 12 * direct)


@pytest.mark.parametrize(
    ("options", "message"),
    [({"form": "cos"}, "form is 'cos', expected one of cosine, l2"), ({"reduction": "max"}, "reduction is 'max'")],
)
def test_refuses(options, message):
    with pytest.raises(ValueError, match=message):
        interpretation_alignment(maps(), maps(), **options)


def test_views_of_different_sizes_are_refused():
    with pytest.raises(ValueError, match="give both views the same size"):
        interpretation_alignment(maps(), maps()[..., :3])
