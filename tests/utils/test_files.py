"""A reader never finds half a file, and nothing is left lying about."""

from __future__ import annotations

import errno
import json
import os
import signal
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from common.utils.files import ABANDONED_AFTER, update_json, write_atomic, write_json, write_text


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def age(path: Path, seconds: float) -> None:
    """Let a file look as if it had not been changed for so long."""
    changed = path.stat().st_mtime - seconds
    os.utime(path, (changed, changed))


def test_text_is_written_in_utf8_and_folders_are_made(tmp_path: Path) -> None:
    path = tmp_path / "new" / "deep" / "größe.csv"
    write_text(path, "α,β\n")
    assert path.read_bytes() == "α,β\n".encode()
    assert names(path.parent) == ["größe.csv"]


def test_what_was_there_stays_until_the_new_file_is_complete(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_text("old")
    seen: list[str] = []

    def write(file: Any) -> None:
        file.write(b"new")
        file.flush()
        seen.append(path.read_text())

    write_atomic(path, write)
    assert (seen, path.read_text()) == (["old"], "new")


@pytest.mark.parametrize(("umask", "mode"), [(0o022, 0o644), (0o077, 0o600), (0o002, 0o664)])
def test_permissions_are_those_of_any_new_file(tmp_path: Path, umask: int, mode: int) -> None:
    """Temporary files are private by default; a run folder is often shared."""
    before = os.umask(umask)
    try:
        write_text(tmp_path / "a.txt", "x")
        assert os.umask(umask) == umask, "the umask is left as it was"
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "a.txt").stat().st_mode) == mode


@pytest.mark.parametrize("there_before", [True, False])
def test_a_full_disk_is_said_in_words(tmp_path: Path, there_before: bool) -> None:
    path = tmp_path / "a.txt"
    if there_before:
        path.write_text("old")

    def full(file: Any) -> None:
        file.write(b"half of")
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    kept = "the earlier file is intact" if there_before else "nothing was left behind"
    with pytest.raises(OSError, match=rf"could not write .*a.txt \(No space left on device\); {kept}. Free") as caught:
        write_atomic(path, full)
    assert caught.value.errno == errno.ENOSPC
    assert names(tmp_path) == ["a.txt"] * there_before
    assert not there_before or path.read_text() == "old"


