"""Find copies of the same file, whatever their names."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Callable, Hashable, Iterable
from pathlib import Path

__all__ = ["find_copies"]

ENDS = 65536  # bytes at both ends that are compared before whole files are read


def find_copies(paths: Iterable[str | Path]) -> list[list[Path]]:
    """Return the groups of files with the same bytes, each in the given order.

    Only files of the same length are opened, and read as a whole only where their ends agree. Files that do not exist
    are left out; a path that is given twice counts once.

    Args:
        paths: of any files.
    """
    groups = [[path for path in dict.fromkeys(map(Path, paths)) if path.is_file()]]
    for fingerprint in (_length, _ends, _content):
        groups = [part for group in groups for part in _divided(group, fingerprint)]
    return groups


def _divided(group: list[Path], fingerprint: Callable[[Path], Hashable]) -> list[list[Path]]:
    """Return the parts of a group that agree in something, without those that stand alone."""
    parts: dict[Hashable, list[Path]] = defaultdict(list)
    for path in group:
        parts[fingerprint(path)].append(path)
    return [part for part in parts.values() if len(part) > 1]


def _length(path: Path) -> int:
    return path.stat().st_size


def _ends(path: Path) -> bytes:
    with path.open("rb") as file:
        first = file.read(ENDS)
        file.seek(max(path.stat().st_size - ENDS, 0))
        return hashlib.sha256(first + file.read(ENDS)).digest()


def _content(path: Path) -> bytes:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").digest()
