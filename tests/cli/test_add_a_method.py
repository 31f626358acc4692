"""The code of docs/how_to/add_a_method.md works: it predicts, explains, scripts, and trains in its stage."""

from __future__ import annotations

import importlib.util
import json
import re
from pathlib import Path
from types import ModuleType

import pytest
import torch
from monai.bundle import ConfigParser

from common.engines import StagedTrainer
from common.handlers import LossTerms, StageSwitch


@pytest.fixture
def page(repository: Path) -> str:
    return (repository / "docs" / "how_to" / "add_a_method.md").read_text(encoding="utf-8")


@pytest.fixture
def modules(page: str, tmp_path: Path) -> list[ModuleType]:
    """The page's Python blocks as modules; TorchScript wants them in files."""
    found = []
    for index, code in enumerate(re.findall(r"^```python\n(.*?)^```", page, re.M | re.S)):
        file = tmp_path / f"block{index}.py"
        file.write_text(code)
        spec = importlib.util.spec_from_file_location(file.stem, file)
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        found.append(module)
    return found


def test_the_network_explains_what_it_predicts_and_scripts(modules: list[ModuleType]) -> None:
    network = modules[0].ClassMapClassifier(num_classes=3).eval()
    image = torch.rand(2, 3, 64, 48)
    with torch.no_grad():
        outputs = network.explain(image)
        torch.testing.assert_close(outputs["logits"], network(image))
        scripted = torch.jit.script(network).explain(image)
    assert outputs["explanation"].shape == (2, 1, 64, 48)
    assert 0 <= outputs["explanation"].min() <= outputs["explanation"].max() <= 1
    torch.testing.assert_close(outputs["probability"].sum(1), torch.ones(2))
    for name, value in outputs.items():
        torch.testing.assert_close(scripted[name], value)


def test_the_configuration_trains_the_network_with_the_loss(
    page: str, modules: list[ModuleType], tmp_path: Path
) -> None:
    (block,) = re.findall(r"^```json\n(.*?)^```", page, re.M | re.S)
    config = json.loads(block)
    network, loss = modules[0].ClassMapClassifier(), modules[1].ClassificationLoss()
    config |= {"network_def": network, "losses": {"joint": loss}, "learning_rate": 0.001, "patience": 5}
    config["max_epochs"] = 8
    stages = ConfigParser(config).get_parsed_content("stages")
    item = {"image": torch.rand(4, 3, 32, 32), "label": torch.tensor([0, 1, 0, 1])}
    trainer = StagedTrainer(
        "cpu", 8, [item], network, stages, train_handlers=[LossTerms(), StageSwitch(tmp_path / "checkpoints")]
    )
    first = loss.reduce(loss.terms(network.train().explain(item["image"]), item))["loss"].item()
    trainer.run()
    assert trainer.state.metrics["loss"] < first / 2, "eight steps on the same four images"
