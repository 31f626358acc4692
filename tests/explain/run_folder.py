"""A run folder as training, evaluation and explanation leave it, with seeded content, made in a second or two."""

import csv
import json
from pathlib import Path

import numpy as np

from common.data.placement import Placement
from common.explain.case_folder import save_explanation
from common.explain.describer import Case
from common.explain.relevance_map import RelevanceMap
from common.metrics import classification_curves, classification_table

CLASSES = ["no triangle", "triangle"]
HOSTILE = '<script>alert("x")</script> & "quoted" $x_1$'
BASELINES = ["gradcam", "guided_backprop", "integrated_gradients", "saliency", "random", "centre"]


def make_run(folder: Path, cases: int = 12, seed: int = 0) -> Path:
    """Fill a folder; the first case has a hostile name, two cases are wrong, one has no known region or label."""
    generator = np.random.default_rng(seed)
    folder.mkdir(parents=True, exist_ok=True)
    probabilities, labels = make_cases(folder, cases, generator)
    metrics = classification_table(probabilities, labels, CLASSES, n_resamples=50) | _map_metrics(generator)
    _write(folder / "metrics.json", {"validation": {"accuracy": _entry(0.97, 0.03, 64)}, "test": metrics})
    curves = classification_curves(probabilities, labels, CLASSES) | {"perturbation": _perturbation(generator)}
    _write(folder / "curves.json", {"test": curves})
    _write(folder / "config_training.json", {"seed": seed, "image_size": 96, "stages": [{"name": "classifier"}]})
    _write_history(folder / "metrics.csv", generator)
    _write_run(folder)
    return folder


