import json

import numpy as np
import pytest
from PIL import Image

from common.data.placement import Placement
from common.explain import Case, EvidentialSegmentation, load_map, load_record
from common.explain.card import WIDTH, layout, load_card
from common.explain.case_folder import save_explanation
from common.explain.evidential_segmentation import WARNING, foreground_share
from tests.explain.evidential_run_folder import STRUCTURES, eye

LABELS = np.array([[0, 0, 0, 0], [0, 1, 1, 0], [0, 1, 2, 0], [0, 0, 0, 0]])
UNCERTAINTY = np.array([[0, 0, 0, 0], [0, 0.2, 0.4, 0], [0, 0.6, 0.5, 0], [0.8, 0, 0, 0]], np.float32)


def pencil_case(placement=None, structures=3, **output):
    """A 4 x 4 image of 4 x 4 source pixels with three pixels of rim and one of cup; 3 of 5 evidence for glaucoma."""
    given = {
        "probability": np.array([2 / 7, 5 / 7], np.float32),
        "belief": np.array([1 / 7, 4 / 7], np.float32),
        "uncertainty": np.array([2 / 7], np.float32),
        "segmentation_probability": np.eye(structures, dtype=np.float32)[LABELS].transpose(2, 0, 1),
        "pixel_uncertainty": UNCERTAINTY[None],
    }
    return Case(
        case_id="eye",
        method="uml_evidential_segmentation",
        classes=["no glaucoma", "glaucoma"],
        task="multiclass",
        threshold=0.5,
        image_path="eye.png",
        placement=placement or Placement((4, 4), (0, 0, 4, 4)),
        image=np.full((3, 4, 4), 0.5, np.float32),
        output=given | output,
        batch={"segmentation": np.where(LABELS == 1, 1, 0)[None], "segmentation_given": np.array(True)},
        label=1,
    )


def test_the_record_by_pencil():
    explanation = EvidentialSegmentation(STRUCTURES, most_uncertain=0.125).describe(pencil_case())
    record = explanation.record
    assert record["beliefs"] == pytest.approx({"no glaucoma": 1 / 7, "glaucoma": 4 / 7})
    assert record["uncertainty"] == pytest.approx({"class": 2 / 7, "pixel_mean": 2.5 / 16})
    assert record["prediction"]["probabilities"] == pytest.approx({"no glaucoma": 2 / 7, "glaucoma": 5 / 7})
    rim, cup, uncertain = record["evidence"]
    assert (rim["kind"], rim["name"], rim["box"], rim["area"]) == ("structure", "rim", [1, 1, 3, 3], 3)
    assert (rim["uncertainty"], rim["details"]["dice"]) == (pytest.approx(0.4), 1.0)
    assert (cup["box"], cup["area"], cup["uncertainty"]) == ([2, 2, 3, 3], 1, 0.5)
    assert cup["details"] == {"dice": 0.0}, "the true mask has no cup"
    # the two most uncertain of 16 pixels, 0.8 and 0.6, touch at a corner
    assert (uncertain["kind"], uncertain["box"], uncertain["peak"]) == ("uncertain_region", [0, 2, 2, 4], [0, 3])
    assert (uncertain["area"], uncertain["share"], uncertain["uncertainty"]) == pytest.approx((2, 1.4 / 2.5, 0.7))
    assert record["warning"] == WARNING


def test_the_summary_says_what_is_there_and_what_is_not():
    no_cup = np.eye(3, dtype=np.float32)[np.minimum(LABELS, 1)].transpose(2, 0, 1)
    case = pencil_case(segmentation_probability=no_cup)
    record = EvidentialSegmentation(STRUCTURES, max_regions=1).describe(case).record
    assert record["summary"] == [
        "Uncertainty of the decision 0.29, mean of the pixels 0.16",
        "rim: 25.0% of the image, uncertainty 0.43, Dice 0.86",
        "cup: not found",
        "Box 1 in the most uncertain 5%: mean 0.80",
    ]


def test_places_are_in_pixels_of_the_source_also_after_crop_and_mirror():
    """The network saw 8 x 8 pixels from (6, 2) on, mirrored: its cup, in column 2 of 4, is in columns 2 and 3 of 8."""
    placement = Placement((12, 20), (6, 2, 14, 10), flipped=True)
    explanation = EvidentialSegmentation(STRUCTURES).describe(pencil_case(placement))
    record = explanation.record
    assert record["image"] == {"path": "eye.png", "rows": 12, "columns": 20, "crop": [6, 2, 14, 10]}
    cup = next(item for item in record["evidence"] if item.get("name") == "cup")
    assert 8 <= cup["box"][0] < cup["box"][2] <= 10
    assert 6 <= cup["box"][1] < cup["box"][3] <= 8
    segmentation = explanation.arrays["segmentation.png"]
    assert segmentation.shape == (12, 20)
    assert segmentation[7, 9] == 2
    assert not segmentation[:, :6].any()
    assert not segmentation[:, 14:].any(), "what the network has not seen is background"
    peak = next(item["peak"] for item in record["evidence"] if item["kind"] == "uncertain_region")
    assert 12 <= peak[0] < 14, "the lower left corner of the input is the lower right one of the crop"
    assert 8 <= peak[1] < 10


