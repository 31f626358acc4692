"""docs/reference/metrics.md lists exactly the names that evaluation and training write."""

from __future__ import annotations

import csv
import json
import re
from pathlib import Path
from typing import Any

import pytest
import torch

from common.data import CaseLoader
from common.engines import ExplainEvaluator
from common.explain import HeatmapRelevance, PerturbationCurve
from common.explain.baselines import BASELINES
from common.handlers import (
    BoxLocalisationReport,
    BranchReport,
    ClassificationMetrics,
    ClassificationReport,
    EntanglementReport,
    ExplanationReport,
    FindingReport,
    LesionReport,
    LocalisationReport,
    MultiLabelReport,
    PixelUncertaintyReport,
    PrototypeReport,
    RetrievalReport,
    RobustnessReport,
    SegmentationMetrics,
    SegmentationReport,
    UncertaintyReport,
    WordMapReport,
    ZeroShotReport,
)
from common.handlers.finding_words import FindingWords
from common.losses import ExplainerClassifierLoss, UMLLoss
from common.metrics import SegmentationScores
from common.metrics.image_filters import FILTERS
from common.networks import CIPLNet, ExplainerClassifier
from tests.explain.prototype_run_folder import small_network
from tests.handlers.evidential_steps import STRUCTURES, Dimmed, Recall, random_steps, renamed
from tests.handlers.exam_steps import FINDINGS, PROMPTS, SIDES, VIEW_SIDE, Named, items, step
from tests.handlers.replay import replay
from tests.training_setup import build

CLASSES = ["horse", "zebra"]
MEASURES = ["least_confidence", "mutual_information", "dissonance"]
CALIBRATION = ["ece", "mce", "brier", "nll"]
BY_CASES = {
    "level": ["0.9"],
    "iou": ["0.1", "0.25", "0.5"],
    "rate": ["0.25", "0.5", "1", "2"],
    "target": ["region"],
    "corruption": ["gaussian_noise", "jpeg"],
    "disease": ["mass", "effusion"],
    "t": ["0.1", "0.7"],
    "tiou": ["0.1", "0.5"],
    "other": ["plain"],
    "finding": FINDINGS,
    "filter": list(FILTERS),
    "k": ["1", "5", "10"],
}
SCORES = SegmentationScores(STRUCTURES, {"disc": ["rim", "cup"]}, cup="cup", disc="disc")


@pytest.fixture
def page(repository: Path) -> str:
    return (repository / "docs" / "reference" / "metrics.md").read_text(encoding="utf-8")


def section(page: str, heading: str, until: str) -> str:
    """Return the text from a heading to the next one of the same level."""
    return page.partition(f"{heading}\n")[2].partition(until)[0]


def first_column(text: str) -> set[str]:
    """Return the names in code type that begin the rows of tables."""
    return set(re.findall(r"^\| `([^`]+)` \|", text, re.M))


def named(names: set[str], **choices: list[str]) -> set[str]:
    """Return the names with each <placeholder> replaced by every one of its choices."""
    for placeholder, values in choices.items():
        names = {name.replace(f"<{placeholder}>", value) for name in names for value in values}
    return names


@pytest.fixture(scope="module")
def written(
    explained: set[str],
    segmented: tuple[set[str], set[str]],
    compared: tuple[set[str], set[str]],
    several: set[str],
    asked: set[str],
    tuned: set[str],
) -> set[str]:
    return explained | segmented[0] | compared[0] | several | asked | tuned


@pytest.fixture(scope="module")
def segmented(tmp_path_factory: pytest.TempPathFactory) -> tuple[set[str], set[str]]:
    """Names in the metrics.json and curves.json of an evidential segmentation, with temperature and foreign images."""
    folder = tmp_path_factory.mktemp("run")
    other, steps = Recall(renamed(random_steps(seed=1), "other ")), random_steps()
    handlers = [
        SegmentationReport(folder, "test", SCORES),
        UncertaintyReport(folder, "test", network=other, calibration=other.batches, foreign=other.batches),
        PixelUncertaintyReport(folder, "test", SCORES),
        RobustnessReport(folder, "test", Dimmed(), kinds=["blur"]),
    ]
    replay(handlers, steps)
    names = [set(json.loads((folder / file).read_text())["test"]) for file in ("metrics.json", "curves.json")]
    return names[0], names[1]


