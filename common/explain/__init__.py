"""Explanations: how faithful a map is, what it is compared with, and how it is shown."""

from common.explain.baselines import ATTRIBUTIONS, BASELINES, Attribution, centre_map, random_map
from common.explain.faithfulness import MAP_VARIANTS, map_dependence
from common.explain.fills import FILLS
from common.explain.interfaces import MapClassifier
from common.explain.local_update import LocalExplainer
from common.explain.perturbation import PerturbationCurve

__all__ = [
    "ATTRIBUTIONS",
    "BASELINES",
    "FILLS",
    "MAP_VARIANTS",
    "Attribution",
    "LocalExplainer",
    "MapClassifier",
    "PerturbationCurve",
    "centre_map",
    "map_dependence",
    "random_map",
]
