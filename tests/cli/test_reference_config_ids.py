"""docs/reference/config_ids.md lists every knob of the xML bundle, with the default that stands in its file."""

import json
import re

import pytest

HEADINGS = {"train": "## Knobs of train.json", "evaluate": "## Added by evaluate.json"}


@pytest.fixture
def page(repository):
    return (repository / "docs" / "reference" / "config_ids.md").read_text(encoding="utf-8")


def knobs(repository, config: str) -> dict[str, object]:
    """Return the ids above the first part: what a user sets."""
    path = repository / "bundles" / "xml_explainer_classification" / "configs" / f"{config}.json"
    content = json.loads(path.read_text(encoding="utf-8"))
    names = list(content)
    last = next(i for i, name in enumerate(names) if name == "network_def" or "::" in name)
    return {name: content[name] for name in names[:last]}


def described(page: str, heading: str) -> dict[str, object]:
    """Return the ids and defaults of the table below a heading."""
    section = page.partition(f"{heading}\n")[2].partition("\n## ")[0]
    rows = re.findall(r"^\| `([\w:]+)` \| `(.+?)` \|", section, re.M)
    return {name: json.loads(default) for name, default in rows}


@pytest.mark.parametrize("config", HEADINGS)
def test_every_knob_is_listed_with_its_default(page, repository, config):
    assert described(page, HEADINGS[config]) == knobs(repository, config)


@pytest.mark.parametrize("config", ["inference", "explain"])
def test_inference_and_explanation_share_the_other_knobs(page, repository, config):
    heading = "## Knobs of inference.json and explain.json"
    same = re.findall(r"`(\w+)`", page.partition(f"{heading}\n")[2].partition("The others:")[0])
    expected = {name: knobs(repository, "train")[name] for name in same} | described(page, heading)
    if config == "inference":
        del expected["max_cards"]
    assert expected == knobs(repository, config)


def test_every_overlay_is_listed(page, repository):
    configs = (repository / "bundles" / "xml_explainer_classification" / "configs").glob("*.json")
    overlays = {path.name for path in configs if "network_def" not in json.loads(path.read_text())} - {"metadata.json"}
    assert set(re.findall(r"^\| `(\w+\.json)` \|", page, re.M)) == overlays
