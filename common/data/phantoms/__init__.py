"""Generators of data sets that need no licence, for demonstrations and tests."""

from common.data.phantoms.balance import balanced_label
from common.data.phantoms.chest import ChestFacts, ChestImage, chest_facts, make_chest
from common.data.phantoms.chest_dataset import write_chests
from common.data.phantoms.chest_settings import CHEST_FINDINGS, CHEST_PRESETS, ChestSettings
from common.data.phantoms.exam_dataset import write_exams
from common.data.phantoms.exam_description import (
    BreastTruth,
    ExamTruth,
    Lesion,
    describe_exam,
)
from common.data.phantoms.exam_picture import ExamView, make_views
from common.data.phantoms.exam_settings import EXAM_PRESETS, ExamSettings
from common.data.phantoms.fundus import FundusSample, fundus_label, make_fundus
from common.data.phantoms.fundus_dataset import write_fundus
from common.data.phantoms.fundus_scene import Ellipse, FundusScene
from common.data.phantoms.fundus_settings import FUNDUS_PRESETS, FundusSettings
from common.data.phantoms.mammogram import BreastFacts, Mammogram, breast_facts, make_mammogram
from common.data.phantoms.mammogram_dataset import write_mammograms
from common.data.phantoms.mammogram_settings import MAMMOGRAM_PRESETS, MammogramSettings
from common.data.phantoms.polygons import CIRCLE, PlacedShape, StarPolygon, rasterise, star_edges, star_vertices
from common.data.phantoms.shapes import Scene, ShapesSample, draw_scene, label_of, make_sample, sample_scene
from common.data.phantoms.shapes_dataset import assign_splits, write_shapes
from common.data.phantoms.shapes_settings import PRESETS, ShapesSettings
from common.data.phantoms.stamped_folder import is_current, make_folder

__all__ = [
    "CHEST_FINDINGS",
    "CHEST_PRESETS",
    "CIRCLE",
    "EXAM_PRESETS",
    "FUNDUS_PRESETS",
    "MAMMOGRAM_PRESETS",
    "PRESETS",
    "BreastFacts",
    "BreastTruth",
    "ChestFacts",
    "ChestImage",
    "ChestSettings",
    "Ellipse",
    "ExamSettings",
    "ExamTruth",
    "ExamView",
    "FundusSample",
    "FundusScene",
    "FundusSettings",
    "Lesion",
    "Mammogram",
    "MammogramSettings",
    "PlacedShape",
    "Scene",
    "ShapesSample",
    "ShapesSettings",
    "StarPolygon",
    "assign_splits",
    "balanced_label",
    "breast_facts",
    "chest_facts",
    "describe_exam",
    "draw_scene",
    "fundus_label",
    "is_current",
    "label_of",
    "make_chest",
    "make_folder",
    "make_fundus",
    "make_mammogram",
    "make_sample",
    "make_views",
    "rasterise",
    "sample_scene",
    "star_edges",
    "star_vertices",
    "write_chests",
    "write_exams",
    "write_fundus",
    "write_mammograms",
    "write_shapes",
]
