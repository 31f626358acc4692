"""Every command of README.md, docs/getting_started.md and the bundles' READMEs works, typed as it stands there.

The commands run in an empty folder that holds a copy of the bundles' configurations, the folders ``my_images`` and
``new_images`` that the pages speak of, and nothing else. Three things differ from a reader's morning, all stated here:

* ``TINY`` is appended to the commands it names, so that images are small and epochs few (an option given twice counts
  the second time);
* ``make`` targets are looked up in the Makefile, as the tests of the Makefile run them; the virtual environment is the
  one in use;
* a command that an earlier page has run is not run again.
"""

from __future__ import annotations

import csv
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

XML, UML = "bundles/xml_explainer_classification", "bundles/uml_evidential_segmentation"
INTERNRL = "bundles/internrl_prototype_classification"
CIPL, VWYL = "bundles/cipl_multilabel_classification", "bundles/vwyl_report_classification"
BUNDLES = (XML, UML, INTERNRL, CIPL, VWYL)
PAGES = ("README.md", "docs/getting_started.md", *(f"{bundle}/docs/README.md" for bundle in BUNDLES))
TINY = {
    ("run training", XML): {"image_size": "48", "stage_epochs": "[1,1,1]"},
    ("run evaluating", XML): {"explained_cases": "2", "perturbation_steps": "2", "baselines": "['random','gradcam']"},
    ("configs/train.json", UML): {"image_size": "48", "width": "0.125", "max_epochs": "1"},
    ("run evaluating", UML): {"corrupted_cases": "2"},
    ("configs/train.json", INTERNRL): {"image_size": "[64,32]", "stage_epochs": "[1,1,1]", "prototypes_per_class": "2"},
    ("run evaluating", INTERNRL): {"explained_cases": "2", "perturbation_steps": "2", "baselines": "['random']"},
    ("configs/train.json", CIPL): {"image_size": "[64,64]", "stage_epochs": "[1,1,1]", "prototypes_per_class": "2"},
    ("configs/plain.json", CIPL): {"max_epochs": "1"},
    ("run evaluating", CIPL): {"explained_cases": "2", "perturbation_steps": "2", "baselines": "['random']"},
    ("configs/train.json", VWYL): {"image_size": "48", "max_epochs": "1", "batch_size": "4", "warm_up_steps": "1"},
    ("configs/train_classification.json",): {"steps_per_epoch": "1", "monitor": "loss", "monitor_mode": "min"},
    ("configs/train_segmentation.json",): {"steps_per_epoch": "1"},
    ("scripts.phantom chest",): {"count": "80", "size": "64", "nodule": "0.028,0.036", "mass": "0.065,0.09"},
    ("scripts.phantom exams",): {"count": "16,8,12", "size": "64"},
    ("scripts.tokenizer",): {"reports": "40"},
    ("scripts.phantom mammograms",): {"count": "40"},
    ("scripts.phantom shapes",): {"count": "20"},
    ("scripts.phantom fundus",): {"count": "6"},
}
STAGES = ("training", "evaluation", "explanation")
OF_OTHER_NETWORKS = {
    "thresholds.json",
    "cooccurrence.json",
    "prototype_table.json",
    "prototypes/prototypes.json",
    "prototypes/prototypes.npz",
    "retrieval.json",
    "explanations/<case>/maps.npz",
    "segmentations/",
    "text/tokenizer.json",
    "text/prompts.json",
}
HERE = {"python": sys.executable, "torchrun": f"{sys.executable} -m torch.distributed.run"}

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]


