"""Record what was run: settings, versions, data, command, device and time."""

from __future__ import annotations

import logging
import platform
import shlex
import sys
import time
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from ignite.engine import Engine, Events

import common
from common.data.datalist import datalist_hash
from common.handlers.earlier_run import set_aside_earlier_run
from common.utils.config_check import resolved_config
from common.utils.distributed import is_main_process
from common.utils.files import update_json, write_json
from common.utils.workflow import running_workflow

logger = logging.getLogger(__name__)

PACKAGES = ("torch", "torchvision", "monai", "pytorch-ignite", "numpy", "scikit-learn", "pydicom", "nibabel", "captum")


class RunRecord:
    """Write ``run.json`` and the resolved configuration when a workflow starts; complete it when it ends.

    The handler is built while MONAI evaluates the configuration, and takes overlays and overrides into account. When a
    training of new weights starts, results of earlier ones are set aside (:mod:`common.handlers.earlier_run`).
    """

    def __init__(
        self,
        output_dir: str | Path,
        workflow: str,
        seed: int = 0,
        datalist: str | Path | None = None,
        loader: Any = None,
    ) -> None:
        """Say what to record.

        Args:
            output_dir: the run folder.
            workflow: "training", "evaluation", "inference" or "explanation"; each has its own entry.
            seed: the seed in use.
            datalist: the datalist in use; its hash is recorded, so that two runs can be told to share their splits.
            loader: a :class:`common.data.CaseLoader` whose skipped cases are recorded.
        """
        self.output_dir = Path(output_dir)
        self.workflow = workflow
        self.seed = seed
        self.datalist = datalist
        self.loader = loader
        workflow_in_progress = running_workflow()
        parser = None if workflow_in_progress is None else workflow_in_progress.parser
        self._config = {} if parser is None else resolved_config(parser)
        self._meta = {} if parser is None else dict(parser.get("_meta_") or {})
        self._began = 0.0

    def attach(self, engine: Engine) -> None:
        """Register the handler's events; only the first process writes."""
        if is_main_process():
            engine.add_event_handler(Events.STARTED, self._start)
            engine.add_event_handler(Events.COMPLETED, self._complete)

    def _start(self, engine: Engine) -> None:
        self._began = time.perf_counter()
        if self.workflow == "training" and not getattr(engine, "resuming", False):
            moved = set_aside_earlier_run(self.output_dir)
            if moved is not None:
                logger.warning("results of an earlier training were moved to %s", moved)
        entry = {
            "status": "started",
            "command": _command(),
            "date": datetime.now(UTC).astimezone().isoformat(timespec="seconds"),
            "device": _device_name(engine.state.device),
            "seed": self.seed,
            "duration_s": None,  # not known before the end, and not that of an earlier run in the same folder
            "failures": [],
        }
        if self.datalist is not None and Path(self.datalist).is_file():
            entry |= {"datalist": str(self.datalist), "datalist_hash": datalist_hash(self.datalist)}
        self.output_dir.mkdir(parents=True, exist_ok=True)
        if self._config:
            write_json(self.output_dir / f"config_{self.workflow}.json", self._config)
        update_json(
            self.output_dir / "run.json",
            {
                "name": self._meta.get("name", ""),
                "bundle_version": self._meta.get("version", ""),
                "versions": _versions(),
                "workflows": {self.workflow: entry},
            },
        )

    def _complete(self, engine: Engine) -> None:
        failures = [
            {"case": failure.case_id, "message": f"{Path(failure.source).name}: {failure.what}. {failure.remedy}"}
            for failure in getattr(self.loader, "failures", [])
        ]
        end = {"status": "completed", "duration_s": round(time.perf_counter() - self._began, 1), "failures": failures}
        update_json(self.output_dir / "run.json", {"workflows": {self.workflow: end}})


def _command() -> str:
    """Return the command line; a module run with -m is shown by its name, never by its path on this machine."""
    main = sys.modules.get("__main__")
    spec = getattr(main, "__spec__", None)
    program = f"python -m {spec.name.removesuffix('.__main__')}" if spec is not None else Path(sys.argv[0]).name
    return f"{program} {shlex.join(sys.argv[1:])}"


def _device_name(device: Any) -> str:
    """Return the device in words."""
    if device.type == "cuda":
        import torch

        return torch.cuda.get_device_name(device)
    return f"{device.type} ({platform.machine()}, {_cores()} cores)"


def _cores() -> int:
    import torch

    return torch.get_num_threads()


def _versions() -> dict[str, str]:
    found = {"python": platform.python_version(), "vitrine": common.__version__}
    for package in PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found
