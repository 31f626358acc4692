"""The nearest places of distance maps."""

import pytest
import torch

from common.layers import nearest_places

DISTANCE = torch.tensor([[[[3.0, 1.0, 2.0], [0.5, 4.0, 5.0]], [[9.0, 9.5, 7.0], [8.0, 6.0, 9.9]]]])


@pytest.mark.parametrize(
    ("count", "nearest", "places"),
    [
        (1, [[0.5], [6.0]], [[3], [4]]),
        (3, [[0.5, 1.0, 2.0], [6.0, 7.0, 8.0]], [[3, 1, 2], [4, 2, 3]]),
    ],
)
def test_pencil_values(count, nearest, places):
    distance, location = nearest_places(DISTANCE, count)
    assert distance[0].tolist() == nearest
    assert location[0].tolist() == places
    assert location.dtype == torch.int64


def test_more_places_than_the_map_has_are_all_of_them():
    distance, location = nearest_places(DISTANCE, 10)
    assert distance.shape == (1, 2, 6)
    assert torch.equal(distance, DISTANCE.flatten(2).sort(2).values)
    assert torch.equal(DISTANCE.flatten(2).gather(2, location), distance)


def test_gradient_goes_to_the_nearest_place_only():
    distance = DISTANCE.clone().requires_grad_()
    nearest_places(distance)[0].sum().backward()
    assert distance.grad.flatten(2)[0].tolist() == [[0, 0, 0, 1, 0, 0], [0, 0, 0, 0, 1, 0]]
