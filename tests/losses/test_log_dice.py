"""Logarithmic Dice loss: pencil values, a plain form, and one quantity for any batching."""

import math

import hypothesis.strategies as st
import pytest
import torch
from hypothesis import given, settings

from common.losses import dice_sums, log_dice

EPS = 1e-5


def drawn(seed: int, images: int = 5):
    generator = torch.Generator().manual_seed(seed)
    probability = torch.randn(images, 3, 4, 6, generator=generator, dtype=torch.float64).softmax(1)
    return probability, torch.randint(3, (images, 4, 6), generator=generator)


def test_pencil_value():
    """Four pixels, half of them true for each class, at probability 3/4 where true: D = 2·1.5 / (2 + 2)."""
    target = torch.tensor([[[0, 0], [1, 1]]])
    probability = torch.nn.functional.one_hot(target, 2).movedim(-1, 1) * 0.5 + 0.25
    assert dice_sums(probability, target).tolist() == [[[1.5, 1.5], [2.0, 2.0], [2.0, 2.0]]]
    assert log_dice(dice_sums(probability, target)).item() == pytest.approx(math.log(4 / 3), rel=1e-5)


def test_a_perfect_mask_costs_nothing():
    _, target = drawn(0)
    perfect = torch.nn.functional.one_hot(target, 3).movedim(-1, 1).double()
    assert log_dice(dice_sums(perfect, target)).item() == pytest.approx(0, abs=1e-12)


@given(seed=st.integers(0, 2**16), cut=st.integers(1, 4))
@settings(max_examples=20, deadline=None)
def test_all_images_count_together_in_any_batching(seed, cut):
    probability, target = drawn(seed)
    plain = 0.0
    for k in range(3):
        true, p = (target == k).double(), probability[:, k]
        plain -= math.log((2 * (true * p).sum() + EPS) / (true.sum() + p.sum() + EPS)) / 3
    batches = [dice_sums(probability[part], target[part]) for part in (slice(0, cut), slice(cut, 5))]
    assert log_dice(torch.cat(batches)).item() == pytest.approx(plain, rel=1e-12)


def test_an_absent_structure():
    """Nothing of structure 2 is in the masks, and little of it in the probability, yet it costs as published."""
    probability, target = drawn(1)
    target = target % 2
    probability = torch.cat([probability[:, :2] + probability[:, 2:] * 0.4995, probability[:, 2:] * 0.001], dim=1)
    sums = dice_sums(probability, target)
    leaked = probability[:, 2].sum().item()
    present = log_dice(sums[:, :, :2])
    assert log_dice(sums, "ignore").item() == pytest.approx(present.item(), rel=1e-12)
    expected = (2 * present.item() - math.log(EPS / (leaked + EPS))) / 3
    assert log_dice(sums).item() == pytest.approx(expected, rel=1e-9)
    assert log_dice(sums) > 2 * log_dice(sums, "ignore")


@pytest.mark.parametrize("absent", ["penalise", "ignore"])
def test_images_without_masks_cost_nothing(absent):
    assert log_dice(torch.zeros(2, 3, 4), absent).item() == 0.0


def test_leading_axes_are_kept():
    sums = torch.stack([dice_sums(*drawn(seed)) for seed in (1, 2)], dim=1)
    torch.testing.assert_close(log_dice(sums), torch.stack([log_dice(sums[:, 0]), log_dice(sums[:, 1])]))


@pytest.mark.parametrize("absent", ["penalise", "ignore"])
def test_classes_have_no_order_pixels_no_place_and_gradients_are_right(absent):
    probability, target = drawn(4, images=2)
    order = torch.tensor([1, 2, 0])
    whole = log_dice(dice_sums(probability, target), absent)
    torch.testing.assert_close(log_dice(dice_sums(probability[:, order], order.argsort()[target]), absent), whole)
    torch.testing.assert_close(log_dice(dice_sums(probability.flip(2, 3), target.flip(1, 2)), absent), whole)
    assert torch.autograd.gradcheck(lambda p: log_dice(dice_sums(p, target), absent), probability.requires_grad_(True))


def test_float32_under_autocast():
    probability, target = drawn(3)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        sums = dice_sums(probability.bfloat16(), target)
    assert sums.dtype == torch.float32
    assert sums[:, 1].sum().item() == target.numel(), "bfloat16 cannot count beyond 256"


def test_unfit_input_is_refused():
    probability, target = drawn(0)
    with pytest.raises(ValueError, match=r"got labels of shape \(5, 1, 4, 6\) .* expected \(5, 4, 6\)"):
        dice_sums(probability, target.unsqueeze(1))
    with pytest.raises(ValueError, match=r"absent_structures is 'ignored', .* did you mean 'ignore'"):
        log_dice(torch.zeros(1, 3, 2), "ignored")
