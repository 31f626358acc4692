"""Geometry of star polygons: golden vertices, pencil values, and a second way to count windings."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.data.phantoms.polygons import (
    CIRCLE,
    PlacedShape,
    StarPolygon,
    outline_distance,
    rasterise,
    star_edges,
    star_vertices,
    step_choices,
    winding_number,
)

# Source: icrto/xML, its polygon drawing called with p, q, centre (x, y), radius, rotation.
GOLDEN = {
    "triangle": (
        (3, 1, (50, 60), 20, 0.3),
        [[69.1067297825, 65.9104041332], [35.3280749827, 73.5917113083], [45.5651952348, 40.4978845585]],
        [[0, 1], [1, 2], [2, 0]],
    ),
    "pentagram": (
        (5, 2, (100, 90), 14, -1.1),
        [
            [106.3503457000, 77.5230969591],
            [113.8286046816, 92.1839625819],
            [102.1962020103, 103.8266661466],
            [87.5287228069, 96.3613870478],
            [90.0961248013, 80.1048872645],
        ],
        [[0, 2], [1, 3], [2, 4], [3, 0], [4, 1]],
    ),
}


@pytest.mark.parametrize(("arguments", "vertices", "edges"), GOLDEN.values(), ids=GOLDEN.keys())
def test_vertices_and_edges_are_those_of_the_reference(arguments, vertices, edges):
    p, q, centre, radius, rotation = arguments
    np.testing.assert_allclose(star_vertices(p, centre, radius, rotation), vertices, atol=1e-9)
    np.testing.assert_array_equal(star_edges(p, q), edges)


# Source: icrto/xML, the steps its generator can draw for each number of vertices.
@pytest.mark.parametrize(
    ("p", "steps"),
    [
        (3, [1]),
        (4, [1]),
        (5, [1, 2]),
        (6, [1, 2]),
        (7, [1, 2, 3]),
        (8, [1, 2, 3]),
        (9, [1, 2, 3, 4]),
        (10, [1, 2, 3, 4]),
        (11, [1, 2, 3, 4, 5]),
        (12, [1, 2, 3, 4, 5]),
    ],
)
def test_steps_are_those_of_the_reference(p, steps):
    assert list(step_choices(p)) == steps


def figures():
    return st.integers(3, 13).flatmap(lambda p: st.builds(StarPolygon, st.just(p), st.sampled_from(step_choices(p))))


@given(figures(), st.floats(-50, 50), st.floats(-50, 50), st.floats(1, 40), st.floats(-math.pi, math.pi))
def test_vertices_lie_on_the_circle_and_edges_are_equally_long(kind, x, y, radius, rotation):
    vertices = star_vertices(kind.p, (x, y), radius, rotation)
    np.testing.assert_allclose(np.hypot(*(vertices - (x, y)).T), radius, rtol=1e-9)
    edges = star_edges(kind.p, kind.q)
    chord = 2 * radius * math.sin(math.pi * kind.q / kind.p)
    np.testing.assert_allclose(np.hypot(*(vertices[edges[:, 1]] - vertices[edges[:, 0]]).T), chord, rtol=1e-7)
    assert np.bincount(edges.ravel()).tolist() == [2] * kind.p, "every vertex ends two edges"


@given(figures(), st.floats(5, 20), st.floats(-math.pi, math.pi))
def test_the_inner_circle_touches_the_outline(kind, radius, rotation):
    vertices = star_vertices(kind.p, (3.0, -2.0), radius, rotation)
    distance = outline_distance(np.array([[3.0, -2.0]]), vertices, star_edges(kind.p, kind.q))
    assert distance[0] == pytest.approx(kind.inradius(radius), abs=1e-9)


def test_distance_to_a_square_by_pencil():
    square = star_vertices(4, (0, 0), math.sqrt(2), math.pi / 4)  # corners (+-1, +-1)
    points = np.array([[0.0, 0.0], [1.0, 0.5], [3.0, 0.0], [4.0, 5.0]])
    np.testing.assert_allclose(outline_distance(points, square, star_edges(4, 1)), [1, 0, 2, 5], atol=1e-12)


@pytest.mark.parametrize(
    ("kind", "centre", "tip"),
    [(StarPolygon(3), 1, 1), (StarPolygon(5, 2), 2, 1), (StarPolygon(6, 2), 2, 1), (StarPolygon(7, 3), 3, 1)],
    ids=str,
)
def test_winding_in_the_middle_equals_the_step_and_is_one_at_the_tips(kind, centre, tip):
    vertices = star_vertices(kind.p, (0, 0), 10, 0.2)
    points = np.concatenate([[[0.0, 0.0]], 0.98 * vertices, 1.02 * vertices])
    winding = winding_number(points, vertices, star_edges(kind.p, kind.q))
    assert winding.tolist() == [centre] + [tip] * kind.p + [0] * kind.p


@given(figures(), st.floats(-math.pi, math.pi), st.integers(0, 2**32 - 1))
def test_winding_by_crossings_equals_winding_by_angles(kind, rotation, seed):
    """The slow obvious way: add up the angles under which the edges are seen, and divide by a full turn."""
    vertices, edges = star_vertices(kind.p, (0, 0), 10, rotation), star_edges(kind.p, kind.q)
    points = np.random.default_rng(seed).uniform(-12, 12, (30, 2))
    points = points[outline_distance(points, vertices, edges) > 1e-6]
    for point, winding in zip(points, winding_number(points, vertices, edges), strict=True):
        turn = 0.0
        for start, end in edges:
            (ax, ay), (bx, by) = vertices[start] - point, vertices[end] - point
            turn += math.atan2(ax * by - ay * bx, ax * bx + ay * by)
        assert winding == round(turn / (2 * math.pi))


def test_a_square_on_whole_pixels_is_drawn_exactly():
    """Corners at (2, 2) and (6, 6), so the inside is columns and rows 2 to 5; the line is half a pixel to each side."""
    square = PlacedShape(StarPolygon(4), x=4, y=4, radius=2 * math.sqrt(2), rotation=math.pi / 4)
    raster = rasterise(square, 8, 8, stroke=1.0)
    silhouette, ink = np.zeros((8, 8), bool), np.zeros((8, 8))
    silhouette[raster.rows, raster.columns] = raster.silhouette
    ink[raster.rows, raster.columns] = raster.ink
    middle = ink[4]  # distances of the pixel centres to the two vertical lines: 1.5 0.5 0.5 1.5 ...
    np.testing.assert_allclose(middle, [0, 0.5, 0.5, 0, 0, 0.5, 0.5, 0], atol=1e-9)
    assert silhouette[2:6, 2:6].all()
    # Pixels whose centre lies on the line's outer border may fall to either side by rounding; beyond there is nothing.
    assert not silhouette[0].any()
    assert not silhouette[:, 7].any()


@pytest.mark.parametrize(
    ("kind", "area"),
    [
        (CIRCLE, math.pi),
        (StarPolygon(3), 3 * math.sqrt(3) / 4),
        (StarPolygon(4), 2.0),
        (StarPolygon(6), 3 * math.sqrt(3) / 2),
        # {6/2}: two triangles that overlap in a hexagon of radius 1/sqrt(3): 2 * 3 sqrt(3)/4 - sqrt(3)/2
        (StarPolygon(6, 2), math.sqrt(3)),
        # {5/2}: ten triangles between the centre, a tip (radius 1) and an inner corner (radius cos 72 / cos 36)
        (StarPolygon(5, 2), 5 * math.sin(math.pi / 5) * math.cos(math.radians(72)) / math.cos(math.radians(36))),
    ],
    ids=str,
)
def test_the_enclosed_area_has_no_hole(kind, area):
    """With the even-odd rule the middle of a star would be missing."""
    radius = 40.0
    # A line without width, since the silhouette includes the line.
    raster = rasterise(PlacedShape(kind, 50.3, 49.8, radius, 0.7), 100, 100, stroke=1e-9)
    assert raster.silhouette[50 - raster.rows.start, 50 - raster.columns.start], "the centre is inside"
    assert raster.silhouette.sum() == pytest.approx(area * radius**2, rel=0.01)


def test_filling_paints_what_is_enclosed():
    star = PlacedShape(StarPolygon(5, 2), 20.0, 20.0, 15.0, 0.3)
    outline, filled = (rasterise(star, 40, 40, stroke=2.0, filled=filled) for filled in (False, True))
    assert outline.ink[20 - outline.rows.start, 20 - outline.columns.start] == 0
    assert filled.ink[filled.silhouette].min() >= 0.5
    np.testing.assert_array_equal(filled.ink[~filled.silhouette], outline.ink[~filled.silhouette])


@given(
    figures() | st.just(CIRCLE), st.floats(0, 60), st.floats(0, 40), st.floats(2, 20), st.floats(-3, 3), st.floats(1, 4)
)
def test_the_box_holds_the_silhouette_and_stays_on_the_canvas(kind, x, y, radius, rotation, stroke):
    height, width = 40, 60
    shape = PlacedShape(kind, x, y, radius, rotation)
    x0, y0, x1, y1 = shape.box(height, width, margin=stroke / 2)
    assert 0 <= x0 <= x1 <= width
    assert 0 <= y0 <= y1 <= height
    raster = rasterise(shape, height, width, stroke)
    canvas = np.zeros((height, width), bool)
    canvas[raster.rows, raster.columns] = raster.silhouette
    outside = canvas.copy()
    outside[y0:y1, x0:x1] = False
    assert not outside.any()
    assert raster.ink.min(initial=0.0) >= 0
    assert raster.ink.max(initial=0.0) <= 1


def test_a_box_is_widened_to_whole_pixels():
    assert PlacedShape(CIRCLE, 10.5, 8.0, 3.0).box(20, 20) == (7, 5, 14, 11)
    assert PlacedShape(CIRCLE, 1.0, 19.0, 3.0).box(20, 20, margin=1.0) == (0, 15, 5, 20)


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("circle", "circle"),
        ("3/1", "triangle"),
        ("4/1", "square"),
        ("5/2", "pentagram"),
        ("7/3", "star 7/3"),
        ("9/1", "polygon 9/1"),
    ],
)
def test_figures_are_read_and_named(text, name):
    assert StarPolygon.parse(text).name == name
    assert str(StarPolygon.parse(text)) == text


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("triangle", "write 'circle' or p/q"),
        ("3", "write 'circle' or p/q"),
        ("-1/1", "write 'circle' or p/q"),
        ("2/1", "at least 3 vertices"),
        ("6/3", "there are: 6/1, 6/2"),
        ("5/0", "there are: 5/1, 5/2"),
    ],
)
def test_figures_that_do_not_exist_are_refused(text, message):
    with pytest.raises(ValueError, match=message):
        StarPolygon.parse(text)


@pytest.mark.parametrize(
    ("figure", "part", "expected"),
    [
        ("6/2", "3/1", True),
        ("9/3", "3/1", True),
        ("8/2", "4/1", True),
        ("10/4", "5/2", True),
        ("12/4", "6/2", True),
        ("3/1", "3/1", True),
        ("circle", "circle", True),
        ("3/1", "6/2", False),
        ("8/3", "4/1", False),
        ("6/1", "3/1", False),
        ("circle", "3/1", False),
        ("3/1", "circle", False),
    ],
)
def test_compounds_are_recognised(figure, part, expected):
    assert StarPolygon.parse(figure).is_made_of(StarPolygon.parse(part)) is expected
