import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from monai.metrics import compute_average_surface_distance, compute_hausdorff_distance
from scipy.ndimage import binary_erosion
from sklearn.metrics import f1_score, jaccard_score

from common.metrics.segmentation import (
    distance_scores,
    overlap_scores,
    presence_scores,
    scored_structures,
    segmentation_scores,
    structure_masks,
)

ONE = {"lesion": [1]}


def disc(row, column, radius, size=64):
    """A filled disc, (1,1,size,size) int64."""
    y, x = torch.meshgrid(torch.arange(size), torch.arange(size), indexing="ij")
    return ((y - row) ** 2 + (x - column) ** 2 <= radius**2).long()[None, None]


NOTHING = torch.zeros(1, 1, 64, 64, dtype=torch.int64)
GOLDEN = [
    # prediction, truth, Dice, ASSD by MedPy's rule, ASSD by MONAI's; source: KarryRen/UML on masks of these shapes
    (disc(30, 30, 12), disc(30, 30, 12), 1.0, 0.0, 0.0),
    (disc(30, 33, 12), disc(30, 30, 12), 0.8390022675736961, 1.8218435928860015, 1.8218436241149902),
    (disc(30, 30, 6), disc(32, 30, 15), 0.2749391727493917, 8.706306223261912, 8.765787124633789),
    (disc(20, 20, 6) | disc(50, 50, 3), disc(20, 20, 6), 226 / 255, 6.130, 7.356),
]


@pytest.mark.parametrize(("prediction", "truth", "dice", "by_direction", "pooled"), GOLDEN)
def test_golden_values(prediction, truth, dice, by_direction, pooled):
    assert overlap_scores(prediction, truth, ONE)["dice/lesion"].item() == pytest.approx(dice)
    rules = {"mean_of_directions": by_direction, "pooled": pooled}
    for rule, expected in rules.items():
        assd = distance_scores(prediction, truth, ONE, rule)["assd/lesion"].item()
        assert assd == pytest.approx(expected, rel=1e-4, abs=1e-6)


def test_squares_by_pencil():
    """A 4 x 4 square and itself one pixel further: 12 pixels shared; 6 of the 12 in each outline are a step off."""
    truth, prediction = torch.zeros(1, 1, 8, 8), torch.zeros(1, 1, 8, 8)
    truth[..., 1:5, 1:5] = 1
    prediction[..., 1:5, 2:6] = 1
    scores = {name: value.item() for name, value in segmentation_scores(prediction.long(), truth.long(), ONE).items()}
    assert scores == {
        "dice/lesion": pytest.approx(24 / 32),
        "iou/lesion": pytest.approx(12 / 20),
        "hd95/lesion": 1.0,
        "assd/lesion": pytest.approx(6 / 12),
        "presence_error/lesion": 0.0,
    }


def _plain_distances(prediction, truth):
    """Both directed lists of distances, every pair of outline pixels compared."""
    outlines = [np.argwhere(mask & ~binary_erosion(mask)) for mask in (prediction, truth)]
    pairs = np.linalg.norm(outlines[0][:, None] - outlines[1][None], axis=2)
    return pairs.min(axis=1), pairs.min(axis=0)


