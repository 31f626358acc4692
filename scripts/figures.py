"""Print the tables of the documentation from run folders, so that no figure is written by hand."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import fire

from common.utils.messages import PlainError

METRICS = (
    "accuracy", "auroc", "average_precision", "energy_in_roi", "roi_area", "pointing_game", "pointing_chance", "pompom",
    "aopc", "aopc_random",
)  # fmt: skip


class Figures:
    """Tables from run folders.

    Examples:
        python -m scripts.figures table runs/demo/seed0 runs/demo/seed1 runs/demo/seed2
        python -m scripts.figures baselines runs/brain_mr/hybrid
    """

    def table(self, *runs: str, metrics: str | tuple[str, ...] = METRICS, split: str = "test") -> str:
        """Put runs side by side: value and 95 % interval of each metric, with seed, date, device and duration.

        Args:
            runs: run folders with metrics.json and run.json.
            metrics: names separated by commas.
            split: training, validation or test.
        """
        names = metrics.split(",") if isinstance(metrics, str) else metrics
        folders = [Path(run) for run in runs]
        tables = [_read(folder / "metrics.json").get(split, {}) for folder in folders]
        rows = [["", *(folder.name for folder in folders)]]
        rows += [[f"`{name}`", *(_cell(table.get(name)) for table in tables)] for name in names]
        rows += _circumstances([_read(folder / "run.json") for folder in folders])
        return _markdown(rows)

    def baselines(self, run: str, split: str = "test") -> str:
        """Put the network's own map beside post-hoc baselines of the same network.

        Args:
            run: a run folder with metrics.json.
            split: training, validation or test.
        """
        table = _read(Path(run) / "metrics.json").get(split, {})
        methods = [name.removeprefix("aopc/") for name in table if name.startswith("aopc/")]
        rows = [["explanation", "AOPC ↑", "POMPOM ↓", "energy in ROI ↑", "pointing game ↑"]]
        rows.append(
            ["**the map itself**", *(_cell(table.get(n)) for n in ("aopc", "pompom", "energy_in_roi", "pointing_game"))]
        )
        for name in ["random", *methods]:
            aopc = table.get("aopc_random" if name == "random" else f"aopc/{name}")
            others = (table.get(f"{metric}/{name}") for metric in ("pompom", "energy_in_roi", "pointing_game"))
            rows.append([name, _cell(aopc), *map(_cell, others)])
        return _markdown(rows)


def _circumstances(records: list[dict[str, Any]]) -> list[list[str]]:
    """Return the rows that say how the figures came about."""
    trainings = [record["workflows"].get("training", {}) for record in records]
    rows = [[key, *(str(training.get(key, "")) for training in trainings)] for key in ("seed", "date", "device")]
    return [*rows, ["training, seconds", *(str(training.get("duration_s", "")) for training in trainings)]]


def _cell(entry: dict[str, Any] | None) -> str:
    if entry is None or entry["value"] is None:
        return "–"
    interval = "" if entry["low"] is None else f" [{entry['low']:.3f}, {entry['high']:.3f}]"
    return f"{entry['value']:.3f}{interval} (n={entry['n']})"


def _markdown(rows: list[list[str]]) -> str:
    lines = ["| " + " | ".join(row) + " |" for row in rows]
    return "\n".join([lines[0], "|" + "---|" * len(rows[0]), *lines[1:]])


def _read(path: Path) -> dict[str, Any]:
    if not path.is_file():
        raise PlainError(f"{path} does not exist; give run folders of a finished training and evaluation")
    content: dict[str, Any] = json.loads(path.read_text())
    return content


if __name__ == "__main__":
    fire.Fire(Figures)
