"""A method that this repository does not have: several views, several classes, prototypes that add up to logits."""

from functools import partial

import numpy as np
import pytest
import torch

from common.data.placement import Placement
from common.explain import Case, Explanation, check_record, load_record
from common.explain.card import Card, Sheet, layout
from common.explain.card_parts import (
    draw_facts,
    draw_footer,
    draw_header,
    draw_panel,
    draw_probabilities,
    picture_of,
)
from common.explain.describer import shown_path
from common.handlers import ExplanationSaver
from tests.handlers.replay import replay

CLASSES = ["effusion", "nodule", "fibrosis"]


class Prototypes:
    """All that a new method writes: evidence of its own kind, a sentence, a card."""

    def describe(self, case):
        record = case.record("Each prototype adds to the logit of its class.")
        record["views"] = [record["image"], {"path": shown_path(case.item["views"][1]), "rows": 4, "columns": 4}]
        logits = case.output["logits"]
        record["prediction"]["logits"] = dict(zip(case.classes, map(float, logits), strict=True))
        for name, logit in zip(case.classes, logits, strict=True):
            for view, share in ((0, 0.75), (1, 0.25)):
                record["evidence"].append({
                    "kind": "prototype",
                    "name": f"prototype of {name}",
                    "class": name,
                    "view": view,
                    "box": [0, 0, 4, 4],
                    "contribution": share * float(logit),
                    "source_case": "training_7",
                    "details": {"similarity": 0.5},
                })  # fmt: skip
        record["summary"] = ["Two prototypes for each class"]
        draw = partial(self.draw, record, case.image[0])
        return Explanation(check_record(record, case.case_id), {"index.png": np.arange(16).reshape(4, 4)}, draw)

    def draw(self, record, image):
        place = layout(record, panels=2)
        sheet = Sheet(place.height)
        draw_header(sheet, record)
        for box in place.panels:
            draw_panel(sheet, box, "View", picture_of(image, (8, 16), record["case_id"]), record)
        draw_probabilities(sheet, place, record)
        draw_facts(sheet, place, record, "Prototypes")
        draw_footer(sheet, record)
        return Card(sheet.finish(), place.thumbnail(0), "A view")


def a_step():
    batch = {
        "image": torch.rand(2, 2, 1, 4, 8, generator=torch.Generator().manual_seed(0)),
        "case_id": ["one", "two"],
        "source_size": torch.tensor([[8, 16], [8, 16]]),
        "label": torch.tensor([[1.0, 0.0, 1.0], [0.0, 0.0, 0.0]]),
        "section": "test",
    }
    logits = torch.tensor([[2.0, -1.0, 0.5], [-2.0, -1.0, 3.0]])
    return batch, {"logits": logits, "probability": logits.sigmoid(), "terms": {"loss": torch.zeros(2)}}


ITEMS = [{"case_id": name, "views": ["/data/a.png", f"/data/{name}/b.png"]} for name in ("one", "two")]


def test_a_new_method_changes_nothing_else(tmp_path):
    saver = ExplanationSaver(tmp_path, "sixth", CLASSES, ITEMS, describer=Prototypes(), task="multilabel")
    replay([saver], [a_step()])
    first, second = (load_record(tmp_path / "explanations" / name / "explanation.json") for name in ("one", "two"))
    assert first["prediction"]["classes"] == first["label"]["classes"] == ["effusion", "fibrosis"]
    assert (second["prediction"]["classes"], second["label"]["classes"]) == (["fibrosis"], [])
    assert sum(item["contribution"] for item in first["evidence"] if item["class"] == "effusion") == 2.0
    assert first["views"][1]["path"] == "one/b.png"
    page = (tmp_path / "report.html").read_text()
    assert "A view of case one. Predicted effusion (0.88), fibrosis (0.62), true effusion, fibrosis (correct)." in page
    assert 'data-predicted="[&#34;effusion&#34;, &#34;fibrosis&#34;]"' in page
    assert "effusion 0.88, fibrosis 0.62</span>" in page
    assert "true: none</span>" in page


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"contribution": 1.6}, "the contributions for 'effusion' add up to 2.1, expected its logit 2"),
        ({"contribution": float("nan")}, r"evidence\[0\], contribution is nan, expected a finite number"),
        ({"details": {"similarity": float("inf")}}, r"evidence\[0\], similarity is inf, expected a finite number"),
        ({"view": 2}, r"evidence\[0\].view is 2, expected 0 to 1"),
        ({"view": 1, "box": [0, 0, 5, 4]}, r"evidence\[0\].box is .* inside 4 x 4 pixels"),
        ({"class": "effusoin"}, r"evidence\[0\].class is 'effusoin', expected one of"),
        ({"share": 1.5}, r"evidence\[0\].share is 1.5, expected 0 to 1"),
        ({"area": 1000}, r"evidence\[0\].area is 1000, expected 0 to 128 pixels"),
        ({"where": [0, 0]}, r"unknown field 'evidence\[0\].where'"),
    ],
)
def test_evidence_of_any_kind_is_checked(tmp_path, change, message):
    replay([ExplanationSaver(tmp_path, "sixth", CLASSES, ITEMS, 0, Prototypes(), "multilabel")], [a_step()])
    record = load_record(tmp_path / "explanations" / "one" / "explanation.json")
    record["evidence"][0].update(change)
    with pytest.raises(ValueError, match=message):
        check_record(record, "x")


def a_case(placement):
    output = {"probability": np.array([0.5, 0.5])}
    return Case("c", "m", ["a", "b"], "multiclass", 0.5, "", placement, np.zeros((1, 2, 2), np.float32), output)


VALUES = np.array([[1.0, 2.0], [3.0, 4.0]]) / 4


def test_arrays_over_the_whole_image_are_resampled_for_files_and_left_alone_for_pictures():
    case = a_case(Placement((4, 4), (0, 0, 4, 4)))
    assert case.to_source(VALUES)[:, 0] == pytest.approx(np.array([1, 1.5, 2.5, 3]) / 4)
    assert case.to_source(np.stack([VALUES, VALUES])).shape == (2, 4, 4)
    assert np.array_equal(case.seen(VALUES), VALUES)
    assert "crop" not in case.record("h")["image"]


def test_arrays_over_a_mirrored_part_go_back_to_their_place():
    """The part begins a column left of the image, so that a quarter of the input is padding."""
    case = a_case(Placement((2, 6), (-1, 0, 3, 2), flipped=True))
    source = case.to_source(VALUES, "nearest-exact") * 4
    assert source.tolist() == [[2, 1, 1, 0, 0, 0], [4, 3, 3, 0, 0, 0]]
    assert (case.seen(VALUES, "nearest-exact") * 4).tolist() == [[2, 1, 1], [4, 3, 3]]
    assert case.record("h")["image"]["crop"] == [0, 0, 3, 2]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"max_cards": -1}, "max_cards is -1, expected 0 or more, or null for all"),
        ({"task": "multi"}, "task is 'multi', expected one of multiclass, multilabel"),
        ({"threshold": 1.5}, "threshold is 1.5, expected a probability from 0 to 1"),
    ],
)
def test_impossible_options_of_the_saver_are_refused(tmp_path, options, message):
    with pytest.raises(ValueError, match=message):
        ExplanationSaver(tmp_path, "m", CLASSES, **options)
