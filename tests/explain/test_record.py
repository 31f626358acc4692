import copy
import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.data.placement import Placement
from common.explain.record import case_record, load_record, save_record
from common.explain.record_check import NEEDS, check_record
from common.explain.regions import box_in_source, box_of, find_regions, point_in_source, resample_map
from common.explain.relevance_map import HOW_TO_READ, add_map
from common.explain.schema import ArrayFile, Evidence, ExplanationRecord, Prediction


def a_record(**changes):
    """Explain a 4 x 4 map with two bright parts over a source image of 40 x 80 pixels."""
    of_map = {"explanation": np.array([[0.8, 0.6, 0, 0], [0, 0, 0, 0], [0, 0, 0, 0.2], [0, 0, 0, 0.9]])}
    of_map |= {name: value for name, value in changes.items() if name in ("explanation", "mask", "max_regions")}
    of_case = {
        "method": "xml_explainer_classification",
        "how_to_read": HOW_TO_READ,
        "case_id": "case 1",
        "image_path": "images/1.png",
        "source_size": (40, 80),
        "classes": ["benign", "malignant"],
        "probabilities": [0.25, 0.75],
    }
    of_case |= {name: value for name, value in changes.items() if name not in of_map | {"mask": 0, "max_regions": 0}}
    return add_map(case_record(**of_case), **of_map)


def all_over(source):
    return Placement(source, (0, 0, source[1], source[0]))


def test_record_by_pencil():
    mask = np.zeros((4, 4))
    mask[0, :2] = 1
    record = a_record(mask=mask, label=0, patient_id="p7", uncertainty={"vacuity": 0.5})
    assert record["image"] == {"path": "images/1.png", "rows": 40, "columns": 80}
    expected = {"index": 1, "class": "malignant", "probabilities": {"benign": 0.25, "malignant": 0.75}}
    assert record["prediction"] == expected
    assert record["label"] == {"index": 0, "class": "benign"}
    assert record["patient_id"] == "p7"
    assert record["uncertainty"] == {"vacuity": 0.5}
    summary = record["map"]
    assert (summary["computed_at"], summary["regions"], summary["threshold"]) == ([4, 4], 2, 0.5)
    assert summary["maximum"] == pytest.approx(0.9)
    assert summary["mean"] == pytest.approx(2.5 / 16)
    assert summary["area_above_half"] == 3 / 16
    # a map pixel is 20 columns by 10 rows of the source; 1.4 of 2.5 lies in the first region, 0.9 in the second
    first, second = record["evidence"]
    assert first == {"kind": "region", "box": [0, 0, 40, 10], "peak": [10, 5], "share": pytest.approx(0.56)}
    assert second == {"kind": "region", "box": [60, 30, 80, 40], "peak": [70, 35], "share": pytest.approx(0.36)}
    roi = {"box": [0, 0, 40, 10], "area": 0.125, "energy": pytest.approx(0.56), "pointing_hit": False}
    assert record["roi"] == roi


@pytest.mark.parametrize("missing", ["label", "patient_id", "uncertainty", "roi"])
def test_unknown_things_are_left_out(missing):
    assert missing not in a_record()


def test_a_mask_at_source_size_says_the_same_as_one_at_map_size():
    small = np.zeros((4, 4))
    small[0, :2] = 1
    large = np.kron(small, np.ones((10, 20)))
    assert a_record(mask=large)["roi"] == a_record(mask=small)["roi"]


@pytest.mark.parametrize(("inside", "hit"), [(1, False), (2, True), (3, True)])
def test_of_equally_bright_points_at_least_half_must_lie_inside(inside, hit):
    mask = np.zeros((1, 8))
    mask[0, :inside] = 1
    record = a_record(explanation=np.array([[0.9, 0.9, 0.9, 0.9, 0, 0, 0, 0]]), mask=mask)
    assert record["roi"]["pointing_hit"] is hit


def test_an_empty_mask_is_no_region():
    assert "roi" not in a_record(mask=np.zeros((4, 4)))


@pytest.mark.parametrize("value", [0.0, 0.4])
def test_a_map_below_the_threshold_has_no_evidence(value):
    record = a_record(explanation=np.full((4, 4), value))
    assert (record["evidence"], record["map"]["regions"]) == ([], 0)


