import numpy as np
import pytest
from PIL import ImageChops

from common.explain.card import WIDTH, layout
from common.explain.decision import verdict
from common.explain.relevance_map import facts
from common.explain.relevance_map_card import draw_relevance_map
from tests.explain.test_record import a_record

EXPLANATION = np.array([[0.8, 0.6, 0, 0], [0, 0, 0, 0], [0, 0, 0, 0.2], [0, 0, 0, 0.9]], np.float32)
MASK = np.zeros((4, 4), np.float32)
MASK[0, :2] = 1


def draw_card(*given):
    return draw_relevance_map(*given).picture


def overlay_box(record):
    return layout(record).thumbnail(2)


def a_card(record, channels=1, mask=None):
    image = np.random.default_rng(0).random((channels, 32, 32)).astype(np.float32)
    return draw_card(record, image, EXPLANATION, mask)


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("size", [(64, 64), (400, 100), (60, 500), (1, 1)])
def test_cards_of_any_shape(size, channels):
    record = a_record(source_size=size)
    card = a_card(record, channels)
    assert (card.mode, card.width) == ("RGB", WIDTH)
    left, upper, right, lower = overlay_box(record)
    assert 0 < left < right < card.width
    assert 0 < upper < lower < card.height
    # the panel keeps the image's shape, to the pixel it is drawn with
    assert (right - left) == pytest.approx((lower - upper) * size[1] / size[0], abs=2)


def test_the_overlay_box_holds_the_overlay_and_nothing_else():
    record = a_record(explanation=np.zeros((4, 4)), source_size=(64, 64))
    card = draw_card(record, np.zeros((1, 8, 8)), np.zeros((4, 4)))
    left, upper, right, lower = overlay_box(record)
    inside = np.asarray(card.crop((left + 2, upper + 2, right - 2, lower - 2)))
    assert inside.max() == 0  # a black image under a map of zeros
    assert np.asarray(card.crop((left, lower + 3, right, lower + 8))).min() == 255


def test_a_bright_map_colours_the_overlay_where_it_is_bright():
    record = a_record(source_size=(64, 64))
    card = draw_card(record, np.full((1, 8, 8), 0.5), EXPLANATION)
    left, upper, right, lower = overlay_box(record)
    overlay = np.asarray(card.crop((left, upper, right, lower))).astype(int)
    spread = overlay.max(axis=-1) - overlay.min(axis=-1)
    assert spread[-20:, -20:].mean() > 60
    assert spread[150:200, 20:100].max() == 0


def test_equal_input_gives_equal_cards():
    record = a_record(mask=MASK, label=1)
    assert ImageChops.difference(a_card(record, mask=MASK), a_card(record, mask=MASK)).getbbox() is None


def test_the_known_region_changes_the_card():
    record = a_record(mask=MASK, source_size=(64, 64))
    with_mask, without = a_card(record, mask=MASK), a_card(record)
    left, upper, right, lower = overlay_box(record)
    difference = ImageChops.difference(with_mask, without).crop((left, upper, right, lower))
    assert difference.getbbox() is not None


@pytest.mark.parametrize(
    ("label", "words", "outcome"),
    [
        (None, "Predicted malignant (0.75)", ""),
        (1, "Predicted malignant (0.75), true malignant", "correct"),
        (0, "Predicted malignant (0.75), true benign", "wrong"),
    ],
)
def test_the_verdict(label, words, outcome):
    assert verdict(a_record(label=label)) == (words, outcome)


def test_facts_in_words():
    assert facts(a_record(mask=MASK, uncertainty={"vacuity": 0.125})) == [
        "19% of the map is above 0.5; mean 0.16",
        "The known region is 12.5% of the image",
        "and holds 56% of the map; the highest point is outside",
        "Boxes 1 to 2 hold 56%, 36% of the map",
        "Vacuity 0.125",
    ]
    assert "No part of the map reaches 0.5" in facts(a_record(explanation=np.zeros((4, 4))))
    assert facts(a_record(max_regions=1))[-2:] == ["Box 1 holds 56% of the map", "1 smaller region has no box"]


def test_the_true_class_always_has_a_bar():
    classes = [f"class {index}" for index in range(20)]
    probabilities = np.arange(20, 0, -1) / 210
    few = a_record(classes=classes, probabilities=probabilities)
    true = a_record(classes=classes, probabilities=probabilities, label=19)
    assert layout(few).bars == layout(true).bars
    assert (
        ImageChops.difference(a_card(few), a_card(true))
        .crop((layout(true).bars[0], layout(true).bars[1], 400, layout(true).height - 60))
        .getbbox()
    )


def test_hostile_names_are_drawn_as_they_are(recwarn):
    names = ["$\\frac{1}$", "_hidden $x^"]
    record = a_record(case_id="$x_1$ \\alpha <b>" + "long " * 50, classes=names, label=0, method="$" * 200)
    assert a_card(record).width == WIDTH  # as a formula these would raise


@pytest.mark.parametrize("shape", [(32, 32), (2, 32, 32), (1, 1, 32, 32)])
def test_another_image_shape_is_refused(shape):
    with pytest.raises(ValueError, match=r"case 'case 1': the image has shape .*, expected \(1 or 3, rows, columns\)"):
        draw_card(a_record(), np.zeros(shape), EXPLANATION)
