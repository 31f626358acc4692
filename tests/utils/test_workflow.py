import json
from pathlib import Path

import pytest
from monai.bundle import ConfigParser, ConfigWorkflow

from common.utils.workflow import bundle_root, on_command_line, running_parser, running_workflow

HERE = {"_target_": "common.utils.workflow.running_parser"}


def test_a_component_finds_the_parser_that_builds_it():
    parser = ConfigParser({"nested": {"deep": [HERE]}})
    assert parser.get_parsed_content("nested::deep::0") is parser


def test_the_innermost_parser_is_found():
    inner = ConfigParser({"it": HERE})
    outer = ConfigParser({"it": "$@inner.get_parsed_content('it')", "inner": inner})
    assert outer.get_parsed_content("it") is inner


def test_nothing_runs_here():
    with pytest.raises(RuntimeError, match="works only inside a MONAI config"):
        running_parser()
    assert running_workflow() is None
    assert bundle_root() == "."
    assert not on_command_line()


def workflow_in(folder: Path, config_folder: str) -> ConfigWorkflow:
    file = folder / config_folder / "train.json"
    file.parent.mkdir(parents=True, exist_ok=True)
    target = "common.utils.workflow."
    file.write_text(
        json.dumps(
            {
                "bundle_root": {"_target_": f"{target}bundle_root"},
                "run": ["@bundle_root", {"_target_": f"{target}running_workflow"}],
            }
        )
    )
    return ConfigWorkflow(config_file=str(file), workflow_type="train", logging_file=False)


@pytest.mark.parametrize(("config_folder", "root"), [("bundle/configs", "bundle"), ("flat", "flat")])
def test_a_component_finds_its_workflow_and_bundle(tmp_path, config_folder, root):
    workflow = workflow_in(tmp_path, config_folder)
    workflow.initialize()
    assert workflow.run() == [str(tmp_path / root), workflow]


def test_the_bundle_is_found_from_inside_its_folders(tmp_path, monkeypatch):
    workflow_in(tmp_path, "configs")
    monkeypatch.chdir(tmp_path / "configs")
    workflow = ConfigWorkflow(config_file="train.json", workflow_type="train", logging_file=False)
    workflow.initialize()
    assert workflow.run()[0] == str(tmp_path)
