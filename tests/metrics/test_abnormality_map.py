"""Scores of maps against outlines, by hand and against scikit-learn."""

import numpy as np
import pytest
from sklearn.metrics import average_precision_score

from common.metrics.abnormality_map import dice_above, highest_share, pixel_precision

TRUTH = np.zeros((4, 5), dtype=bool)
TRUTH[0, :2] = True
AREA = np.ones((4, 5), dtype=bool)
AREA[3] = False
SCORE = np.arange(20, 0, -1).reshape(4, 5) / 20


def test_precision_of_pixels():
    noisy = SCORE[::-1] + np.eye(4, 5)
    expected = average_precision_score(TRUTH[AREA], noisy[AREA])
    assert pixel_precision(noisy, TRUTH, AREA) == pytest.approx(expected)
    assert pixel_precision(SCORE, TRUTH, AREA) == pytest.approx(1.0)
    assert pixel_precision(np.ones((4, 5)), TRUTH, AREA) == pytest.approx(2 / 15)


def test_the_highest_pixels_of_the_area():
    level = highest_share(SCORE, AREA, 0.2)
    assert ((level <= SCORE) & AREA).sum() == 3
    assert dice_above(SCORE, level, TRUTH, AREA) == pytest.approx(2 * 2 / (3 + 2))
    assert highest_share(SCORE, AREA, 1.0) == pytest.approx(SCORE[AREA].min())
    with pytest.raises(ValueError, match="share is 0"):
        highest_share(SCORE, AREA, 0)


def test_nothing_drawn_and_nothing_there():
    assert dice_above(SCORE, 2.0, TRUTH, AREA) == 0
    assert np.isnan(dice_above(SCORE, 2.0, TRUTH & False, AREA))
