"""Losses: pure tensor functions and thin classes that hold options."""

from common.losses.alignment import interpretation_alignment, prediction_alignment
from common.losses.cipl import CIPLLoss
from common.losses.consistency import affine_consistency
from common.losses.cross_entropy import CrossEntropyLoss
from common.losses.evidential import annealing, divergence_from_flat, expected_cross_entropy
from common.losses.exam_labels import ExamLabelLoss
from common.losses.exam_segmentation import ExamSegmentationLoss, lesion_target
from common.losses.explainer_classifier import ExplainerClassifierLoss
from common.losses.explanation import ExplanationLoss, contiguity, roi_leakage, sparsity
from common.losses.feedback import FEEDBACKS, cosine_feedback, difference_feedback, product_feedback
from common.losses.haze import abnormality, agreement, reconstruction, roughness
from common.losses.inter_nrl import DistillationLoss, StudentLoss, TeacherLoss, distillation_hinge
from common.losses.log_dice import dice_sums, log_dice
from common.losses.multi_label import MultiLabelLoss, multi_label_cross_entropy
from common.losses.prototype import class_distance, cluster, orthogonality, separation
from common.losses.prototype_loss import PrototypeTerms
from common.losses.pseudo_label import pseudo_label, soft_cross_entropy
from common.losses.ranking import ranking, shared_count
from common.losses.report_contrast import row_contrast, two_way_contrast
from common.losses.uml import UMLLoss
from common.losses.view_contrast import region_profile, view_contrast
from common.losses.vwyl import VWYLLoss
from common.losses.word_region import (
    cosine_scores,
    double_softmax_scores,
    sentence_attention,
    sentence_scores,
    word_attention,
)

__all__ = [
    "FEEDBACKS",
    "CIPLLoss",
    "CrossEntropyLoss",
    "DistillationLoss",
    "ExamLabelLoss",
    "ExamSegmentationLoss",
    "ExplainerClassifierLoss",
    "ExplanationLoss",
    "MultiLabelLoss",
    "PrototypeTerms",
    "StudentLoss",
    "TeacherLoss",
    "UMLLoss",
    "VWYLLoss",
    "abnormality",
    "affine_consistency",
    "agreement",
    "annealing",
    "class_distance",
    "cluster",
    "contiguity",
    "cosine_feedback",
    "cosine_scores",
    "dice_sums",
    "difference_feedback",
    "distillation_hinge",
    "divergence_from_flat",
    "double_softmax_scores",
    "expected_cross_entropy",
    "interpretation_alignment",
    "lesion_target",
    "log_dice",
    "multi_label_cross_entropy",
    "orthogonality",
    "prediction_alignment",
    "product_feedback",
    "pseudo_label",
    "ranking",
    "reconstruction",
    "region_profile",
    "roi_leakage",
    "roughness",
    "row_contrast",
    "sentence_attention",
    "sentence_scores",
    "separation",
    "shared_count",
    "soft_cross_entropy",
    "sparsity",
    "two_way_contrast",
    "view_contrast",
    "word_attention",
]
