from dataclasses import replace
from itertools import combinations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from common.explain import prototype_card
from common.explain.card import WIDTH, Sheet, load_card, seen_size
from common.explain.prototype_card_parts import Label, joined_labels
from common.explain.prototype_files import save_prototypes
from tests.explain.prototype_run_folder import CLASSES, case_of, describer_of, project, small_network, write_images

LONG = ["choroidal neovascularisation of the macula", "normal retina without any finding"]


def explain(folder, size=(96, 48), book=True, images=True, output="ensemble", top=3, prototypes=(3, 4), **given):
    items = write_images(folder, 5, size)
    network = small_network(prototypes, output)
    if book:
        save_prototypes(folder / "prototypes", project(network, folder, items[:4], size))
    describer = describer_of(network, folder / "prototypes", folder if images else None, top=top)
    return describer.describe(case_of(network, folder, items[4], size, **given))


@pytest.fixture
def sheets(monkeypatch):
    """The sheets that cards are drawn on, so that their texts can be asked where they are."""
    drawn = []

    class Kept(Sheet):
        def __init__(self, height):
            super().__init__(height)
            drawn.append(self)

    monkeypatch.setattr(prototype_card, "Sheet", Kept)
    return drawn


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"size": (64, 64), "output": "teacher"},
        {"size": (48, 128), "book": False},
        {"size": (160, 32), "images": False},
        {"prototypes": (1, 1)},
        {"prototypes": (120, 130), "top": 6},
        {"classes": LONG, "task": "multilabel", "label": [1, 1]},
        {"size": (64, 64), "classes": LONG, "output": "teacher"},
    ],
    ids=lambda options: "-".join(map(str, options)) or "plain",
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


@pytest.mark.parametrize("size", [(96, 48), (64, 64), (48, 128)])
def test_pictures_keep_their_shape(tmp_path, size):
    explanation = explain(tmp_path, size)
    left, upper, right, lower = explanation.draw().thumbnail
    rows, columns = seen_size(explanation.record)
    assert (right - left) / (lower - upper) == pytest.approx(columns / rows, rel=0.01)


def tiles_of(card, explanation, sheets):
    """Return the two pictures of each comparison: axes of the size of a tile, from left to right, top to bottom."""
    sheet = sheets[-1]
    boxes = [axes.get_window_extent() for axes in sheet.figure.axes]
    tiles = [box for box in boxes if abs(box.width - prototype_card.TILE) < 1 and abs(box.height - box.width) < 1]
    corners = [(round(box.x0), round(sheet.height - box.y1)) for box in tiles]
    side = prototype_card.TILE
    return [np.asarray(card.picture.crop((x + 3, y + 3, x + side - 3, y + side - 3))) for x, y in corners]


def test_a_training_image_is_shown_beside_itself(tmp_path, sheets):
    """Explaining an image that prototypes were taken from, both parts are the same picture."""
    items = write_images(tmp_path, 2)
    network = small_network((1, 1))
    save_prototypes(tmp_path / "prototypes", project(network, tmp_path, items))
    explanation = describer_of(network, tmp_path / "prototypes", tmp_path).describe(
        case_of(network, tmp_path, items[1])
    )
    card = explanation.draw()
    tiles = tiles_of(card, explanation, sheets)
    assert len(tiles) == 4
    own = list(explanation.record["prediction"]["probabilities"])
    first = max(own, key=lambda name: explanation.record["prediction"]["probabilities"][name])
    here, there = tiles[:2] if first == "malignant" else tiles[2:]
    assert here.std() > 5, "something is to be seen"
    assert np.abs(here.astype(int) - there).max() <= 12  # the map of the book has half precision


