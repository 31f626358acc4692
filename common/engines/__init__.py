"""Trainers and evaluators, MONAI's engines made for networks that explain themselves."""

from common.engines.evaluator import ExplainEvaluator
from common.engines.inferer import DistributedExplain, ExplainInferer
from common.engines.trainer import StagedTrainer

__all__ = ["DistributedExplain", "ExplainEvaluator", "ExplainInferer", "StagedTrainer"]
