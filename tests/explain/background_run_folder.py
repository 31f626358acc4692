"""A network that holds diseases against "No Finding", images that show several of them, and a run folder of both."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from common.explain import Case, PrototypeReasoning
from common.explain.case_folder import save_explanation
from common.explain.prototype_files import save_prototypes
from common.networks import CIPLNet
from tests.explain.prototype_run_folder import case_of, project

DISEASES = ["Cardiomegaly", "Effusion", "Mass", "Nodule"]
BACKGROUND = "No Finding"
LABELS = ([1, 1, 0, 0], [0, 0, 1, 1], [0, 0, 0, 0], [0, 1, 0, 0], [1, 0, 1, 0], [0, 0, 0, 1])


def background_network(prototypes: int | Sequence[int] = 4, diseases: int = len(DISEASES), seed: int = 0) -> CIPLNet:
    """Return a network in evaluation mode whose features differ from place to place."""
    torch.manual_seed(seed)
    options: dict[str, Any] = {"num_classes": diseases, "prototypes_per_class": prototypes}
    network = CIPLNet("small", prototype_channels=8, similarity_scale=0.5, **options)
    with torch.no_grad():
        network.add_on[-2].weight.mul_(6)
        network.last_layer.weight.uniform_(0.5, 1.5)
    return network.eval()


def write_chests(folder: Path, count: int, size: tuple[int, int] = (64, 64), seed: int = 0) -> list[dict[str, Any]]:
    """Write two dark lungs with a spot of its own place and size for every disease; return them as a datalist does."""
    (folder / "images").mkdir(parents=True, exist_ok=True)
    row, column = np.mgrid[: size[0], : size[1]] / np.array(size)[:, None, None]
    places = [(0.7, 0.55, 0.03), (0.85, 0.25, 0.02), (0.4, 0.3, 0.01), (0.35, 0.7, 0.003)]
    items = []
    for index in range(count):
        generator = np.random.default_rng([seed, index])
        lungs = sum(np.exp(-((row - 0.5) ** 2 / 0.08 + (column - x) ** 2 / 0.02)) for x in (0.3, 0.7))
        values = 0.75 - 0.6 * lungs + generator.normal(0, 0.03, row.shape)
        label = LABELS[index % len(LABELS)]
        for present, (y, x, spread) in zip(label, places, strict=True):
            dy, dx = generator.uniform(-0.05, 0.05, 2)
            values += present * 0.5 * np.exp(-((row - y - dy) ** 2 + (column - x - dx) ** 2) / spread)
        name = f"images/chest_{index:02d}.png"
        Image.fromarray(np.rint(255 * values.clip(0, 1)).astype(np.uint8)).save(folder / name)
        items.append({"case_id": f"chest_{index:02d}", "image": name, "label": label, "patient_id": f"P{index}"})
    return items


def chest_case(network: CIPLNet, folder: Path, item: dict[str, Any], **given: Any) -> Case:
    """Return a case as the handler that saves explanations makes it."""
    options = {"size": (64, 64), "classes": DISEASES, "task": "multilabel"} | given
    return case_of(network, folder, item, **options)


def background_describer(network: CIPLNet, folder: Path | None, data: Path | None, **given: Any) -> PrototypeReasoning:
    """Return the describer of a network."""
    options = {"background": BACKGROUND} | given
    return PrototypeReasoning(network.prototypes, network.last_layer, folder, data, **options)


def project_chests(network: CIPLNet, folder: Path, data: Path, items: Sequence[dict[str, Any]], **given: Any) -> None:
    """Project a network's prototypes in place and save where they come from."""
    options = {"size": (64, 64), "task": "multilabel", "classes": [*DISEASES, BACKGROUND]} | given
    save_prototypes(folder, project(network, data, items, **options))


COOCCURRENCE = {
    "classes": DISEASES,
    "cases": 60,
    "thresholds": [0.5] * 4,
    "true": [[20, 10, 4, 0], [10, 30, 3, 2], [4, 3, 10, 5], [0, 2, 5, 12]],
    "predicted": [[22, 16, 4, 0], [16, 32, 3, 2], [4, 3, 11, 8], [0, 2, 8, 10]],
}
PROTOTYPE_TABLE = {
    "classes": [*DISEASES, BACKGROUND],
    "diseases": DISEASES,
    "cases": [20, 30, 10, 12],
    "mean_contribution": [[9.5, 8.25, 6, 5, 7], [8, 9, 6, 5.5, 7], [6, 6, 8.5, 7, 7], None],
    "purity": [0.9, 0.8, None, 0.75, 0.6],
    "entanglement": [[0.8, 0.3, 0, 0, 0], [0.2, 0.75, 0, 0, 0], [0, 0, 0.6, 0.4, 0], [None, None, None, None, None]],
    "entanglement_chance": [[0.3, 0.3, 0.2, 0.2, 0.2]] * 3 + [[None] * 5],
    "entanglement_absent": [[None] * 5] * 4,
}


def make_background_run(folder: Path, cases: int = 3, tables: bool = True) -> Path:
    """Fill a run folder, its data in ``<folder>/data``."""
    data, network = folder / "data", background_network(3)
    items = write_chests(data, 6 + cases)
    project_chests(network, folder / "prototypes", data, items[:6])
    describer = background_describer(network, folder / "prototypes", data)
    for item in items[6:]:
        save_explanation(folder, describer.describe(chest_case(network, data, item)))
    meta = {"name": "chests", "task": "multilabel", "classes": DISEASES, "background": BACKGROUND, "synthetic": True}
    (data / "datalist.json").write_text(json.dumps({"training": items[:6], "test": items[6:], "meta": meta}))
    workflow = {"status": "completed", "datalist": str(data / "datalist.json")}
    (folder / "run.json").write_text(json.dumps({"name": "cipl", "workflows": {"training": workflow}}))
    if tables:
        (folder / "cooccurrence.json").write_text(json.dumps(COOCCURRENCE))
        (folder / "prototype_table.json").write_text(json.dumps(PROTOTYPE_TABLE))
    return folder
