"""Handlers: what happens at which moment of a training, an evaluation or an inference."""

from common.handlers.box_localisation_report import BoxLocalisationReport
from common.handlers.branch_report import BranchReport
from common.handlers.classification_metrics import ClassificationMetrics
from common.handlers.classification_report import ClassificationReport
from common.handlers.collect import CollectHandler
from common.handlers.entanglement_report import EntanglementReport
from common.handlers.explanation_report import ExplanationReport
from common.handlers.explanation_saver import ExplanationSaver
from common.handlers.finding_report import FindingReport
from common.handlers.history import HistoryWriter
from common.handlers.last_layer_clamp import LastLayerClamp
from common.handlers.lesion_report import LesionReport
from common.handlers.localisation_report import LocalisationReport
from common.handlers.loss_annealing import LossAnnealing
from common.handlers.loss_terms import LossTerms
from common.handlers.multilabel_report import MultiLabelReport
from common.handlers.pixel_uncertainty_report import PixelUncertaintyReport
from common.handlers.prediction_saver import PredictionSaver
from common.handlers.progress import Progress
from common.handlers.prototype_projection import PrototypeProjection
from common.handlers.prototype_report import PrototypeReport
from common.handlers.retrieval_report import RetrievalReport
from common.handlers.robustness_report import RobustnessReport
from common.handlers.run_record import RunRecord
from common.handlers.seed_epoch import SeedEpoch
from common.handlers.segmentation_metrics import SegmentationMetrics
from common.handlers.segmentation_report import SegmentationReport
from common.handlers.segmentation_saver import SegmentationSaver
from common.handlers.settings_writer import SettingsWriter
from common.handlers.stage_switch import StageSwitch
from common.handlers.text_files_writer import TextFilesWriter
from common.handlers.training_checkpoint import TrainingCheckpointSaver
from common.handlers.uncertainty_report import UncertaintyReport
from common.handlers.weights_loader import WeightsLoader
from common.handlers.word_map_report import WordMapReport
from common.handlers.zero_shot_report import ZeroShotReport

__all__ = [
    "BoxLocalisationReport",
    "BranchReport",
    "ClassificationMetrics",
    "ClassificationReport",
    "CollectHandler",
    "EntanglementReport",
    "ExplanationReport",
    "ExplanationSaver",
    "FindingReport",
    "HistoryWriter",
    "LastLayerClamp",
    "LesionReport",
    "LocalisationReport",
    "LossAnnealing",
    "LossTerms",
    "MultiLabelReport",
    "PixelUncertaintyReport",
    "PredictionSaver",
    "Progress",
    "PrototypeProjection",
    "PrototypeReport",
    "RetrievalReport",
    "RobustnessReport",
    "RunRecord",
    "SeedEpoch",
    "SegmentationMetrics",
    "SegmentationReport",
    "SegmentationSaver",
    "SettingsWriter",
    "StageSwitch",
    "TextFilesWriter",
    "TrainingCheckpointSaver",
    "UncertaintyReport",
    "WeightsLoader",
    "WordMapReport",
    "ZeroShotReport",
]
