"""Write small files so that a reader never finds half of one."""

from __future__ import annotations

import contextlib
import glob
import json
import os
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import IO, Any

ABANDONED_AFTER = 3600.0
"""Seconds without a change after which a temporary file counts as left over by a process that was killed."""


def write_atomic(path: str | Path, write: Callable[[IO[bytes]], object]) -> None:
    """Write a file beside its final place, flush it to disk, then put it there in one step.

    What a killed process has left beside the target is removed by a later write, an hour after: until then another
    process might still be writing it.

    Args:
        path: the final place; its folder is made if needed. What was there before stays until the new file is complete.
        write: is given the open binary file.

    Raises:
        OSError: if the disk is full or not writable; the message names the file and says that the old one is intact.
    """
    target = Path(path)
    temporary: Path | None = None
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}.", suffix=".tmp")
        temporary = Path(name)
        with os.fdopen(handle, "wb") as file:
            write(file)
            file.flush()
            os.fsync(handle)
        os.chmod(temporary, 0o666 & ~_umask())
        os.replace(temporary, target)
    except OSError as error:
        kept = "the earlier file is intact" if os.path.exists(target) else "nothing was left behind"
        raise OSError(
            error.errno,
            f"could not write {target} ({error.strerror or error}); {kept}. Free some space or choose another folder",
        ) from error
    finally:
        if temporary is not None:
            temporary.unlink(missing_ok=True)
    _remove_leftovers(target)


def write_text(path: str | Path, text: str) -> None:
    """Write a text file atomically, in UTF-8."""
    write_atomic(path, lambda file: file.write(text.encode()))


def write_json(path: str | Path, content: Any) -> None:
    """Write a JSON file atomically, indented for reading; numbers that JSON does not know (nan, inf) are refused."""
    write_text(path, json.dumps(content, indent=2, allow_nan=False) + "\n")


def update_json(path: str | Path, changes: Mapping[str, Any]) -> dict[str, Any]:
    """Merge nested dictionaries into a JSON file, made if needed, and return its new content."""
    content = json.loads(Path(path).read_text(encoding="utf-8")) if Path(path).exists() else {}
    merged = _merge(content, changes)
    write_json(path, merged)
    return merged


def _merge(old: Mapping[str, Any], new: Mapping[str, Any]) -> dict[str, Any]:
    merged = dict(old)
    for key, value in new.items():
        both = isinstance(value, Mapping) and isinstance(merged.get(key), Mapping)
        merged[key] = _merge(merged[key], value) if both else value
    return merged


def _remove_leftovers(target: Path) -> None:
    """Remove the target's temporary files that nobody writes any more; the file system's own clock tells their age."""
    with contextlib.suppress(OSError):
        now = target.stat().st_mtime
        for leftover in target.parent.glob(f".{glob.escape(target.name)}.????????.tmp"):
            if now - leftover.stat().st_mtime > ABANDONED_AFTER:
                leftover.unlink()


def _umask() -> int:
    """Return the process's umask; there is no way to read it but to set it."""
    mask = os.umask(0)
    os.umask(mask)
    return mask
