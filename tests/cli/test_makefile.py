"""The Makefile sets up what a target needs, once, and says what is missing; a stand-in plays the interpreter."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

INTERPRETER = """#!/bin/bash
echo "$@" >> "$LOG"
case "$1 $2" in
  "-c "*) exit "$TOO_OLD" ;;
  "--version "*) echo "Python 3.9.2" ;;
  "-m venv") mkdir -p "$3/bin" && cp "$0" "$3/bin/python"
    [ "$NO_VENV" = 1 ] && exit 1  # as Debian's Python does: it leaves an environment without pip
    cp "$0" "$3/bin/pip" ;;
esac
"""


class Checkout:
    """A copy of the Makefile beside a stand-in for Python, which writes down what it is asked to do."""

    def __init__(self, folder: Path, repository: Path) -> None:
        self.folder = folder
        for name in ("Makefile", "requirements.txt", "pyproject.toml"):
            shutil.copyfile(repository / name, folder / name)
        self.python = folder / "python"
        self.python.write_text(INTERPRETER)
        self.python.chmod(0o755)
        self.log = folder / "log"

    def make(self, *arguments: str, **environment: str) -> subprocess.CompletedProcess:
        settings = {"LOG": str(self.log), "TOO_OLD": "0", "NO_VENV": "0", **environment}
        clean = {k: v for k, v in os.environ.items() if not k.startswith("MAKE")}
        return subprocess.run(
            ["make", *arguments, f"PYTHON={self.python}"],
            cwd=self.folder,
            env={**clean, **settings},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
        )

    def asked(self, words: str) -> int:
        """Count the calls that contain some words."""
        return sum(words in line for line in self.log.read_text().splitlines())


@pytest.fixture
def checkout(tmp_path, repository) -> Checkout:
    return Checkout(tmp_path, repository)


def test_the_second_run_installs_nothing(checkout):
    for runs in (1, 2):
        done = checkout.make("test")
        assert done.returncode == 0, done.stderr
        assert checkout.asked("-m pytest -n auto --dist loadfile -m not slow") == runs
    assert checkout.asked("-m venv") == 1
    assert checkout.asked("-m pip install") == 1


def test_touching_a_file_installs_nothing_and_changing_it_does(checkout):
    checkout.make("install")
    (checkout.folder / "requirements.txt").touch()
    checkout.make("install")
    assert checkout.asked("-m pip install") == 1
    with (checkout.folder / "requirements.txt").open("a") as file:
        file.write("another-package\n")
    checkout.make("install")
    assert checkout.asked("-m pip install") == 2
    assert checkout.asked("-m venv") == 1


def test_the_demo_runs_the_chosen_bundle(checkout):
    checkout.make("demo")
    assert checkout.asked("-m scripts.demo --bundle xml_explainer_classification") == 1
    checkout.make("demo", "BUNDLE=another_classification")
    assert checkout.asked("-m scripts.demo --bundle another_classification") == 1


def test_an_old_python_is_refused_with_the_way_out(checkout):
    done = checkout.make("test", TOO_OLD="1")
    assert done.returncode != 0
    assert "Python 3.11 or newer is needed" in done.stdout
    assert "is Python 3.9.2" in done.stdout
    assert "make PYTHON=python3.12 test" in done.stdout
    assert not (checkout.folder / ".venv").exists()


def test_a_missing_venv_module_is_named_with_its_package(checkout):
    done = checkout.make("demo", NO_VENV="1")
    assert done.returncode != 0
    assert "sudo apt install python3-venv" in done.stdout
    assert checkout.make("demo").returncode == 0
    assert checkout.asked("-m venv") == 2


def test_a_failed_installation_is_tried_again(checkout):
    broken = INTERPRETER.replace('case "$1 $2" in', 'case "$1 $2" in\n  "-m pip") [ -e "$LOG.works" ] || exit 1 ;;')
    checkout.python.write_text(broken)
    assert checkout.make("install").returncode != 0
    Path(f"{checkout.log}.works").touch()
    assert checkout.make("install").returncode == 0
    assert checkout.asked("-m pip install") == 2


def test_help_lists_the_targets(checkout):
    shown = checkout.make().stdout
    for target in ("demo", "test", "test-slow", "lint", "check", "clean"):
        assert f"make {target}" in shown


def test_clean_keeps_environment_data_and_runs(checkout):
    for name in (".venv/__pycache__", "runs/demo", "data", "common/__pycache__", ".mypy_cache"):
        (checkout.folder / name).mkdir(parents=True)
    checkout.make("clean")
    left = {str(p.relative_to(checkout.folder)) for p in checkout.folder.rglob("*") if p.is_dir()}
    assert left == {".venv", ".venv/__pycache__", "runs", "runs/demo", "data", "common"}