@settings(deadline=None, max_examples=8)
@given(seed=st.integers(0, 10_000))
def test_random_masks_are_scored_as_the_definitions_and_other_libraries_do(seed):
    generator = torch.Generator().manual_seed(seed)
    coarse = torch.randint(0, 3, (2, 2, 1, 6, 6), generator=generator)
    prediction, truth = coarse.repeat_interleave(3, dim=3).repeat_interleave(3, dim=4)
    structures = scored_structures(["background", "rim", "cup"], {"disc": ["rim", "cup"]})
    scores = segmentation_scores(prediction, truth, structures)
    ours, theirs = structure_masks(prediction, structures), structure_masks(truth, structures)
    hd95 = compute_hausdorff_distance(ours, theirs, include_background=True, percentile=95)
    assd = compute_average_surface_distance(ours, theirs, include_background=True, symmetric=True)
    for case in range(2):
        for place, name in enumerate(structures):
            one, other = ours[case, place].numpy(), theirs[case, place].numpy()
            assert scores[f"dice/{name}"][case] == pytest.approx(f1_score(other.ravel(), one.ravel()))
            assert scores[f"iou/{name}"][case] == pytest.approx(jaccard_score(other.ravel(), one.ravel()))
            if not (one.any() and other.any()):
                continue
            there, back = _plain_distances(one, other)
            plain = (max(np.quantile(there, 0.95), np.quantile(back, 0.95)), np.concatenate([there, back]).mean())
            found = scores[f"hd95/{name}"][case].item(), scores[f"assd/{name}"][case].item()
            assert found == pytest.approx(plain, abs=1e-5)
            assert found == pytest.approx((hd95[case, place].item(), assd[case, place].item()), abs=1e-5)


@pytest.mark.parametrize(
    ("prediction", "truth", "overlap", "presence_error"),
    [(NOTHING, disc(9, 9, 3), 0.0, 1.0), (disc(9, 9, 3), NOTHING, 0.0, 1.0), (NOTHING, NOTHING, math.nan, 0.0)],
)
def test_empty_masks_have_no_distance_and_are_counted(prediction, truth, overlap, presence_error):
    scores = {name: value.item() for name, value in segmentation_scores(prediction, truth, ONE).items()}
    expected = {"dice": overlap, "iou": overlap, "hd95": math.nan, "assd": math.nan, "presence_error": presence_error}
    assert scores == pytest.approx({f"{name}/lesion": value for name, value in expected.items()}, nan_ok=True)


def test_cases_do_not_mix():
    prediction = torch.cat([disc(30, 30, 6), NOTHING, disc(30, 33, 12)])
    truth = torch.cat([disc(32, 30, 15), disc(9, 9, 3), disc(30, 30, 12)])
    together = segmentation_scores(prediction, truth, ONE)
    for case in range(3):
        alone = segmentation_scores(prediction[case : case + 1], truth[case : case + 1], ONE)
        for name, values in together.items():
            assert values[case].item() == pytest.approx(alone[name].item(), nan_ok=True)


def test_structures_and_unions():
    structures = scored_structures(["background", "rim", "cup"], {"disc": ["cup", "rim"]})
    assert structures == {"rim": [1], "cup": [2], "disc": [1, 2]}
    masks = structure_masks(torch.tensor([[[[0, 1], [2, 1]]]]), structures)
    assert masks.int().tolist() == [[[[0, 1], [0, 1]], [[0, 0], [1, 0]], [[0, 1], [1, 1]]]]
    presence = presence_scores(NOTHING + 2, NOTHING + 1, structures)
    assert {name: value.item() for name, value in presence.items()} == {
        "presence_error/rim": 1,
        "presence_error/cup": 1,
        "presence_error/disc": 0,
    }


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: scored_structures(["background"]), "expected the background and at least one more"),
        (lambda: scored_structures(["a", "b", "b"]), "all different"),
        (lambda: scored_structures(["background", "rim"], {"rim": ["rim"]}), "'rim' has the name of a structure"),
        (lambda: scored_structures(["background", "rim"], {"disc": ["rin"]}), "did you mean 'rim'"),
        (lambda: scored_structures(["background", "rim"], {"disc": []}), r"made of \[\], expected some of \['rim'\]"),
        (lambda: distance_scores(NOTHING, NOTHING, ONE, "medpy"), "assd_rule is 'medpy'"),
        (lambda: overlap_scores(NOTHING, NOTHING[:, :, :8], ONE), "nearest neighbours"),
        (lambda: overlap_scores(NOTHING[0], NOTHING[0], ONE), r"shape \(1, 64, 64\)"),
    ],
)
def test_bad_input_is_named(call, message):
    with pytest.raises(ValueError, match=message):
        call()
