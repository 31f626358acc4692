"""The fundus phantom on disk: REFUGE's raw layout, and the datalist its converter makes of it."""

import json
from collections import Counter

import numpy as np
import pytest
from PIL import Image

from common.data import ImageReader2D, load_datalist, load_section, load_structures
from common.data.phantoms import FundusSettings, make_fundus, write_fundus
from common.data.sources import refuge

OPTIONS = {"count": (6, 4, 4), "size": 64, "disc": (0.36, 0.48), "seed": 5}
SECTIONS = ("training", "validation", "test")


def choice(**changes):
    return FundusSettings.from_options({**OPTIONS, **changes})


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    folder = tmp_path_factory.mktemp("phantom") / "fundus"
    assert write_fundus(choice(), folder, progress=False)
    return folder


def files(folder):
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


def test_the_layout_is_that_of_refuge(written):
    found = files(written)
    assert len(found) == 2 * 14 + 2 + 2
    for name in ("Training400/Glaucoma/g0003.jpg", "Training400/Non-Glaucoma/n0001.jpg", "REFUGE-Test400/T0004.jpg"):
        assert name in found
    masks = (
        "Annotation-Training400/Disc_Cup_Masks/Glaucoma/g0003.bmp",
        "REFUGE-Validation400-GT/Disc_Cup_Masks/V0004.bmp",
    )
    assert set(masks) < set(found)
    assert {name.split("/")[2] for name in found if name.startswith("REFUGE-Test-GT/Disc_Cup_Masks")} == {"G", "N"}
    assert Image.open(written / masks[0]).format == "BMP"
    header = (written / "REFUGE-Test-GT/Glaucoma_label_and_Fovea_location.csv").read_text().splitlines()[0]
    assert header == "ID,ImgName,Label(Glaucoma=1),Fovea_X,Fovea_Y"


def test_the_datalist_comes_from_the_converter_and_says_it_is_synthetic(written):
    datalist = load_datalist(written / "datalist.json")
    assert [len(datalist[name]) for name in SECTIONS] == [6, 4, 4]
    assert all(Counter(item["label"] for item in datalist[name])[1] * 2 == len(datalist[name]) for name in SECTIONS)
    assert datalist["meta"]["synthetic"] is True
    assert datalist["meta"]["classes"] == refuge.CLASSES
    assert load_structures(written / "datalist.json") == refuge.STRUCTURES


def test_files_hold_the_samples(written):
    """The n-th image of a subset in the datalist is a sample of its class, with its mask to the pixel."""
    items = {item["case_id"]: item for item in load_section(written / "datalist.json", "validation")}
    reader = ImageReader2D()
    for index in range(4):
        sample, item = make_fundus(choice(), 1, index), items[f"V{index + 1:04d}"]
        assert item["label"] == sample.label
        np.testing.assert_array_equal(np.asarray(Image.open(item["mask"])), sample.mask)
        shown = reader.get_data(reader.read(item["image"]))[0]
        assert np.abs(shown * 255 - sample.image).mean() < 6, "JPEG changes little"
        x0, y0, x1, y1 = item["crop"]
        assert (sample.mask[y0:y1, x0:x1] < 255).sum() == (sample.mask < 255).sum(), "the crop holds the disc"


def test_spreadsheets_give_the_same_labels(tmp_path, written):
    write_fundus(choice(table="xlsx"), tmp_path / "x", progress=False)
    assert [name for name in files(tmp_path / "x") if name.endswith("xlsx")] == [
        "REFUGE-Test-GT/Glaucoma_label_and_Fovea_location.xlsx",
        "REFUGE-Validation400-GT/Fovea_locations.xlsx",
    ]
    one, other = (load_datalist(folder / "datalist.json") for folder in (written, tmp_path / "x"))
    assert [one[name] for name in SECTIONS] == [other[name] for name in SECTIONS]


def test_the_same_settings_do_nothing_and_others_make_it_anew(tmp_path):
    folder = tmp_path / "d"
    assert write_fundus(choice(), folder, progress=False)
    before = {name: (folder / name).read_bytes() for name in files(folder)}
    assert not write_fundus(choice(), folder, progress=False)
    assert write_fundus(choice(count=(8, 4, 4)), folder, progress=False)
    for name in ("Training400/Glaucoma/g0002.jpg", "REFUGE-Validation400/V0003.jpg"):
        assert (folder / name).read_bytes() == before[name], "more images change no earlier one"
    assert json.loads((folder / "phantom.json").read_text())["settings"]["count"] == [8, 4, 4]


def test_a_subset_without_one_class_is_refused(tmp_path):
    with pytest.raises(ValueError, match="count=4 leaves no image of one class for validation: raise count"):
        write_fundus(choice(positive_fraction=0.1, count=(20, 4, 20)), tmp_path / "d", progress=False)
    assert not (tmp_path / "d").exists()


def test_other_content_is_refused(tmp_path):
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(FileExistsError, match=r"holds notes.txt, which would be lost"):
        write_fundus(choice(), tmp_path, progress=False)
