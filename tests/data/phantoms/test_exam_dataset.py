"""The exam phantom on disk: DICOM files, the manifest, the masks, and the datalist that its converter makes."""

import csv
import json

import numpy as np
import pydicom
import pytest
from PIL import Image

from common.data import load_datalist
from common.data.exams import load_exams
from common.data.phantoms import ExamSettings, describe_exam, make_views, write_exams
from common.data.phantoms.exam_dataset import exam_reports
from common.data.phantoms.exam_dicom import dicom_bytes
from common.text.report_parser import parse_report

OPTIONS = {"count": (24, 6, 10), "size": 49, "missing_fraction": 0.3, "radius": (0.05, 0.08), "seed": 4}
SETTINGS = ExamSettings.from_options(OPTIONS)
VIEWS = ("left_cc", "left_mlo", "right_cc", "right_mlo")


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    folder = tmp_path_factory.mktemp("phantom") / "exams"
    assert write_exams(SETTINGS, folder, progress=False)
    return folder


def rows(folder):
    with (folder / "exams.csv").open(encoding="utf-8") as file:
        return {row["exam_id"]: row for row in csv.DictReader(file)}


def exams():
    for split, count in zip(("training", "validation", "test"), SETTINGS.count, strict=True):
        yield from (describe_exam(SETTINGS, split, number) for number in range(count))


def test_the_files_are_there(written):
    names = ["datalist.json", "exams.csv", "images", "phantom.json", "truth"]
    assert sorted(path.name for path in written.iterdir()) == names
    assert len(list(written.glob("images/*/*.dcm"))) == sum(len(exam.views) for exam in exams())
    assert not list(written.glob("truth/training*"))


def test_dicom_files_are_valid_and_hold_image_and_tags(written):
    identifiers, studies = set(), set()
    for exam in exams():
        for view in make_views(SETTINGS, exam):
            file = pydicom.dcmread(written / "images" / exam.exam_id / f"{view.view}.dcm")
            np.testing.assert_array_equal(file.pixel_array, view.image)
            side, position = view.view.split("_")
            assert (file.ImageLaterality, file.ViewPosition) == (side[0].upper(), position.upper())
            assert (file.PatientID, file.PatientAge) == (exam.exam_id, f"{exam.age:03d}Y")
            assert (file.PhotometricInterpretation, file.BitsStored) == ("MONOCHROME2", 8)
            np.testing.assert_allclose(file.PixelSpacing, 150 / 49, atol=1e-4)
            assert file.SOPInstanceUID == file.file_meta.MediaStorageSOPInstanceUID
            assert file.SOPInstanceUID.is_valid
            identifiers.add(file.SOPInstanceUID)
            studies.add(file.StudyInstanceUID)
    assert len(identifiers) == sum(len(exam.views) for exam in exams())
    assert len(studies) == sum(SETTINGS.count)


def test_a_header_that_was_filled_in_is_the_one_that_pydicom_writes(tmp_path):
    image = np.arange(49 * 51, dtype=np.uint8).reshape(49, 51)
    blob = dicom_bytes(image, "right_mlo", "test-00001", 58, 0)
    (tmp_path / "a.dcm").write_bytes(blob)
    pydicom.dcmread(tmp_path / "a.dcm").save_as(tmp_path / "b.dcm", enforce_file_format=True)
    again = pydicom.dcmread(tmp_path / "b.dcm")
    assert again == pydicom.dcmread(tmp_path / "a.dcm")
    assert len((tmp_path / "b.dcm").read_bytes()) == len(blob)
    assert dicom_bytes(image, "right_mlo", "test-00001", 58, 0) == blob
    assert dicom_bytes(image, "right_mlo", "test-00001", 58, 1) != blob
    with pytest.raises(ValueError, match="expected at most 16 characters"):
        dicom_bytes(image, "right_mlo", "a-name-that-is-too-long", 58, 0)


def test_the_manifest_is_the_description(written):
    table = rows(written)
    assert len(table) == 40
    for exam in exams():
        row = table[exam.exam_id]
        assert (row["split"], row["density"], row["age"]) == (exam.split, exam.density, str(exam.age))
        assert tuple(name for name in VIEWS if row[name]) == exam.views
        assert [row["report"], row["report_2"]] == exam_reports(SETTINGS, exam)
        truth = json.loads(row["finding_json"])
        assert sorted(truth["centres"]) == sorted(exam.views)
        for breast, told in zip(exam.breasts, truth["breasts"], strict=True):
            seen = any(view.startswith(breast.side) for view in exam.views)
            found = [lesion.finding.type for lesion in breast.lesions]
            assert [lesion["finding"]["type"] for lesion in told["lesions"]] == found
            cells = [row[f"{breast.side}_{kind}"] for kind in SETTINGS.findings]
            assert cells == [str(int(kind in found)) if seen else "" for kind in SETTINGS.findings]
            assert row[f"birads_{breast.side}"] == (str(breast.birads) if seen else "")
        for text in (row["report"], row["report_2"]):
            read, facts = parse_report(text), exam.facts(SETTINGS.findings)
            assert {(f.side, f.type) for f in read.findings} <= {(f.side, f.type) for f in facts.findings}
            assert set(read.absent) <= set(facts.absent)
            assert read.density == exam.density


