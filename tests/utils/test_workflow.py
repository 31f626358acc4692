import json
from pathlib import Path

import pytest
from monai.bundle import ConfigParser, ConfigWorkflow, run

from common.utils.workflow import bundle_root, given_overrides, on_command_line, running_parser, running_workflow

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
    assert given_overrides() == {}


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


def test_overrides_are_found_as_given_also_those_that_monai_drops(tmp_path):
    here = {"_target_": "common.utils.workflow.given_overrides"}
    config = {"file": "", "rate": 1, "overrides": here, "run": ["$open(@file, 'w').write(repr(@overrides))"]}
    (tmp_path / "train.json").write_text(json.dumps(config))
    given = {"file": str(tmp_path / "seen.txt"), "rate": "false", "lerning_rate": None}
    run(config_file=str(tmp_path / "train.json"), **given)
    assert (tmp_path / "seen.txt").read_text() == repr(given)
