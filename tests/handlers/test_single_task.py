"""A network that only classifies, or only segments, is measured in what it does; of the rest nothing is written."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from torch import Tensor

from common.handlers import (
    ClassificationMetrics,
    ClassificationReport,
    PixelUncertaintyReport,
    RobustnessReport,
    SegmentationMetrics,
    UncertaintyReport,
)
from common.metrics import SegmentationScores
from tests.handlers.evidential_steps import CLASSES, STRUCTURES, Dimmed, random_steps
from tests.handlers.replay import replay

SCORES = SegmentationScores(STRUCTURES)
ABOUT_CLASSES = ("evidence", "probability", "uncertainty")


class OneTask(Dimmed):
    """``Dimmed``, but for the outputs of one of its tasks."""

    def __init__(self, classifies: bool) -> None:
        super().__init__()
        self.classifies = classifies

    def explain(self, image: Tensor) -> dict[str, Tensor]:
        outputs = super().explain(image)
        return {name: value for name, value in outputs.items() if (name in ABOUT_CLASSES) == self.classifies}


CLASSIFIER, SEGMENTER = OneTask(classifies=True), OneTask(classifies=False)


def steps(network: OneTask) -> list[tuple[dict, dict]]:
    """Batches with labels and masks, and what the network makes of them."""
    return [(batch, network.explain(batch["image"])) for batch, _ in random_steps(8, batch_size=4)]


Making = Callable[[Path, Any], Any]
NOTHING: list[Any] = [
    pytest.param(lambda folder, _: ClassificationReport(folder, "test", CLASSES), SEGMENTER, id="ClassificationReport"),
    pytest.param(
        lambda folder, network: UncertaintyReport(folder, "test", network=network, calibration=[]),
        SEGMENTER,
        id="UncertaintyReport",
    ),
    pytest.param(lambda folder, _: PixelUncertaintyReport(folder, "test", SCORES), CLASSIFIER, id="PixelUncertainty"),
]


@pytest.mark.parametrize(("make", "network"), NOTHING)
def test_a_report_about_the_other_task_writes_no_file(make: Making, network: OneTask, tmp_path: Path) -> None:
    replay([make(tmp_path, network)], steps(network))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("handler", "does", "does_not"),
    [
        pytest.param(ClassificationMetrics(), CLASSIFIER, SEGMENTER, id="ClassificationMetrics"),
        pytest.param(SegmentationMetrics(SCORES), SEGMENTER, CLASSIFIER, id="SegmentationMetrics"),
    ],
)
def test_metrics_of_an_epoch(handler: Any, does: OneTask, does_not: OneTask) -> None:
    assert set(replay([handler], steps(does)).state.metrics) & {"accuracy", "dice"}
    assert replay([handler], steps(does_not)).state.metrics == {}


@pytest.mark.parametrize(
    ("network", "measured", "absent"),
    [
        pytest.param(CLASSIFIER, {"accuracy", "ece", "error_auroc", "mean_uncertainty"}, "dice/cup", id="classifier"),
        pytest.param(SEGMENTER, {"dice/cup", "assd/rim", "mean_pixel_uncertainty"}, "accuracy", id="segmenter"),
    ],
)
def test_robustness_is_measured_in_what_the_network_does(
    network: OneTask, measured: set[str], absent: str, tmp_path: Path
) -> None:
    replay([RobustnessReport(tmp_path, "test", network, SCORES, kinds=["blur"])], steps(network))
    columns = json.loads((tmp_path / "curves.json").read_text())["test"]["robustness"]["blur"]
    assert measured <= set(columns)
    assert absent not in columns
    assert all(len(values) == 6 for values in columns.values())


def test_robustness_of_a_network_that_does_neither_has_no_metrics(tmp_path: Path) -> None:
    class Silent(OneTask):
        def explain(self, image: Tensor) -> dict[str, Tensor]:
            return {}

    replay([RobustnessReport(tmp_path, "test", Silent(True), SCORES)], steps(Silent(True)))
    assert list(tmp_path.iterdir()) == []


def test_scores_of_a_network_that_does_not_segment_are_none() -> None:
    (batch, outputs), *_ = steps(CLASSIFIER)
    assert SCORES(outputs, batch) == SCORES.overlap(outputs, batch) == {}
    assert SCORES({"segmentation_logits": SEGMENTER(batch["image"])}, {}) == {}, "nor can they be without masks"
