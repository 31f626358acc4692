"""Train, evaluate and explain a bundle on its phantom data, with the commands a user would type."""

from __future__ import annotations

import json
import os
import shlex
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import fire

from common.utils.checkpoint import load_weights_only, save_atomic

ROOT = Path(__file__).resolve().parent.parent
LARGEST_FILE = 25_000_000  # bytes


def demo(
    bundle: str = "xml_explainer_classification", output: str | None = None, seed: int = 0, overlay: str | None = None
) -> None:
    """Run a bundle's demonstration and print its test metrics and the paths of what it made.

    The three commands are printed before they run; each works by itself. Phantom data is generated on the first run.

    Args:
        bundle: name of a folder under bundles/.
        output: run folder; default runs/demo/<bundle>, or runs/demo/<bundle>_<overlay>.
        seed: of the training.
        overlay: one of the bundle's configurations on top, such as an ablation, to compare with.
    """
    folder = ROOT / "bundles" / bundle
    if not (folder / "configs" / "demo.json").is_file():
        known = sorted(path.parent.parent.name for path in ROOT.glob("bundles/*/configs/demo.json"))
        raise SystemExit(f"there is no bundle '{bundle}' with a demo; there is: {', '.join(known)}")
    if overlay is not None and not (folder / "configs" / f"{overlay}.json").is_file():
        raise SystemExit(f"'{bundle}' has no overlay '{overlay}'; see the files in {_shown(folder / 'configs')}")
    run = Path(output) if output else ROOT / "runs" / "demo" / (f"{bundle}_{overlay}" if overlay else bundle)
    _clear(run)
    began = time.perf_counter()
    for command in _commands(_shown(folder), _shown(run), seed, overlay):
        print(f"\n$ {shlex.join(command)}\n", flush=True)
        subprocess.run([sys.executable, *command[1:]], check=True, cwd=ROOT, env=_environment())
    if overlay is None:
        _install_weights(run / "checkpoints", folder / "models")
    print(_summary(run, time.perf_counter() - began))


def _clear(run: Path) -> None:
    """Remove an earlier demonstration; a folder that holds anything else is left alone."""
    if run.exists() and not (run / "run.json").is_file() and any(run.iterdir()):
        raise SystemExit(f"'{run}' holds something that is not a run; name an empty or a new folder as --output")
    shutil.rmtree(run, ignore_errors=True)


def _commands(bundle: str, run: str, seed: int, overlay: str | None = None) -> list[list[str]]:
    """Return the commands; every one is MONAI's own."""
    train, demo, evaluate, explain = (
        f"{bundle}/configs/{name}.json" for name in ("train", "demo", "evaluate", "explain")
    )
    last = [] if overlay is None else [f"{bundle}/configs/{overlay}.json"]
    monai = ["python", "-m", "monai.bundle", "run"]
    places = ["--output_dir", run, "--ckpt_dir", f"{run}/checkpoints", "--seed", str(seed)]
    weights = ["--output_dir", run, "--ckpt_path", f"{run}/checkpoints/model.pt"]
    return [
        [*monai, "training", "--config_file", str([train, demo, *last]), *places],
        [*monai, "evaluating", "--config_file", str([train, evaluate, demo, *last]), *places],
        [*monai, "explaining", "--config_file", str([explain, f"{run}/checkpoints/settings.json"]), *weights],
    ]


def _environment() -> dict[str, str]:
    """Return the environment of the commands; MONAI's warnings about its own dependencies are left out."""
    return {
        **os.environ,
        "PYTHONWARNINGS": os.environ.get("PYTHONWARNINGS", "ignore::FutureWarning,ignore::DeprecationWarning"),
    }


def _install_weights(source: Path, target: Path) -> None:
    """Give the bundle its first weights, so that inference works on it at once; weights of its own stay.

    The Model Zoo refuses files above 25 MB. Convolutions of larger ones are stored in half precision, which no
    prediction notices; others stay exact, as prototypes are copies of features only with the very same weights.
    """
    if (target / "model.pt").exists():
        return
    weights = load_weights_only(source / "model.pt")
    if (source / "model.pt").stat().st_size > LARGEST_FILE:
        weights = {name: value.half() if value.ndim >= 2 else value for name, value in weights.items()}
    save_atomic(weights, target / "model.pt")
    shutil.copyfile(source / "settings.json", target / "settings.json")


def _summary(run: Path, seconds: float) -> str:
    metrics = json.loads((run / "metrics.json").read_text())["test"]
    width = max(map(len, metrics))
    rows = [f"  {name:<{width}}  {_number(entry)}" for name, entry in metrics.items()]
    cards = sorted(run.glob("explanations/*/card.png"))
    return "\n".join(
        [
            f"\nTest metrics on synthetic data, with 95 % bootstrap intervals ({seconds:.0f} s in all):",
            *rows,
            f"\nExplanation cards  {_shown(run)}/explanations/<case>/card.png  ({len(cards)} cases)",
            f"Report             {_shown(run)}/report.html",
        ]
    )


def _number(entry: dict[str, Any]) -> str:
    if entry["value"] is None:
        return "undefined"
    interval = "" if entry["low"] is None else f"  [{entry['low']:.3f}, {entry['high']:.3f}]"
    return f"{entry['value']:.3f}{interval}  n={entry['n']}"


def _shown(path: Path) -> str:
    """Return a path relative to where the user is, if it lies below."""
    return str(path.relative_to(ROOT)) if path.is_relative_to(ROOT) else str(path)


if __name__ == "__main__":
    fire.Fire(demo)
