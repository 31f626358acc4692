"""The views of an exam: read, cropped, turned, put in one array; masks in the same places; shifts."""

import numpy as np
import pytest
import torch
from monai.data import list_data_collate
from PIL import Image

from common.data import CaseCacheDataset, CaseError, CaseLoader, Placement
from common.data.exam_transforms import LoadFindingMasksd, LoadViewsd, RandShiftViewsd, cut, resized

VIEWS = ["left_cc", "left_mlo", "right_cc", "right_mlo"]
MASKS = {"views": VIEWS, "sides": ["left", "right"], "view_side": [0, 0, 1, 1], "findings": ["mass", "calcification"]}


def breast(rows=200, columns=100, middle=100, lump=None):
    """A half-disc with its chest wall at the left, and a brighter square at (row, column)."""
    y, x = np.mgrid[:rows, :columns] + 0.5
    image = 0.5 * (np.hypot(x, y - middle) < 60)
    if lump:
        image[lump[0] : lump[0] + 8, lump[1] : lump[1] + 8] = 1
    return (255 * image).astype(np.uint8)


@pytest.fixture
def save(tmp_path):
    def write(pixels, name):
        Image.fromarray(np.ascontiguousarray(pixels)).save(tmp_path / name)
        return str(tmp_path / name)

    return write


@pytest.fixture
def exam(save):
    image = breast(lump=(90, 20))
    mask = np.where(image == 255, image, 0)
    views = {"left_cc": save(image, "l.png"), "right_cc": save(image[:, ::-1], "r.png")}
    masks = {"left_cc": {"mass": save(mask, "lm.png")}, "right_cc": save(mask[:, ::-1], "rm.png")}
    return {"case_id": "e7", "views": views, "masks": masks, "label": np.array([1, 0, 1, 0], dtype=np.float32)}


@pytest.mark.parametrize("crop", [True, False])
def test_left_and_right_look_alike_and_absent_views_are_black(exam, crop):
    item = LoadViewsd(VIEWS, (64, 32), crop=crop)(exam)
    image = item["image"]
    assert image.shape == (4, 1, 64, 32)
    assert image.dtype == torch.float32
    assert torch.equal(image[0], image[2])
    assert image[0].max() == 1
    assert item["view_mask"].tolist() == [True, False, True, False]
    assert not image[1].any()
    assert not image[3].any()
    assert item["flipped"].tolist() == [False, False, True, False]
    assert item["source_size"].tolist() == [[200, 100], [64, 32], [200, 100], [64, 32]]


def test_the_breast_fills_the_picture_and_keeps_its_shape(exam):
    item = LoadViewsd(VIEWS, 64, margin=0)(exam)
    x0, y0, x1, y1 = item["crop"][0].tolist()
    assert (x0, y0, y1) == (pytest.approx(0, abs=1), pytest.approx(40, abs=2), pytest.approx(160, abs=2))
    assert x1 - x0 == y1 - y0  # square, so nothing is stretched
    mirrored = item["crop"][2].tolist()
    assert (100 - mirrored[2], 100 - mirrored[0]) == (x0, x1)


def test_whole_images_keep_their_shape(save):
    views = {"frontal": save(breast(), "f.png"), "lateral": save(breast().T, "l.png")}
    item = LoadViewsd(["frontal", "lateral"], 50, crop=False, mirrored=())({"views": views})
    assert item["crop"].tolist() == [[-50, 0, 150, 200], [0, -50, 200, 150]]  # black on both sides
    assert not item["flipped"].any()
    left = LoadViewsd(["left_cc", "right_cc"], 50, crop=False)({"views": {"right_cc": views["frontal"]}})
    assert left["crop"][1].tolist() == [-100, 0, 100, 200]  # away from the chest wall


def test_maps_go_back_to_the_source(exam):
    item = LoadFindingMasksd(**MASKS)(LoadViewsd(VIEWS, 64)(exam))
    for row, column in ((0, 20), (2, 72)):
        place = Placement.of({key: item[key][row] for key in ("source_size", "crop", "flipped")})
        back = place.to_source(item["finding_mask"][row, :1].float()) > 0.5
        ys, xs = torch.nonzero(back[0], as_tuple=True)
        assert (ys.min(), ys.max() + 1) == (pytest.approx(90, abs=2), pytest.approx(98, abs=2))
        assert (xs.min(), xs.max() + 1) == (pytest.approx(column, abs=2), pytest.approx(column + 8, abs=2))


