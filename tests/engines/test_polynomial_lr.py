"""The schedule of Ren et al. (KarryRen/UML): golden rates, options, and a resumption in the middle."""

import pytest
import torch

from common.engines import HeldPolynomialLR, held_polynomial

REFUGE = {"epochs": 100, "steps_per_epoch": 50, "held": 0.3, "min_lr": 1e-5}
GOLDEN = {
    (0, 0): 1e-4,
    (29, 49): 1e-4,
    (30, 0): 9.99742926919504e-05,
    (31, 0): 9.868798595185773e-05,
    (50, 0): 7.385384457762148e-05,
    (70, 0): 4.663470495674021e-05,
    (90, 0): 1.735002497215051e-05,
    (95, 0): 1e-5,
    (99, 49): 1e-5,
}


def made(rates=(1e-4,), **options):
    optimizer = torch.optim.SGD([{"params": [torch.zeros(1, requires_grad=True)], "lr": rate} for rate in rates])
    return optimizer, HeldPolynomialLR(optimizer, **options)


def rates(optimizer, scheduler, steps):
    """The rates of the first parameter group in the given number of steps, the scheduler stepping after each."""
    used = []
    for _ in range(steps):
        used.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        scheduler.step()
    return used


def test_golden_rates_of_a_whole_training():
    used = rates(*made(**REFUGE), 5000)
    for (epoch, step), expected in GOLDEN.items():
        assert used[50 * epoch + step] == pytest.approx(expected, rel=1e-12), (epoch, step)
    assert used == sorted(used, reverse=True)


def test_golden_rate_of_an_epoch_of_a_fractional_number_of_steps():
    """The reference's second data set: 1270 slices in batches of 8 make 158.75 steps, epoch 50."""
    rate = held_polynomial(50 * 158.75, 1e-4, held=30 * 158.75, total=100 * 158.75, min_lr=1e-5)
    assert rate == pytest.approx(7.38669e-5, rel=1e-6)


def test_a_straight_line_without_hold():
    assert rates(*made((1.0,), epochs=2, steps_per_epoch=2, power=1.0), 6) == [1.0, 0.75, 0.5, 0.25, 0.0, 0.0]


def test_every_group_falls_from_its_own_rate_and_a_small_one_stays():
    optimizer, scheduler = made((1e-3, 1e-5, 1e-6), epochs=4, steps_per_epoch=1, min_lr=1e-5)
    rates(optimizer, scheduler, 4)
    assert [group["lr"] for group in optimizer.param_groups] == [1e-5, 1e-5, 1e-6]
    optimizer, scheduler = made((1e-3, 1e-2), epochs=4, steps_per_epoch=1)
    rates(optimizer, scheduler, 2)
    first, second = (group["lr"] for group in optimizer.param_groups)
    assert second == pytest.approx(10 * first)


def test_resumed_equals_uninterrupted():
    whole = rates(*made(**REFUGE), 2000)
    optimizer, scheduler = made(**REFUGE)
    rates(optimizer, scheduler, 1700)
    resumed_optimizer, resumed = made(**REFUGE)
    resumed_optimizer.load_state_dict(optimizer.state_dict())
    resumed.load_state_dict(scheduler.state_dict())
    assert rates(resumed_optimizer, resumed, 300) == whole[1700:]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"steps_per_epoch": 0}, "steps_per_epoch is 0, expected the number of batches"),
        ({"held": 1.0}, r"held is 1.0, expected a share of the epochs in \[0,1\)"),
        ({"held": -0.1}, "held is -0.1"),
        ({"power": 0.0}, "power is 0.0 and min_lr 1e-05, expected a positive power"),
        ({"min_lr": -1e-5}, "no negative rate"),
    ],
)
def test_impossible_options_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        made(**(REFUGE | options))


def test_a_stage_without_epochs_may_still_be_configured():
    optimizer, scheduler = made((0.1,), epochs=0, steps_per_epoch=5, held=0.3)
    assert optimizer.param_groups[0]["lr"] == scheduler.get_last_lr()[0] == 0.1
