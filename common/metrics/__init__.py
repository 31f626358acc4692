"""Metrics: pure functions on tensors and arrays that know no network."""

from common.metrics.bootstrap import Interval, bootstrap_interval, bootstrap_weighted, mean_interval
from common.metrics.classification import classification_scores, classification_table
from common.metrics.curves import classification_curves, perturbation_points
from common.metrics.explanation import (
    aopc_curve,
    aopc_from_scores,
    energy_in_roi,
    localisation_scores,
    pointing_game,
    pompom,
    roi_area,
)

__all__ = [
    "Interval",
    "aopc_curve",
    "aopc_from_scores",
    "bootstrap_interval",
    "bootstrap_weighted",
    "classification_curves",
    "classification_scores",
    "classification_table",
    "energy_in_roi",
    "localisation_scores",
    "mean_interval",
    "perturbation_points",
    "pointing_game",
    "pompom",
    "roi_area",
]
