import pytest
import torch

from common.metrics.fundus import cup_to_disc_ratio


def eye(disc_rows, cup_rows, disc_columns=6, cup_columns=2):
    """Rectangles: disc (value 1) with a cup (value 2) inside, (1,1,20,20)."""
    labels = torch.zeros(1, 1, 20, 20, dtype=torch.int64)
    labels[..., 2 : 2 + disc_rows, 2 : 2 + disc_columns] = 1
    labels[..., 3 : 3 + cup_rows, 3 : 3 + cup_columns] = 2
    return labels


@pytest.mark.parametrize(("disc_rows", "cup_rows", "ratio"), [(10, 5, 0.5), (10, 0, 0.0), (12, 9, 0.75)])
def test_heights_by_pencil(disc_rows, cup_rows, ratio):
    assert cup_to_disc_ratio(eye(disc_rows, cup_rows)).item() == ratio


def test_widths_and_specks_do_not_count():
    labels = eye(10, 4, disc_columns=15, cup_columns=11)
    assert cup_to_disc_ratio(labels).item() == 0.4
    labels[..., 19, 19] = 2  # a speck far away
    assert cup_to_disc_ratio(labels).item() == 0.4


def test_without_a_disc_there_is_no_ratio():
    both = torch.cat([eye(10, 5), torch.zeros(1, 1, 20, 20, dtype=torch.int64)])
    assert cup_to_disc_ratio(both)[0].item() == 0.5
    assert cup_to_disc_ratio(both)[1].isnan()


def test_other_values_of_the_structures():
    assert cup_to_disc_ratio(3 - eye(10, 5), disc=[1, 2], cup=[1]).item() == 0.5


def test_twice_the_size_is_the_same_ratio():
    labels = eye(12, 5)
    larger = labels.repeat_interleave(2, dim=2).repeat_interleave(2, dim=3)
    assert torch.equal(cup_to_disc_ratio(labels), cup_to_disc_ratio(larger))
