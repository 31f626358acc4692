import pytest

from common.utils.benchmark import find_benchmarks, run_benchmark, table
from common.utils.messages import PlainError

SOURCE = """
import os

def run(repeats, threads):
    block = bytearray(200_000_000)
    return {"name": "toy", "ratio": 2.0 * repeats, "threads": threads, "pid": os.getpid()}
"""


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "toy.py").write_text(SOURCE)
    (tmp_path / "other.py").write_text("")
    (tmp_path / "_shared.py").write_text("")
    return tmp_path


def test_all_files_but_private_ones_are_benchmarks(folder):
    assert [f.stem for f in find_benchmarks(folder)] == ["other", "toy"]
    assert [f.stem for f in find_benchmarks(folder, ["toy"])] == ["toy"]


def test_an_unknown_name_is_refused(folder):
    with pytest.raises(PlainError, match=r"no benchmark 'tyo' in .*; there are other, toy; did you mean 'toy'"):
        find_benchmarks(folder, ["tyo"])


def test_a_benchmark_runs_in_a_process_of_its_own_with_its_own_memory(folder):
    import os

    result = run_benchmark(folder / "toy.py", repeats=3, threads=1)
    assert result["ratio"] == 6.0
    assert result["threads"] == 1
    assert result["pid"] != os.getpid()
    assert result["peak_memory_mb"] > 190


def test_the_table_shows_shared_figures_and_details():
    lines = table(
        [{"name": "toy", "slow_s": 6.0, "fast_s": 0.12345, "ratio": 48.6, "peak_memory_mb": 1234.5, "size": 8}]
    )
    assert lines.splitlines() == [
        "| benchmark | obvious [s] | ours [s] | ratio | MB | details |",
        "|---|---|---|---|---|---|",
        "| toy | 6 | 0.123 | 48.6 | 1234 | size 8 |",
    ]
