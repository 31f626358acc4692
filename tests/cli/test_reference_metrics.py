"""docs/reference/metrics.md lists exactly the names that evaluation and training write."""

from __future__ import annotations

import csv
import json
import re
from pathlib import Path

import pytest
import torch

from common.data import CaseLoader
from common.engines import ExplainEvaluator
from common.explain import PerturbationCurve
from common.explain.baselines import BASELINES
from common.handlers import ClassificationReport, ExplanationReport
from common.losses import ExplainerClassifierLoss
from common.networks import ExplainerClassifier
from tests.training_setup import build

CLASSES = ["horse", "zebra"]


@pytest.fixture
def page(repository: Path) -> str:
    return (repository / "docs" / "reference" / "metrics.md").read_text(encoding="utf-8")


def section(page: str, heading: str, until: str) -> str:
    """Return the text from a heading to the next one of the same level."""
    return page.partition(f"{heading}\n")[2].partition(until)[0]


def first_column(text: str) -> set[str]:
    """Return the names in code type that begin the rows of tables."""
    return set(re.findall(r"^\| `([^`]+)` \|", text, re.M))


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> set[str]:
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
    names: set[str] = set()
    for name in first_column(listed):
        choices = CLASSES if "<class>" in name else baselines
        names |= {re.sub(r"<\w+>", choice, name) for choice in choices}
    names.remove("aopc/random")  # the page says that it is called aopc_random
    assert written == names


def test_the_columns_of_a_history_are_those_listed(page: str, tmp_path: Path) -> None:
    listed = section(page, "## metrics.csv", "\n## ")
    columns = first_column(listed.partition("`<name>` is one of:")[0])
    terms = first_column(listed.partition("`<name>` is one of:")[2])
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
    assert terms <= first_column(section(page, "## metrics.csv", "\n## "))