def test_masks_are_those_of_the_views(written):
    table, count = rows(written), 0
    for exam in exams():
        cells = {name: path for name, path in table[exam.exam_id].items() if name.endswith("_mask") and path}
        if exam.split == "training":
            assert not cells
            continue
        masks = {f"{v.view}_{k}_mask": mask for v in make_views(SETTINGS, exam) for k, mask in v.masks.items()}
        assert set(cells) == set(masks)
        for name, path in cells.items():
            np.testing.assert_array_equal(np.asarray(Image.open(written / path)) == 255, masks[name])
            count += 1
    assert count > 10


def test_the_datalist_holds_it_all(written):
    datalist = load_datalist(written / "datalist.json")
    meta = datalist["meta"]
    assert (meta["name"], meta["synthetic"], meta["views"]) == ("exams", True, list(VIEWS))
    assert meta["classes"][:3] == ["left mass", "left calcification", "left distortion"]
    assert meta["held_out"] == ["right lower inner margin spiculated", "left upper inner distribution linear"]
    assert [len(datalist[name]) for name in ("training", "validation", "test")] == [24, 6, 10]
    for exam, item in zip(
        exams(), [i for name in ("training", "validation", "test") for i in datalist[name]], strict=True
    ):
        assert item["case_id"] == exam.exam_id
        assert list(item["views"]) == list(exam.views)
        seen = {view.split("_")[0] for view in exam.views}
        found = {(b.side, lesion.finding.type) for b in exam.breasts for lesion in b.lesions if b.side in seen}
        assert item["label"] == [int((side, k) in found) for side in ("left", "right") for k in SETTINGS.findings]
        assert len(item["report"]) == 2
    assert len(load_exams(written / "datalist.json", "test")) == 10


def test_shuffled_training_reports_are_those_of_others(written, tmp_path):
    assert write_exams(ExamSettings.from_options({**OPTIONS, "shuffled": True}), tmp_path / "s", progress=False)
    plain, shuffled = rows(written), rows(tmp_path / "s")
    own = {name: row["report"] for name, row in plain.items() if row["split"] == "training"}
    given = {name: shuffled[name]["report"] for name in own}
    assert sorted(own.values()) == sorted(given.values())
    assert all(own[name] != given[name] for name in own)
    kept = [name for name, row in plain.items() if row["split"] != "training"]
    assert all(plain[name]["report"] == shuffled[name]["report"] for name in kept)
    labels = [name for name in plain["test-00001"] if name.endswith(("mass", "calcification", "distortion"))]
    assert all(plain[name][label] == shuffled[name][label] for name in plain for label in labels)


def test_the_same_settings_do_nothing_and_more_exams_change_none(written, tmp_path):
    assert not write_exams(SETTINGS, written, progress=False)
    more = ExamSettings.from_options({**OPTIONS, "count": (26, 6, 10)})
    assert write_exams(more, tmp_path / "more", progress=False)
    for path in written.glob("images/*/*.dcm"):
        assert (tmp_path / "more" / path.relative_to(written)).read_bytes() == path.read_bytes()
    assert all(row == rows(tmp_path / "more")[name] for name, row in rows(written).items())


def test_a_finding_that_training_would_lack_is_refused(tmp_path):
    with pytest.raises(ValueError, match=r"leaves no training exam with .*: raise count"):
        write_exams(ExamSettings.from_options({"count": (2, 1, 1)}), tmp_path / "d", progress=False)
    assert not (tmp_path / "d").exists()


def test_masks_of_training_exams_on_request_and_the_folder_without_stays_what_it_was(written, tmp_path):
    assert not write_exams(SETTINGS, written, progress=False)
    assert json.loads((written / "phantom.json").read_text())["settings"]["training_masks"] is False
    small = ExamSettings.from_options({**OPTIONS, "count": (24, 0, 1), "training_masks": True})
    assert write_exams(small, tmp_path / "masks", progress=False)
    exam = next(item for item in load_exams(tmp_path / "masks" / "datalist.json", "training") if any(item["label"]))
    assert all(path.endswith(".png") for masks in exam["masks"].values() for path in masks.values())
    plain = written / "images" / exam["case_id"] / f"{next(iter(exam['views']))}.dcm"
    assert plain.read_bytes() == (tmp_path / "masks" / plain.relative_to(written)).read_bytes()
