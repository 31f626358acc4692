"""A generated folder that is either complete and stamped with its settings, or not there at all."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from filelock import FileLock

from common.utils.files import write_json

__all__ = ["STAMP", "is_current", "make_folder"]

STAMP = "phantom.json"


def is_current(folder: str | Path, settings: Mapping[str, Any]) -> bool:
    """Return whether the folder was completed with exactly these settings and no file has gone since."""
    stamp = _read_stamp(Path(folder))
    return stamp is not None and stamp["settings"] == settings and _count_files(Path(folder)) >= stamp["files"]


def make_folder(folder: str | Path, settings: Mapping[str, Any], write: Callable[[Path], None]) -> bool:
    """Make a generated folder, unless it is there already.

    Everything is written to a hidden folder beside the final place, stamped, and put in place in one step. So a kill
    at any moment leaves either the old folder or the new one, never half of one that looks finished.

    Args:
        folder: the final place. Made anew if it was made with other settings, or if files are missing from it.
        settings: plain JSON values that determine the content, the generator and its version among them.
        write: writes the content into the empty folder it is given.

    Returns:
        True if the folder was made, False if it was up to date.

    Raises:
        FileExistsError: if the place holds anything this function did not make; nothing is touched then.
    """
    final = Path(folder).resolve()  # a link to a folder on another disk stays a link
    if is_current(final, settings):
        return False
    _refuse_foreign(final)
    final.parent.mkdir(parents=True, exist_ok=True)
    with _alone_with(final):
        if is_current(final, settings):  # another process, of a parallel training say, has just made it
            return False
        _replace(final, settings, write)
    return True


def _replace(final: Path, settings: Mapping[str, Any], write: Callable[[Path], None]) -> None:
    fresh, old = (final.with_name(f".{final.name}.{state}") for state in ("partial", "old"))
    shutil.rmtree(fresh, ignore_errors=True)  # left by a run that was killed
    fresh.mkdir()
    try:
        write(fresh)
        content = sorted(path.name for path in fresh.iterdir())
        write_json(fresh / STAMP, {"settings": settings, "content": content, "files": _count_files(fresh) + 1})
        shutil.rmtree(old, ignore_errors=True)
        if final.exists():
            os.rename(final, old)
        os.rename(fresh, final)
        shutil.rmtree(old, ignore_errors=True)
    finally:
        shutil.rmtree(fresh, ignore_errors=True)


@contextmanager
def _alone_with(folder: Path) -> Iterator[None]:
    """Wait until no other process makes this folder. The lock goes with the process, even if that is killed."""
    lock = FileLock(folder.with_name(f".{folder.name}.lock"))
    with suppress(OSError):  # some network drives know no locks; a single process needs none
        lock.acquire()
    try:
        yield
    finally:
        with suppress(OSError):  # Windows removes it at the release
            os.unlink(lock.lock_file)
        lock.release()


def _read_stamp(folder: Path) -> dict[str, Any] | None:
    """Return the stamp, or None where there is none that can be read: such a folder does not count as generated."""
    try:
        stamp = json.loads((folder / STAMP).read_text())
    except (OSError, ValueError):
        return None
    return stamp if isinstance(stamp, dict) and {"settings", "content", "files"} <= stamp.keys() else None


def _refuse_foreign(folder: Path) -> None:
    """Raise if making the folder anew would delete what somebody else put there."""
    if not folder.exists():
        return
    if not folder.is_dir():
        raise FileExistsError(f"{folder} is a file; name a folder that does not exist yet")
    present = {path.name for path in folder.iterdir()}
    stamp = _read_stamp(folder)
    foreign = sorted(present - {STAMP, *stamp["content"]} if stamp else present)
    if foreign:
        shown = ", ".join(foreign[:3]) + (", ..." if len(foreign) > 3 else "")
        made = "was generated with other settings and also holds" if stamp else "was not generated here and holds"
        raise FileExistsError(f"{folder} {made} {shown}, which would be lost; empty it, or name another folder")
    if os.path.ismount(folder):
        raise FileExistsError(f"{folder} is a mount point and cannot be replaced; name a folder inside it")


def _count_files(folder: Path) -> int:
    return sum(path.is_file() for path in folder.rglob("*"))