def test_only_the_largest_regions_are_listed_and_all_are_counted():
    explanation = np.zeros((9, 9))
    explanation[::2, ::2] = np.linspace(0.5, 0.99, 25).reshape(5, 5)
    record = a_record(explanation=explanation, max_regions=3)
    assert record["map"]["regions"] == 25
    shares = [item["share"] for item in record["evidence"]]
    assert len(shares) == 3
    assert shares == sorted(shares, reverse=True)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"probabilities": [0.2, 0.3, 0.5]}, r"case 'case 1': probabilities have shape \(3,\), expected \(2,\)"),
        ({"probabilities": [0.2, np.nan]}, "prediction.probabilities.malignant is nan, expected 0 to 1"),
        ({"explanation": np.ones((1, 4, 4))}, r"the map has shape \(1, 4, 4\), expected \(rows, columns\)"),
        ({"explanation": np.full((4, 4), 1.5)}, "the map holds values from 1.5 to 1.5, expected 0 to 1"),
        ({"explanation": np.full((4, 4), np.nan)}, "expected 0 to 1; rescale it"),
        ({"mask": np.ones((5, 5))}, r"the mask has shape \(5, 5\), expected that of the map \(4, 4\)"),
        ({"label": 2}, "label.index is 2, expected 0 to 1 for the classes"),
        ({"source_size": (0, 80)}, "image is 0 x 80 pixels, expected at least one row and column"),
        ({"classes": ["a", "a"]}, r"classes is \['a', 'a'\], expected distinct names"),
        ({"uncertainty": {"vacuity": np.inf}}, "uncertainty.vacuity is inf, expected a finite number"),
    ],
)
def test_impossible_values_are_refused(changes, message):
    with pytest.raises(ValueError, match=message):
        a_record(**changes)


def _set(path, value):
    def change(record):
        *parents, last = path
        for name in parents:
            record = record[name]
        record[last] = value

    return change


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda r: r.pop("classes"), "x.json: the field 'classes' is missing"),
        (lambda r: r["map"].pop("mean"), "x.json: the field 'map.mean' is missing"),
        (_set(["probabilties"], {}), "x.json: unknown field 'probabilties'"),
        (_set(["image", "row"], 1), "x.json: unknown field 'image.row'; did you mean 'rows'"),
        (_set(["map", "mean"], "dark"), "x.json: map.mean is 'dark', expected a number"),
        (_set(["image", "rows"], True), "x.json: image.rows is True, expected a whole number"),
        (_set(["image"], 3), "x.json: image is 3, expected an object"),
        (_set(["evidence", 1, "box", 0], 0.5), r"x.json: evidence\[1\].box\[0\] is 0.5, expected a whole number"),
        (_set(["evidence", 0, "box"], [0, 0, 81, 10]), r"evidence\[0\].box is \[0, 0, 81, 10\], expected .* 80 x 40"),
        (_set(["evidence", 0, "box"], [5, 0, 5, 10]), r"evidence\[0\].box is"),
        (_set(["evidence", 0, "peak"], [80, 5]), r"evidence\[0\].peak is \[80, 5\], expected \[x, y\] inside"),
        (
            _set(["evidence", 0, "kind"], "A guess"),
            r"evidence\[0\].kind is 'A guess', expected a name of small letters",
        ),
        (lambda r: r["evidence"][0].pop("peak"), r"the field 'evidence\[0\].peak' is missing"),
        (_set(["prediction", "class"], "benign"), "prediction.class is 'benign', expected 'malignant'"),
        (_set(["schema"], "other"), "not an explanation record"),
        (_set(["schema_version"], 99), "schema_version is 99, this version reads 2"),
    ],
)
def test_a_broken_record_is_named(change, message):
    record = copy.deepcopy(a_record())
    change(record)
    with pytest.raises(ValueError, match=message):
        check_record(record, "x.json")


def test_saved_and_loaded_it_is_the_same(tmp_path):
    record = a_record(label=1, mask=np.ones((4, 4)))
    save_record(tmp_path / "explanation.json", record)
    assert load_record(tmp_path / "explanation.json") == record


@pytest.mark.parametrize("content", ["{", "", "[1, 2]", '{"schema": "vitrine.explanation"}'])
def test_a_file_that_is_no_record_is_named(tmp_path, content):
    path = tmp_path / "explanation.json"
    path.write_text(content)
    with pytest.raises(ValueError, match=r"explanation\.json"):
        load_record(path)


def test_the_file_is_plain_json(tmp_path):
    save_record(tmp_path / "explanation.json", a_record())
    assert json.loads((tmp_path / "explanation.json").read_text())["case_id"] == "case 1"


sizes = st.tuples(st.integers(1, 40), st.integers(1, 40))


@st.composite
def boxes(draw):
    """A map size, a box in it, and a source size."""
    rows, columns = draw(sizes)
    x0, y0 = draw(st.integers(0, columns - 1)), draw(st.integers(0, rows - 1))
    x1, y1 = draw(st.integers(x0 + 1, columns)), draw(st.integers(y0 + 1, rows))
    return (rows, columns), (x0, y0, x1, y1), draw(sizes)


