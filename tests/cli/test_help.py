"""Every command's --help teaches: what it does, a command line to copy, every option in words."""

import importlib
import inspect
import re
import runpy
import subprocess
import sys

import pytest

COMMANDS = ["prepare", "phantom shapes", "phantom fundus", "check_bundle", "package", "export", "explain", "benchmark"]
#: Those that are one function, ``main``; the others have sub-commands with tests of their own.
SINGLE = ["check_bundle", "package", "export", "benchmark"]


def help_of(command: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture) -> str:
    script, *words = command.split()
    monkeypatch.setattr(sys, "argv", [f"{script}.py", *words, "--help"])
    monkeypatch.setattr(sys, "excepthook", sys.excepthook)
    sys.modules.pop(f"scripts.{script}", None)
    with pytest.raises(SystemExit) as stop:
        runpy.run_module(f"scripts.{script}", run_name="__main__", alter_sys=True)
    assert not stop.value.code
    return "".join(capsys.readouterr())


@pytest.mark.parametrize("command", COMMANDS)
def test_help_shows_a_command_to_copy(command, monkeypatch, capsys):
    assert f"python -m scripts.{command}" in help_of(command, monkeypatch, capsys)


@pytest.mark.parametrize("script", SINGLE)
def test_help_explains_every_option(script, monkeypatch, capsys):
    text = help_of(script, monkeypatch, capsys)
    assert "Examples:" in text
    parameters = inspect.signature(importlib.import_module(f"scripts.{script}").main).parameters
    for name in parameters:
        assert re.search(rf"(--{name}=|^    {name.upper()}$)", text, re.M), f"{name} is not explained"


@pytest.mark.parametrize(
    ("command", "message"),
    [
        (["check_bundle", "bundles/xml_explainer_clasification"], "did you mean 'xml_explainer_classification'?"),
        (["export", "bundles/xml_explainer_classification", "--format", "onx"], "did you mean 'onnx'?"),
    ],
    ids=["bundle", "format"],
)
def test_mistakes_are_told_in_one_line(command, message, repository):
    done = subprocess.run(
        [sys.executable, "-m", f"scripts.{command[0]}", *command[1:]],
        cwd=repository,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 1
    assert message in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1