def commands_of(page: Path) -> list[str]:
    """Return the commands of the bash blocks of a page, one a line, without comments."""
    blocks = re.findall(r"^```bash\n(.*?)^```", page.read_text(encoding="utf-8"), re.M | re.S)
    lines = "\n".join(blocks).replace("\\\n", "").splitlines()
    return [" ".join(line.split()) for line in (line.partition(" #")[0] for line in lines) if line.strip()]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with what the pages take for granted."""
    root = Path(__file__).resolve().parents[2]
    place = tmp_path_factory.mktemp("reader")
    products = shutil.ignore_patterns("models", "data", "run", "eval")
    shutil.copytree(root / "bundles", place / "bundles", ignore=products)
    _write_images(place / "my_images", 24)
    _write_images(place / "new_images", 3)
    (place / "new_images" / "labels.csv").unlink()
    (place / "new_images" / "scans" / "0001.png").write_bytes(b"\x89PNG, and no more")
    return place


def _write_images(folder: Path, count: int) -> None:
    """Write images of noise, half of them with a bright square, two to a patient, and their table."""
    generator = np.random.default_rng(0)
    (folder / "scans").mkdir(parents=True)
    rows = []
    for index in range(count):
        pixels = generator.integers(0, 120, (56, 64), dtype=np.uint8)
        label = index // 2 % 2
        if label:
            pixels[20:36, 24:40] += 120
        Image.fromarray(pixels).save(folder / "scans" / f"{index:04d}.png")
        rows.append([f"scans/{index:04d}.png", ("benign", "malignant")[label], f"p{index // 2:02d}"])
    with (folder / "labels.csv").open("w", newline="") as file:
        csv.writer(file).writerows([["file", "diagnosis", "patient"], *rows])


@pytest.fixture(scope="module")
def done() -> set[str]:
    """Commands that have been run."""
    return set()


@pytest.mark.parametrize("page", PAGES)
def test_the_commands_of_a_page_work(page: str, folder: Path, done: set[str], repository: Path) -> None:
    commands = commands_of(repository / page)
    assert commands, f"{page} has no bash block"
    for command in commands:
        if command.startswith("make"):
            _check_target(command.split()[1], repository)
        elif command != "source .venv/bin/activate" and command not in done:
            _run(command, folder)
            done.add(command)


def test_the_run_folder_holds_what_its_page_lists(folder: Path, done: set[str], repository: Path) -> None:
    """docs/reference/run_folder.md, compared with what the commands above have left."""
    assert any("runs/mine" in command for command in done), "run this file as a whole"
    page = (repository / "docs" / "reference" / "run_folder.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| (`.+?`) \| (.+?) \|", page, re.M)
    listed = {name for cell, writer in rows if writer != "a comparison" for name in re.findall(r"`([^`]+)`", cell)}
    listed = listed - {"config_<workflow>.json"} | {f"config_{name}.json" for name in STAGES}
    patterns = {name: name.replace("<case>", "*").removesuffix("/") for name in listed}
    unwritten = sorted(name for name, pattern in patterns.items() if not [*folder.rglob(pattern)])
    assert not unwritten, "listed and written by no command"
    run = folder / "runs" / "mine"
    here = {name for name, pattern in patterns.items() if [*run.glob(pattern), *run.glob(f"checkpoints/{pattern}")]}
    assert listed - here == OF_OTHER_NETWORKS | {"predictions.csv"}
    top = {path.name for path in run.iterdir()}
    assert top == {name.partition("/")[0] for name in here if (run / name.partition("/")[0]).exists()}
    weights = {path.name for path in (run / "checkpoints").iterdir()}
    assert weights <= here
    assert (folder / "runs" / "new" / "predictions.csv").is_file()


def test_an_unreadable_new_image_is_left_out_and_recorded(folder: Path, done: set[str]) -> None:
    """As docs/getting_started.md promises for --on_error skip."""
    assert any("new_images" in command for command in done), "run this file as a whole"
    with (folder / "runs" / "new" / "predictions.csv").open() as file:
        assert [row["case_id"] for row in csv.DictReader(file)] == ["scans_0000", "scans_0002"]
    record = json.loads((folder / "runs" / "new" / "run.json").read_text())
    for workflow in ("inference", "explanation"):
        (failure,) = record["workflows"][workflow]["failures"]
        assert failure["case"] == "scans_0001"


def _check_target(target: str, repository: Path) -> None:
    makefile = (repository / "Makefile").read_text(encoding="utf-8")
    assert re.search(rf"^[\w -]*\b{re.escape(target)}\b[\w -]*:(?!=)", makefile, re.M), f"no target {target}"


def _run(command: str, folder: Path) -> None:
    for words, options in TINY.items():
        if all(word in command for word in words):
            command = " ".join([command, *(f'--{name} "{value}"' for name, value in options.items())])
    program, _, rest = command.partition(" ")
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONWARNINGS": "ignore"}
    finished = subprocess.run(
        ["bash", "-c", f"{HERE.get(program, program)} {rest}"],
        cwd=folder,
        env=environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    assert finished.returncode == 0, f"$ {command}\n{(finished.stdout + finished.stderr)[-4000:]}"