def test_the_files_agree_with_the_record(tmp_path):
    case = eye("eye", 1, reliable=True)
    explanation = EvidentialSegmentation(STRUCTURES).describe(case)
    folder = save_explanation(tmp_path, explanation)
    record = load_record(folder / "explanation.json")
    assert record == explanation.record
    assert list(json.loads((folder / "explanation.json").read_text()))[:3] == ["schema", "schema_version", "method"]
    with Image.open(folder / "segmentation.png") as file:
        labels = np.asarray(file)
    for item in record["evidence"][:2]:
        index = record["files"]["segmentation"]["names"].index(item["name"])
        assert int((labels == index).sum()) == item["area"]
    uncertainty = load_map(folder / "pixel_uncertainty.png")
    assert uncertainty.shape == labels.shape == (96, 96)
    assert float(uncertainty.mean()) == pytest.approx(record["uncertainty"]["pixel_mean"], abs=1e-4)
    reliable = load_map(folder / "reliable_mask.png")
    assert reliable[48, 48] > 0.9
    assert reliable[0, 0] < 0.1


def test_the_share_that_softmax_leaves_to_the_structures():
    scores = np.log(np.array([3.0, 1.0, 2.0])).reshape(3, 1, 1)
    assert foreground_share(scores) == pytest.approx(0.5)


@pytest.mark.parametrize("known", [True, False])
@pytest.mark.parametrize("reliable", [True, False])
def test_the_card_has_a_panel_for_everything_there_is(tmp_path, known, reliable):
    explanation = EvidentialSegmentation(STRUCTURES).describe(eye("eye", 1, known=known, reliable=reliable))
    card = explanation.draw()
    place = layout(explanation.record, panels=4 if reliable else 3, bars=3)
    assert card.picture.size == (WIDTH, place.height)
    plain = np.asarray(card.picture.crop(place.thumbnail(0))).astype(int)
    outlined = np.asarray(card.picture.crop(place.thumbnail(1))).astype(int)
    changed = np.abs(plain - outlined).max(axis=-1) > 60
    assert 0.01 < changed.mean() < 0.2, "outlines, and nothing but outlines"
    assert changed[:20].mean() == 0
    white = (outlined[changed] > 235).all(axis=-1).mean()
    assert bool(white > 0.05) is known, "true outlines are white"
    with (tmp_path / "card.png").open("wb") as file:
        card.save(file)
    loaded = load_card(tmp_path / "card.png")
    assert (loaded.thumbnail, loaded.shows) == (place.thumbnail(1), "Outlines of the segmentation over the image")


def test_bars_are_as_long_as_belief_and_probability():
    explanation = EvidentialSegmentation(STRUCTURES).describe(pencil_case())
    record = explanation.record
    x, y, width, _ = layout(record, bars=3).bars
    left, track = round(x + 0.40 * width), round(0.38 * width)
    row = np.asarray(explanation.draw().picture)[y + 13, left : left + track].astype(int)  # through the first bar
    solid = (np.abs(row - [0, 0x72, 0xB2]).max(axis=-1) < 12).nonzero()[0]
    rest = (np.abs(row - 0xF0).max(axis=-1) < 3).nonzero()[0]
    run = next(i for i in range(track) if i not in set(solid.tolist()))
    assert run / track == pytest.approx(4 / 7, abs=0.02), "belief"
    assert rest[0] / track == pytest.approx(5 / 7, abs=0.02), "probability"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"structures": ["background"]}, r"structures is \['background'\], expected different names, the background's"),
        ({"structures": ["a", "a"]}, "expected different names"),
        ({"structures": STRUCTURES, "max_regions": -1}, "max_regions is -1, expected 0 or more"),
        (
            {"structures": STRUCTURES, "most_uncertain": 0},
            "most_uncertain is 0, expected a share of the pixels",
        ),
    ],
)
def test_impossible_options_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        EvidentialSegmentation(**options)


def test_outputs_of_another_network_are_refused():
    case = pencil_case()
    del case.output["belief"]
    with pytest.raises(ValueError, match=r"case 'eye': the network's outputs are probability, .* expected 'belief'"):
        EvidentialSegmentation(STRUCTURES).describe(case)
    with pytest.raises(ValueError, match=r"the network segments 3 structures, and 2 are named: .* the background"):
        EvidentialSegmentation(["background", "lesion"]).describe(pencil_case())