@pytest.fixture(scope="module")
def compared(tmp_path_factory: pytest.TempPathFactory) -> tuple[set[str], set[str]]:
    """Names in the metrics.json and curves.json of a network of two branches with prototypes."""
    folder = tmp_path_factory.mktemp("run")
    items, others = outlined("c"), outlined("other ")
    network = small_network((2, 2))
    relevance = HeatmapRelevance(network.student.prototypes, network.student.last_layer)
    calibration = CaseLoader(others, batch_size=4)
    handlers = [
        ClassificationReport(folder, "test", CLASSES, items, operating_points=[0.9]),
        BranchReport(folder, "test", CLASSES, items=items, operating_points=[0.9]),
        LocalisationReport(folder, "test", CLASSES, relevance, items=items, network=network, calibration=calibration),
        PrototypeReport(folder, "test", CLASSES, network, network.student.prototypes),
    ]
    ExplainEvaluator("cpu", CaseLoader(items, batch_size=4), network, val_handlers=handlers).run()
    names = [set(json.loads((folder / file).read_text())["test"]) for file in ("metrics.json", "curves.json")]
    return names[0], names[1]


@pytest.fixture(scope="module")
def several(tmp_path_factory: pytest.TempPathFactory) -> set[str]:
    """Names in the metrics.json of a network for two diseases that may come together, without those by class."""
    folder, diseases = tmp_path_factory.mktemp("run"), BY_CASES["disease"]
    network = CIPLNet("small", num_classes=2, prototypes_per_class=2, prototype_channels=8).eval()
    relevance = HeatmapRelevance(network.prototypes, network.last_layer)
    calibration = CaseLoader(boxed("other "), batch_size=4)
    fitted: dict[str, Any] = {"network": network, "calibration": calibration}
    handlers = [
        MultiLabelReport(folder, "test", diseases, **fitted),
        BoxLocalisationReport(folder, "test", diseases, relevance, {"plain": relevance}, ious=(0.1, 0.7), **fitted),
        EntanglementReport(folder, "test", diseases, network.prototypes),
    ]
    ExplainEvaluator("cpu", CaseLoader(boxed("c"), batch_size=4), network, val_handlers=handlers).run()
    return set(json.loads((folder / "metrics.json").read_text())["test"])


@pytest.fixture(scope="module")
def asked(tmp_path_factory: pytest.TempPathFactory) -> set[str]:
    """Names in the metrics.json of a network that is asked by prompts, with a decoder."""
    folder, network = tmp_path_factory.mktemp("run"), Named()
    held_out = [{**item, "held_out": True} for item in items(16)]
    maps = WordMapReport(folder, "test", network, SIDES, FINDINGS, VIEW_SIDE)
    named = torch.tensor([True, False]).expand(2, 2, 1, 2)
    maps.words = FindingWords(PROMPTS[:, :, 0], network.prompt_word[:, :, 0], named)
    scores = ZeroShotReport(folder, "test", SIDES, FINDINGS, VIEW_SIDE, held_out, network=network)
    replay([scores, RetrievalReport(folder, "test", network), maps], [step(16)])
    return set(json.loads((folder / "metrics.json").read_text())["test"])


@pytest.fixture(scope="module")
def tuned(tmp_path_factory: pytest.TempPathFactory) -> set[str]:
    """Names in the metrics.json of networks that have learned findings or outlines of exams."""
    folder = tmp_path_factory.mktemp("run")
    generator = torch.Generator().manual_seed(0)
    label = (torch.rand(12, len(SIDES) * len(FINDINGS), generator=generator) > 0.5).float()
    mask = torch.zeros(12, 2, 1, 12, 12)
    mask[:, 0, 0, 2:6, 2:6] = 1
    batch = {
        "case_id": [f"e{index}" for index in range(12)],
        "label": label,
        "finding_mask": mask,
        "finding_mask_given": torch.ones(12, 2, 1, dtype=torch.bool),
    }
    output = {
        "logits": torch.randn(label.shape, generator=generator),
        "side_mask": torch.ones(12, len(SIDES), dtype=torch.bool),
        "segmentation_probability": torch.rand(12, 2, 12, 12, generator=generator),
    }
    rates, tious = ([float(value) for value in BY_CASES[name]] for name in ("rate", "tiou"))
    lesions = LesionReport(folder, "test", false_marks=rates, tious=tious)
    replay([FindingReport(folder, "test", SIDES, FINDINGS), lesions], [(batch, output)])
    return set(json.loads((folder / "metrics.json").read_text())["test"])


def boxed(name: str) -> list[dict[str, Any]]:
    """Four cases with one, both or none of two diseases, those that they have boxed."""
    box = torch.zeros(2, 64, 64, dtype=torch.uint8)
    box[0, :16, :16] = box[1, 32:, 16:48] = 1
    labels = torch.tensor([[0, 0], [1, 0], [0, 1], [1, 1]])
    return [
        {
            "image": torch.rand(3, 64, 64),
            "label": label,
            "case_id": f"{name}{index}",
            "finding_mask": box * label[:, None, None].to(torch.uint8),
        }
        for index, label in enumerate(labels)
    ]


