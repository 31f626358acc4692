"""``python -m scripts.benchmark``: measure what the fast implementations gain over the obvious ones."""

import json
import platform
from datetime import UTC, datetime
from pathlib import Path

import fire
import torch

from common.utils.benchmark import find_benchmarks, run_benchmark, table
from common.utils.messages import print_causes_last

FOLDER = Path(__file__).resolve().parents[1] / "benchmarks"


def main(*names: str, repeats: int = 3, threads: int = 2, out: str = "runs/benchmark.json") -> None:
    """Time each fast implementation against the slow, obvious one, in the same run, and compare their results.

    Prints a table (medians in seconds, their ratio, peak memory of the process) and writes it as JSON with the machine
    and versions. Ratios carry over to other machines, seconds do not; close other programs first.

    Examples:
        python -m scripts.benchmark
        python -m scripts.benchmark aopc --repeats 5

    Args:
        names: benchmarks to run, by file name in benchmarks/ without suffix; all if none is given.
        repeats: timed runs of each implementation.
        threads: threads of torch's operations.
        out: JSON file to write.
    """
    results = []
    for file in find_benchmarks(FOLDER, names):
        print(f"{file.stem} ...", flush=True)
        results.append(run_benchmark(file, repeats, threads))
    print(table(results))
    record = {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": platform.platform(),
        "versions": {"python": platform.python_version(), "torch": torch.__version__},
        "results": results,
    }
    target = Path(out)
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")
    print(f"written to {target}")


if __name__ == "__main__":
    print_causes_last()
    fire.Fire(main)
