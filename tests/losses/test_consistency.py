"""Affine consistency on the maps' own grid: identity, shifts by whole places, and the form at full resolution."""

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from common.losses import affine_consistency

IDENTITY = torch.tensor([[[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]]])


def shifted(columns: float, width: int) -> Tensor:
    """The movement that pushes the picture to the right by some columns of a map."""
    return torch.tensor([[[1.0, 0.0, -2 * columns / width], [0.0, 1.0, 0.0]]])


def maps(batch: int = 1, count: int = 2, height: int = 6, width: int = 8) -> Tensor:
    values = torch.sin(torch.arange(batch * count * height * width) * 0.37)
    return values.view(batch, count, height, width)


def test_nothing_moved_is_the_mean_squared_difference():
    first, second = maps(3), maps(3) * 0.5 + 0.1
    expected = (first - second).square().mean((1, 2, 3))
    torch.testing.assert_close(affine_consistency(first, second, IDENTITY.expand(3, 2, 3)), expected)


@pytest.mark.parametrize("columns", [0, 1, 3, -2])
def test_maps_that_moved_with_the_image_cost_nothing(columns):
    """Whatever stands in the columns that came in from outside."""
    original = maps()
    moved = torch.full_like(original, 7.0)
    if columns >= 0:
        moved[..., columns:] = original[..., : 8 - columns]
    else:
        moved[..., :columns] = original[..., -columns:]
    assert affine_consistency(moved, original, shifted(columns, 8)).item() == pytest.approx(0, abs=1e-9)
    if columns:
        assert affine_consistency(original, original, shifted(columns, 8)).item() > 0.05


def test_each_image_has_its_own_movement():
    affine = torch.cat([IDENTITY, shifted(2, 8)])
    both = affine_consistency(maps(2), maps(2), affine)
    assert both[0].item() == pytest.approx(0, abs=1e-9)
    torch.testing.assert_close(both[1:], affine_consistency(maps(2)[1:], maps(2)[1:], affine[1:]))


def test_an_image_moved_out_of_sight_costs_nothing():
    assert affine_consistency(maps(), maps(), shifted(20, 8)).item() == 0


def test_no_gradient_flows_into_the_original():
    moved, original = maps().requires_grad_(), (maps() * 0.3).requires_grad_()
    affine_consistency(moved, original, shifted(1, 8)).sum().backward()
    assert original.grad is None
    assert moved.grad.abs().max() > 0
    assert moved.grad[..., 0].abs().max() == 0, "the column from outside does not count"


def test_close_to_the_term_at_full_resolution():
    """On smooth maps, as those of a network are, with rotation, shear, scale and shift."""
    rows, columns = torch.meshgrid(torch.linspace(0, 3, 24), torch.linspace(0, 2, 12), indexing="ij")
    original = torch.sin(rows + columns).mul(0.5).add(0.5).view(1, 1, 24, 12)
    moved = torch.cos(rows * 0.7 + columns).mul(0.5).add(0.5).view(1, 1, 24, 12)
    affine = torch.tensor([[[1.02, 0.10, 0.12], [-0.08, 0.97, -0.2]]])
    large = [F.interpolate(each, scale_factor=16, mode="bilinear") for each in (moved, original)]
    expected = affine_consistency(*large, affine)
    assert expected.item() > 0.01
    torch.testing.assert_close(affine_consistency(moved, original, affine), expected, rtol=0.03, atol=0)


def test_places_are_those_of_affine_grid():
    affine = torch.tensor([[[1.02, 0.30, 0.2], [-0.25, 0.9, -0.1]]])
    moved, original = maps() * 0.5, maps()
    grid = F.affine_grid(affine, [1, 2, 6, 8], align_corners=False)
    target = F.grid_sample(original, grid, padding_mode="border", align_corners=False)
    counts = (grid.abs() <= 1).all(3)[0]
    assert 0.3 < counts.float().mean() < 0.95
    expected = (moved - target).square()[0][:, counts].mean()
    torch.testing.assert_close(affine_consistency(moved, original, affine)[0], expected)


def test_full_precision_under_autocast():
    expected = affine_consistency(maps(), maps() * 0.5, shifted(1, 8))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        half = affine_consistency(maps().bfloat16(), maps().bfloat16() * 0.5, shifted(1, 8))
        torch.testing.assert_close(affine_consistency(maps(), maps() * 0.5, shifted(1, 8)), expected)
    assert half.dtype == torch.float32
