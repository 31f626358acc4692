import math

import pytest
import torch

from common.metrics.segmented_cases import SegmentationScores

NAMES = ["background", "rim", "cup"]


def eye(cup_rows):
    labels = torch.zeros(1, 1, 16, 16, dtype=torch.int64)
    labels[..., 2:12, 2:12] = 1
    labels[..., 3 : 3 + cup_rows, 4:8] = 2
    return labels


def outputs_of(labels):
    """Logits that are largest at these values."""
    return {"segmentation_logits": torch.nn.functional.one_hot(labels[:, 0], 3).permute(0, 3, 1, 2).float()}


def test_scores_of_an_eye_by_pencil():
    scores = SegmentationScores(NAMES, {"disc": ["rim", "cup"]}, cup="cup", disc="disc")
    found = scores(outputs_of(eye(5)), {"segmentation": eye(8)})
    values = {name: value.item() for name, value in found.items()}
    assert values["dice/disc"] == 1.0
    assert values["dice/cup"] == pytest.approx(2 * 20 / (20 + 32))
    assert values["iou/rim"] == pytest.approx(68 / 80)
    assert (values["cup_to_disc"], values["cup_to_disc_true"]) == (0.5, 0.8)
    assert values["cup_to_disc_error"] == pytest.approx(0.3)
    measures = ("dice", "iou", "hd95", "assd", "presence_error")
    ratios = {"cup_to_disc", "cup_to_disc_true", "cup_to_disc_error"}
    assert set(values) == {f"{m}/{s}" for m in measures for s in ("rim", "cup", "disc")} | ratios
    assert scores.overlap(outputs_of(eye(5)), {"segmentation": eye(8)})["dice/cup"] == found["dice/cup"]


def test_cases_without_a_mask_score_nothing():
    batch = {"segmentation": torch.cat([eye(4), 0 * eye(4)]), "segmentation_given": torch.tensor([True, False])}
    scores = SegmentationScores(NAMES)
    outputs = outputs_of(torch.cat([eye(4), eye(4)]))
    for found in (scores(outputs, batch), scores.overlap(outputs, batch)):
        assert found["dice/cup"].tolist() == pytest.approx([1.0, math.nan], nan_ok=True)
    assert scores(outputs_of(eye(4)), {"label": torch.tensor([0])}) == {}
    assert scores.overlap(outputs_of(eye(4)), {}) == {}


def test_the_rule_of_the_surface_distance_is_passed_on():
    y, x = torch.meshgrid(torch.arange(64), torch.arange(64), indexing="ij")
    small = ((y - 30) ** 2 + (x - 30) ** 2 <= 6**2).long()[None, None]
    big = ((y - 32) ** 2 + (x - 30) ** 2 <= 15**2).long()[None, None]
    scores = SegmentationScores(["background", "lesion", "none"], assd_rule="mean_of_directions")
    found = scores(outputs_of(small), {"segmentation": big})
    assert found["assd/lesion"].item() == pytest.approx(8.706306223261912)  # source: KarryRen/UML


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"cup": "cup"}, "cup is 'cup' and disc None: give the names of both"),
        ({"cup": "cup", "disc": "disc"}, "disc is 'disc', expected one of rim, cup"),
        ({"assd_rule": "half"}, "assd_rule is 'half'"),
    ],
)
def test_impossible_options_are_named(options, message):
    with pytest.raises(ValueError, match=message):
        SegmentationScores(NAMES, **options)
