"""A run folder of a prototype network: images, a projection made by hand, explanations, metrics."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from common.data.placement import Placement
from common.explain import Case, PrototypeReasoning
from common.explain.activation import place_of
from common.explain.case_folder import save_explanation
from common.explain.prototype_files import PrototypeBook, PrototypeSource, save_prototypes
from common.explain.prototype_patches import network_view, read_image
from common.explain.regions import box_in_source, point_in_source
from common.networks import CIPLNet, InterNRL

CLASSES = ["benign", "malignant"]
METHOD = "internrl_prototype_classification"


def small_network(prototypes: Sequence[int] = (3, 4), output: str = "ensemble", seed: int = 0) -> InterNRL:
    """Return a network in evaluation mode whose features differ from place to place."""
    torch.manual_seed(seed)
    options: dict[str, Any] = {"num_classes": len(prototypes), "prototypes_per_class": list(prototypes)}
    network = InterNRL("small", prototype_channels=8, similarity_scale=0.5, hidden=8, output=output, **options)
    with torch.no_grad():
        network.student.add_on[-2].weight.mul_(6)
        network.student.last_layer.weight.uniform_(0.5, 1.5)
    return network.eval()


def write_images(folder: Path, count: int, size: tuple[int, int] = (96, 48), seed: int = 0) -> list[dict[str, Any]]:
    """Write half discs of tissue with a bright spot, some at the right edge; return them as a datalist does."""
    items = []
    (folder / "images").mkdir(parents=True, exist_ok=True)
    row, column = np.mgrid[: size[0], : size[1]] / np.array(size)[:, None, None]
    for index in range(count):
        generator = np.random.default_rng([seed, index])
        y, x = generator.uniform(0.3, 0.7), generator.uniform(0.15, 0.5)
        inside = np.hypot((row - 0.5) * 2, column) < 0.9
        spot = np.exp(-((row - y) ** 2 * 4 + (column - x) ** 2) / (0.004 if index % 2 else 0.012))
        values = inside * (0.35 + 0.5 * spot + generator.normal(0, 0.04, row.shape))
        values = values[:, ::-1] if index % 4 > 1 else values
        name = f"images/breast_{index:02d}.png"
        Image.fromarray(np.rint(255 * values.clip(0, 1)).astype(np.uint8)).save(folder / name)
        items.append({"case_id": f"breast_{index:02d}", "image": name, "label": index % 2, "patient_id": f"P{index}"})
    return items


def placement_of(item: dict[str, Any], size: tuple[int, int]) -> Placement:
    """Return the whole image, mirrored where the tissue is at the right, as it is for training."""
    return Placement(size, (0, 0, size[1], size[0]), int(item["case_id"][-2:]) % 4 > 1)


def case_of(
    network: InterNRL | CIPLNet, folder: Path, item: dict[str, Any], size: tuple[int, int] = (96, 48), **given: Any
) -> Case:
    """Return a case as the handler that saves explanations makes it; ``size`` is that of the network's input."""
    image = read_image(folder / item["image"])
    assert image is not None
    placement = given.pop("placement", None) or placement_of(item, (image.shape[1], image.shape[2]))
    seen = np.repeat(network_view(image, placement, size), 3, axis=0)
    with torch.no_grad():
        outputs = network.explain(torch.from_numpy(seen)[None])
    options = {"classes": CLASSES, "task": "multiclass", "threshold": 0.5, "label": item["label"]} | given
    if options["task"] == "multilabel" and isinstance(network, InterNRL):
        for branch in ("student", "teacher"):
            outputs[f"{branch}_probability"] = outputs[f"{branch}_logits"].sigmoid()
        outputs["probability"] = (outputs["student_probability"] + outputs["teacher_probability"]) / 2
    return Case(
        case_id=item["case_id"],
        method=METHOD,
        image_path=item["image"],
        placement=placement,
        image=seen,
        output={name: value[0].numpy() for name, value in outputs.items()},
        item=item,
        **options,
    )


