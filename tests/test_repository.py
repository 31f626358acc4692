"""Facts that stand in several files agree, and the repository speaks of itself alone."""

import json
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

import common


def test_versions_agree(repository):
    newest = re.search(r"^## \[(\d+\.\d+\.\d+)\]", (repository / "CHANGELOG.md").read_text(), re.M)
    cited = re.search(r"^version: (\S+)$", (repository / "CITATION.cff").read_text(), re.M)
    assert newest is not None
    assert cited is not None
    assert newest[1] == cited[1] == common.__version__


def test_every_import_of_the_library_is_a_requirement(repository):
    """What common imports at the top of a file is installed by requirements.txt alone."""
    names = {"PIL": "pillow", "sklearn": "scikit-learn", "ignite": "pytorch-ignite"}
    lines = (repository / "requirements.txt").read_text().splitlines()
    required = {re.split(r"[<>=]", line)[0] for line in lines if line and not line.startswith("#")}
    pattern = re.compile(r"^(?:from|import) (\w+)", re.M)
    for file in [*repository.glob("common/**/*.py"), *repository.glob("scripts/*.py")]:
        for module in set(pattern.findall(file.read_text())):
            if module not in sys.stdlib_module_names and module not in ("common", "scripts"):
                assert names.get(module, module) in required, f"{file}: {module}"


def test_the_promised_extras_exist(repository):
    extras = tomllib.loads((repository / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    assert {"xai", "dicom", "text", "track", "export", "dev"} <= set(extras)
    hints = re.compile(r'optional_import\([^)]*?,\s*"(\w+)"\)')
    for file in repository.glob("common/**/*.py"):
        for extra in hints.findall(file.read_text()):
            assert extra in extras, f"{file} hints at an extra that does not exist: {extra}"


def tracked(repository: Path) -> list[Path]:
    """List the files of the repository, those not yet committed included."""
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard"]
    names = subprocess.run(command, cwd=repository, capture_output=True, text=True, check=True).stdout.splitlines()
    return [repository / n for n in names if (repository / n).is_file()]


def test_no_data_weights_or_results_are_in_the_repository(repository):
    for file in tracked(repository):
        assert file.stat().st_size < 2_000_000, file
        assert file.suffix not in (".pt", ".ts", ".pt2", ".onnx", ".zip", ".ipynb"), file


def test_files_stay_readable(repository):
    for folder in ("common", "scripts"):
        for file in (repository / folder).rglob("*.py"):
            assert len(file.read_text().splitlines()) <= 400, file


@pytest.mark.parametrize("config", ["train", "inference"])
def test_configs_are_sorted_for_reading(repository, config):
    """Knobs come first, then the network, then what runs."""
    for file in repository.glob(f"bundles/*/configs/{config}.json"):
        ids = list(json.loads(file.read_text()))
        assert ids.index("bundle_root") < ids.index("network_def") < ids.index("initialize") < ids.index("run"), file
