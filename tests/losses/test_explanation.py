"""Terms of the explanation loss: golden numbers, pencil values, a slow loop, and properties."""

import hypothesis.strategies as st
import pytest
import torch
from hypothesis import given, settings
from torch import Tensor

from common.losses import ExplanationLoss, contiguity, roi_leakage, sparsity

UNSUPERVISED = [  # beta, mean, sum over the batch
    (0.0, 0.774752140, 2.324256420),
    (0.1, 0.741994560, 2.225983620),
    (0.9, 0.479933828, 1.439801455),
    (1.0, 0.447176248, 1.341528773),
]
HYBRID = [(1.0, 0.806889057), (0.01, 0.483203381), (0.0, 0.479933828)]  # gamma, mean at beta 0.9
GRADIENT_ROW_3 = [  # times 1000, of the mean hybrid loss, beta 0.9, gamma 1.0, in the fourth row of each map
    [4.140212, 10.23148, 7.427249, 4.675926, -1.402116, 3.723545, 3.776455, 3.75, 11.18386, 9.794974],
    [2.334656, 5.628307, 2.797619, -1.878307, 5.628307, 1.871693, 5.628307, 3.776455, 5.628307, 3.287037],
    [5.165344, -1.415344, -1.415344, 5.628307, 3.75, 3.75, -1.415344, -0.952381, -1.415344, 4.212963],
]

seeds = st.integers(0, 2**16)
sides = st.integers(2, 12)


