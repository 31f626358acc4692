"""docs/reference/config_ids.md lists every knob of every bundle, with the default that stands in its file."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

XML, UML = "xml_explainer_classification", "uml_evidential_segmentation"
INTERNRL, CIPL = "internrl_prototype_classification", "cipl_multilabel_classification"
VWYL = "vwyl_report_classification"
BUNDLES = (XML, UML, INTERNRL, CIPL, VWYL)
TRAIN, EVALUATE = "Knobs of train.json", "Added by evaluate.json"
LATER = "Knobs of inference.json and explain.json"


@pytest.fixture
def page(repository: Path) -> str:
    return (repository / "docs" / "reference" / "config_ids.md").read_text(encoding="utf-8")


def knobs(repository: Path, bundle: str, config: str) -> dict[str, object]:
    """Return the ids above the first part, and without parts: what a user sets."""
    path = repository / "bundles" / bundle / "configs" / f"{config}.json"
    content = json.loads(path.read_text(encoding="utf-8"))
    names = list(content)
    last = next(i for i, name in enumerate(names) if name == "network_def" or "::" in name)
    return {name: content[name] for name in names[:last] if not is_part(content[name])}


def is_part(value: Any) -> bool:
    return isinstance(value, dict) and "_target_" not in value


def section(page: str, bundle: str, heading: str) -> str:
    """Return what stands below a heading of a bundle."""
    about = page.partition(f"\n## {bundle}\n")[2].partition("\n## ")[0]
    return about.partition(f"### {heading}\n")[2].partition("\n### ")[0]


def described(text: str, left_out: str | None = None) -> dict[str, object]:
    """Return the ids and defaults of the table in a section, but for those whose meaning begins with some words."""
    rows = re.findall(r"^\| `([\w:]+)` \| `(.+?)` \|(.*)", text, re.M)
    return {
        name: json.loads(default)
        for name, default, meaning in rows
        if left_out is None or not meaning.strip().startswith(left_out)
    }


def same(text: str) -> list[str]:
    """Return the ids that a section says to be as in another one."""
    return re.findall(r"`(\w+)`", text.partition("The others:")[0]) if "The others:" in text else []


@pytest.mark.parametrize("bundle", BUNDLES)
@pytest.mark.parametrize(("config", "heading"), [("train", TRAIN), ("evaluate", EVALUATE)])
def test_every_knob_is_listed_with_its_default(
    page: str, repository: Path, bundle: str, config: str, heading: str
) -> None:
    text = section(page, bundle, heading)
    above = knobs(repository, XML, config)
    assert {name: above[name] for name in same(text)} | described(text) == knobs(repository, bundle, config)


@pytest.mark.parametrize("bundle", BUNDLES)
@pytest.mark.parametrize("config", ["inference", "explain"])
def test_inference_and_explanation_share_the_other_knobs(page: str, repository: Path, bundle: str, config: str) -> None:
    text = section(page, bundle, LATER)
    training = knobs(repository, bundle, "train")
    own = described(text, left_out="explain.json only" if config == "inference" else None)
    assert {name: training[name] for name in same(text)} | own == knobs(repository, bundle, config)


@pytest.mark.parametrize("bundle", BUNDLES)
def test_every_overlay_is_listed(page: str, repository: Path, bundle: str) -> None:
    configs = (repository / "bundles" / bundle / "configs").glob("*.json")
    overlays = {path.name for path in configs if "bundle_root" not in json.loads(path.read_text())} - {"metadata.json"}
    assert set(re.findall(r"^\| `(\w+\.json)` \|", section(page, bundle, "Overlays"), re.M)) == overlays
