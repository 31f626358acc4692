"""A run folder of an evidential segmentation, with seeded content: cards, uncertainty metrics, curves, robustness."""

import json
from pathlib import Path

import numpy as np
import torch
from scipy import ndimage

from common.data.placement import Placement
from common.explain import Case, EvidentialSegmentation
from common.explain.case_folder import save_explanation
from common.layers.evidence import opinion

CLASSES = ["no glaucoma", "glaucoma"]
STRUCTURES = ["background", "rim", "cup"]
METRICS = {
    "accuracy": (0.9, 0.8, 0.97),
    "auroc": (0.94, 0.88, 0.98),
    "dice/rim": (0.83, 0.8, 0.86),
    "dice/cup": (0.88, 0.84, 0.91),
    "hd95/cup": (3.4, 2.9, 4.2),
    "ece": (0.07, 0.04, 0.12),
    "error_auroc": (0.81, 0.7, 0.9),
    "error_auroc/mutual_information": (0.79, 0.68, 0.88),
    "ece_scaled": (0.04, 0.02, 0.08),
    "temperature": (1.6, None, None),
    "mean_uncertainty": (0.21, 0.17, 0.26),
}


def make_evidential_run(folder: Path, cases: int = 6, seed: int = 0, cards: int | None = None) -> Path:
    """Fill a folder; every third case is wrong, the later ones have ever more evidence."""
    for index in range(cases):
        case = eye(f"eye_{index}", index % 2, strength=1 + 2 * index, wrong=index % 3 == 2, seed=seed + index)
        explanation = EvidentialSegmentation(STRUCTURES).describe(case)
        save_explanation(folder, explanation, cards is None or index < cards)
    metrics = {name: {"value": v, "low": low, "high": high, "n": 40} for name, (v, low, high) in METRICS.items()}
    (folder / "metrics.json").write_text(json.dumps({"test": metrics}))
    (folder / "curves.json").write_text(json.dumps({"test": curves()}))
    return folder


def eye(
    name: str,
    label: int | None,
    strength: float = 4.0,
    wrong: bool = False,
    seed: int = 0,
    known: bool = True,
    reliable: bool = False,
    size: int = 48,
    placement: Placement | None = None,
) -> Case:
    """Return an eye with disc and cup, as a network might see it: uncertain along their edges."""
    generator = np.random.default_rng(seed)
    row, column = np.mgrid[:size, :size] / size
    distance = np.hypot(row - 0.5, column - generator.uniform(0.4, 0.6))
    truth = (distance < 0.25).astype(np.int64) + (distance < 0.14)
    colours = np.array([[0.5, 0.25, 0.1], [0.9, 0.65, 0.35], [0.98, 0.85, 0.6]], np.float32)
    image = np.clip(colours[truth].transpose(2, 0, 1) + generator.normal(0, 0.03, (3, size, size)), 0, 1)
    share = ndimage.gaussian_filter(np.eye(3)[np.roll(truth, 1, axis=1)].transpose(2, 0, 1), (0, 1, 1))
    edge = ndimage.gaussian_filter(ndimage.morphological_gradient(truth.astype(float), size=3), 1)
    predicted = (label or 0) ^ wrong
    evidence = torch.tensor([[1.0, 1.0 + 2 * strength] if predicted else [1.0 + 2 * strength, 1.0]])
    probability, belief, uncertainty = (values[0].numpy() for values in opinion(evidence))
    pixel_evidence = torch.from_numpy(share * 40 * np.exp(-5 * edge)).float()[None]
    pixel_uncertainty = opinion(pixel_evidence)[2][0].numpy()
    output = {
        "probability": probability,
        "belief": belief,
        "uncertainty": uncertainty,
        "segmentation_probability": share.astype(np.float32),
        "pixel_uncertainty": pixel_uncertainty,
    }
    if reliable:
        output["reliable_mask_fine"] = pixel_evidence[0].numpy() * np.exp(-pixel_uncertainty)
    return Case(
        case_id=name,
        method="uml_evidential_segmentation",
        classes=CLASSES,
        task="multiclass",
        threshold=0.5,
        image_path=f"images/{name}.jpg",
        placement=placement or Placement((2 * size, 2 * size), (0, 0, 2 * size, 2 * size)),
        image=image.astype(np.float32),
        output=output,
        batch={"segmentation": truth[None], "segmentation_given": np.array(True)} if known else {},
        label=label,
    )


def curves() -> dict:
    """Return the curves that the report knows, in the form of curves.json."""
    confidence = [0.55, 0.65, 0.75, 0.85, 0.96]
    strength = [0, 1, 2, 3, 4, 5]
    coverage = np.linspace(0.05, 1, 20)
    robustness = {}
    for index, kind in enumerate(["gaussian_noise", "blur", "contrast", "jpeg"]):
        slope = 0.02 * (index + 1)
        robustness[kind] = {
            "strength": strength,
            "mean_uncertainty": [0.21 + (slope if kind != "jpeg" else -0.01) * step for step in strength],
            "accuracy": [0.9 - slope * step for step in strength],
            "dice/cup": [0.88 - slope * step for step in strength],
            "ece": [0.07 + slope * step for step in strength],
            "error_auroc": [None, *[0.8 - slope * step for step in strength[1:]]],
        }
    return {
        "reliability": {"confidence": confidence, "accuracy": [0.5, 0.6, 0.66, 0.8, 0.9], "count": [3, 5, 8, 12, 12]},
        "reliability_scaled": {"confidence": confidence, "accuracy": confidence, "count": [5, 7, 9, 11, 8]},
        "risk_coverage": {"coverage": coverage.tolist(), "risk": (0.1 * coverage**2).tolist()},
        "uncertainty_error_overlap": {"threshold": [0.1, 0.2, 0.4, 0.8], "overlap": [0.1, 0.32, 0.25, 0.05]},
        "pixel_retention": {"retained": [1.0, 0.9, 0.8], "rim": [0.83, 0.88, 0.91], "cup": [0.88, 0.92, 0.94]},
        "robustness": robustness,
    }
