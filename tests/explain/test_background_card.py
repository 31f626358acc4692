"""The card of a network that holds several diseases against a background."""

from itertools import combinations

import numpy as np
import pytest
import torch

from common.explain import background_card
from common.explain.card import WIDTH, Sheet
from common.explain.prototype_words import explained_classes
from tests.explain.background_run_folder import (
    BACKGROUND,
    DISEASES,
    background_describer,
    background_network,
    chest_case,
    project_chests,
    write_chests,
)

LONG = ["choroidal neovascularisation of the macula", "thickening of the pleura, old and calcified", "Mass $x_1$", "d"]


@pytest.fixture
def sheets(monkeypatch):
    """The sheets that cards are drawn on, so that their texts can be asked where they are."""
    drawn = []

    class Kept(Sheet):
        def __init__(self, height):
            super().__init__(height)
            drawn.append(self)

    monkeypatch.setattr(background_card, "Sheet", Kept)
    return drawn


def explain(folder, size=(64, 64), book=True, images=True, prototypes=4, weaker=0.4, top=3, names=DISEASES, **given):
    """Explain a case; ``weaker`` takes from the background's weights, so that more is predicted."""
    items = write_chests(folder, 7, size)
    network = background_network(prototypes)
    background = given.pop("background", BACKGROUND)
    if book:
        project_chests(network, folder / "prototypes", folder, items[:6], size=size, classes=[*names, background])
    with torch.no_grad():
        network.last_layer.weight[-prototypes:] *= 1 - weaker
    options = {"top": top, "background": background}
    describer = background_describer(network, folder / "prototypes", folder if images else None, **options)
    return describer.describe(chest_case(network, folder, items[6], size=size, classes=names, **given))


def texts_of(sheet):
    return [text.get_text() for text in sheet.figure.texts if text.get_text()]


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"threshold": 0.999},
        {"size": (40, 120), "images": False},
        {"size": (160, 40), "book": False, "top": 5},
        {"prototypes": 1},
        {"prototypes": 40, "top": 6, "names": LONG, "background": "normal without any finding whatsoever"},
    ],
    ids=["three", "none", "wide", "tall", "single", "long"],
)
def test_no_text_lies_on_another_or_beside_the_card(tmp_path, sheets, options):
    card = explain(tmp_path, **options).draw()
    (sheet,) = sheets
    assert card.picture.size == (WIDTH, sheet.height)
    boxes = [(text.get_text(), text.get_window_extent()) for text in sheet.figure.texts if text.get_text()]
    assert len(boxes) > 20
    for words, box in boxes:
        assert box.x0 >= 0, words
        assert box.x1 <= WIDTH, words
        assert box.y0 >= 0, words
        assert box.y1 <= sheet.height, words
    for (one, first), (other, second) in combinations(boxes, 2):
        across = min(first.x1, second.x1) - max(first.x0, second.x0)
        down = min(first.y1, second.y1) - max(first.y0, second.y0)
        assert across <= 1 or down <= 1, f"'{one}' lies on '{other}'"


@pytest.mark.parametrize(("threshold", "count"), [(0.5, 3), (0.999, 1)])
def test_each_predicted_disease_has_its_band_and_the_background_the_last(tmp_path, sheets, threshold, count):
    explanation = explain(tmp_path, threshold=threshold)
    shown = explained_classes(explanation.record)
    assert len(shown) == count
    explanation.draw()
    said = texts_of(sheets[-1])
    titles = [words for words in said if words.startswith("Speaks ")]
    assert titles == [*(f"Speaks for {name}" for name in shown), f"Speaks against every class: {BACKGROUND}"]
    assert [words for words in said if words.startswith("Likeness to")] == [
        f"Likeness to {name}" for name in [*shown, BACKGROUND]
    ]
    prediction = explanation.record["prediction"]
    for name in shown:
        own, against = prediction["class_logits"][name], prediction["class_logits"][BACKGROUND]
        assert f"{own:.3f} − {against:.3f} = {prediction['logits'][name]:.3f}" in said
    assert said.count("no picture") == 0
    assert sum(words.startswith("without it p") for words in said) == 3 * count


def test_the_bar_of_a_sum_is_made_of_what_is_shown_and_the_rest(tmp_path, sheets):
    """The longer of two bars is as wide as there is room; grey is what is not shown."""
    explanation = explain(tmp_path, prototypes=6, top=2)
    card = explanation.draw()
    record = explanation.record
    name = explained_classes(record)[0]
    own = [item["contribution"] for item in record["evidence"] if item["class"] == name]
    sums = record["prediction"]["class_logits"]
    bars = [axes.get_window_extent() for axes in sheets[-1].figure.axes]
    first = max((box for box in bars if abs(box.height - 11) < 1), key=lambda box: box.y0)
    y = round(sheets[-1].height - (first.y0 + first.y1) / 2)
    row = np.asarray(card.picture)[y, round(first.x0) : round(first.x1)].astype(int)
    grey = (np.abs(row - 0xCF).max(axis=-1) < 4).mean()
    assert sums[name] == max(sums[name], sums[BACKGROUND])
    assert grey == pytest.approx(1 - sum(own[:2]) / sums[name], abs=0.02)
