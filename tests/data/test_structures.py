"""The label map: what it may be, and pixel values becoming structure indices."""

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from common.data import DatalistError, check_datalist, load_structures, parse_structures, structure_indices
from common.data.structures import structure_problems

REFUGE = [
    {"name": "background", "values": [255]},
    {"name": "rim", "values": [128]},
    {"name": "cup", "values": [0]},
]


def datalist(**meta):
    items = [{"case_id": str(label), "image": f"{label}.png", "label": label} for label in (0, 1)]
    return {"training": items, "meta": {"task": "multiclass", "classes": ["a", "b"], **meta}}


def test_values_become_the_places_of_their_structures():
    indices, unknown = structure_indices(np.array([[0, 128], [255, 0]], dtype=np.uint8), REFUGE)
    assert indices.tolist() == [[2, 1], [0, 2]]
    assert indices.dtype == np.int64
    assert unknown == []


def test_several_values_may_mean_one_structure():
    structures = [{"name": "background", "values": [0, 7]}, {"name": "lesion", "values": [3]}]
    assert structure_indices(np.array([0, 3, 7]), structures)[0].tolist() == [0, 1, 0]


@pytest.mark.parametrize(
    ("values", "unknown"),
    [
        ([0, 127, 129, 255], [127, 129]),
        ([0.0, 127.5], [127.5]),
        ([-1, 70000, 128], [-1, 70000]),
        ([float("inf"), 0], [float("inf")]),
    ],
)
def test_values_outside_the_map_are_told(values, unknown):
    assert structure_indices(np.array(values), REFUGE)[1] == unknown


def test_not_a_number_is_unknown():
    (unknown,) = structure_indices(np.array([np.nan, 0]), REFUGE)[1]
    assert np.isnan(unknown)


@given(arrays.arrays(np.uint16, (5, 7), elements=st.sampled_from([0, 128, 255])))
def test_indices_lead_back_to_the_values(values):
    indices, unknown = structure_indices(values, REFUGE)
    assert not unknown
    np.testing.assert_array_equal(np.array([255, 128, 0])[indices], values)


@pytest.mark.parametrize(
    ("structures", "words"),
    [
        (None, "it is None, expected a list of at least two structures, the background first"),
        ([{"name": "only", "values": [0]}], "at least two"),
        ([{"name": "a", "values": [0]}, {"values": [1]}], "entry 1 is"),
        ([{"name": "a", "values": [0]}, {"name": "b", "values": []}], "entry 1 is"),
        ([{"name": "a", "values": [0]}, "b"], "entry 1 is 'b'"),
        ([{"name": "a", "values": [0]}, {"name": "a", "values": [1]}], "two structures are called 'a'"),
        ([{"name": "a", "values": [0, 1]}, {"name": "b", "values": [1]}], "value 1 belongs to 'a' and to 'b'"),
        (
            [{"name": "a", "values": [0]}, {"name": "b", "values": [1.0]}],
            "'b' has the pixel value 1.0, expected a whole",
        ),
        ([{"name": "a", "values": [0]}, {"name": "b", "values": [True]}], "'b' has the pixel value True"),
        ([{"name": "a", "values": [0]}, {"name": "b", "values": [-1]}], "from 0 to 65535"),
        ([{"name": "a", "values": [0]}, {"name": "b", "values": [65536]}], "from 0 to 65535"),
    ],
)
def test_maps_that_cannot_be_used(structures, words):
    assert words in "\n".join(structure_problems(structures))
    if structures is not None:
        with pytest.raises(DatalistError, match=r"meta.structures"):
            check_datalist(datalist(structures=structures))


def test_a_datalist_may_have_none_or_a_good_one(tmp_path):
    check_datalist(datalist())
    check_datalist(datalist(structures=REFUGE))
    for name, meta in (("with", {"structures": REFUGE}), ("without", {})):
        (tmp_path / f"{name}.json").write_text(json.dumps(datalist(**meta)))
    assert load_structures(tmp_path / "with.json") == REFUGE
    with pytest.raises(DatalistError, match=r"meta.structures is missing, expected for example .*--structures backgr"):
        load_structures(tmp_path / "without.json")


@pytest.mark.parametrize("text", ["background=255,rim=128,cup=0", {"background": 255, "rim": "128", "cup": 0}])
def test_a_map_on_the_command_line(text):
    assert parse_structures(text) == REFUGE


def test_several_values_on_the_command_line():
    assert parse_structures("a=0+64, b=1")[0] == {"name": "a", "values": [0, 64]}
    assert parse_structures("a=0+64, b=1")[1]["name"] == "b"


@pytest.mark.parametrize("text", ["background,lesion", "background=black", "background=0,lesion=1.5"])
def test_slips_on_the_command_line(text):
    with pytest.raises(ValueError, match="expected name=value or name=value"):
        parse_structures(text)
