import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from fire.parser import DefaultParseValue
from monai.bundle import ConfigParser, ConfigWorkflow

from common.utils.config_check import CheckConfig, check_config, check_overrides, declared_ids, resolved_config
from common.utils.messages import PlainError, root_cause

GOOD = {
    "bundle_root": ".",
    "learning_rate": 0.1,
    "keys": ["image"],
    "network_def": {"_target_": "torch.nn.Linear", "in_features": 2, "out_features": 1},
    "train": {
        "optimizer": {"_target_": "torch.optim.SGD", "params": "$@network_def.parameters()", "lr": "@learning_rate"},
        "scale": {"_target_": "ScaleIntensityd", "keys": "@keys"},
        "rate": "@train::optimizer::lr",
    },
    "initialize": [{"_target_": "common.utils.config_check.CheckConfig"}],
    "run": ["$print('ran with', @keys)"],
}


def parser_with(changes: dict) -> ConfigParser:
    parser = ConfigParser(json.loads(json.dumps(GOOD)))
    parser.update(changes)
    return parser


def test_a_correct_config_has_no_problems():
    assert check_config(parser_with({})) == []


UNUSED = "nothing in the configuration uses this id"
ABSENT = "refers to an id that does not exist; did you mean"
SGD = "train::optimizer: torch.optim.SGD takes no argument"
PROBLEMS = {
    "override": ({"learning_rat": 0.3}, f"learning_rat: {UNUSED}; did you mean 'learning_rate'?"),
    "override, nothing close": ({"zzz": 1}, f"zzz: {UNUSED}; remove it, or list it under 'allow'"),
    "dead knob": ({"train::optimizer::lr": 0.5}, f"learning_rate: {UNUSED}"),
    "class": (
        {"network_def::_target_": "torch.nn.Linaer"},
        "network_def: _target_ 'torch.nn.Linaer' cannot be found: torch.nn has no 'Linaer'; did you mean 'Linear'?",
    ),
    "module": ({"network_def::_target_": "torch.opitm.SGD"}, "torch has no 'opitm'; did you mean 'optim'?"),
    "package": ({"network_def::_target_": "absent.Net"}, "network_def: _target_ 'absent.Net' cannot be found"),
    "member": ({"network_def::_target_": "torch.nn.Linear.fowrard"}, "has no 'fowrard'; did you mean 'forward'?"),
    "bare name": ({"train::scale::_target_": "ScaleIntensiyd"}, "cannot be found; did you mean 'ScaleIntensityd'?"),
    "argument": ({"train::optimizer::learning_rate": 1}, f"{SGD} 'learning_rate'"),
    "argument, close": ({"train::optimizer::momentun": 1}, f"{SGD} 'momentun'; did you mean 'momentum'?"),
    "missing argument": (
        {"network_def": {"_target_": "torch.nn.Linear", "in_features": 2}},
        "network_def: torch.nn.Linear needs the argument 'out_features'",
    ),
    "reference": ({"train::rate": "@train::optimiser::lr"}, f"'@train::optimiser::lr' {ABSENT} 'optimizer'?"),
    "reference in an expression": ({"train::rate": "$@learning_rte * 2"}, f"'@learning_rte' {ABSENT} 'learning_rate'?"),
}


@pytest.mark.parametrize(("changes", "expected"), PROBLEMS.values(), ids=PROBLEMS)
def test_each_mistake_is_one_problem_with_a_suggestion(changes, expected):
    problems = check_config(parser_with(changes))
    assert len(problems) == 1
    assert expected in problems[0]


def test_a_callable_in_callable_mode_may_lack_arguments():
    changes = {"network_def": {"_target_": "torch.nn.Linear", "in_features": 2, "_mode_": "callable"}}
    assert check_config(parser_with(changes)) == []


def test_metadata_and_private_ids_need_no_reference():
    assert check_config(parser_with({"_meta_": {"note": "@nowhere"}, "_desc_": "words"})) == []


@pytest.mark.parametrize(
    ("value", "typed"),
    [
        *((text, "True") for text in ("true", "TRUE", "yes", "on")),
        *((text, "False") for text in ("false", "FALSE", "no", "off")),
        *((text, "'$None'") for text in ("null", "none", "NULL")),
    ],
)
def test_a_word_that_stands_for_a_value_is_refused_with_what_to_type(value, typed):
    (problem,) = check_overrides({"train::optimizer::nesterov": value}, parser_with({}))
    assert problem == (
        f"train::optimizer::nesterov: '{value}' is only a text here; type {typed}, or '$\"{value}\"' for the word"
    )


@pytest.mark.parametrize("value", [True, False, 0, "$None", '$"none"', "nothing", "trues", ["none"], {}, ""])
def test_values_and_other_texts_pass(value):
    assert check_overrides({"keys": value}, parser_with({})) == []


@pytest.mark.parametrize(("typed", "value"), [("False", False), ("True", True), ("$None", None), ('$"no"', "no")])
def test_what_the_messages_advise_has_its_effect(typed, value):
    """The command line's own parser makes of it what passes the check and becomes the value."""
    override = {"keys": DefaultParseValue(typed)}
    assert check_overrides(override, parser_with({})) == []
    assert parser_with(override).get_parsed_content("keys") == value


