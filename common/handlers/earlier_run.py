"""Keep the results of two trainings in one folder apart."""

from __future__ import annotations

from itertools import count
from pathlib import Path

RESULTS = (
    *("metrics.csv", "metrics.json", "curves.json", "predictions.csv"),
    *("prototypes", "explanations", "report.html", "figures"),
)
"""What a run folder holds about one model, beside its records (run.json and the configurations) and its weights."""


def set_aside_earlier_run(output_dir: str | Path) -> Path | None:
    """Move the results and records of an earlier training into a folder ``earlier_<number>`` of the run folder.

    Args:
        output_dir: the run folder in which new weights are about to be trained.

    Returns:
        The folder moved to, itself a run folder without weights; None where there was no result.
    """
    folder = Path(output_dir)
    results = [path for name in RESULTS if (path := folder / name).exists()]
    if not results:
        return None
    target = next(path for number in count(1) if not (path := folder / f"earlier_{number}").exists())
    target.mkdir()
    for path in (*results, *folder.glob("run.json"), *folder.glob("config_*.json")):
        path.rename(target / path.name)
    return target
