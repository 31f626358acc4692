"""Run benchmark files: each compares a fast implementation with the slow obvious one, in the same process."""

import multiprocessing
import resource
import sys
from collections.abc import Iterable
from concurrent.futures import ProcessPoolExecutor
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from typing import Any

from common.utils.messages import PlainError, did_you_mean

__all__ = ["find_benchmarks", "run_benchmark", "table"]

COLUMNS = {"name": "benchmark", "slow_s": "obvious [s]", "fast_s": "ours [s]", "ratio": "ratio", "peak_memory_mb": "MB"}


def find_benchmarks(folder: str | Path, names: Iterable[str] = ()) -> list[Path]:
    """List the benchmark files of a folder.

    Args:
        folder: holds one Python file per benchmark, each with a function ``run(repeats, threads)``.
        names: those to run, by file name without suffix; none means all.

    Raises:
        PlainError: if a name is unknown.
    """
    files = {f.stem: f for f in sorted(Path(folder).glob("*.py")) if not f.stem.startswith("_")}
    for name in names:
        if name not in files:
            raise PlainError(
                f"no benchmark '{name}' in {folder}; there are {', '.join(files)}{did_you_mean(name, files)}"
            )
    return [files[n] for n in names] or list(files.values())


def run_benchmark(file: Path, repeats: int, threads: int) -> dict[str, Any]:
    """Run one benchmark in a process of its own, so that its peak memory is its own too.

    Args:
        file: the benchmark.
        repeats: timed runs, whose medians are reported.
        threads: for torch's operations.

    Returns:
        What the benchmark reports (``name``, medians ``slow_s`` and ``fast_s``, ``ratio``, settings), and
        ``peak_memory_mb``, the largest resident memory of the process.
    """
    # Not multiprocessing.Pool: its workers are daemons, which may not start the loader processes of a benchmark.
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        return pool.submit(_run, str(file), repeats, threads).result()


def _run(file: str, repeats: int, threads: int) -> dict[str, Any]:
    spec = spec_from_file_location(f"benchmark_{Path(file).stem}", file)
    if spec is None or spec.loader is None:
        raise PlainError(f"{file} cannot be read as Python")
    module = module_from_spec(spec)
    sys.path.insert(0, str(Path(file).resolve().parent.parent))  # benchmarks may share code as benchmarks.<module>
    spec.loader.exec_module(module)
    result: dict[str, Any] = module.run(repeats=repeats, threads=threads)
    return {**result, "peak_memory_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024}


def table(results: Iterable[dict[str, Any]]) -> str:
    """Draw results as a Markdown table: the figures all share, then what each reports besides."""
    lines = [f"| {' | '.join([*COLUMNS.values(), 'details'])} |", "|---" * (len(COLUMNS) + 1) + "|"]
    for result in results:
        cells = [_cell(result.get(key, "")) for key in COLUMNS]
        details = ", ".join(f"{k} {_cell(v)}" for k, v in result.items() if k not in COLUMNS)
        lines.append(f"| {' | '.join([*cells, details])} |")
    return "\n".join(lines)


def _cell(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.0f}" if value >= 100 else f"{value:.3g}"
    return str(value)
