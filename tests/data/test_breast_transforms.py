"""Cropping to the breast and turning it to the left: found at any size, undone exactly, refused with a reason."""

import numpy as np
import pytest
import torch
from monai.data import MetaTensor, decollate_batch, list_data_collate
from monai.transforms import Compose, Invertd, Resized

from common.data import CaseError, CropBreastd, FlipToLeftd, Placement
from common.data.breast import bounding_box, breast_regions, chest_side, shows_both_breasts
from common.data.phantoms import MammogramSettings, make_mammogram


def half_disc(rows=200, columns=100, radius=60, middle=100, level=0.5):
    """A breast with its chest wall at the left."""
    y, x = np.mgrid[:rows, :columns] + 0.5
    return (level * (np.hypot(x, y - middle) < radius)).astype(np.float32)


def tensor(image, **meta):
    return MetaTensor(torch.from_numpy(np.ascontiguousarray(image))[None], meta={"filename_or_obj": "a.dcm", **meta})


def with_letters(image):
    marked = image.copy()
    marked[10:16, 70:90] = 1
    return marked


def refused(transform, image, **item):
    with pytest.raises(CaseError) as caught:
        transform({"case_id": "c7", "image": tensor(image), **item})
    assert caught.value.remedy
    return str(caught.value)


# ---------------------------------------------------------------- finding the breast


@pytest.mark.parametrize("scale", [1, 3, 8])
def test_the_same_breast_at_any_resolution(scale):
    image = with_letters(half_disc())
    (region,) = breast_regions(np.kron(image, np.ones((scale, scale), dtype=np.float32)))
    x0, y0, x1, y1 = np.array(bounding_box(region)) * 200 / region.shape[0]
    assert (x0, y0, x1, y1) == pytest.approx((1, 40, 60, 160), abs=2.5)


def test_air_of_a_film_needs_a_threshold():
    film = np.maximum(half_disc(), 0.08)
    assert bounding_box(breast_regions(film)[0]) == (1, 2, 99, 198)
    assert bounding_box(breast_regions(film, threshold=0.1)[0])[1] == 40


def test_frames_labels_and_dust_are_no_breast():
    image = with_letters(half_disc())
    image[:2] = image[-2:] = 1  # the frame of the film
    image[180, 50] = 1
    (region,) = breast_regions(image)
    assert bounding_box(region) == (1, 40, 60, 160)


@pytest.mark.parametrize("side", ["left", "right"])
def test_the_chest_wall_is_where_there_is_more(side):
    image = half_disc() if side == "left" else half_disc()[:, ::-1]
    assert chest_side(breast_regions(image)[0]) == side


def test_phantoms_are_found_with_their_side():
    settings = MammogramSettings(count=16, seed=3)
    for index in range(16):
        sample = make_mammogram(settings, index)
        regions = breast_regions(sample.image / 4095)
        assert not shows_both_breasts(regions)
        assert chest_side(regions[0]) == {"L": "left", "R": "right"}[sample.facts.laterality]
        assert (regions[0] & sample.mask).sum() >= 0.98 * sample.mask.sum()


# ---------------------------------------------------------------- cropping


def test_crop_to_the_breast_without_shape():
    item = {"image": tensor(with_letters(half_disc())), "mask": tensor(half_disc())}
    result = CropBreastd(["image", "mask"], aspect=None, margin=0)(item)
    assert result["crop"].tolist() == [1, 40, 60, 160]
    assert result["image"].shape == result["mask"].shape == (1, 120, 59)
    assert torch.equal(result["image"], item["image"][:, 40:160, 1:60])
    assert item["image"].shape == (1, 200, 100), "the input is left alone"
    assert "crop" not in item


@pytest.mark.parametrize(
    ("aspect", "flip", "expected"),
    [
        (1.0, False, [1, 40, 121, 160]),  # 120 wide: beyond the image at the right, away from the chest
        (1.0, True, [-21, 40, 99, 160]),
        (4.0, False, [1, -18, 60, 218]),  # 236 tall: half of what is missing above, half below
    ],
)
def test_what_is_missing_to_the_shape_is_padded(aspect, flip, expected):
    image = half_disc()[:, ::-1] if flip else half_disc()
    result = CropBreastd("image", aspect=aspect, margin=0)({"image": tensor(image)})
    x0, y0, x1, y1 = expected
    assert result["crop"].tolist() == expected
    assert result["image"].shape == (1, y1 - y0, x1 - x0)
    assert result["image"].sum() == pytest.approx(image[40:160, max(x0, 0) : min(x1, 100)].sum())


@pytest.mark.parametrize(
    ("laterality", "expected"), [("L", [20, 40, 140, 160]), ("R", [-40, 40, 80, 160]), (None, None)]
)
def test_a_breast_as_wide_on_both_sides_is_padded_as_its_laterality_says(laterality, expected):
    image = np.zeros((200, 100), np.float32)
    image[40:160, 20:80] = 0.5
    assert chest_side(breast_regions(image)[0]) is None
    item = {"image": tensor(image)} | ({} if laterality is None else {"laterality": laterality})
    result = CropBreastd("image", aspect=1.0, margin=0)(item)
    assert result["crop"].tolist() == (expected or [20, 40, 140, 160])


def test_margin_stops_at_the_image():
    result = CropBreastd("image", aspect=None, margin=0.5)({"image": tensor(half_disc())})
    assert result["crop"].tolist() == [0, 0, 90, 200]


