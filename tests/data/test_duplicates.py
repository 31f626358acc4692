"""Copies of files are found by their bytes, not by name, length or beginning."""

from pathlib import Path

import pytest

from common.data import duplicates
from common.data.duplicates import find_copies


@pytest.fixture
def write(tmp_path):
    def make(name: str, content: bytes) -> Path:
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(content)
        return path

    return make


def test_copies_are_grouped_in_the_given_order(write):
    a, b, c, d = write("a", b"one"), write("x/b", b"two"), write("c", b"one"), write("x/d", b"two!")
    e = write("e", b"two")
    assert find_copies([e, d, c, b, a]) == [[e, b], [c, a]]
    assert find_copies([a, b, d]) == []
    assert find_copies([a, str(a)]) == [], "the same path twice is no copy"
    assert find_copies([a, a.with_name("gone"), c]) == [[a, c]]


def test_large_files_that_differ_in_the_middle_only(write, monkeypatch):
    monkeypatch.setattr(duplicates, "ENDS", 4)
    one, other = write("a", b"abcd-1-wxyz"), write("b", b"abcd-2-wxyz")
    assert find_copies([one, other, write("c", b"abcd-1-wxyz")]) == [[one, one.with_name("c")]]
    assert find_copies([one, write("d", b"abcd-1-wxyZ")]) == []


def test_many_equal_files_are_one_group(write):
    files = [write(f"{index}", b"same") for index in range(5)]
    assert find_copies(files) == [files]
    assert find_copies([]) == []