def outlined(name: str) -> list[dict[str, Any]]:
    """Four cases with a mask, whose names begin alike."""
    mask = torch.zeros(1, 64, 64)
    mask[:, 8:24, 8:24] = 1
    size = torch.tensor([64, 64])
    return [
        {
            "image": torch.rand(3, 64, 64),
            "label": index % 2,
            "case_id": f"{name}{index}",
            "mask": mask,
            "mask_given": True,
            "source_size": size,
        }
        for index in range(4)
    ]


@pytest.fixture(scope="module")
def explained(tmp_path_factory: pytest.TempPathFactory) -> set[str]:
    """Names in the metrics.json of an evaluation with every baseline, of four images with regions of interest."""
    folder = tmp_path_factory.mktemp("run")
    mask = torch.zeros(1, 32, 32)
    mask[:, 8:16, 8:16] = 1
    items = [
        {"image": torch.rand(3, 32, 32), "label": i % 2, "case_id": f"c{i}", "mask": mask, "mask_given": True}
        for i in range(4)
    ]
    network = ExplainerClassifier("resnet18").eval()
    curve = PerturbationCurve(patch=16, steps=1, kinds=["black"])
    handlers = [
        ClassificationReport(folder, "test", CLASSES, items),
        ExplanationReport(folder, "test", network, [curve], BASELINES, items),
    ]
    ExplainEvaluator("cpu", CaseLoader(items, batch_size=4), network, val_handlers=handlers).run()
    return set(json.loads((folder / "metrics.json").read_text())["test"])


def test_the_metrics_of_an_evaluation_are_those_listed(page: str, written: set[str]) -> None:
    listed = section(page, "## metrics.json", "\n## ")
    baselines = re.findall(r"`(\w+)`", listed.partition("summed over the channels.")[2].partition("The AOPC of")[0])
    assert sorted(baselines) == sorted(BASELINES)
    structures = list(SCORES.structures)
    choices = {"class": CLASSES, "baseline": baselines, "structure": structures, "measure": MEASURES} | BY_CASES
    of_branches = named(first_column(section(listed, "### Classification", "\n### ")), **choices) | set(CALIBRATION)
    choices |= {"branch": ["student", "teacher"], "metric": sorted(of_branches)}
    names = named(first_column(listed), **choices)
    names.remove("aopc/random")  # the page says that it is called aopc_random
    assert written == names


def test_the_columns_of_a_history_are_those_listed(page: str, tmp_path: Path) -> None:
    listed = section(page, "## metrics.csv", "\n## ")
    columns = first_column(listed.partition("\n### ")[0])
    terms = first_column(section(listed, "### Explainer and classifier", "\n### "))
    build(tmp_path, epochs=(1, 1, 1)).run()
    with (tmp_path / "metrics.csv").open() as file:
        header = next(csv.reader(file))
    expected = {re.sub("<name>", term, column) for column in columns for term in terms - {"roi"}}
    assert set(header) == expected


def test_the_region_term_is_listed_with_the_other_terms_of_the_loss(page: str) -> None:
    outputs = {"logits": torch.zeros(1, 2), "explanation": torch.rand(1, 1, 8, 8)}
    batch = {"label": torch.tensor([0]), "mask": torch.ones(1, 1, 8, 8)}
    terms = set(ExplainerClassifierLoss(0.9, gamma=1.0)(outputs, batch))
    assert "roi" in terms
    assert terms <= first_column(section(page, "### Explainer and classifier", "\n### "))


def test_what_an_evidential_segmentation_learns_by_is_listed(page: str) -> None:
    """The terms of its loss and the metrics of an epoch."""
    maps, mask = torch.rand(2, 3, 8, 8), torch.ones(2, 1, 8, 8, dtype=torch.int64)
    levels = dict.fromkeys(UMLLoss().variant.evidence, maps)
    outputs = {"evidence": torch.rand(2, 2), "segmentation_logits": maps, **levels}
    terms = set(UMLLoss()(outputs, {"label": torch.tensor([0, 1]), "segmentation": mask}))
    metrics = set(replay([ClassificationMetrics(), SegmentationMetrics(SCORES)], random_steps()).state.metrics)
    listed = first_column(section(page, "### Evidential segmentation", "\n## "))
    assert terms | metrics == named(listed, structure=list(SCORES.structures))


def test_the_curves_are_listed(
    page: str, segmented: tuple[set[str], set[str]], compared: tuple[set[str], set[str]]
) -> None:
    listed = section(page, "## curves.json", "\n## ").partition("```\n")[2].partition("```")[0]
    written = (segmented[1] | compared[1]) - {"roc"}  # stands in the first line
    assert written == set(re.findall(r'^ +"(\w+)":', listed, re.M)) - {"perturbation"}
