"""A generated folder is complete or absent, and nobody's files are ever deleted."""

import errno
import json
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from common.data.phantoms.stamped_folder import STAMP, is_current, make_folder


def writer(text, calls=None):
    def write(folder):
        (folder / "sub").mkdir()
        (folder / "sub" / "a.txt").write_text(text)
        (folder / "b.txt").write_text(text)
        if calls is not None:
            calls.append(text)

    return write


def test_made_once_then_left_alone(tmp_path):
    calls = []
    folder = tmp_path / "deep" / "data"
    assert make_folder(folder, {"n": 1}, writer("one", calls))
    assert not make_folder(folder, {"n": 1}, writer("two", calls))
    assert calls == ["one"]
    assert json.loads((folder / STAMP).read_text()) == {"settings": {"n": 1}, "content": ["b.txt", "sub"], "files": 3}
    assert [path.name for path in folder.parent.iterdir()] == ["data"]


def test_of_several_at_once_one_makes_it_and_the_others_wait(tmp_path):
    calls = []

    def slow(folder):
        time.sleep(0.1)
        writer("one", calls)(folder)

    with ThreadPoolExecutor(3) as pool:
        made = list(pool.map(lambda _: make_folder(tmp_path / "data", {"n": 1}, slow), range(3)))
    assert sorted(made) == [False, False, True]
    assert calls == ["one"]
    assert is_current(tmp_path / "data", {"n": 1})


def test_where_locks_are_not_to_be_had_it_is_made_all_the_same(tmp_path, monkeypatch):
    """As on some network drives."""

    def unsupported(lock):
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr("filelock.FileLock.acquire", unsupported)
    assert make_folder(tmp_path / "data", {"n": 1}, writer("one"))
    assert [path.name for path in tmp_path.iterdir()] == ["data"]


def test_other_settings_make_it_anew(tmp_path):
    make_folder(tmp_path / "data", {"n": 1}, writer("one"))
    assert make_folder(tmp_path / "data", {"n": 2}, writer("two"))
    assert (tmp_path / "data" / "b.txt").read_text() == "two"
    assert is_current(tmp_path / "data", {"n": 2})
    assert not is_current(tmp_path / "data", {"n": 1})
    assert [path.name for path in tmp_path.iterdir()] == ["data"]


def test_a_missing_file_makes_it_anew(tmp_path):
    make_folder(tmp_path / "data", {}, writer("one"))
    (tmp_path / "data" / "sub" / "a.txt").unlink()
    assert not is_current(tmp_path / "data", {})
    assert make_folder(tmp_path / "data", {}, writer("two"))
    assert (tmp_path / "data" / "sub" / "a.txt").read_text() == "two"


def test_an_empty_folder_is_used(tmp_path):
    (tmp_path / "data").mkdir()
    assert make_folder(tmp_path / "data", {}, writer("one"))
    assert (tmp_path / "data" / "b.txt").read_text() == "one"


def test_a_link_stays_a_link(tmp_path):
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "data").symlink_to(tmp_path / "elsewhere")
    make_folder(tmp_path / "data", {}, writer("one"))
    assert (tmp_path / "data").is_symlink()
    assert (tmp_path / "elsewhere" / "b.txt").read_text() == "one"


@pytest.mark.parametrize("error", [KeyboardInterrupt, OSError("disk full")], ids=["interrupted", "disk full"])
def test_a_run_that_breaks_leaves_the_old_folder(tmp_path, error):
    def broken(folder):
        (folder / "half.txt").write_text("half")
        raise error

    with pytest.raises(type(error) if isinstance(error, OSError) else error):
        make_folder(tmp_path / "data", {"n": 1}, broken)
    assert list(tmp_path.iterdir()) == []
    make_folder(tmp_path / "data", {"n": 1}, writer("one"))
    with pytest.raises(type(error) if isinstance(error, OSError) else error):
        make_folder(tmp_path / "data", {"n": 2}, broken)
    assert is_current(tmp_path / "data", {"n": 1})
    assert [path.name for path in tmp_path.iterdir()] == ["data"]


def test_what_a_killed_run_left_is_cleared_away(tmp_path):
    left = tmp_path / ".data.partial"
    left.mkdir()
    (left / "half.txt").write_text("half")
    make_folder(tmp_path / "data", {}, writer("one"))
    assert [path.name for path in tmp_path.iterdir()] == ["data"]
    assert not (tmp_path / "data" / "half.txt").exists()


@pytest.mark.parametrize(
    ("stamped", "message"), [(False, "was not generated here and holds thesis.txt"), (True, "also holds thesis.txt")]
)
def test_foreign_files_are_never_deleted(tmp_path, stamped, message):
    folder = tmp_path / "data"
    if stamped:
        make_folder(folder, {"n": 1}, writer("one"))
    folder.mkdir(exist_ok=True)
    (folder / "thesis.txt").write_text("years of work")
    calls = []
    with pytest.raises(FileExistsError, match=message):
        make_folder(folder, {"n": 2}, writer("two", calls))
    assert calls == [], "refused before any work"
    assert (folder / "thesis.txt").read_text() == "years of work"


@pytest.mark.parametrize("stamp", ["", "[]", '{"settings": {}}'], ids=["empty", "no object", "incomplete"])
def test_a_damaged_stamp_counts_as_foreign(tmp_path, stamp):
    make_folder(tmp_path / "data", {}, writer("one"))
    (tmp_path / "data" / STAMP).write_text(stamp)
    assert not is_current(tmp_path / "data", {})
    with pytest.raises(FileExistsError, match="was not generated here"):
        make_folder(tmp_path / "data", {}, writer("two"))


def test_a_file_in_its_place_is_kept(tmp_path):
    (tmp_path / "data").write_text("something")
    with pytest.raises(FileExistsError, match="is a file"):
        make_folder(tmp_path / "data", {}, writer("one"))
    assert (tmp_path / "data").read_text() == "something"
