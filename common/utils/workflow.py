"""The MONAI workflow in whose middle we are being called."""

import inspect
from collections.abc import Iterator
from pathlib import Path
from types import FrameType
from typing import Any

from monai.bundle import ConfigParser, ConfigWorkflow
from monai.bundle.scripts import run

__all__ = ["bundle_root", "given_overrides", "on_command_line", "running_parser", "running_workflow"]

# MONAI hands a component its arguments and nothing else: neither the configuration it stands in nor the overrides of
# the command line, and MONAI itself accepts a misspelt override in silence. A component that judges or records the
# whole configuration therefore looks up the stack for the parser that is evaluating it. Only this file does so.


def _frames() -> Iterator[FrameType]:
    frame = inspect.currentframe()
    while frame is not None:
        yield frame
        frame = frame.f_back


def running_parser() -> ConfigParser:
    """Find the configuration being evaluated.

    Returns:
        The innermost ``ConfigParser`` that is instantiating a component or evaluating an expression right now.

    Raises:
        RuntimeError: outside of such an evaluation.
    """
    for frame in _frames():
        candidate = frame.f_locals.get("self")
        if isinstance(candidate, ConfigParser):
            return candidate
    raise RuntimeError(
        "No configuration is being evaluated: this component works only inside a MONAI config, "
        "for instance as the first item of its 'initialize' list."
    )


def running_workflow() -> ConfigWorkflow | None:
    """Find the ``ConfigWorkflow`` being initialised or run, None when a parser is used without one."""
    candidates = (frame.f_locals.get("self") for frame in _frames())
    return next((c for c in candidates if isinstance(c, ConfigWorkflow)), None)


def given_overrides() -> dict[str, Any]:
    """Find the ids and values given to MONAI's ``run``, as the command line has them.

    Returns:
        Also those that MONAI drops on their way to the configuration: all that are None. Empty where a workflow was
        started otherwise.
    """
    return next((dict(f.f_locals["override"]) for f in _frames() if f.f_code is run.__code__), {})


def bundle_root() -> str:
    """Find the folder of the bundle whose configuration is being evaluated, so that a command works from anywhere.

    Returns:
        The folder above the ``configs`` folder of the running workflow's first config file; "." where no workflow runs
        (``verify_net_in_out``, ``ckpt_export``): there an override of the id says where the bundle is.
    """
    workflow = running_workflow()
    if workflow is None:
        return "."
    folder = Path(workflow.config_root_path).resolve()
    return str(folder.parent if folder.name == "configs" else folder)


def on_command_line() -> bool:
    """Tell whether a command line (``python -m monai.bundle ...``) started what is running, rather than Python code."""
    return any(frame.f_globals.get("__name__") == "fire.core" for frame in _frames())