def project(
    network: InterNRL | CIPLNet,
    folder: Path,
    items: Sequence[dict[str, Any]],
    size: tuple[int, int] = (96, 48),
    classes: Sequence[str] = CLASSES,
    **given: Any,
) -> PrototypeBook:
    """Make every prototype the nearest place of its class, in place, and return the book of it."""
    cases = [case_of(network, folder, item, size, **given) for item in items]
    branch = network if isinstance(network, CIPLNet) else network.student
    prototypes, last_layer = branch.prototypes, branch.last_layer
    with torch.no_grad():
        features = [network.feature(torch.from_numpy(case.image)[None]) for case in cases]
        sources = []
        for index, class_index in enumerate(prototypes.class_map.tolist()):
            own = [number for number, item in enumerate(items) if _holds(item["label"], class_index)]
            distances = torch.stack([prototypes(features[number])[0, index].flatten() for number in own])
            nearest = int(distances.argmin())
            number, cell = own[nearest // distances.shape[1]], nearest % distances.shape[1]
            sources.append((number, divmod(cell, features[number].shape[3]), float(distances.min())))
            prototypes.vectors[index] = features[number][0].flatten(1)[:, cell]
        maps = [
            prototypes.similarity_of(prototypes(features[number]))[0, i] for i, (number, _, _) in enumerate(sources)
        ]
        prototypes.projected.fill_(True)
    self_maps = torch.stack(maps).numpy().astype(np.float16)
    entries = []
    for index, (number, (row, column), moved) in enumerate(sources):
        case, class_index = cases[number], int(prototypes.class_map[index])
        part, peak, fine = place_of(self_maps[index].astype(np.float32), row, column)
        box = box_in_source(part, fine, case.placement)
        entries.append(
            PrototypeSource(
                index=index,
                class_name=classes[class_index],
                class_index=class_index,
                weight=last_layer.weight[index].item(),
                source_case=case.case_id,
                source_image=items[number]["image"],
                row=row,
                column=column,
                moved=moved,
                shared=number in [other for other, _, _ in sources[:index]],
                box=None if box is None else (box[0], box[1], box[2], box[3]),
                peak=(lambda point: (point[0], point[1]))(point_in_source(peak, fine, case.placement)),
                source_size=case.placement.source_size,
                crop=case.placement.crop,
                flipped=case.placement.flipped,
                patient_id=items[number].get("patient_id"),
            )
        )
    return PrototypeBook(
        classes=classes,
        rule="greedy",
        unique="none",
        prototypes=entries,
        vectors=prototypes.vectors.detach().numpy().copy(),
        self_maps=self_maps,
        class_map=prototypes.class_map.numpy(),
        method=METHOD,
        effect={"mean_logit_change": 0.12, "auroc_before": 0.91, "auroc_after": 0.89},
    )


def _holds(label: int | list[int], class_index: int) -> bool:
    """Say whether a class is among an image's; the one after all labels is that of images without any."""
    if isinstance(label, int):
        return label == class_index
    return bool(label[class_index]) if class_index < len(label) else not any(label)


def make_prototype_run(
    folder: Path,
    cases: int = 4,
    size: tuple[int, int] = (96, 48),
    prototypes: Sequence[int] = (3, 4),
    projected: bool = True,
) -> Path:
    """Fill a run folder, its data in ``<folder>/data``."""
    data, network = folder / "data", small_network(prototypes)
    items = write_images(data, 8 + cases, size)
    if projected:
        save_prototypes(folder / "prototypes", project(network, data, items[:8], size))
    describer = describer_of(network, folder / "prototypes", data)
    for item in items[8:]:
        save_explanation(folder, describer.describe(case_of(network, data, item, size)))
    meta = {"name": "breasts", "task": "multiclass", "classes": CLASSES, "synthetic": True}
    datalist = data / "datalist.json"
    datalist.write_text(json.dumps({"training": items[:8], "validation": [], "test": items[8:], "meta": meta}))
    workflow = {"status": "completed", "command": "python -m monai.bundle run", "datalist": str(datalist)}
    (folder / "run.json").write_text(json.dumps({"name": METHOD, "workflows": {"training": workflow}}))
    return folder


def describer_of(network: InterNRL, folder: Path | None, data: Path | None, **options: Any) -> PrototypeReasoning:
    """Return the describer of a network."""
    student = network.student
    return PrototypeReasoning(student.prototypes, student.last_layer, folder, data, output=network.output, **options)
