"""Exams without a table: one folder each."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from common.data.errors import DatalistError
from common.data.sources.exam_folders import list_exams

VIEWS, SIDES = ["left_cc", "left_mlo", "right_cc", "right_mlo"], ["left", "right"]


def picture(path: Path) -> str:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.arange(4096, dtype=np.uint8).reshape(64, 64)).save(path)
    return str(path.resolve())


def test_every_folder_is_an_exam_of_the_views_it_has(tmp_path: Path) -> None:
    left, right = picture(tmp_path / "b" / "L_CC.png"), picture(tmp_path / "b" / "deep" / "right mlo.png")
    only = picture(tmp_path / "a" / "RCC.png")
    assert list_exams(tmp_path, VIEWS, SIDES) == [
        {"case_id": "a", "views": {"right_cc": only}},
        {"case_id": "b", "views": {"left_cc": left, "right_mlo": right}},
    ]


def test_a_datalist_comes_first(tmp_path: Path) -> None:
    path = picture(tmp_path / "images" / "x.png")
    exam = {"case_id": "e", "views": {"left_cc": "images/x.png"}, "label": [1, 0], "report": "Mass."}
    meta = {"name": "x", "task": "multilabel", "classes": ["left mass", "right mass"]}
    (tmp_path / "datalist.json").write_text(
        json.dumps({"training": [], "validation": [], "test": [exam], "meta": meta})
    )
    (item,) = list_exams(tmp_path, VIEWS, SIDES, tmp_path / "datalist.json", keys=["case_id", "views"])
    assert item == {"case_id": "e", "views": {"left_cc": path}}


def test_an_exam_without_a_view_is_named(tmp_path: Path) -> None:
    picture(tmp_path / "a" / "holiday.png")
    with pytest.raises(DatalistError, match=r"exams without any view.*a"):
        list_exams(tmp_path, VIEWS, SIDES)


def test_a_folder_of_nothing_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DatalistError, match="holds no datalist and no folders"):
        list_exams(tmp_path, VIEWS, SIDES)
