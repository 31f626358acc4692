"""Losses: pure tensor functions and thin classes that hold options."""

from common.losses.alignment import interpretation_alignment, prediction_alignment
from common.losses.cipl import CIPLLoss
from common.losses.consistency import affine_consistency
from common.losses.cross_entropy import CrossEntropyLoss
from common.losses.evidential import annealing, divergence_from_flat, expected_cross_entropy
from common.losses.explainer_classifier import ExplainerClassifierLoss
from common.losses.explanation import ExplanationLoss, contiguity, roi_leakage, sparsity
from common.losses.feedback import FEEDBACKS, cosine_feedback, difference_feedback, product_feedback
from common.losses.inter_nrl import DistillationLoss, StudentLoss, TeacherLoss, distillation_hinge
from common.losses.log_dice import dice_sums, log_dice
from common.losses.multi_label import MultiLabelLoss, multi_label_cross_entropy
from common.losses.prototype import class_distance, cluster, orthogonality, separation
from common.losses.prototype_loss import PrototypeTerms
from common.losses.pseudo_label import pseudo_label, soft_cross_entropy
from common.losses.uml import UMLLoss

__all__ = [
    "FEEDBACKS",
    "CIPLLoss",
    "CrossEntropyLoss",
    "DistillationLoss",
    "ExplainerClassifierLoss",
    "ExplanationLoss",
    "MultiLabelLoss",
    "PrototypeTerms",
    "StudentLoss",
    "TeacherLoss",
    "UMLLoss",
    "affine_consistency",
    "annealing",
    "class_distance",
    "cluster",
    "contiguity",
    "cosine_feedback",
    "dice_sums",
    "difference_feedback",
    "distillation_hinge",
    "divergence_from_flat",
    "expected_cross_entropy",
    "interpretation_alignment",
    "log_dice",
    "multi_label_cross_entropy",
    "orthogonality",
    "prediction_alignment",
    "product_feedback",
    "pseudo_label",
    "roi_leakage",
    "separation",
    "soft_cross_entropy",
    "sparsity",
]
