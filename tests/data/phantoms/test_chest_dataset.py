"""The chest phantom on disk: ChestX-ray14's layout to the comma, and the datalist its converter makes of it."""

import json

import numpy as np
import pytest
from PIL import Image

from common.data import load_datalist, load_section
from common.data.phantoms import CHEST_FINDINGS, ChestSettings, chest_facts, make_chest, write_chests
from common.data.sources import chestxray14

OPTIONS = {"count": 80, "size": 64, "nodule": (0.03, 0.036), "seed": 5}
SECTIONS = ("training", "validation", "test")


def choice(**changes):
    return ChestSettings.from_options({**OPTIONS, **changes})


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    folder = tmp_path_factory.mktemp("phantom") / "chest"
    assert write_chests(choice(), folder, progress=False)
    return folder


def items(folder):
    datalist = load_datalist(folder / "datalist.json")
    return {item["case_id"]: item for name in SECTIONS for item in datalist[name]}


def test_the_layout_is_that_of_chestxray14(written):
    assert sorted(path.name for path in written.iterdir()) == [
        "BBox_List_2017.csv",
        "Data_Entry_2017_v2020.csv",
        "datalist.json",
        "images",
        "phantom.json",
        "test_list.txt",
        "train_val_list.txt",
    ]
    rows = (written / "Data_Entry_2017_v2020.csv").read_text().splitlines()
    assert rows[0] == (
        "Image Index,Finding Labels,Follow-up #,Patient ID,Patient Age,Patient Gender,View Position,"
        "OriginalImage[Width,Height],OriginalImagePixelSpacing[x,y]"
    )
    facts = chest_facts(choice(), 2)
    assert (facts.patient, facts.follow_up) == (1, 1)
    findings = "|".join(facts.findings) or "No Finding"
    assert rows[3] == f"00000002_001.png,{findings},1,2,{facts.age},{facts.sex},{facts.view},2048,2048,0.143,0.143"
    boxes = (written / "BBox_List_2017.csv").read_text().splitlines()
    assert boxes[0] == "Image Index,Finding Label,Bbox [x,y,w,h],,,"
    assert any(",Infiltrate," in row for row in boxes)
    assert not any(",Infiltration," in row for row in boxes)
    lists = [(written / name).read_text().split() for name in chestxray14.LISTS.values()]
    assert sorted(lists[0] + lists[1]) == [row.split(",")[0] for row in rows[1:]]
    assert not {name.split("_")[0] for name in lists[0]} & {name.split("_")[0] for name in lists[1]}
    assert Image.open(written / "images" / lists[0][0]).mode == "L"


def test_images_labels_and_boxes_are_the_samples(written):
    found = items(written)
    assert len(found) == 80
    for index in range(0, 80, 3):
        sample = make_chest(choice(), index)
        item = found[f"{sample.facts.patient + 1:08d}_{sample.facts.follow_up:03d}"]
        np.testing.assert_array_equal(np.asarray(Image.open(written / item["image"])), sample.image)
        assert item["label"] == [int(name in sample.facts.findings) for name in CHEST_FINDINGS]
        boxes = dict(zip(item.get("box_labels", []), map(tuple, item.get("boxes", [])), strict=True))
        assert boxes == sample.boxes, "exact, though the table counts 1024 pixels"


def test_splits_are_by_patient_and_the_datalist_says_it_is_synthetic(written):
    datalist = load_datalist(written / "datalist.json")
    people = [{item["patient_id"] for item in datalist[name]} for name in SECTIONS]
    assert len(set.union(*people)) == sum(map(len, people)) == 50
    sizes = [len(datalist[name]) for name in SECTIONS]
    assert [size / 80 for size in sizes] == pytest.approx([0.6, 0.15, 0.25], abs=0.05)
    meta = datalist["meta"]
    assert (meta["name"], meta["synthetic"], meta["background"]) == ("chest", True, "No Finding")
    assert meta["classes"] == list(CHEST_FINDINGS)
    assert load_section(written / "datalist.json", "training")[0]["label"].shape == (6,)


def test_the_converter_finds_the_same_again(written, tmp_path):
    out = str(tmp_path / "a.json")
    again = chestxray14.convert(str(written), out=out, classes=CHEST_FINDINGS, validation=0.15 / 0.75, seed=5)
    datalists = [load_datalist(path) for path in (again, written / "datalist.json")]
    assert [datalists[0][name] for name in SECTIONS] == [datalists[1][name] for name in SECTIONS]
    everything = load_datalist(chestxray14.convert(str(written), out=out))
    assert len(everything["meta"]["classes"]) == 14


def test_the_same_settings_do_nothing_and_others_make_it_anew(tmp_path):
    folder = tmp_path / "d"
    assert write_chests(choice(count=40, seed=30), folder, progress=False)
    before = {path: path.stat().st_mtime_ns for path in folder.rglob("*")}
    assert not write_chests(choice(count=40, seed=30), folder, progress=False)
    assert {path: path.stat().st_mtime_ns for path in folder.rglob("*")} == before
    first = {path.name: path.read_bytes() for path in folder.glob("images/*")}
    assert write_chests(choice(count=48, seed=30), folder, progress=False)
    assert {name: (folder / "images" / name).read_bytes() for name in first} == first, (
        "more images change no earlier one"
    )
    assert json.loads((folder / "phantom.json").read_text())["settings"]["count"] == 48


def test_a_finding_without_image_is_refused(tmp_path):
    with pytest.raises(ValueError, match=r"count=8 leaves no image with Mass for training: raise count"):
        write_chests(choice(count=8), tmp_path / "d", progress=False)
    assert not (tmp_path / "d").exists()
