"""Trainers and evaluators, MONAI's engines made for networks that explain themselves."""

from common.engines.evaluator import ExplainEvaluator
from common.engines.inferer import DistributedExplain, ExplainInferer
from common.engines.pair_step import PairStep
from common.engines.polynomial_lr import HeldPolynomialLR, held_polynomial
from common.engines.pseudo_label_step import PseudoLabelStep
from common.engines.reciprocal_step import ReciprocalStep
from common.engines.report_step import ReportStep
from common.engines.trainer import StagedTrainer

__all__ = [
    "DistributedExplain",
    "ExplainEvaluator",
    "ExplainInferer",
    "HeldPolynomialLR",
    "PairStep",
    "PseudoLabelStep",
    "ReciprocalStep",
    "ReportStep",
    "StagedTrainer",
    "held_polynomial",
]