def make_cases(folder: Path, cases: int, generator: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Write explanations of a bright blob on noise; return probabilities (N, 2) and labels (N,)."""
    probabilities, labels = [], []
    for index in range(cases):
        label = index % 2
        wrong = index in (2, 5)
        sure = generator.uniform(0.55, 0.999)
        probability = np.array([sure, 1 - sure]) if (label == 0) != wrong else np.array([1 - sure, sure])
        image, explanation, mask = _picture(generator, label)
        known = index != 3
        case = Case(
            case_id=HOSTILE if index == 0 else f"shapes_{index:04d}",
            method="xml_explainer_classification",
            classes=CLASSES,
            task="multiclass",
            threshold=0.5,
            image_path=f"images/shapes_{index:04d}.png",
            placement=Placement((128, 128), (0, 0, 128, 128)),
            image=image,
            output={"probability": probability, "explanation": explanation[None]},
            batch={"mask": mask[None], "mask_given": bool(label and known)},
            label=label if known else None,
        )
        save_explanation(folder, RelevanceMap().describe(case))
        probabilities.append(probability)
        labels.append(label)
    return np.array(probabilities), np.array(labels)


def _picture(generator: np.random.Generator, label: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    row, column = np.mgrid[:64, :64]
    y, x = generator.uniform(16, 48, 2)
    square = np.maximum(abs(row - y), abs(column - x)) < 9
    triangle = (row < y + 8) & (abs(column - x) < (row - y + 8) * 0.6)
    shape = triangle if label else square
    image = np.clip(0.25 + 0.5 * shape + generator.normal(0, 0.05, shape.shape), 0, 1)
    explanation = 0.96 * np.exp(-((row - y) ** 2 + (column - x) ** 2) / 90) + generator.uniform(0, 0.03, shape.shape)
    return image[None].astype(np.float32), np.clip(explanation, 0, 0.999).astype(np.float32), shape.astype(np.float32)


def _entry(value: float, half: float, n: int) -> dict[str, float | int]:
    return {"value": value, "low": max(value - half, -1.0), "high": min(value + half, 1.0), "n": n}


def _map_metrics(generator: np.random.Generator) -> dict[str, dict]:
    metrics = {
        "aopc": _entry(0.31, 0.04, 40),
        "aopc_random": _entry(0.12, 0.03, 40),
        "pompom": _entry(0.08, 0.02, 64),
        "energy_in_roi": _entry(0.71, 0.04, 64),
        "roi_area": _entry(0.09, 0.01, 64),
        "pointing_game": _entry(0.93, 0.05, 64),
        "pointing_chance": _entry(0.09, 0.01, 64),
        "map_dependence/own": _entry(0.95, 0.05, 64),
        "map_dependence/binarised": _entry(0.93, 0.05, 64),
        "map_dependence/swapped": _entry(0.61, 0.09, 64),
        "map_dependence/inverted": _entry(0.52, 0.09, 64),
        "map_dependence/zeros": {"value": None, "low": None, "high": None, "n": 0},
    }
    for name in BASELINES:
        if name != "random":
            metrics[f"aopc/{name}"] = _entry(generator.uniform(0.05, 0.33), 0.04, 40)
        metrics[f"pompom/{name}"] = _entry(generator.uniform(0.3, 0.9), 0.04, 40)
        metrics[f"energy_in_roi/{name}"] = _entry(generator.uniform(0.1, 0.5), 0.04, 40)
        metrics[f"pointing_game/{name}"] = _entry(generator.uniform(0.1, 0.95), 0.06, 40)
    return metrics


def _perturbation(generator: np.random.Generator) -> dict[str, dict]:
    settings = [f"{fill}/{patch}/recompute" for fill in ("black", "blur") for patch in (8, 16)] + ["black/8/fixed"]
    steps = np.arange(21)
    curves: dict[str, dict] = {}
    for name in ["in_model", *BASELINES]:
        for setting in settings:
            end = {"in_model": 0.32, "random": 0.12}.get(name, generator.uniform(0.08, 0.3))
            mean = end * (1 - np.exp(-steps / generator.uniform(3, 6)))
            points = {"k": steps, "mean": mean, "low": mean - 0.1 * mean - 0.01, "high": mean + 0.1 * mean + 0.01}
            curves.setdefault(name, {})[setting] = {key: [float(v) for v in values] for key, values in points.items()}
    return curves


def _write_history(path: Path, generator: np.random.Generator) -> None:
    rows = []
    for epoch in range(1, 25):
        stage = ("classifier", "explainer", "joint")[(epoch - 1) // 8]
        loss = 0.7 * np.exp(-epoch / 6) + 0.05 + generator.normal(0, 0.01)
        row = {"epoch": epoch, "stage": stage, "stage_epoch": (epoch - 1) % 8 + 1, "train/loss": loss}
        row |= {"train/classification": loss * 0.8, "train/sparsity": 1 / epoch if stage != "classifier" else ""}
        row |= {"validation/loss": loss + 0.04, "validation/accuracy": 1 - loss, "validation/auroc": 1 - loss / 2}
        rows.append(row | {"learning_rate": 0.01 if epoch < 16 else 0.001, "seconds": 2.5})
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, rows[0])
        writer.writeheader()
        writer.writerows(rows)


def _write_run(folder: Path) -> None:
    meta = {"name": "shapes", "task": "multiclass", "classes": CLASSES, "source": "generated", "synthetic": True}
    _write(folder / "datalist.json", {"training": [], "validation": [], "test": [], "meta": meta})
    common = {
        "status": "completed",
        "device": "cpu (x86_64, 2 cores)",
        "seed": 0,
        "datalist": str(folder / "datalist.json"),
    }
    training = common | {
        "command": "python -m monai.bundle run training",
        "date": "2026-11-21T10:00:00+01:00",
        "duration_s": 171.4,
    }
    failure = {"case": "shapes_0099", "message": "shapes_0099.png is truncated: 12 of 4096 bytes <b>bold</b>"}
    explanation = common | {
        "command": "python -m monai.bundle run",
        "date": "2026-11-21T10:06:00+01:00",
        "failures": [failure],
    }
    _write(
        folder / "run.json",
        {
            "name": "xml_explainer_classification",
            "bundle_version": "0.1.0",
            "versions": {"python": "3.11.2", "torch": "2.15.0", "monai": "1.6.1"},
            "workflows": {"training": training | {"failures": []}, "explanation": explanation},
        },
    )


def _write(path: Path, content: dict) -> None:
    path.write_text(json.dumps(content))
