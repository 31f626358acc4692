"""Metrics: pure functions on tensors and arrays that know no network."""

from common.metrics.abnormality_map import dice_above, highest_share, pixel_precision
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
from common.metrics.image_filters import (
    FILTERS,
    bright_specks,
    brightest_spot,
    difference_of_gaussians,
    foreground_of,
    strongest_by_side,
)
from common.metrics.lesions import image_dice, lesion_overlaps, match_lesions
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
from common.metrics.retrieval import recall_at, report_similarity, retrieval_table, same_sets
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
from common.metrics.zero_shot import ExamScores, held_out_table, side_table, zero_shot_table

__all__ = [
    "FILTERS",
    "Detections",
    "ExamScores",
    "Interval",
    "SegmentationScores",
    "aopc_curve",
    "aopc_from_scores",
    "bootstrap_interval",
    "bootstrap_weighted",
    "box_precision_table",
    "bright_specks",
    "brightest_spot",
    "calibration_scores",
    "calibration_table",
    "classification_curves",
    "classification_scores",
    "classification_table",
    "cup_to_disc_ratio",
    "dice_above",
    "difference_of_gaussians",
    "distance_scores",
    "energy_in_roi",
    "fit_temperature",
    "foreground_of",
    "froc_points",
    "froc_table",
    "held_out_table",
    "highest_share",
    "image_dice",
    "image_uncertainties",
    "lesion_overlaps",
    "localisation_scores",
    "match_boxes",
    "match_lesions",
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
    "pixel_precision",
    "pointing_game",
    "pompom",
    "precision_recall_points",
    "presence_scores",
    "recall_at",
    "reliability_curve",
    "report_similarity",
    "retention_scores",
    "retrieval_table",
    "risk_coverage_curve",
    "roi_area",
    "same_sets",
    "scale_temperature",
    "scored_structures",
    "segmentation_scores",
    "selective_scores",
    "selective_table",
    "side_table",
    "strongest_by_side",
    "structure_masks",
    "zero_shot_table",
]
