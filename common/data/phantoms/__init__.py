"""Generators of data sets that need no licence, for demonstrations and tests."""

from common.data.phantoms.polygons import CIRCLE, PlacedShape, StarPolygon, rasterise, star_edges, star_vertices
from common.data.phantoms.shapes import Scene, ShapesSample, draw_scene, label_of, make_sample, sample_scene
from common.data.phantoms.shapes_dataset import assign_splits, write_shapes
from common.data.phantoms.shapes_settings import PRESETS, ShapesSettings
from common.data.phantoms.stamped_folder import is_current, make_folder

__all__ = [
    "CIRCLE",
    "PRESETS",
    "PlacedShape",
    "Scene",
    "ShapesSample",
    "ShapesSettings",
    "StarPolygon",
    "assign_splits",
    "draw_scene",
    "is_current",
    "label_of",
    "make_folder",
    "make_sample",
    "rasterise",
    "sample_scene",
    "star_edges",
    "star_vertices",
    "write_shapes",
]