def test_a_mirrored_training_image_is_turned_to_the_side_of_the_other(tmp_path, sheets):
    """Image 2 is image 1 mirrored in the file; the network sees both the same way."""
    items = write_images(tmp_path, 4)
    with Image.open(tmp_path / items[1]["image"]) as file:
        file.transpose(Image.Transpose.FLIP_LEFT_RIGHT).save(tmp_path / items[3]["image"])
    network = small_network((1, 1))
    save_prototypes(tmp_path / "prototypes", project(network, tmp_path, [items[0], items[3]]))
    case = case_of(network, tmp_path, replace_id(items[1]))
    explanation = describer_of(network, tmp_path / "prototypes", tmp_path).describe(case)
    item = next(one for one in explanation.record["evidence"] if one["class"] == "malignant")
    assert item["details"]["similarity"] == pytest.approx(1, abs=1e-4)
    tiles = tiles_of(explanation.draw(), explanation, sheets)
    probabilities = explanation.record["prediction"]["probabilities"]
    here, there = tiles[:2] if probabilities["malignant"] >= 0.5 else tiles[2:]
    unlike = np.abs(here.astype(int) - there)[: prototype_card.TILE - 30]  # "mirrored" stands below
    assert unlike.max() <= 12


def replace_id(item):
    return item | {"case_id": "breast_01"}


def test_without_training_images_the_card_says_so(tmp_path, sheets):
    explain(tmp_path, images=False).draw()
    said = [text.get_text() for text in sheets[-1].figure.texts]
    assert said.count("no picture") == 6
    assert "training image" in said
    explain(tmp_path / "other", book=False).draw()
    said = [text.get_text() for text in sheets[-1].figure.texts]
    assert "training image" not in said
    assert any("never projected" in line for line in said)


def test_the_bar_below_is_the_share_of_the_logit_that_is_shown(tmp_path, sheets):
    explanation = explain(tmp_path, prototypes=(5, 8), top=2)
    card = explanation.draw()
    record = explanation.record
    probabilities = record["prediction"]["probabilities"]
    name = max(CLASSES, key=lambda each: probabilities[each])
    own = [item["contribution"] for item in record["evidence"] if item["class"] == name]
    share = sum(own[:2]) / record["prediction"]["logits"][name]
    wide = [axes for axes in sheets[-1].figure.axes if abs(axes.get_window_extent().width - prototype_card.COLUMN) < 1]
    bar = min(wide, key=lambda axes: (axes.get_window_extent().height, axes.get_window_extent().x0))
    box = bar.get_window_extent()
    y = round(sheets[-1].height - (box.y0 + box.y1) / 2)
    row = np.asarray(card.picture)[y, round(box.x0) : round(box.x1)].astype(int)
    grey = (np.abs(row - 0xCF).max(axis=-1) < 4).mean()
    assert grey == pytest.approx(1 - share, abs=0.02)


def test_the_card_knows_its_thumbnail(tmp_path):
    card = explain(tmp_path).draw()
    with (tmp_path / "card.png").open("wb") as file:
        card.save(file)
    loaded = load_card(tmp_path / "card.png")
    assert (loaded.thumbnail, loaded.shows) == (card.thumbnail, "Parts that were compared, over the image")


def test_the_heatmap_that_is_drawn_is_that_of_the_predicted_class(tmp_path, sheets):
    explanation = explain(tmp_path)
    explanation.draw()
    predicted = explanation.record["prediction"]["class"]
    said = [text.get_text() for text in sheets[-1].figure.texts]
    assert f"Likeness to {predicted}" in said
    assert replace(explanation, arrays={}).record is explanation.record


def test_labels_that_would_cover_each_other_are_one():
    """The first two become one that is long enough to reach the third; the fourth is far away."""
    labels = [Label(x, 10, text, frozenset({"blue"})) for x, text in ((10, "18"), (30, "6"), (45, "15"), (150, "7"))]
    other = Label(52, 12, "17", frozenset({"orange"}))
    assert [(label.x, label.text) for label in joined_labels(labels)] == [(10, "18 6 15"), (150, "7")]
    assert joined_labels([labels[2], other]) == [Label(45, 10, "15 17", frozenset({"blue", "orange"}))]
    assert joined_labels([]) == []


@given(st.lists(st.tuples(st.floats(0, 240), st.floats(0, 480), st.sampled_from(["1", "23", "400"])), max_size=12))
def test_no_label_lies_on_another(places):
    labels = joined_labels([Label(x, y, text, frozenset()) for x, y, text in places])
    assert not any(one.covers(other) for one, other in combinations(labels, 2))
    assert sorted(" ".join(label.text for label in labels).split()) == sorted(text for _, _, text in places)
