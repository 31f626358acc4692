"""Write the report of a run: one HTML file that holds everything and opens without a network."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from common.explain.blocks import Section
from common.explain.run_folder import RunFolder, read_run_folder
from common.explain.sections import SECTIONS
from common.utils.files import write_text

TEMPLATES = Path(__file__).parent / "templates"


def write_report(run_dir: str | Path, sections: Sequence[Callable[[RunFolder], Section | None]] = SECTIONS) -> Path:
    """Write ``report.html`` into a run folder, and its figures into ``figures/``.

    Args:
        run_dir: a run folder; what it lacks is left out of the report, or missed there in a sentence.
        sections: functions that return the parts of the report, in order. A method adds its own.

    Returns:
        The report's path.

    Raises:
        FileNotFoundError: if there is no such folder.
    """
    run = read_run_folder(run_dir)
    found = [section for section in (make(run) for make in sections) if section is not None]
    path = run.path / "report.html"
    write_text(path, render(run, found))
    return path


def render(run: RunFolder, sections: Sequence[Section]) -> str:
    """Return the page."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    environment = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=StrictUndefined,
    )
    script = (TEMPLATES / "report.js").read_text(encoding="utf-8")
    return environment.get_template("report.html").render(
        sections=sections,
        style=(TEMPLATES / "report.css").read_text(encoding="utf-8"),
        script=script,
        script_hash=base64.b64encode(hashlib.sha256(script.encode()).digest()).decode(),
        **_header(run),
    )


def _header(run: RunFolder) -> dict[str, Any]:
    workflows = list(run.run.get("workflows", {}).values())
    dates = [str(workflow["date"]) for workflow in workflows if workflow.get("date")]
    return {
        "title": str(run.run.get("name") or run.path.resolve().name),
        "version": str(run.run.get("bundle_version") or ""),
        "data_name": str(run.data.get("name") or ""),
        "synthetic": run.data.get("synthetic") is True,
        "date": max(dates, default="")[:16].replace("T", " "),
        "unfinished": [
            name for name, entry in run.run.get("workflows", {}).items() if entry.get("status") == "started"
        ],
    }
