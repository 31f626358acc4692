from functools import partial

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from common.explain.case_folder import folder_name, load_map, save_explanation, save_map
from common.explain.describer import Explanation
from common.explain.record import load_record
from common.explain.regions import resample_map
from common.explain.relevance_map_card import draw_relevance_map
from tests.explain.test_record import a_record


def test_three_files_that_agree(tmp_path):
    explanation = np.linspace(0, 0.999, 16, dtype=np.float32).reshape(4, 4)
    record = a_record(explanation=explanation)
    expected = resample_map(explanation, (40, 80))
    draw = partial(draw_relevance_map, record, np.full((1, 8, 8), 0.5), explanation)
    folder = save_explanation(tmp_path, Explanation(record, {"map.png": expected}, draw))
    assert folder.parent == tmp_path / "explanations"
    assert sorted(path.name for path in folder.iterdir()) == ["card.png", "explanation.json", "map.png"]
    assert load_record(folder / "explanation.json") == record
    assert load_map(folder / "map.png") == pytest.approx(expected, abs=0.5 / 65535)


def test_a_map_survives_the_file_to_16_bits(tmp_path):
    values = np.random.default_rng(0).random((7, 5), dtype=np.float32)
    save_map(tmp_path / "map.png", values)
    assert np.abs(load_map(tmp_path / "map.png") - values).max() <= 0.5 / 65535 + 1e-7
    with Image.open(tmp_path / "map.png") as file:
        assert np.asarray(file)[0, 0] == round(float(values[0, 0]) * 65535)


def test_a_picture_that_is_no_map_is_refused(tmp_path):
    Image.new("RGB", (4, 4)).save(tmp_path / "map.png")
    with pytest.raises(ValueError, match="image mode is 'RGB', expected a 16-bit grey PNG"):
        load_map(tmp_path / "map.png")


@pytest.mark.parametrize("case_id", ["shapes_0001", "a-b.c", "P07_left"])
def test_plain_names_stay(case_id):
    assert folder_name(case_id) == case_id


@given(st.text(min_size=0, max_size=200))
def test_any_name_becomes_one_harmless_folder(case_id):
    name = folder_name(case_id)
    assert 0 < len(name) <= 90
    assert name not in (".", "..")
    assert not set(name) & set('/\\:*?"<>|\0\n ')


def test_names_that_lose_letters_stay_apart():
    assert folder_name("a/b") != folder_name("a b")
    assert folder_name("../a") != folder_name("a")
