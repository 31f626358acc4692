"""Which cases an inference or explanation takes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from monai.transforms import LoadImage

from common.data import DatalistError, ImageReader2D, list_cases, write_datalist

META = {"name": "d", "task": "multiclass", "classes": ["no", "yes"]}
UID = "1.2.840.113619.2.55.3.604688119.868"


def found(folder: Path) -> dict[str, str]:
    """Return the files found, relative to the folder, by case."""
    return {item["case_id"]: str(Path(item["image"]).relative_to(folder)) for item in list_cases(folder)}


def test_images_of_a_folder_and_its_subfolders(tmp_path: Path, picture: Callable[..., Path]) -> None:
    for name in ("b.PNG", "a.jpg", "visit 2/left.tiff", "visit 2/right.bmp"):
        picture(name)
    (tmp_path / "brain.nii.gz").write_bytes(b"whatever: the reader will judge")
    assert found(tmp_path) == {
        "a": "a.jpg",
        "b": "b.PNG",
        "brain": "brain.nii.gz",
        "visit-2_left": "visit 2/left.tiff",
        "visit-2_right": "visit 2/right.bmp",
    }
    assert [item["case_id"] for item in list_cases(tmp_path)] == sorted(found(tmp_path)), "always in the same order"


@pytest.mark.parametrize("name", [UID, "IM000001", "image.dcm", "scan.v2", "series/1/I.12"])
def test_dicom_is_found_under_any_name(tmp_path: Path, write_dicom: Callable[..., Path], name: str) -> None:
    (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
    pixels = np.arange(12, dtype=np.uint8).reshape(3, 4)
    write_dicom(pixels, name)
    (item,) = list_cases(tmp_path)
    assert item["case_id"] == name.removesuffix(".dcm").replace("/", "_")
    image = LoadImage(reader=ImageReader2D(), image_only=True)(item["image"])
    np.testing.assert_allclose(np.asarray(image), pixels / 11, atol=1e-6)


def test_dicom_without_its_preamble(tmp_path: Path, write_dicom: Callable[..., Path]) -> None:
    whole = write_dicom(np.arange(12, dtype=np.uint8).reshape(3, 4), "whole").read_bytes()
    (tmp_path / "whole").unlink()
    (tmp_path / UID).write_bytes(whole[132:])
    assert found(tmp_path) == {UID: UID}


def test_what_is_no_image_is_passed_over(
    tmp_path: Path, picture: Callable[..., Path], write_dicom: Callable[..., Path]
) -> None:
    picture("scan.png")
    for name in ("labels.csv", "notes.json", "readme.txt", "README", "Thumbs.db", "empty", ".hidden.png"):
        (tmp_path / name).write_text("DICM" if name != "empty" else "")
    write_dicom(np.arange(4, dtype=np.uint8).reshape(2, 2), "DICOMDIR")
    assert found(tmp_path) == {"scan": "scan.png"}


def test_a_file_that_may_not_be_looked_into_is_reported(
    tmp_path: Path, picture: Callable[..., Path], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    picture("scan.png")
    (tmp_path / "secret").write_text("x")
    really_open = Path.open

    def guarded(path: Path, *arguments: Any, **options: Any) -> Any:
        if path.name == "secret":
            raise PermissionError(13, "Permission denied")
        return really_open(path, *arguments, **options)

    monkeypatch.setattr(Path, "open", guarded)
    assert found(tmp_path) == {"scan": "scan.png"}
    assert f"left out: {tmp_path / 'secret'} cannot be read (Permission denied)" in caplog.text


def test_no_two_cases_have_the_same_name(tmp_path: Path, picture: Callable[..., Path]) -> None:
    """Results are filed by case: the second of two would overwrite those of the first."""
    for name in ("scan.png", "scan.jpg", "a/b.png", "a_b.png", "a-b.png", "a b.png", "single.png"):
        picture(name)
    assert found(tmp_path) == {
        "a-b.png": "a b.png",
        "a-b.png-2": "a-b.png",
        "a_b.png": "a/b.png",
        "a_b.png-2": "a_b.png",
        "scan.jpg": "scan.jpg",
        "scan.png": "scan.png",
        "single": "single.png",
    }


def datalist(folder: Path, picture: Callable[..., Path]) -> Path:
    sections = {
        split: [{"case_id": split, "image": f"{split}.png", "label": 1}] for split in ("training", "validation", "test")
    }
    sections["training"].append({"case_id": "other", "image": "other.png", "label": 0})
    for index, name in enumerate((*sections, "other")):
        picture(f"{name}.png", folder=folder, seed=index)
    return write_datalist(folder / "datalist.json", sections, META)


def test_a_datalist_decides_where_there_is_one(tmp_path: Path, picture: Callable[..., Path]) -> None:
    path = datalist(tmp_path, picture)
    picture("unlisted.png")
    (item,) = list_cases(tmp_path, path)
    assert (item["case_id"], item["image"], item["label"]) == ("test", str(tmp_path / "test.png"), 1)
    (item,) = list_cases("/nowhere", path, section="validation")
    assert item["case_id"] == "validation"


def test_the_usual_place_may_be_empty(tmp_path: Path, picture: Callable[..., Path]) -> None:
    """The bundle's default, ``dataset_dir + '/datalist.json'``, must not keep anyone from predicting a folder."""
    picture("scan.png")
    assert [item["case_id"] for item in list_cases(f"{tmp_path}/", f"{tmp_path}//datalist.json")] == ["scan"]


@pytest.mark.parametrize(
    ("dataset_dir", "arguments", "message"),
    [
        (
            "absent",
            {},
            r"dataset_dir '.*absent' does not exist; pass --dataset_dir <folder of images>.*scripts.prepare",
        ),
        ("scan.png", {}, r"dataset_dir '.*scan.png' is no folder"),
        ("empty", {}, r"'.*empty' holds no image and no datalist; pass --dataset_dir <folder of PNG"),
        (".", {"datalist": "misspelt.json"}, r"datalist 'misspelt.json' does not exist"),
    ],
)
def test_nothing_to_do_is_said(
    tmp_path: Path, picture: Callable[..., Path], dataset_dir: str, arguments: dict[str, str], message: str
) -> None:
    picture("scan.png")
    (tmp_path / "empty").mkdir()
    (tmp_path / "empty" / "table.csv").write_text("a,b\n")
    with pytest.raises(DatalistError, match=message):
        list_cases(tmp_path / dataset_dir, **arguments)