@given(boxes())
def test_a_box_in_whole_pixels_covers_the_place_and_stays_inside(drawn):
    size, box, source = drawn
    exact = all_over(source).box_to_source(box, size)
    x0, y0, x1, y1 = box_in_source(box, size, all_over(source))
    assert 0 <= x0 < x1 <= source[1]
    assert 0 <= y0 < y1 <= source[0]
    assert x0 <= exact[0] + 1e-6 < x0 + 1
    assert x1 - 1 < exact[2] - 1e-6 + 1e-9 or x1 - x0 == 1
    assert x1 >= exact[2] - 1e-6


@given(st.integers(1, 12), st.integers(1, 12), st.integers(1, 5), st.integers(1, 5), st.data())
def test_a_bright_block_is_found_where_it_is(rows, columns, times_rows, times_columns, data):
    x0, y0 = data.draw(st.integers(0, columns - 1)), data.draw(st.integers(0, rows - 1))
    x1, y1 = data.draw(st.integers(x0 + 1, columns)), data.draw(st.integers(y0 + 1, rows))
    explanation = np.zeros((rows, columns))
    explanation[y0:y1, x0:x1] = 0.75
    source = (rows * times_rows, columns * times_columns)
    record = a_record(explanation=explanation, source_size=source, mask=explanation)
    box = [x0 * times_columns, y0 * times_rows, x1 * times_columns, y1 * times_rows]
    (item,) = record["evidence"]
    assert item["box"] == box
    assert item["share"] == pytest.approx(1)
    x, y = item["peak"]
    assert box[0] <= x < box[2]
    assert box[1] <= y < box[3]
    assert record["roi"] == {
        "box": box,
        "area": pytest.approx((x1 - x0) * (y1 - y0) / (rows * columns)),
        "energy": pytest.approx(1),
        "pointing_hit": True,
    }


@given(st.integers(0, 2**32 - 1), sizes, sizes)
def test_evidence_lies_inside_any_image(seed, size, source):
    explanation = np.random.default_rng(seed).random(size)
    record = a_record(explanation=explanation, source_size=source)  # boxes and peaks are checked when it is built
    assert sum(item["share"] for item in record["evidence"]) <= 1 + 1e-6


@given(st.integers(0, 2**32 - 1), sizes, sizes)
def test_resampling_keeps_the_range_and_constant_maps(seed, size, source):
    values = np.random.default_rng(seed).random(size, dtype=np.float32)
    resampled = resample_map(values, source)
    assert resampled.shape == source
    assert values.min() - 1e-5 <= resampled.min() <= resampled.max() <= values.max() + 1e-5
    assert resample_map(np.full(size, 0.25, np.float32), source) == pytest.approx(0.25)


def test_resampling_by_pencil():
    # pixel centres at 1/4 and 3/4 of the row; bilinear in between, constant outside
    assert resample_map(np.array([[0.0, 1.0]], np.float32), (1, 4))[0] == pytest.approx([0, 0.25, 0.75, 1])


@pytest.mark.parametrize(
    ("point", "size", "target", "expected"),
    [((0, 0), (2, 2), (20, 40), [10, 5]), ((1, 1), (2, 2), (20, 40), [30, 15]), ((3, 3), (4, 4), (1, 1), [0, 0])],
)
def test_points_go_to_the_pixel_below_their_centre(point, size, target, expected):
    assert point_in_source(point, size, all_over(target)) == expected


def test_corners_that_touch_are_one_region():
    assert [region.box for region in find_regions(np.eye(3, dtype=np.float32), 0.5)] == [(0, 0, 3, 3)]


def test_box_of_a_mask():
    mask = np.zeros((5, 6), bool)
    assert box_of(mask) is None
    mask[1, 2] = mask[3, 4] = True
    assert box_of(mask) == (2, 1, 5, 4)


def test_the_documented_example_is_a_record(repository):
    text = (repository / "docs/reference/explanation_json.md").read_text()
    example = json.loads(text.split("```json\n")[1].split("```")[0])
    assert check_record(example, "explanation_json.md")["evidence"][0]["box"] == [196, 120, 288, 216]
    for name in example["map"]:
        assert f"`map.{name}`" in text
    for name in [*ExplanationRecord.__annotations__, *Evidence.__annotations__, *ArrayFile.__annotations__]:
        assert f"`{name}" in text
    for name in [*Prediction.__annotations__]:
        assert f"`prediction.{name}`" in text
    for name in example["roi"]:
        assert f"`{name}`" in text
    for kind, fields in NEEDS.items():
        assert f"| `{kind}` | {', '.join(f'`{field}`' for field in fields)} |" in text