def test_a_place_that_cannot_be_a_folder(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("I am no folder")
    with pytest.raises(OSError, match=r"could not write .*/file/a.txt .*nothing was left behind"):
        write_text(tmp_path / "file" / "a.txt", "x")


def test_an_error_without_a_number_keeps_its_words(tmp_path: Path) -> None:
    """As Pillow raises when it cannot encode an image."""

    def refuse(file: Any) -> None:
        raise OSError("cannot write mode F as PNG")

    with pytest.raises(OSError, match=r"could not write .*a.png \(cannot write mode F as PNG\)"):
        write_atomic(tmp_path / "a.png", refuse)


@pytest.mark.parametrize("error", [KeyboardInterrupt, RuntimeError])
def test_an_interruption_leaves_nothing_behind(tmp_path: Path, error: type[BaseException]) -> None:
    (tmp_path / "a.txt").write_text("old")

    def stop(file: Any) -> None:
        file.write(b"half of")
        raise error

    with pytest.raises(error):
        write_atomic(tmp_path / "a.txt", stop)
    assert names(tmp_path) == ["a.txt"]
    assert (tmp_path / "a.txt").read_text() == "old"


def test_leftovers_of_a_killed_process_go_with_a_later_write(tmp_path: Path) -> None:
    """Those of this file only; and not before the new file is in place."""
    path = tmp_path / "model[1].pt"
    others = [".model[1].pt.notes.tmp", ".model[2].pt.abcd1234.tmp", ".model[1].ptabcd1234.tmp", "model[1].pt.tmp"]
    leftovers = [".model[1].pt.abcd1234.tmp", ".model[1].pt.____0000.tmp"]
    for name in [*others, *leftovers]:
        (tmp_path / name).write_text("x")
        age(tmp_path / name, ABANDONED_AFTER + 60)

    def fail(file: Any) -> None:
        raise OSError(errno.ENOSPC, "full")

    with pytest.raises(OSError, match="could not write"):
        write_atomic(path, fail)
    assert names(tmp_path) == sorted([*others, *leftovers])
    write_text(path, "new")
    assert names(tmp_path) == sorted([*others, path.name])


def test_a_file_that_another_process_is_writing_is_left_alone(tmp_path: Path) -> None:
    """What was changed within the hour; such as in a nested write of the same file."""
    path, inner = tmp_path / "a.txt", []

    def write(file: Any) -> None:
        file.write(b"outer")
        write_text(path, "inner")
        inner.append((path.read_text(), len(names(tmp_path))))

    write_atomic(path, write)
    assert inner == [("inner", 2)], "the outer temporary file was there, beside the inner's result"
    assert path.read_text() == "outer"
    assert names(tmp_path) == ["a.txt"]


def test_an_open_file_is_never_moved(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Windows would refuse; so the file is closed, with all its content, before it is put in place."""
    opened: list[Any] = []
    replace = os.replace

    def strict(source: Any, target: Any) -> None:
        assert opened[0].closed
        assert Path(source).read_bytes() == b"all of it"
        replace(source, target)

    monkeypatch.setattr("os.replace", strict)
    write_atomic(tmp_path / "a.txt", lambda file: (opened.append(file), file.write(b"all of it")))
    assert (tmp_path / "a.txt").read_bytes() == b"all of it"


def test_a_real_kill(tmp_path: Path, repository: Path) -> None:
    program = (
        "import os, signal, sys\n"
        "from common.utils.files import write_atomic\n"
        "def write(file):\n"
        "    file.write(b'half of')\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n"
        "write_atomic(sys.argv[1], write)\n"
    )
    path = tmp_path / "a.txt"
    path.write_text("old")
    child = subprocess.run([sys.executable, "-c", program, str(path)], cwd=repository, timeout=60, check=False)
    assert child.returncode == -signal.SIGKILL
    assert path.read_text() == "old"
    (leftover,) = tmp_path.glob(".a.txt.*.tmp")
    age(leftover, ABANDONED_AFTER - 60)
    write_text(path, "new")
    assert leftover.exists(), "its process might be alive"
    age(leftover, 120)
    write_text(path, "newer")
    assert names(tmp_path) == ["a.txt"]
    assert path.read_text() == "newer"


def test_json_is_indented_and_ends_with_a_line(tmp_path: Path) -> None:
    write_json(tmp_path / "a.json", {"b": [1, None], "a": "ü"})
    assert (tmp_path / "a.json").read_text() == '{\n  "b": [\n    1,\n    null\n  ],\n  "a": "\\u00fc"\n}\n'


@pytest.mark.parametrize("number", [float("nan"), float("inf"), float("-inf")])
def test_numbers_that_json_does_not_know_are_refused(tmp_path: Path, number: float) -> None:
    write_json(tmp_path / "a.json", {"value": 1})
    with pytest.raises(ValueError, match="Out of range float values are not JSON compliant"):
        write_json(tmp_path / "a.json", {"value": number})
    assert json.loads((tmp_path / "a.json").read_text()) == {"value": 1}


def test_update_merges_dictionaries_and_replaces_the_rest(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    assert update_json(path, {"test": {"f1": {"value": 1, "n": 3}}, "list": [1, 2]}) == {
        "test": {"f1": {"value": 1, "n": 3}},
        "list": [1, 2],
    }
    changes = {"test": {"f1": {"value": 2}, "auroc": None}, "list": [3], "new": {}}
    merged = update_json(path, changes)
    assert merged == {"test": {"f1": {"value": 2, "n": 3}, "auroc": None}, "list": [3], "new": {}}
    assert json.loads(path.read_text()) == merged
    assert changes == {"test": {"f1": {"value": 2}, "auroc": None}, "list": [3], "new": {}}
    assert update_json(path, {"test": 5, "new": {"deep": {"er": 1}}})["test"] == 5, "a dictionary gives way to a number"
