"""The masks of the datalist's boxes: which class gets which pixels of the network's input."""

import pytest
import torch

from common.data import CaseError, CropBoxd, FindingBoxesd, Placement, RecordSized, box_in_view

CLASSES = ["Mass", "Nodule", "Effusion"]


def item(boxes, names=None, label=(1, 1, 0), size=(8, 10), **more):
    made = {"image": torch.zeros(1, *size), "boxes": boxes, "label": list(label), "case_id": "a", **more}
    return RecordSized("image")(made | ({"box_labels": names} if names else {}))


def pixels(mask):
    """Row and column of every pixel inside."""
    return [tuple(place) for place in mask.nonzero().tolist()]


def test_each_box_is_drawn_in_the_mask_of_its_class():
    found = FindingBoxesd("image", CLASSES)(
        item([[1, 2, 3, 4], [5, 0, 6, 2], [9, 7, 10, 8]], ["Nodule", "Mass", "Mass"])
    )
    assert found["finding_mask"].shape == (3, 8, 10)
    assert found["finding_mask"].dtype == torch.uint8
    assert pixels(found["finding_mask"][0]) == [(0, 5), (1, 5), (7, 9)]
    assert pixels(found["finding_mask"][1]) == [(2, 1), (2, 2), (3, 1), (3, 2)]
    assert found["finding_mask_given"].tolist() == [True, True, False]


def test_boxes_follow_crop_and_resizing():
    cropped = CropBoxd("image")(item([[4, 2, 8, 4]], ["Mass"], crop=[2, 0, 10, 4]))
    cropped["image"] = torch.zeros(1, 2, 4)  # half of the crop's 4 x 8 pixels
    assert pixels(FindingBoxesd("image", CLASSES)(cropped)["finding_mask"][0]) == [(1, 1), (1, 2)]


def test_a_mirrored_image_has_mirrored_boxes():
    given = item([[0, 0, 2, 1]], ["Mass"], flipped=torch.tensor(True))
    assert pixels(FindingBoxesd("image", CLASSES)(given)["finding_mask"][0]) == [(0, 8), (0, 9)]


def test_a_box_outside_the_crop_is_not_given():
    cropped = CropBoxd("image")(item([[0, 0, 2, 1]], ["Mass"], crop=[4, 0, 10, 8]))
    assert not FindingBoxesd("image", CLASSES)(cropped)["finding_mask_given"].any()


@pytest.mark.parametrize(
    ("label", "given"), [((0, 1, 0), [False, True, False]), ((1, 1, 0), [False] * 3), (2, [False, False, True])]
)
def test_boxes_without_classes_belong_to_the_only_one(label, given):
    made = item([[1, 2, 3, 4]]) | {"label": label}
    assert FindingBoxesd("image", CLASSES)(made)["finding_mask_given"].tolist() == given


@pytest.mark.parametrize("boxes", [None, []])
def test_a_case_without_boxes_has_empty_masks(boxes):
    found = FindingBoxesd("image", CLASSES)({"image": torch.zeros(1, 4, 4), "boxes": boxes, "label": [1, 0, 0]})
    assert found["finding_mask"].sum() == 0
    assert not found["finding_mask_given"].any()


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (["Mas"], r"case 'a' .*'box_labels' is \['Mas'\], expected one of Mass, Nodule, Effusion"),
        (["Mass"] * 2, "each"),
    ],
)
def test_boxes_of_unknown_classes_are_refused(names, message):
    with pytest.raises(CaseError, match=message):
        FindingBoxesd("image", CLASSES)(item([[1, 2, 3, 4]], names))


def test_boxes_cannot_be_placed_without_the_source_size():
    with pytest.raises(CaseError, match="Put RecordSized into the preprocessing"):
        FindingBoxesd("image", CLASSES)({"image": torch.zeros(1, 4, 4), "boxes": [[0, 0, 1, 1]], "label": [1, 0, 0]})


@pytest.mark.parametrize("classes", [[], "Mass"])
def test_classes_are_a_list_of_names(classes):
    with pytest.raises(ValueError, match="expected a list of the names"):
        FindingBoxesd("image", classes)


@pytest.mark.parametrize(
    ("box", "size", "expected"),
    [
        ([10, 20, 30, 40], (100, 100), (10, 20, 30, 40)),
        ([10, 20, 30, 40], (50, 200), (20, 10, 60, 20)),
        ([-5, 90, 10, 120], (100, 100), (0, 90, 10, 100)),
        ([52, 52, 54, 54], (10, 10), (5, 5, 6, 6)),  # far smaller than a pixel: that pixel
        ([95, 0, 105, 10], (10, 10), (9, 0, 10, 1)),
        ([100, 0, 110, 10], (10, 10), None),
    ],
)
def test_a_box_in_view(box, size, expected):
    found = box_in_view(box, Placement((100, 100), (0, 0, 100, 100)), size)
    assert found == (None if expected is None else pytest.approx(expected))
