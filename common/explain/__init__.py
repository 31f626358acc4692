"""Explanations: how faithful a map is, what it is compared with, and how it is shown."""

from common.explain.baselines import ATTRIBUTIONS, BASELINES, Attribution, centre_map, random_map
from common.explain.case_folder import load_map, save_explanation
from common.explain.class_heatmap import class_heatmap, ordinary_similarity, similarity_range
from common.explain.describer import Case, Describer, Explanation
from common.explain.evidential_segmentation import EvidentialSegmentation
from common.explain.exam_reasoning import ExamReasoning
from common.explain.faithfulness import MAP_VARIANTS, map_dependence
from common.explain.fills import FILLS
from common.explain.interfaces import MapClassifier
from common.explain.local_update import LocalExplainer
from common.explain.perturbation import PerturbationCurve
from common.explain.prototype_reasoning import PrototypeReasoning
from common.explain.record import case_record, load_record, save_record
from common.explain.record_check import check_record
from common.explain.relevance import AttributionRelevance, HeatmapRelevance, Relevance
from common.explain.relevance_map import RelevanceMap
from common.explain.report import write_report
from common.explain.schema import ExplanationRecord

__all__ = [
    "ATTRIBUTIONS",
    "BASELINES",
    "FILLS",
    "MAP_VARIANTS",
    "Attribution",
    "AttributionRelevance",
    "Case",
    "Describer",
    "EvidentialSegmentation",
    "ExamReasoning",
    "Explanation",
    "ExplanationRecord",
    "HeatmapRelevance",
    "LocalExplainer",
    "MapClassifier",
    "PerturbationCurve",
    "PrototypeReasoning",
    "Relevance",
    "RelevanceMap",
    "case_record",
    "centre_map",
    "check_record",
    "class_heatmap",
    "load_map",
    "load_record",
    "map_dependence",
    "ordinary_similarity",
    "random_map",
    "save_explanation",
    "save_record",
    "similarity_range",
    "write_report",
]
