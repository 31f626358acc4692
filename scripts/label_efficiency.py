"""How many labels a pre-training saves: fine-tuning from pre-trained and from random weights, with more and more."""

from __future__ import annotations

import json
import os
import shlex
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import fire

from common.utils.files import write_json
from common.utils.messages import print_causes_last

ROOT = Path(__file__).resolve().parent.parent
ARMS = ("pretrained", "random")
FILE = "label_efficiency.json"

Record = dict[str, Any]


def label_efficiency(
    pretrained: str,
    output: str | None = None,
    bundle: str = "vwyl_report_classification",
    fractions: Sequence[float] = (0.01, 0.1, 1.0),
    seeds: Sequence[int] = (0,),
    metric: str = "finding_auroc",
    section: str = "test",
    **options: Any,
) -> None:
    """Train and test a classifier from pre-trained and from random weights with a share of the training labels.

    Every training and evaluation is a command of MONAI that is printed before it runs and works by itself. Both kinds
    of weights see the same labelled exams, for the same number of steps. The result is label_efficiency.json: the test
    metric with its interval for each share, for pre-trained and random weights; report.html of a run folder that holds
    it shows the curve.

    Try:

      python -m scripts.label_efficiency --pretrained runs/demo/vwyl_report_classification/checkpoints/model.pt
          Three shares with one seed, on the bundle's own data; the demonstration has made both.

      python -m scripts.label_efficiency --pretrained model.pt --fractions 0.01,0.1 --seeds 0,1,2
          Three choices of the labelled exams for each of two shares.

    Args:
        pretrained: weights of a pre-training on reports, a model.pt.
        output: run folder; default runs/label_efficiency/<bundle>.
        bundle: name of a folder under bundles/ with train_classification.json and evaluate_classification.json.
        fractions: shares of the training patients whose labels are used.
        seeds: of the choice of patients, of weights and order. Where there are several, a value is the mean over them,
            and its interval reaches from the lowest to the highest end of theirs.
        metric: of the evaluation, as in metrics.json.
        section: what to evaluate on.
        options: knobs of train.json and train_classification.json, such as dataset_dir, max_epochs or learning_rate.
    """
    configs = ROOT / "bundles" / bundle / "configs"
    if not (configs / "train_classification.json").is_file():
        known = sorted(path.parent.parent.name for path in ROOT.glob("bundles/*/configs/train_classification.json"))
        raise SystemExit(f"there is no bundle '{bundle}' with train_classification.json; there is: {', '.join(known)}")
    weights = Path(pretrained).resolve()
    if not weights.is_file():
        raise SystemExit(f"there are no weights '{pretrained}': pre-train first, and give the model.pt it has made")
    shares, rounds = _listed(fractions, float), _listed(seeds, int)
    wrong = [share for share in shares if not 0 < share <= 1]
    if wrong or not shares or not rounds:
        raise SystemExit(f"fractions is {shares} and seeds {rounds}, expected shares above 0 up to 1 and whole numbers")
    run = Path(output) if output else ROOT / "runs" / "label_efficiency" / bundle
    found: dict[str, list[Record]] = {arm: [] for arm in ARMS}
    for share in shares:
        for arm in ARMS:
            own = {**options, **({"pretrained": str(weights)} if arm == "pretrained" else {}), "train_pct": share}
            single = [
                _tested(configs, run / f"{arm}_{share:g}_seed{seed}", {**own, "seed": seed}, section, metric)
                for seed in rounds
            ]
            found[arm].append(_joined(single))
            write_json(run / FILE, _summary(metric, shares[: len(found["random"])], rounds, found))
    print(_table(metric, shares, found))
    print(f"written to {run / FILE}")


def _tested(configs: Path, run: Path, options: Record, section: str, metric: str) -> Record:
    """Train and evaluate in a folder of its own and return the metric."""
    _clear(run)
    for command in _commands(configs, run, options, section):
        print(f"\n$ {shlex.join(command)}\n", flush=True)
        subprocess.run([sys.executable, *command[1:]], check=True, cwd=ROOT, env=_environment())
    table = json.loads((run / "metrics.json").read_text(encoding="utf-8"))[section]
    if metric not in table:
        raise SystemExit(f"there is no metric '{metric}'; there is: {', '.join(table)}")
    return dict(table[metric])


def _commands(configs: Path, run: Path, options: Record, section: str) -> list[list[str]]:
    """Return the commands; both are MONAI's own."""
    files = [str(configs / f"{name}.json") for name in ("train", "train_classification", "evaluate_classification")]
    places = {"output_dir": str(run.resolve()), "ckpt_dir": str((run / "checkpoints").resolve())}
    given = [part for name, value in {**places, **options}.items() for part in (f"--{name}", str(value))]
    # The evaluation loads the weights of the training; it needs no others.
    needed = [
        part
        for name, value in {**places, **options}.items()
        if name != "pretrained"
        for part in (f"--{name}", str(value))
    ]
    monai = ["python", "-m", "monai.bundle", "run"]
    return [
        [*monai, "training", "--config_file", str(files[:2]), *given],
        [*monai, "evaluating", "--config_file", str(files), *needed, "--section", section],
    ]


def _clear(run: Path) -> None:
    """Remove an earlier run; a folder that holds anything else is left alone."""
    if run.exists() and not (run / "run.json").is_file() and any(run.iterdir()):
        raise SystemExit(f"'{run}' holds something that is not a run; name an empty or a new folder as --output")
    shutil.rmtree(run, ignore_errors=True)


def _joined(single: Sequence[Record]) -> Record:
    """Join the values of several seeds: their mean, and the outer ends of their intervals."""
    values = [one["value"] for one in single]
    if any(value is None for value in values):
        return {"value": None, "low": None, "high": None, "n": single[0]["n"], "values": values}
    ends = {"low": min, "high": max}
    bounds = {end: [one[end] for one in single] for end in ends}
    joined = {end: None if None in bounds[end] else choose(bounds[end]) for end, choose in ends.items()}
    return {"value": sum(values) / len(values), **joined, "n": single[0]["n"], "values": values}


def _summary(metric: str, shares: Sequence[float], seeds: Sequence[int], found: dict[str, list[Record]]) -> Record:
    complete = {arm: records[: len(shares)] for arm, records in found.items()}
    return {"metric": metric, "fractions": list(shares), "seeds": list(seeds), **complete}


def _table(metric: str, shares: Sequence[float], found: dict[str, list[Record]]) -> str:
    lines = [f"\n{metric} with a share of the labels, [95 % bootstrap interval]:"]
    for index, share in enumerate(shares):
        row = "  ".join(f"{arm} {_number(found[arm][index])}" for arm in ARMS)
        lines.append(f"  {100 * share:5g} %  {row}")
    return "\n".join(lines)


def _number(entry: Record) -> str:
    if entry["value"] is None:
        return "undefined"
    interval = "" if entry["low"] is None else f" [{entry['low']:.3f}, {entry['high']:.3f}]"
    return f"{entry['value']:.3f}{interval}"


def _listed(values: Any, kind: type) -> list[Any]:
    """Return a list also of a single number."""
    return [kind(value) for value in (values if isinstance(values, list | tuple) else [values])]


def _environment() -> dict[str, str]:
    """Return the environment of the commands; MONAI's warnings about its own dependencies are left out."""
    ignored = os.environ.get("PYTHONWARNINGS", "ignore::FutureWarning,ignore::DeprecationWarning")
    return {**os.environ, "PYTHONWARNINGS": ignored}


if __name__ == "__main__":
    print_causes_last()
    fire.Fire(label_efficiency)
