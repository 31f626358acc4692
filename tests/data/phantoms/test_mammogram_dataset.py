"""The mammography phantom on disk: CMMD's layout with real tags, and the datalist its converter makes of it."""

import csv
import json
from collections import Counter

import numpy as np
import pydicom
import pytest
from PIL import Image

from common.data import ImageReader2D, load_datalist, load_section
from common.data.phantoms import MammogramSettings, breast_facts, make_mammogram, write_mammograms
from common.data.sources import cmmd

OPTIONS = {"count": 32, "size": (96, 48), "radius": (0.05, 0.07), "seed": 5, "monochrome1_fraction": 0.4}
SECTIONS = ("training", "validation", "test")


def choice(**changes):
    return MammogramSettings.from_options({**OPTIONS, **changes})


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    folder = tmp_path_factory.mktemp("phantom") / "mammograms"
    assert write_mammograms(choice(), folder, progress=False)
    return folder


def table(path):
    with path.open() as file:
        return list(csv.DictReader(file))


def items(folder):
    datalist = load_datalist(folder / "datalist.json")
    return {item["case_id"]: item for name in SECTIONS for item in datalist[name]}


def case_of(sample):
    return f"D1-{sample.facts.patient + 1:04d}_{sample.facts.laterality}_{sample.view}"


def test_files_hold_the_samples_whatever_way_they_are_stored(written):
    reader, stored = ImageReader2D(), Counter()
    for index in range(32):
        sample = make_mammogram(choice(), index)
        item = items(written)[case_of(sample)]
        pixels, meta = reader.get_data(reader.read(written / item["image"]))
        np.testing.assert_allclose(pixels, sample.image / 4095, atol=1e-6)
        assert meta["source_format"] == "DICOM"
        assert meta["affine"][0, 0] == 2.5
        stored[pydicom.dcmread(written / item["image"]).PhotometricInterpretation] += 1
        if sample.facts.label:
            np.testing.assert_array_equal(np.asarray(Image.open(written / item["mask"])), sample.mask)
            assert item["boxes"] == [list(sample.box)]
        else:
            assert not {"mask", "boxes"} & item.keys(), "a benign mass is no region of interest"
    assert min(stored["MONOCHROME1"], stored["MONOCHROME2"]) >= 6
    assert sum(stored.values()) == 32


def test_the_tags_are_those_of_mammograms(written):
    sample = make_mammogram(choice(), 1)
    dataset = pydicom.dcmread(written / items(written)[case_of(sample)]["image"])
    assert dataset.SOPClassUID.name == "Digital Mammography X-Ray Image Storage - For Presentation"
    assert (dataset.Modality, dataset.BodyPartExamined, dataset.PatientSex) == ("MG", "BREAST", "F")
    assert (dataset.PatientID, dataset.ImageLaterality) == ("D1-0001", sample.facts.laterality)
    assert dataset.ViewPosition == "MLO"
    assert dataset.ViewCodeSequence[0].CodeMeaning == "medio-lateral oblique"
    assert dataset.PatientAge == f"{sample.facts.age:03d}Y"
    assert (dataset.Rows, dataset.Columns, dataset.BitsStored) == (96, 48, 12)
    headers = [pydicom.dcmread(path, stop_before_pixels=True) for path in written.rglob("*.dcm")]
    assert len({header.SOPInstanceUID for header in headers}) == 32
    assert len({header.StudyInstanceUID for header in headers}) == len({header.PatientID for header in headers}) == 12


def test_the_sheet_has_a_row_for_each_breast(written):
    rows = table(written / "CMMD_clinicaldata_revision.csv")
    facts = [breast_facts(choice(), number) for number in range(16)]
    assert [row["ID1"] for row in rows] == [f"D1-{breast.patient + 1:04d}" for breast in facts]
    assert [row["LeftRight"] for row in rows] == [breast.laterality for breast in facts]
    assert [row["classification"] == "Malignant" for row in rows] == [bool(breast.label) for breast in facts]
    for row, breast in zip(rows, facts, strict=True):
        expected = {(1, 1): "both", (1, 0): "mass", (0, 1): "calcification"}[
            int(breast.mass), int(breast.calcifications)
        ]
        assert row["abnormality"] == expected
        assert row["number"] == "2"


def test_all_masses_are_in_the_regions_table(written):
    rows = table(written / "regions.csv")
    samples = [make_mammogram(choice(), index) for index in range(32)]
    assert len(rows) == sum(sample.box is not None for sample in samples)
    kinds = Counter(row["classification"] for row in rows)
    assert kinds["Malignant"] == 16
    assert 0 < kinds["Benign"] < 16
    assert all((written / row["mask"]).is_file() for row in rows)


def test_splits_are_balanced_and_by_woman(written):
    datalist = load_datalist(written / "datalist.json")
    for name in SECTIONS:
        counts = Counter(item["label"] for item in datalist[name])
        assert counts[0] == counts[1] > 0
    women = [{item["patient_id"] for item in datalist[name]} for name in SECTIONS]
    assert len(set.union(*women)) == sum(map(len, women)) == 12
    assert datalist["meta"]["classes"] == cmmd.CLASSES
    assert datalist["meta"]["synthetic"] is True
    assert datalist["meta"]["name"] == "mammograms"
    assert len(load_section(written / "datalist.json", "training")) == len(datalist["training"])


def test_the_converter_finds_the_same_again(written, tmp_path):
    again = load_datalist(cmmd.convert(str(written), out=str(tmp_path / "a.json"), fractions=(0.6, 0.15, 0.25), seed=5))
    datalist = load_datalist(written / "datalist.json")
    assert [again[name] for name in SECTIONS] == [datalist[name] for name in SECTIONS]


def test_the_same_settings_do_nothing_and_others_make_it_anew(tmp_path):
    folder = tmp_path / "d"
    assert write_mammograms(choice(count=16), folder, progress=False)
    before = {path: path.stat().st_mtime_ns for path in folder.rglob("*")}
    assert not write_mammograms(choice(count=16), folder, progress=False)
    assert {path: path.stat().st_mtime_ns for path in folder.rglob("*")} == before
    image = next(folder.rglob("D1-0002/*/*/1-1.dcm"))
    first = image.read_bytes()
    assert write_mammograms(choice(count=20), folder, progress=False)
    assert image.read_bytes() == first, "more images change no earlier one"
    assert json.loads((folder / "phantom.json").read_text())["settings"]["count"] == 20


def test_the_same_settings_give_the_same_bytes(tmp_path):
    for name in ("a", "b"):
        write_mammograms(choice(count=12), tmp_path / name, progress=False)
    a, b = (
        {
            path.relative_to(tmp_path / name): path.read_bytes()
            for path in (tmp_path / name).rglob("*.*")
            if path.is_file()
        }
        for name in ("a", "b")
    )
    assert a == b


def test_a_class_without_image_is_refused(tmp_path):
    with pytest.raises(ValueError, match="count=8 leaves a class without image: raise it or change positive_fraction"):
        write_mammograms(choice(count=8, positive_fraction=0.01), tmp_path / "d", progress=False)
    assert not (tmp_path / "d").exists()