def random_map(seed: int, height: int, width: int, batch: int = 2) -> Tensor:
    """Random values, a third of them exactly zero, as relu(tanh(.)) leaves them."""
    values = torch.rand(batch, 1, height, width, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    return torch.where(values < 1 / 3, torch.zeros_like(values), values)


def loop_terms(explanation: Tensor, mask: Tensor) -> tuple[list[float], list[float], list[float]]:
    """The method sheet's formulas, one pixel at a time."""
    batch, _, height, width = explanation.shape
    sparsities, contiguities, leakages = [], [], []
    for b in range(batch):
        z, m = explanation[b, 0].tolist(), mask[b, 0].tolist()
        pixels = [(i, j) for i in range(height) for j in range(width)]
        rows = sum(abs(z[i + 1][j] - z[i][j]) for i, j in pixels if i + 1 < height)
        columns = sum(abs(z[i][j + 1] - z[i][j]) for i, j in pixels if j + 1 < width)
        outside = sum(1 - m[i][j] for i, j in pixels)
        sparsities.append(sum(abs(z[i][j]) for i, j in pixels) / (height * width))
        contiguities.append(rows / ((height - 1) * width) + columns / (height * (width - 1)))
        leakages.append(abs(sum((1 - m[i][j]) * z[i][j] / (outside + 1e-6) for i, j in pixels)))
    return sparsities, contiguities, leakages


def test_golden_terms_of_each_sample(golden_map, golden_mask):
    rows_and_columns = torch.tensor([0.327484608 + 0.353628010, 0.400817811 + 0.423684359, 0.430277199 + 0.388364375])
    paper = torch.tensor([0.604814231, 0.732031524, 0.726020455])
    torch.testing.assert_close(sparsity(golden_map), torch.tensor([0.441774130, 0.482913673, 0.416840941]))
    torch.testing.assert_close(contiguity(golden_map), rows_and_columns)
    torch.testing.assert_close(contiguity(golden_map, "paper"), paper)
    torch.testing.assert_close(roi_leakage(golden_map, golden_mask), torch.tensor([0.476186633, 0.504679143, 0.0]))


@pytest.mark.parametrize(("beta", "mean", "total"), UNSUPERVISED)
def test_golden_unsupervised_loss(golden_map, beta, mean, total):
    assert ExplanationLoss(beta)(golden_map).item() == pytest.approx(mean, rel=1e-5)
    assert ExplanationLoss(beta, reduction="sum")(golden_map).item() == pytest.approx(total, rel=1e-5)


@pytest.mark.parametrize(("gamma", "mean"), HYBRID)
def test_golden_hybrid_loss(golden_map, golden_mask, gamma, mean):
    assert ExplanationLoss(0.9, gamma)(golden_map, golden_mask).item() == pytest.approx(mean, rel=1e-5)


def test_golden_loss_with_the_papers_normaliser(golden_map):
    loss = ExplanationLoss(0.9, tv_normalisation="paper")
    assert loss(golden_map).item() == pytest.approx(0.471220830, rel=1e-5)


def test_golden_gradient(golden_map, golden_mask):
    golden_map.requires_grad_(True)
    ExplanationLoss(0.9, 1.0)(golden_map, golden_mask).backward()
    torch.testing.assert_close(1000 * golden_map.grad[:, 0, 3], torch.tensor(GRADIENT_ROW_3), rtol=1e-5, atol=1e-6)


def stripes() -> Tensor:
    """Columns alternate 1, 0, 1, 0 on 8x8."""
    return (torch.arange(8) % 2 == 0).float().expand(1, 1, 8, 8)


@pytest.mark.parametrize(
    ("explanation", "beta", "expected"),
    [
        (stripes(), 0.5, 0.75),  # half of the pixels, every horizontal step: 0.5 · 0.5 + 0.5 · 1
        (torch.full((1, 1, 8, 10), 0.5), 0.9, 0.45),
        (torch.ones(1, 1, 4, 4), 0.9, 0.9),
        (torch.zeros(1, 1, 4, 4), 0.9, 0.0),
        (torch.tensor([[[[1.0, 0.0], [0.0, 0.0]]]]), 0.0, 1.0),  # one of two vertical and of two horizontal steps
        (torch.tensor([[[[1.0, 0.0], [0.0, 1.0]]]]), 0.0, 2.0),  # chequered: the most contiguity can cost
    ],
)
def test_pencil_values(explanation, beta, expected):
    assert ExplanationLoss(beta)(explanation).item() == pytest.approx(expected, abs=1e-6)


@given(seed=seeds, height=sides, width=sides)
@settings(max_examples=20, deadline=None)
def test_equals_a_slow_loop(seed, height, width):
    explanation, mask = random_map(seed, height, width), random_map(seed + 1, height, width)
    loop = loop_terms(explanation, mask)
    fast = (sparsity(explanation), contiguity(explanation), roi_leakage(explanation, mask))
    for slow, values in zip(loop, fast, strict=True):
        assert values.tolist() == pytest.approx(slow, abs=1e-12)


@given(seed=seeds, side=sides)
@settings(max_examples=20, deadline=None)
def test_flips_and_transposition_of_a_square_change_nothing(seed, side):
    explanation = random_map(seed, side, side)
    for turned in (explanation.flip(2), explanation.flip(3), explanation.transpose(2, 3)):
        for normalisation in ("code", "paper"):
            torch.testing.assert_close(contiguity(turned, normalisation), contiguity(explanation, normalisation))
        torch.testing.assert_close(sparsity(turned), sparsity(explanation))


@given(seed=seeds, height=sides, width=sides)
@settings(max_examples=20, deadline=None)
def test_ranges(seed, height, width):
    explanation, mask = random_map(seed, height, width), random_map(seed + 1, height, width).round()
    for values, high in ((sparsity(explanation), 1), (contiguity(explanation), 2), (roi_leakage(explanation, mask), 1)):
        assert values.shape == (2,)
        assert 0 <= values.min() <= values.max() <= high


@given(seed=seeds, height=sides, width=sides)
@settings(max_examples=20, deadline=None)
def test_samples_do_not_mix(seed, height, width):
    explanation, mask = random_map(seed, height, width, batch=3), random_map(seed + 1, height, width, batch=3)
    for b in range(3):
        one = explanation[b : b + 1]
        assert torch.equal(sparsity(one)[0], sparsity(explanation)[b])
        torch.testing.assert_close(contiguity(one)[0], contiguity(explanation)[b])
        torch.testing.assert_close(roi_leakage(one, mask[b : b + 1])[0], roi_leakage(explanation, mask)[b])


@given(seed=seeds)
@settings(max_examples=10, deadline=None)
def test_no_leakage_where_the_map_vanishes_outside(seed):
    mask = random_map(seed, 6, 7).gt(0.5)
    explanation = random_map(seed + 1, 6, 7) * mask
    assert torch.equal(roi_leakage(explanation, mask), torch.zeros(2, dtype=torch.float64))


def test_all_ones_mask_costs_nothing_and_all_zeros_mask_is_sparsity(golden_map):
    assert torch.equal(roi_leakage(golden_map, torch.ones_like(golden_map)), torch.zeros(3))
    torch.testing.assert_close(roi_leakage(golden_map, torch.zeros_like(golden_map)), sparsity(golden_map))


@pytest.mark.parametrize("dtype", [torch.bool, torch.uint8, torch.int64, torch.float32, torch.float16])
def test_masks_of_any_type_mean_the_same(golden_map, golden_mask, dtype):
    expected = roi_leakage(golden_map, golden_mask.float())
    assert torch.equal(roi_leakage(golden_map, golden_mask.to(dtype)), expected)


def test_hybrid_without_gamma_is_unsupervised_and_needs_no_mask(golden_map, golden_mask):
    loss = ExplanationLoss(0.9, gamma=0.0)
    assert torch.equal(loss(golden_map, golden_mask), loss(golden_map))
    assert set(loss.terms(golden_map)) == {"sparsity", "contiguity"}


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_maps_are_summed_in_float32(dtype):
    """65 536 halves of 0.1 would overflow or stall in half precision."""
    explanation = torch.full((1, 1, 256, 256), 0.1, dtype=dtype)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        loss = ExplanationLoss(0.9, 1.0)(explanation, torch.zeros(1, 1, 256, 256))
    assert loss.dtype == torch.float32
    assert loss.item() == pytest.approx(1.9 * explanation[0, 0, 0, 0].item(), rel=1e-5)


def test_inputs_are_left_alone(golden_map, golden_mask):
    kept_map, kept_mask = golden_map.clone(), golden_mask.clone()
    ExplanationLoss(0.9, 1.0)(golden_map, golden_mask)
    assert torch.equal(golden_map, kept_map)
    assert torch.equal(golden_mask, kept_mask)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"beta": 1.5}, r"beta is 1.5, expected a weight in \[0,1\]"),
        ({"beta": float("nan")}, "beta is nan"),
        ({"gamma": -1.0}, "gamma is -1.0, expected a finite weight of at least 0"),
        ({"gamma": float("inf")}, "gamma is inf"),
        (
            {"tv_normalisation": "papers"},
            "tv_normalisation is 'papers', expected one of code, paper; did you mean 'paper'",
        ),
        ({"reduction": "avg"}, "reduction is 'avg', expected one of mean, sum"),
    ],
)
def test_impossible_options_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        ExplanationLoss(**options)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda z: sparsity(z[0]), r"got a map of shape \(1, 8, 10\), expected \(B,1,H,W\)"),
        (lambda z: sparsity(z.expand(3, 3, 8, 10)), r"got a map of shape \(3, 3, 8, 10\)"),
        (lambda z: contiguity(z[:, :, :1]), "got a map of 1x10 pixels, expected at least 2x2"),
        (lambda z: contiguity(z, "mean"), "tv_normalisation is 'mean', expected one of code, paper"),
        (
            lambda z: roi_leakage(z, z[:, :, :, :5]),
            r"got a mask of shape \(3, 1, 8, 5\) for a map of shape \(3, 1, 8, 10\)",
        ),
        (lambda z: roi_leakage(z, z.expand(3, 3, 8, 10)), "give every mask one channel and resize it together"),
        (lambda z: roi_leakage(z, torch.full_like(z, 255)), r"got mask values from 255 to 255, expected \[0,1\]"),
        (lambda z: roi_leakage(z, torch.full_like(z, torch.nan)), "got mask values from nan to nan"),
        (lambda z: ExplanationLoss(0.9, 1.0)(z), "gamma is 1.0 but no mask was given; add 'mask' to every item"),
    ],
)
def test_unfit_maps_and_masks_are_refused(golden_map, call, message):
    with pytest.raises(ValueError, match=message):
        call(golden_map)
