"""OCT in class folders: patients from names or folders, official test set, and what is said about mistakes."""

from collections import Counter

import pytest

from common.data import DatalistError, load_datalist
from common.data.sources import oct_folders

SECTIONS = ("training", "validation", "test")


@pytest.fixture
def touch(tmp_path):
    def make(path):
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).touch()

    return make


@pytest.fixture
def kermany(tmp_path, touch):
    """Four classes with eight patients and two images each; two patients of each class test."""
    for place, name in enumerate(("CNV", "DME", "DRUSEN", "NORMAL")):
        for patient in range(8):
            part = "test" if patient > 5 else "val" if patient == 5 else "train"
            for number in (1, 2):
                touch(f"{part}/{name}/{name}-{100 * place + patient}-{number}.jpeg")
    return tmp_path


@pytest.fixture
def noor(tmp_path, touch):
    """Three classes with ten patients' folders and two images each."""
    for place, name in enumerate(("CNV", "DRUSEN", "NORMAL")):
        for patient in range(10):
            for number in (1, 2):
                touch(f"{name}/{100 * place + patient}/{'OD' if number == 1 else 'OS'}/{number:03d}.tiff")
    return tmp_path


def patients(datalist):
    return [{item["patient_id"] for item in datalist[name]} for name in SECTIONS]


def test_kermany_keeps_its_test_set_and_gets_a_validation_set(kermany):
    datalist = load_datalist(oct_folders.convert(str(kermany), validation=0.25))
    assert datalist["meta"]["classes"] == ["NORMAL", "CNV", "DME", "DRUSEN"]
    assert datalist["meta"]["split"] == "official test set; validation from training, by patient"
    training, validation, test = patients(datalist)
    assert test == {f"{100 * place + patient}" for place in range(4) for patient in (6, 7)}
    assert not training & validation
    assert len(training | validation) == 24
    assert Counter(item["label"] for item in datalist["test"]) == dict.fromkeys(range(4), 4)
    assert datalist["test"][0] == {
        "case_id": "test_NORMAL_NORMAL-306-1",
        "image": "test/NORMAL/NORMAL-306-1.jpeg",
        "label": 0,
        "patient_id": "306",
    }


def test_test_patients_are_left_out_of_training(kermany, touch, caplog):
    touch("train/CNV/CNV-6-9.jpeg")
    touch("train/DRUSEN/DRUSEN-6-9.jpeg")  # the same number below another class is the same patient
    datalist = load_datalist(oct_folders.convert(str(kermany)))
    assert "6" not in patients(datalist)[0] | patients(datalist)[1]
    assert "left out of training: 2 images of patients who are in the test set too" in caplog.text


def test_noor_splits_by_the_folder_below_the_class(noor):
    datalist = load_datalist(oct_folders.convert(str(noor), classes="NORMAL,DRUSEN,CNV", fractions=(0.6, 0.2, 0.2)))
    assert datalist["meta"]["classes"] == ["NORMAL", "DRUSEN", "CNV"]
    split = patients(datalist)
    assert [len(names) for names in split] == [18, 6, 6]
    assert len(set.union(*split)) == 30
    assert datalist["training"][0]["label"] == 0


def test_a_part_of_the_classes(noor):
    datalist = load_datalist(oct_folders.convert(str(noor), classes=("NORMAL", "CNV")))
    assert sum(len(datalist[name]) for name in SECTIONS) == 40


def test_unknown_patients_are_reported(tmp_path, touch, caplog):
    for name in ("A", "B"):
        for number in range(10):
            touch(f"{name}/{number}.png")
    datalist = load_datalist(oct_folders.convert(str(tmp_path)))
    assert "patient_id" not in datalist["training"][0]
    assert "the patient of 20 images is unknown (A_0, ...): each counts as its own" in caplog.text


def test_mistakes(noor, tmp_path):
    with pytest.raises(
        DatalistError, match="classes has 'DRUSSEN', but there is no such folder; did you mean 'DRUSEN'"
    ):
        oct_folders.convert(str(noor), classes="NORMAL,DRUSSEN")
    with pytest.raises(
        DatalistError, match=r"root '.*gone' does not exist; name the folder that holds a folder for each"
    ):
        oct_folders.convert(str(tmp_path / "gone"))
    (tmp_path / "empty" / "A").mkdir(parents=True)
    with pytest.raises(DatalistError, match="has the class folders A, expected at least two, such as NORMAL and CNV"):
        oct_folders.convert(str(tmp_path / "empty"))