def test_masks_and_what_is_known(exam):
    load = LoadViewsd(VIEWS, 64)
    item = LoadFindingMasksd(**MASKS)(load(exam))
    assert item["finding_mask"].shape == (4, 2, 64, 64)
    assert item["finding_mask"].dtype == torch.uint8
    # A mask without a name is that of the finding the side has; a finding the side does not have is nowhere.
    assert item["finding_mask"].sum((2, 3)).bool().tolist() == [[1, 0], [0, 0], [1, 0], [0, 0]]
    assert item["finding_mask_given"].tolist() == [[1, 1], [0, 0], [1, 1], [0, 0]]
    assert torch.equal(item["finding_mask"][0, 0], item["finding_mask"][2, 0])
    bright = item["image"][0, 0] > 0.9
    assert (bright & (item["finding_mask"][0, 0] == 1)).sum() > 0.9 * bright.sum()
    unknown = LoadFindingMasksd(**MASKS)(load({key: value for key, value in exam.items() if key != "masks"}))
    assert not unknown["finding_mask_given"].any()
    missing = LoadFindingMasksd(**MASKS)(load(exam | {"masks": {}}))
    assert missing["finding_mask_given"].tolist() == [[0, 1], [0, 0], [0, 1], [0, 0]]


def test_a_tiny_mask_does_not_vanish(exam, save):
    dot = np.zeros((200, 100), dtype=np.uint8)
    dot[101, 21] = 255
    item = LoadViewsd(VIEWS, 16)(exam | {"masks": {"left_cc": {"mass": save(dot, "dot.png")}}})
    assert LoadFindingMasksd(**MASKS)(item)["finding_mask"][0, 0].sum() == 1


@pytest.mark.parametrize(
    ("pixels", "words"),
    [
        (np.zeros((200, 100), dtype=np.uint8), "the mask is empty"),
        (breast(100, 100), "the mask has 100 x 100 pixels, its view 200 x 100"),
    ],
)
def test_bad_masks(exam, save, pixels, words):
    item = LoadViewsd(VIEWS, 64)(exam | {"masks": {"left_cc": {"mass": save(pixels, "bad.png")}}})
    with pytest.raises(CaseError, match=words) as caught:
        LoadFindingMasksd(**MASKS)(item)
    assert caught.value.source.endswith("bad.png")


def test_boxes_stand_for_masks(exam):
    item = LoadViewsd(VIEWS, 64)(exam)
    boxes = {"left_cc": {"mass": [[20, 90, 28, 98]]}, "right_cc": [[72, 90, 80, 98]]}
    drawn = LoadFindingMasksd(**MASKS)(item | {"masks": boxes})
    assert torch.equal(drawn["finding_mask"], LoadFindingMasksd(**MASKS)(item)["finding_mask"])
    with pytest.raises(CaseError, match=r"boxes .* in left_cc\): the mask is empty"):
        LoadFindingMasksd(**MASKS)(item | {"masks": {"left_cc": [[500, 0, 600, 9]]}})