def test_letters_beside_the_breast_go_unless_kept():
    image = with_letters(half_disc())
    crops = [
        CropBreastd("image", margin=0.6, blank=blank)({"image": tensor(image)})["image"] for blank in (True, False)
    ]
    assert [float(crop.max()) for crop in crops] == [0.5, 1.0]
    assert crops[0].sum() == half_disc()[:, :].sum()


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"aspect": 0}, "aspect is 0, expected height / width above 0"),
        ({"margin": -0.1}, "margin is -0.1, expected 0 or more"),
        ({"threshold": 1.0}, "threshold is 1.0, expected a grey value from 0"),
    ],
)
def test_impossible_options(options, words):
    with pytest.raises(ValueError, match=words):
        CropBreastd("image", **options)


# ---------------------------------------------------------------- turning


def test_right_breasts_are_mirrored_with_their_masks():
    image = half_disc()[:, ::-1]
    item = {"image": tensor(image), "mask": tensor(image > 0.1)}
    result = FlipToLeftd(["image", "mask"])(item)
    assert bool(result["flipped"])
    assert torch.equal(result["image"], tensor(half_disc()))
    assert torch.equal(result["mask"], tensor(half_disc() > 0.1))
    assert not bool(FlipToLeftd("image")({"image": tensor(half_disc())})["flipped"])


def test_the_image_wins_over_its_laterality():
    """As where an export has mirrored right breasts already."""
    assert not bool(FlipToLeftd("image")({"image": tensor(half_disc()), "laterality": "R"})["flipped"])


def test_laterality_decides_where_the_image_does_not():
    image = np.zeros((100, 50), dtype=np.float32)
    image[20:80, 10:40] = 0.5
    for laterality, flipped in (("L", False), ("R", True)):
        assert bool(FlipToLeftd("image")({"image": tensor(image), "laterality": laterality})["flipped"]) is flipped
    words = "neither the image nor 'laterality' (None) tells the side of its chest wall. Give 'laterality' as L or R"
    assert words in refused(FlipToLeftd("image"), image)


# ---------------------------------------------------------------- refused images


@pytest.mark.parametrize("transform", [CropBreastd("image"), FlipToLeftd("image")])
def test_no_breast(transform):
    dust = np.zeros((200, 100), dtype=np.float32)
    dust[50:54, 50:54] = 1
    message = refused(transform, dust)
    assert message.startswith("case 'c7' (a.dcm): no breast was found: nothing larger than a fiftieth of the image is")
    assert "lower the threshold" in message


@pytest.mark.parametrize("transform", [CropBreastd("image"), FlipToLeftd("image")])
@pytest.mark.parametrize("touching", [True, False])
def test_both_breasts_in_one_file(transform, touching):
    breast = half_disc()
    pair = np.concatenate([breast[:, ::-1], breast] if touching else [breast, breast[:, ::-1]], axis=1)
    assert "it seems to show both breasts, expected one a file. Export each breast by itself" in refused(
        transform, pair
    )


def test_the_order_is_checked():
    item = FlipToLeftd("image")({"image": tensor(half_disc())})
    with pytest.raises(ValueError, match="CropBreastd stands after FlipToLeftd; put it before"):
        CropBreastd("image")(item)


# ---------------------------------------------------------------- and back


def pipeline():
    return Compose([CropBreastd(["image", "mask"]), FlipToLeftd(["image", "mask"])])


def phantom_item(index):
    sample = make_mammogram(MammogramSettings(count=16, seed=3, monochrome1_fraction=0.0), index)
    return {
        "image": tensor((sample.image / 4095).astype(np.float32)),
        "mask": tensor(sample.mask.astype(np.float32)),
        "source_size": torch.tensor(sample.image.shape),
    }


def test_placement_undoes_both():
    flips = set()
    for index in range(8):
        item = phantom_item(index)
        result = pipeline()(item)
        back = Placement.of(result).to_source(result["mask"].as_tensor(), mode="nearest-exact")
        assert torch.equal(back, item["mask"].as_tensor())
        flips.add(bool(result["flipped"]))
    assert flips == {True, False}


def test_monai_inverts_both():
    item, transform = phantom_item(2), pipeline()
    back = transform.inverse(transform(item))
    assert torch.equal(back["mask"], item["mask"])
    assert back["image"].applied_operations == []


def test_monai_inverts_predictions_of_a_batch():
    transform = Compose([*pipeline().transforms, Resized(["image", "mask"], (96, 48), mode=["area", "nearest-exact"])])
    items = [phantom_item(index) for index in range(4)]
    batch = list_data_collate([transform(item) for item in items])
    batch["pred"] = batch["mask"].clone()
    invert = Invertd("pred", transform=transform, orig_keys="mask", nearest_interp=True)
    for before, after in zip(items, map(invert, decollate_batch(batch)), strict=True):
        assert after["pred"].shape == before["mask"].shape
        both, either = (
            ((after["pred"] > 0.5) & (before["mask"] > 0.5)),
            ((after["pred"] > 0.5) | (before["mask"] > 0.5)),
        )
        assert not either.any() or both.sum() / either.sum() > 0.6


def test_inverse_wants_the_size_of_the_box():
    transform = CropBreastd("image")
    result = transform({"image": tensor(half_disc())})
    result["image"] = result["image"][..., :-1]
    with pytest.raises(ValueError, match=r"'image' is .*pixels to put back"):
        transform.inverse(result)
