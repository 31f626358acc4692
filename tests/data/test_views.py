"""A moved view and its movement: geometry by pencil, and agreement with the affine term of the loss."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from monai.data import CacheDataset
from monai.transforms import Compose

from common.data import AffineViewd, affine_matrix
from common.losses import affine_consistency

EMPTY = {"degrees": 0.0, "shift": 0.0, "scale": (1.0, 1.0), "shear": 0.0}


def moved(image: torch.Tensor, **movement: float) -> torch.Tensor:
    affine = affine_matrix(image.shape[1], image.shape[2], **movement)
    return F.grid_sample(image[None], F.affine_grid(affine[None], [1, *image.shape], align_corners=False))[0]


def peak(image: torch.Tensor) -> tuple[int, int]:
    return divmod(int(image.flatten().argmax()), image.shape[2])


@pytest.mark.parametrize(
    ("movement", "expected"),
    [
        ({}, (3, 12)),
        ({"right": 4 / 32}, (3, 16)),  # of 32 columns
        ({"down": 4 / 16}, (7, 12)),  # of 16 rows
        ({"angle": 90.0}, (4, 20)),  # 4.5 above and 3.5 left of the centre becomes 3.5 above and 4.5 right of it
        ({"angle": 180.0}, (12, 19)),
        ({"scale": 3.0}, (-1, 8)),
    ],
)
def test_where_a_point_goes(movement, expected):
    """In an image that is not square; a point magnified out of the image is not there any more."""
    image = torch.zeros(1, 16, 32)
    image[0, 3, 12] = 1.0
    result = moved(image, **movement)
    if expected[0] < 0:
        assert result.max() == 0
    else:
        assert peak(result) == expected
        assert result.max() > 0.9


def test_shear_moves_rows_along_themselves():
    """tan 45° = 1 would move a row by its distance to the middle; half of that at atan(1/2)."""
    image = torch.zeros(1, 16, 16)
    image[0, :, 8] = 1.0
    result = moved(image, shear_x=float(np.degrees(np.arctan(0.5))))
    columns = (result[0] * torch.arange(16)).sum(1) / result[0].sum(1)
    expected = 8 + 0.5 * (torch.arange(16) - 7.5)
    torch.testing.assert_close(columns[1:-1], expected[1:-1], rtol=0, atol=0.01)


def test_the_item_holds_both_views_and_the_movement():
    transform = AffineViewd("image").set_random_state(0)
    item = {"image": torch.rand(1, 48, 32), "case_id": "a"}
    kept = item["image"].clone()
    result = transform(item)
    assert torch.equal(item["image"], kept)
    assert set(item) == {"image", "case_id"}
    assert torch.equal(result["original"], kept)
    grid = F.affine_grid(result["affine"][None], [1, 1, 48, 32], align_corners=False)
    torch.testing.assert_close(result["image"], F.grid_sample(kept[None], grid, align_corners=False)[0])
    assert not torch.allclose(result["image"], kept)


def test_maps_of_the_two_views_agree():
    """The views themselves, averaged over squares as a network would, cost almost nothing in the affine term."""
    rows, columns = torch.meshgrid(torch.linspace(0, 4, 64), torch.linspace(0, 3, 96), indexing="ij")
    image = (torch.sin(rows) * torch.cos(columns) + 1)[None] / 2
    transform = AffineViewd("image").set_random_state(3)
    for _ in range(3):
        item = transform({"image": image})
        first, second = (F.avg_pool2d(item[key][None], 8) for key in ("image", "original"))
        right = affine_consistency(first, second, item["affine"][None]).item()
        wrong = affine_consistency(first, second, affine_matrix(64, 96)[None]).item()
        assert right < 0.2 * wrong


def test_no_range_is_no_movement():
    image = torch.rand(3, 20, 30)
    result = AffineViewd("image", **EMPTY)({"image": image})
    torch.testing.assert_close(result["image"], image, rtol=0, atol=1e-5)
    torch.testing.assert_close(result["affine"], torch.tensor([[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]]))


def test_ranges_are_kept():
    """Shifts alone: the matrix shows them, twice the share of height or width."""
    transform = AffineViewd("image", **{**EMPTY, "shift": 0.15}).set_random_state(1)
    shifts = torch.stack([transform({"image": torch.rand(1, 8, 8)})["affine"][:, 2] for _ in range(200)])
    assert 0.25 < shifts.abs().max() <= 0.3
    assert shifts.mean().abs() < 0.05


@pytest.mark.parametrize(("padding", "expected"), [("zeros", 0.0), ("border", 1.0), ("reflection", 1.0)])
def test_what_comes_in_from_outside(padding, expected):
    options = {**EMPTY, "shift": 0.5, "padding": padding}
    transform = AffineViewd("image", **options).set_random_state(0)
    assert transform({"image": torch.ones(1, 16, 16)})["image"].min() == expected


def test_seeded_and_never_cached():
    items = [{"image": torch.rand(1, 32, 32)} for _ in range(2)]
    dataset = CacheDataset(items, Compose([AffineViewd("image")]), progress=False)

    def draw() -> list[torch.Tensor]:
        dataset.transform.set_random_state(7)
        return [dataset[index]["affine"] for index in range(2)]

    first, again = draw(), draw()
    assert all(torch.equal(a, b) for a, b in zip(first, again, strict=True))
    assert not torch.equal(dataset[0]["affine"], dataset[0]["affine"])


@pytest.mark.parametrize("options", [{"degrees": -1.0}, {"shift": -0.1}, {"scale": (1.1, 0.9)}, {"shear": 45.0}])
def test_refuses(options):
    with pytest.raises(ValueError, match="expected angles of 0 or more, shear below 45"):
        AffineViewd("image", **options)


def test_an_unknown_padding_is_refused():
    with pytest.raises(ValueError, match="padding is 'reflect', expected one of zeros, border, reflection"):
        AffineViewd("image", padding="reflect")