@pytest.mark.parametrize(
    ("name", "pixels", "words"),
    [
        ("black.png", np.zeros((200, 100), dtype=np.uint8), "every pixel has the same value"),
        ("small.png", breast(20, 20), "20 x 20 pixels, expected at least 32"),
        ("dark.png", breast() // 64, "no breast was found"),
    ],
)
def test_a_bad_view_names_its_file(exam, save, name, pixels, words):
    views = exam["views"] | {"left_mlo": save(pixels, name)}
    with pytest.raises(CaseError, match=words) as caught:
        LoadViewsd(VIEWS, 64)(exam | {"views": views})
    assert caught.value.source.endswith(name)
    assert caught.value.case_id == "e7"


def test_files_that_are_no_image_are_skipped_on_request(exam, tmp_path):
    (tmp_path / "text.png").write_text("no image")
    broken = exam | {"case_id": "e8", "views": {"left_cc": str(tmp_path / "text.png")}}
    items = [{key: item[key] for key in ("case_id", "views")} for item in (exam, broken)]
    dataset = CaseCacheDataset(items, LoadViewsd(VIEWS, 32), progress=False)
    loader = CaseLoader(dataset, on_error="skip", batch_size=2)
    (batch,) = list(loader)
    assert batch["case_id"] == ["e7"]
    assert "text.png" in str(loader.failures[0])


@pytest.mark.parametrize(
    ("views", "words"), [({}, "'views' is {}, expected a path"), ({"left_ccc": "a.png"}, "the unknown view 'left_ccc'")]
)
def test_exams_without_known_views(views, words):
    with pytest.raises(CaseError, match=words):
        LoadViewsd(VIEWS, 64)({"case_id": "e7", "views": views})


@pytest.mark.parametrize(
    "options", [{"views": [], "size": 8}, {"views": "left_cc", "size": 8}, {"views": VIEWS, "size": 0}]
)
def test_impossible_options(options):
    with pytest.raises(ValueError, match=r"expected a list of distinct names|expected rows and columns"):
        LoadViewsd(**options)


def test_batches_and_placement_of_absent_views(exam):
    items = [LoadViewsd(VIEWS, 32)(exam | {"views": dict(list(exam["views"].items())[:count])}) for count in (1, 2)]
    batch = list_data_collate([{k: v for k, v in item.items() if k not in ("views", "masks")} for item in items])
    assert batch["image"].shape == (2, 4, 1, 32, 32)
    assert batch["view_mask"].tolist() == [[1, 0, 0, 0], [1, 0, 1, 0]]
    absent = Placement.of({key: batch[key][0] for key in ("source_size", "crop", "flipped")}, 1)
    assert absent == Placement((32, 32), (0, 0, 32, 32))


# ---------------------------------------------------------------- shifts


def test_shifts_move_views_and_masks_together():
    image = torch.zeros(50, 1, 16, 16)
    image[:, :, 8, 8] = 1
    item = {"image": image, "finding_mask": image.to(torch.uint8).expand(-1, 3, -1, -1)}
    moved = RandShiftViewsd(("image", "finding_mask"), 4).set_random_state(0)(item)
    places = torch.nonzero(moved["image"])
    assert len(places) == 50  # each pixel stays in the picture
    assert set((places[:, 2] - 8).tolist()) == set((places[:, 3] - 8).tolist()) == set(range(-4, 5))
    assert torch.equal(moved["finding_mask"][:, 0], moved["image"][:, 0].to(torch.uint8))
    assert torch.equal(moved["finding_mask"][:, 2], moved["finding_mask"][:, 0])
    assert torch.equal(item["image"], image)


def test_nothing_comes_back_on_the_other_side():
    moved = RandShiftViewsd("image", 3).set_random_state(1)({"image": torch.ones(400, 1, 8, 8)})["image"]
    sums = moved.sum((1, 2, 3))
    assert sums.min() == 25  # 3 rows and 3 columns of 8 lost
    assert sums.max() == 64
    again = RandShiftViewsd("image", 3).set_random_state(1)({"image": torch.ones(400, 1, 8, 8)})["image"]
    assert torch.equal(moved, again)
    with pytest.raises(ValueError, match="pixels is -1"):
        RandShiftViewsd("image", -1)


# ---------------------------------------------------------------- small parts


def test_cut_and_resized():
    image = torch.arange(12.0).view(1, 3, 4)
    assert cut(image, (-1, 0, 3, 3))[0, 1].tolist() == [0, 4, 5, 6]
    assert cut(image, (1, 1, 6, 2)).tolist() == [[[5, 6, 7, 0, 0]]]
    stripes = torch.tensor([0.0, 1.0]).repeat(32).expand(1, 64, 64)
    assert resized(stripes, (8, 8))[0, 1:-1, 1:-1].sub(0.5).abs().max() < 0.05  # anti-aliased: grey, no pattern
