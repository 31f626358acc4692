"""Filters without learning: where each is strongest, and that a border or the size of the image does not matter."""

import pytest
import torch

from common.metrics.image_filters import FILTERS, bright_specks, brightest_spot, foreground_of, strongest_by_side


def breast(rows=96, noise=0.01):
    """Grey 0.4 up to the middle, black beyond."""
    image = torch.zeros(1, 1, rows, rows)
    image[..., : rows // 2] = 0.4
    grain = torch.randn(1, 1, rows, rows, generator=torch.Generator().manual_seed(0)) * noise
    return image + grain * (image > 0)


def place_of(scores):
    index = int(scores[0].argmax())
    return index // scores.shape[-1], index % scores.shape[-1]


@pytest.mark.parametrize("rows", [96, 192])
@pytest.mark.parametrize("name", FILTERS)
def test_each_finds_what_it_is_for_and_not_the_border(name, rows):
    image, unit = breast(rows), rows // 96
    y, x = 60 * unit, 20 * unit
    if name == "bright_specks":
        for down, right in ((0, 0), (5, 1), (-4, 3), (1, -5), (3, 5)):
            image[..., y + down * unit, x + right * unit] = 0.9
        image[..., 20 * unit, 30 * unit] = 1.0  # one alone
    else:
        image[..., y - 4 * unit : y + 5 * unit, x - 4 * unit : x + 5 * unit] += 0.2
    scores = FILTERS[name](image)
    assert scores.shape == (1, rows, rows)
    assert bool((scores >= 0).all())
    found = place_of(scores)
    assert abs(found[0] - y) <= 4 * unit
    assert abs(found[1] - x) <= 4 * unit
    assert float(scores[..., rows // 2 + 8 * unit :].abs().max()) == 0  # background


def test_the_spot_is_the_mean_of_49_pixels():
    image = torch.full((1, 1, 96, 96), 0.2)
    image[..., 50, 50] = 1.0
    assert float(brightest_spot(image)[0, 47, 53]) == pytest.approx(0.2 + 0.8 / 49)
    assert float(brightest_spot(image)[0, 46, 50]) == pytest.approx(0.2)
    assert float(brightest_spot(image)[0, 0, 0]) == pytest.approx(0.2)


def test_an_image_without_specks_has_none():
    assert float(bright_specks(torch.full((1, 1, 96, 96), 0.5)).max()) == 0


def test_all_of_a_black_image_is_looked_at():
    assert bool(foreground_of(torch.zeros(1, 1, 32, 32)).all())
    assert float(foreground_of(breast()).float().mean()) == pytest.approx(0.5, abs=0.05)


def test_the_best_view_of_a_side_counts():
    maps = torch.zeros(2, 3, 4, 4)
    maps[0, 0, 1, 1], maps[0, 2, 0, 0], maps[1, 1, 3, 3] = 0.5, 0.7, 0.2
    torch.testing.assert_close(strongest_by_side(maps, [0, 1, 0]), torch.tensor([[0.7, 0.0], [0.0, 0.2]]))
