"""Metrics: pure functions on tensors and arrays that know no network."""

from common.metrics.bootstrap import Interval, bootstrap_interval, bootstrap_weighted, mean_interval
from common.metrics.calibration import (
    calibration_scores,
    calibration_table,
    fit_temperature,
    reliability_curve,
    scale_temperature,
)
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
from common.metrics.fundus import cup_to_disc_ratio
from common.metrics.localisation import (
    Detections,
    box_precision_table,
    froc_points,
    froc_table,
    match_boxes,
    match_marks,
    precision_recall_points,
)
from common.metrics.ood import ood_table
from common.metrics.operating_point import operating_point_table
from common.metrics.pixel_uncertainty import (
    overlap_at_thresholds,
    overlap_curve,
    overlap_interval,
    pixel_error_auroc,
    retention_scores,
)
from common.metrics.segmentation import (
    distance_scores,
    overlap_scores,
    presence_scores,
    scored_structures,
    segmentation_scores,
    structure_masks,
)
from common.metrics.segmented_cases import SegmentationScores
from common.metrics.selective import risk_coverage_curve, selective_scores, selective_table
from common.metrics.uncertainty import image_uncertainties

__all__ = [
    "Detections",
    "Interval",
    "SegmentationScores",
    "aopc_curve",
    "aopc_from_scores",
    "bootstrap_interval",
    "bootstrap_weighted",
    "box_precision_table",
    "calibration_scores",
    "calibration_table",
    "classification_curves",
    "classification_scores",
    "classification_table",
    "cup_to_disc_ratio",
    "distance_scores",
    "energy_in_roi",
    "fit_temperature",
    "froc_points",
    "froc_table",
    "image_uncertainties",
    "localisation_scores",
    "match_boxes",
    "match_marks",
    "mean_interval",
    "ood_table",
    "operating_point_table",
    "overlap_at_thresholds",
    "overlap_curve",
    "overlap_interval",
    "overlap_scores",
    "perturbation_points",
    "pixel_error_auroc",
    "pointing_game",
    "pompom",
    "precision_recall_points",
    "presence_scores",
    "reliability_curve",
    "retention_scores",
    "risk_coverage_curve",
    "roi_area",
    "scale_temperature",
    "scored_structures",
    "segmentation_scores",
    "selective_scores",
    "selective_table",
    "structure_masks",
]
