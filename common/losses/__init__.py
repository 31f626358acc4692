"""Losses: pure tensor functions and thin classes that hold options."""

from common.losses.explainer_classifier import ExplainerClassifierLoss
from common.losses.explanation import ExplanationLoss, contiguity, roi_leakage, sparsity

__all__ = ["ExplainerClassifierLoss", "ExplanationLoss", "contiguity", "roi_leakage", "sparsity"]
