"""Run a packed bundle in processes in which this repository's code cannot be imported."""

import os
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

import numpy as np
from PIL import Image

from common.utils.bundle import Bundle
from common.utils.messages import PlainError

__all__ = ["export_torchscript", "prove", "run_isolated"]

# An editable installation makes the library importable from everywhere; this makes it impossible to import.
BLOCK = """
import sys

class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in ("common", "scripts"):
            raise ModuleNotFoundError(f"{name} was imported by a packed bundle", name=name)

sys.meta_path.insert(0, Absent())
"""
MONAI = BLOCK + "import runpy; sys.argv[0] = 'monai.bundle'; runpy.run_module('monai.bundle', run_name='__main__')"
LOAD = (
    BLOCK
    + """
import torch
from monai.bundle import load

name = sys.argv[1]
sys.path.insert(0, name)
network = load(name, bundle_dir=".", workflow_type="inference", device="cpu").eval()
scripted, metadata, _ = load(name, bundle_dir=".", load_ts_module=True, device="cpu", config_files=("inference.json",))
stated = metadata["network_data_format"]["inputs"]["image"]
image = torch.rand(1, stated["num_channels"], *(s if isinstance(s, int) else 64 for s in stated["spatial_shape"]))
with torch.no_grad():
    torch.testing.assert_close(scripted.eval()(image), network(image), rtol=1e-4, atol=1e-5)
"""
)


def run_isolated(code: str, *arguments: str, cwd: Path) -> str:
    """Run Python code in a new process without this repository.

    Args:
        code: the program.
        arguments: its command line.
        cwd: the directory it is started in, which is also where Python looks for modules first.

    Returns:
        What it printed, errors included.

    Raises:
        PlainError: if it fails, with the end of what it printed.
    """
    # equal hash seeds give equal TorchScript files
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"} | {"PYTHONHASHSEED": "0"}
    command = [sys.executable, "-c", code, *arguments]
    done = subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True, check=False)
    output = done.stdout + done.stderr
    if done.returncode:
        end = "\n".join(output.rstrip().splitlines()[-15:])
        raise PlainError(f"the packed bundle fails at `{' '.join(arguments)}`:\n{end}")
    return output


def export_torchscript(tree: Path) -> None:
    """Write ``models/model.ts`` of a packed bundle from its own code, weights and configuration.

    The file carries metadata.json and inference.json, which MONAI's applications read from it, and is free of the paths
    and identifiers that would make it differ from one export to the next.
    """
    run_isolated(MONAI, "ckpt_export", "--bundle_root", ".", "--config_file", "configs/inference.json", cwd=tree)
    file = tree / "models" / "model.ts"
    with zipfile.ZipFile(file) as exported:
        entries = {name: exported.read(name) for name in exported.namelist()}
    with zipfile.ZipFile(file, "w", zipfile.ZIP_STORED) as plain:
        for name, content in entries.items():
            if not name.endswith((".debug_pkl", "/serialization_id")):
                plain.writestr(zipfile.ZipInfo(name), content)


def prove(archive: Path, name: str) -> str:
    """Unpack an archive in an empty directory and use it there.

    Args:
        archive: the packed bundle.
        name: the bundle's name, which is also the folder in the archive.

    Returns:
        What was proven, in a line.

    Raises:
        PlainError: if a step fails, or a prediction is missing.
    """
    with tempfile.TemporaryDirectory() as empty:
        with zipfile.ZipFile(archive) as packed:
            packed.extractall(empty)
        folder = Path(empty) / name
        images = Path(empty) / "images"
        cases = _write_images(Bundle(folder), images)
        elsewhere = Path(empty) / "elsewhere"
        elsewhere.mkdir()
        workflows = [w for w in ("inference", "explain") if (folder / "configs" / f"{w}.json").is_file()]
        for workflow in workflows:
            out = Path(empty) / workflow
            config = str(folder / "configs" / f"{workflow}.json")
            options = ["--dataset_dir", str(images), "--output_dir", str(out)]
            run_isolated(MONAI, "run", "--config_file", config, *options, cwd=elsewhere)
            written = " ".join(f.read_text(errors="replace") for f in out.rglob("*") if f.suffix in (".json", ".csv"))
            missing = [case for case in cases if case not in written]
            if missing:
                raise PlainError(f"the packed bundle ran {workflow}, but wrote nothing about {', '.join(missing)}")
        run_isolated(LOAD, name, cwd=Path(empty))
    return f"proven in an empty directory without this library: {', '.join(workflows)}, monai.bundle.load, TorchScript"


def _write_images(bundle: Bundle, folder: Path) -> list[str]:
    """Write two cases of noise as the metadata describes the input; return their case ids.

    An input whose channels are views has three axes more; its cases are folders with a file for each view.
    """
    stated = bundle.metadata["network_data_format"]["inputs"]["image"]
    size = [s if isinstance(s, int) else 64 for s in stated["spatial_shape"]]
    views = list(stated["channel_def"].values()) if len(size) == 3 else []
    shape = (*size, 3) if stated["num_channels"] == 3 else tuple(size[-2:])
    random = np.random.default_rng(0)
    cases = ["first_case", "second_case"]
    for case in cases:
        for file in [f"{case}/{view}.png" for view in views] or [f"{case}.png"]:
            (folder / file).parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(random.integers(0, 256, shape, dtype=np.uint8)).save(folder / file)
    return cases
