"""Run the commands a user types, as a user does: in a process of their own."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
BUNDLES = sorted(path.parent.parent for path in ROOT.glob("bundles/*/configs/metadata.json"))


def configs(bundle: Path, *names: str) -> str:
    """Return the value of --config_file for configurations of a bundle."""
    return str([str(bundle / "configs" / f"{name}.json") for name in names])


def python(*arguments: str | Path, cwd: Path = ROOT, fails: bool = False, timeout: float = 300) -> str:
    """Run ``python <arguments>`` and return what it printed; it must succeed, or fail where that is expected."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "COLUMNS": "120"}
    done = subprocess.run(
        [sys.executable, *map(str, arguments)],
        cwd=cwd,
        env=environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
    )
    printed = done.stdout + done.stderr
    assert (done.returncode != 0) == fails, f"exit status {done.returncode} of {arguments}:\n{printed[-4000:]}"
    return printed


def monai(*arguments: str | Path, **options: object) -> str:
    """Run ``python -m monai.bundle <arguments>``."""
    return python("-m", "monai.bundle", *arguments, **options)  # type: ignore[arg-type]
