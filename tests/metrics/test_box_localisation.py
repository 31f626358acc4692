"""What a map draws, against true boxes, by hand."""

import numpy as np
import pytest

from common.metrics.box_localisation import disease_means, drawn_overlaps


def image(*boxes, size=(10, 12), value=1.0):
    """An image with filled boxes (x0, y0, x1, y1)."""
    values = np.zeros(size)
    for x0, y0, x1, y1 in boxes:
        values[y0:y1, x0:x1] = value
    return values


def test_overlaps_of_each_rule():
    heatmap = image((0, 0, 4, 2)) + image((8, 6, 10, 10), value=0.8)
    truth = image((0, 0, 4, 4)) > 0
    found = drawn_overlaps(heatmap, 0.5, truth)
    # the part with the maximum: 8 of 16 pixels; all: a box of 10 x 10; pixels: 8 of 16 + 8
    assert found == pytest.approx({"part": 8 / 16, "all": 16 / 100, "mask": 8 / 24})
    assert drawn_overlaps(heatmap, 0.9, truth) == pytest.approx({"part": 0.5, "all": 0.5, "mask": 0.5})


def test_of_several_boxes_the_best_met_counts():
    heatmap, truth = image((6, 2, 9, 5)), image((0, 0, 2, 2), (6, 2, 9, 5)) > 0
    assert drawn_overlaps(heatmap, 1.0, truth) == pytest.approx({"part": 1.0, "all": 1.0, "mask": 9 / 13})


def test_boxes_that_touch_at_a_corner_are_two():
    truth = image((0, 0, 3, 3), (3, 3, 6, 6)) > 0
    assert drawn_overlaps(image((0, 0, 3, 3)), 1.0, truth)["part"] == 1.0


def test_the_published_way_from_map_to_box():
    """A map of 4 x 4 cells, its half, as in the method's protocol: bilinear by four, from half of the range on."""
    heatmap = np.kron(image((1, 1, 3, 2), size=(4, 4)), np.ones((4, 4)))
    truth = image((4, 4, 12, 12), size=(16, 16)) > 0
    assert drawn_overlaps(heatmap, 0.5, truth)["part"] == pytest.approx(32 / 64)


def test_nothing_drawn_overlaps_nothing():
    assert drawn_overlaps(image(), np.inf, image((0, 0, 2, 2)) > 0) == {"part": 0.0, "all": 0.0, "mask": 0.0}


@pytest.mark.parametrize("truth", [image() > 0, image((0, 0, 2, 2), size=(5, 5)) > 0])
def test_a_finding_has_a_box_in_the_map_s_size(truth):
    with pytest.raises(ValueError, match="expected one shape"):
        drawn_overlaps(image((0, 0, 1, 1)), 0.5, truth)


def test_diseases_count_alike_however_many_findings_they_have():
    found = disease_means("hit", [1, 1, 1, 0, 0.5], [0, 0, 0, 0, 2], ["a", "b", "c"], n_resamples=50)
    assert {name: (entry["value"], entry["n"]) for name, entry in found.items()} == {
        "hit": (0.625, 5),
        "hit/a": (0.75, 4),
        "hit/c": (0.5, 1),
    }
    assert (found["hit/c"]["low"], found["hit/c"]["high"]) == (0.5, 0.5)


def test_patients_are_drawn_as_a_whole():
    given = ("hit", [1, 0, 1, 0], [0, 0, 0, 0], ["a"])
    together, apart = disease_means(*given, groups=["p", "p", "q", "q"])["hit"], disease_means(*given)["hit"]
    assert (together["low"], together["high"]) == (0.5, 0.5)
    assert apart["low"] < 0.5 < apart["high"]


def test_without_findings_there_is_no_number():
    assert disease_means("hit", [], [], ["a"]) == {}
