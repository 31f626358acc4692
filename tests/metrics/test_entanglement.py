"""Whose boxes the foremost prototypes are in, on maps of 2 x 4 cells of 4 pixels, by hand."""

import math

import pytest
import torch

from common.metrics.entanglement import prototype_places

SIZE = (2, 4)
CLASS_MAP = torch.tensor([0, 0, 1, 1, 2])  # two diseases and the background


def boxes(*per_disease):
    """Masks (1,E,8,16) of boxes (x0, y0, x1, y1)."""
    mask = torch.zeros(1, len(per_disease), 8, 16, dtype=torch.uint8)
    for index, some in enumerate(per_disease):
        for x0, y0, x1, y1 in some:
            mask[0, index, y0:y1, x0:x1] = 1
    return mask


def places(mask, location, contribution=(2.0, 1.0, 2.0, 1.0, 1.0), foremost=1):
    return prototype_places(torch.tensor([location]), torch.tensor([contribution]), CLASS_MAP, mask, SIZE, foremost)


def test_prototypes_at_home_and_elsewhere():
    # disease 0 in the first cell; disease 1 in the upper half of the last one
    mask = boxes([(0, 0, 4, 4)], [(12, 4, 16, 6)])
    found = places(mask, [7, 0, 7, 0, 0])
    assert found.inside[0].tolist() == [[0.0, 0.0, 1.0], [0.5, 0.5, 0.0]]
    assert found.area[0].tolist() == [[1 / 8] * 3, [1 / 16] * 3]
    assert found.other[0].tolist() == [0.5, 0.0, 1.0]
    assert found.other_area[0].tolist() == pytest.approx([1 / 16, 1 / 8, 3 / 16])


def test_the_foremost_are_those_that_contribute_most():
    mask = boxes([(0, 0, 4, 4)], [(12, 4, 16, 8)])
    at_home_but_weak = [7, 0, 7, 7, 1]
    assert places(mask, at_home_but_weak).other[0, 0] == 1.0
    assert places(mask, at_home_but_weak, (1.0, 2.0, 1.0, 2.0, 1.0)).other[0, 0] == 0.0
    assert places(mask, at_home_but_weak, foremost=5).other[0, 0] == 0.5


def test_what_two_diseases_share_is_not_elsewhere():
    shared = boxes([(0, 0, 4, 4)], [(0, 0, 8, 4)])
    found = places(shared, [0, 0, 0, 0, 3])
    assert found.inside[0, :, 0].tolist() == [1.0, 0.0]
    assert found.other[0, 0] == 0.0
    assert places(shared, [1, 0, 0, 0, 3]).other[0, 0] == 1.0
    assert found.other_area[0, :2].tolist() == [1 / 8, 0.0]


def test_without_boxes_there_is_nothing_to_say():
    found = places(boxes([(0, 0, 4, 4)], []), [0, 0, 0, 0, 1])
    assert found.inside[0, 0].tolist() == [1.0, 1.0, 0.0]
    assert found.inside[0, 1].isnan().all()
    assert math.isnan(found.other[0, 0])  # no other disease has a box
    assert found.other[0, 1:].tolist() == [1.0, 0.0]


@pytest.mark.parametrize("size", [(2, 4), (4, 8)])
def test_chance_is_the_mean_over_all_places(size):
    mask = boxes([(1, 2, 5, 7)], [(3, 0, 11, 8)])
    cells = size[0] * size[1]
    given = torch.arange(cells)[:, None].expand(-1, 5), torch.ones(cells, 5), CLASS_MAP, mask.expand(cells, -1, -1, -1)
    found = prototype_places(*given, size, 1)
    torch.testing.assert_close(found.inside.mean(dim=0), found.area[0])
    torch.testing.assert_close(found.other.mean(dim=0), found.other_area[0])
    inside = (mask[0, 1] & ~mask[0, 0] & 1).double().mean()
    torch.testing.assert_close(found.area[0, 1, 0], inside)


def test_what_does_not_fit_is_refused():
    with pytest.raises(ValueError, match="foremost is 0"):
        places(boxes([(0, 0, 4, 4)]), [0] * 5, foremost=0)
    with pytest.raises(ValueError, match="the mask has 4 diseases, the prototypes 3 classes"):
        places(boxes([], [], [], []), [0] * 5)
