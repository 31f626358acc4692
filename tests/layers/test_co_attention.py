"""Co-attention: pencil values, the formula written down, and what must hold for any maps."""

import pytest
import torch
from torch import Tensor

from common.layers import co_attention


def maps(batch: int = 2, height: int = 3, width: int = 4, seed: int = 0) -> Tensor:
    return torch.rand(batch, 5, height, width, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def written_down(first: Tensor, second: Tensor, scale: float) -> tuple[Tensor, Tensor]:
    """Place by place, with loops."""
    rebuilt = [torch.zeros_like(first), torch.zeros_like(second)]
    for batch in range(len(first)):
        here, there = first[batch].flatten(1).T, second[batch].flatten(1).T
        for own, other, result in ((here, there, rebuilt[0][batch]), (there, here, rebuilt[1][batch])):
            for place, vector in enumerate(own):
                affinity = torch.stack([-scale * (vector - candidate).square().sum() for candidate in other])
                share = affinity.exp() / affinity.exp().sum()
                result.flatten(1)[:, place] = (share[:, None] * other).sum(0)
    return rebuilt[0], rebuilt[1]


def test_pencil_values():
    """One channel; first 0 and 1, second 1: affinities -1 and 0, so the shares of the first are 1 : e."""
    first, second = torch.tensor([[[[0.0, 1.0]]]]), torch.tensor([[[[1.0]]]])
    of_second, of_first = co_attention(first, second)
    assert of_second.tolist() == [[[[1.0, 1.0]]]]
    assert of_first.item() == pytest.approx(0.7310585786)


@pytest.mark.parametrize("scale", [1.0, 3.0])
@pytest.mark.parametrize("grid", [(3, 4), (2, 2)])
def test_equals_the_formula_on_equal_and_unequal_grids(scale, grid):
    first, second = maps(), maps(2, *grid, seed=1)
    rebuilt = co_attention(first, second, scale)
    assert [values.shape for values in rebuilt] == [first.shape, second.shape]
    for actual, expected in zip(rebuilt, written_down(first, second, scale), strict=True):
        torch.testing.assert_close(actual, expected, rtol=0, atol=1e-10)


def test_order_of_the_pair_does_not_matter():
    first, second = maps(), maps(seed=1)
    there, back = co_attention(first, second), co_attention(second, first)
    torch.testing.assert_close(there[0], back[1], rtol=0, atol=1e-12)
    torch.testing.assert_close(there[1], back[0], rtol=0, atol=1e-12)


def test_well_separated_places_of_an_image_find_themselves():
    image = 30.0 * torch.eye(6).view(1, 6, 2, 3)
    for rebuilt in co_attention(image, image):
        torch.testing.assert_close(rebuilt, image)


def test_values_stay_within_those_of_the_other_map():
    first, second = maps(), maps(seed=1) / 3
    of_second, of_first = (values.flatten(2) for values in co_attention(first, second))
    for rebuilt, source in ((of_second, second.flatten(2)), (of_first, first.flatten(2))):
        assert (rebuilt.amax(2) <= source.amax(2)).all()
        assert (rebuilt.amin(2) >= source.amin(2)).all()


def test_scale_zero_is_the_mean():
    first, second = maps(), maps(seed=1)
    of_second, _ = co_attention(first, second, scale=0.0)
    torch.testing.assert_close(of_second, second.mean((2, 3), keepdim=True).expand_as(first))


def test_gradients_are_those_of_the_formula():
    gradients = []
    for form in (co_attention, written_down):
        given = [maps().requires_grad_(), maps(seed=1).requires_grad_()]
        sum(values.square().sum() for values in form(*given, 2.0)).backward()
        gradients.append([values.grad for values in given])
    for ours, expected in zip(*gradients, strict=True):
        torch.testing.assert_close(ours, expected, rtol=1e-9, atol=1e-10)


def test_full_precision_under_autocast():
    first, second = maps().float() * 16, maps(seed=1).float() * 16
    expected = co_attention(first, second)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        actual = co_attention(first, second)
    for values, exact in zip(actual, expected, strict=True):
        assert values.dtype == torch.float32
        torch.testing.assert_close(values, exact, rtol=0, atol=1e-5)