IGNORED = "MONAI ignores an option that is None; for nothing type '$None'"


@pytest.mark.parametrize(
    ("name", "end"),
    [
        ("learning_rate", ""),
        ("train#optimizer#lr", ""),
        ("lerning_rate", "; the configuration has no such id; did you mean 'learning_rate'?"),
        ("train::optimzer::lr", "; the configuration has no such id; did you mean 'optimizer'?"),
        ("train#optimizer#parms", "; the configuration has no such id; did you mean 'params'?"),
        ("zzz", "; the configuration has no such id"),
    ],
)
def test_an_option_that_monai_drops_is_refused(name, end):
    assert check_overrides({name: None}, parser_with({})) == [f"{name}: {IGNORED}{end}"]


def test_a_declared_id_may_stand_unreferenced():
    parser = parser_with({"site": "ours", "initialize::0::allow": ["site"]})
    assert declared_ids(parser) == ["site"]
    assert check_config(parser, declared_ids(parser)) == []


def test_the_parser_is_left_as_it_was():
    parser = parser_with({"copy": "%keys", "learning_rat": 1})
    before = json.dumps(parser.config)
    check_config(parser)
    assert json.dumps(parser.config) == before


def test_resolved_config_holds_overlays_and_overrides(tmp_path):
    overlay = {"learning_rate": 0.5, "train::optimizer::momentum": 0.9}
    files = [tmp_path / "train.json", tmp_path / "overlay.json"]
    for file, content in zip(files, (GOOD, overlay), strict=True):
        file.write_text(json.dumps(content))
    parser = ConfigParser()
    parser.read_config([str(f) for f in files])
    parser.read_meta({"version": "1.0.0"})
    parser["keys"] = Path("a")
    resolved = resolved_config(parser)
    assert resolved == {
        **GOOD,
        "learning_rate": 0.5,
        "keys": "a",
        "train": {**GOOD["train"], "optimizer": {**GOOD["train"]["optimizer"], "momentum": 0.9}},
    }
    assert check_config(ConfigParser(resolved)) == []


def write_config(folder: Path) -> Path:
    config = folder / "configs" / "train.json"
    config.parent.mkdir()
    config.write_text(json.dumps(GOOD))
    return config


def test_in_python_a_misspelt_override_is_a_value_error_with_all_problems(tmp_path):
    config = write_config(tmp_path)
    workflow = ConfigWorkflow(
        config_file=str(config), workflow_type="train", logging_file=False, learning_rat=1, sede=2
    )
    with pytest.raises(RuntimeError) as error:
        workflow.initialize()
    cause = root_cause(error.value)
    assert isinstance(cause, PlainError)
    assert isinstance(cause, ValueError)
    first, *problems = str(cause).splitlines()
    assert first == "the configuration has 2 problems, nothing was run"
    assert problems[0].startswith("learning_rat:")
    assert problems[1].startswith("sede:")


def test_a_run_id_of_ones_own_is_no_problem(tmp_path):
    workflow = ConfigWorkflow(
        config_file=str(write_config(tmp_path)),
        workflow_type="train",
        logging_file=False,
        run_id="mine",
        mine=["$1 + 1"],
    )
    workflow.initialize()
    assert workflow.run() == [2]


def test_the_check_needs_a_running_config():
    with pytest.raises(RuntimeError, match="first item of its 'initialize' list"):
        CheckConfig()


def run_bundle(folder: Path, *overrides: str) -> subprocess.CompletedProcess:
    command = [sys.executable, "-m", "monai.bundle", "run", "--config_file", str(write_config(folder)), *overrides]
    return subprocess.run(command, capture_output=True, text=True, env={**os.environ, "OMP_NUM_THREADS": "1"})


def test_on_the_command_line_the_message_is_the_end_of_a_short_output(tmp_path):
    done = run_bundle(tmp_path, "--learning_rat", "0.3")
    assert done.returncode == 1
    assert "ran with" not in done.stdout
    assert "Traceback" not in done.stderr
    last = done.stderr.rstrip().splitlines()[-1]
    assert last.endswith("did you mean 'learning_rate'?")


def test_on_the_command_line_what_would_be_misunderstood_is_refused(tmp_path):
    """Text instead of a value, and names that MONAI drops before the configuration can miss them; all at once."""
    options = ["--keys", "false", "--train::scale::minv", "null", "--learning_rate", "None", "--lerning_rate", "None"]
    done = run_bundle(tmp_path, *options)
    assert done.returncode == 1
    assert "ran with" not in done.stdout
    assert done.stderr.rstrip().splitlines()[-5:] == [
        "Error: the configuration has 4 problems, nothing was run",
        "keys: 'false' is only a text here; type False, or '$\"false\"' for the word",
        "train::scale::minv: 'null' is only a text here; type '$None', or '$\"null\"' for the word",
        f"learning_rate: {IGNORED}",
        f"lerning_rate: {IGNORED}; the configuration has no such id; did you mean 'learning_rate'?",
    ]


def test_on_the_command_line_other_errors_end_with_their_reason(tmp_path):
    done = run_bundle(tmp_path, "--run#0", "$open('absent.txt')")
    assert done.returncode == 1
    assert done.stderr.rstrip().splitlines()[-1].startswith("The reason: FileNotFoundError:")
