"""Projection of prototypes: one pass over the images, or a pass and then a forward pass for every prototype."""

from __future__ import annotations

import statistics
import tempfile
from types import SimpleNamespace
from typing import Any

import torch
from monai.data import DataLoader
from torch import Tensor

from benchmarks._timing import in_turns, torch_threads
from common.handlers import PrototypeProjection
from common.networks import InterNRL

BACKBONE = "efficientnet-b0"
CHANNELS = 128
PROTOTYPES = 400
IMAGES = 24
IMAGE = (320, 160)  # published: 1536 x 768, where a forward pass takes 23 times as long and the rest hardly longer
BATCH = 4


@torch.no_grad()
def plain_pass(network: InterNRL, image: Tensor) -> list[Tensor]:
    """Predict all images (N,3,H,W) with the student, whose features a projection needs."""
    return [network.student(network.stem(part)) for part in image.split(BATCH)]


@torch.no_grad()
def two_passes(network: InterNRL, image: Tensor, label: Tensor) -> Tensor:
    """Return projected prototypes (P,D) as the public code finds them: its loops, then each source image once more."""
    layer = network.student.prototypes
    found: list[list[tuple[float, int, int]]] = [[] for _ in layer.vectors]
    number = 0
    for part in image.split(BATCH):
        for distance in layer(network.feature(part)):
            for prototype in torch.nonzero(layer.class_map == label[number])[:, 0].tolist():
                place = int(distance[prototype].argmin())
                found[prototype].append((float(distance[prototype].flatten()[place]), number, place))
            number += 1
    taken: set[int] = set()
    vectors = []
    for records in found:
        records.sort()
        _, source, place = next((record for record in records if record[1] not in taken), records[0])
        taken.add(source)
        vectors.append(network.feature(image[source : source + 1])[0].flatten(1)[:, place])
    return torch.stack(vectors)


def run(repeats: int = 3, threads: int = 2) -> dict[str, Any]:
    """Time each form in turns.

    Args:
        repeats: timed runs of each.
        threads: torch's intra-operation threads.

    Returns:
        name; slow_s (a forward pass for every prototype) and fast_s (:class:`common.handlers.PrototypeProjection`,
        files and self-activation maps included), medians, their ratio and max_difference of the prototypes;
        over_plain, the projection over one forward pass of the student over the same images.
    """
    generator = torch.Generator().manual_seed(0)
    torch.manual_seed(0)
    network = InterNRL(BACKBONE, prototypes_per_class=PROTOTYPES // 2, prototype_channels=CHANNELS).eval()
    image, label = torch.rand(IMAGES, 3, *IMAGE, generator=generator), torch.arange(IMAGES) % 2
    cases = [{"image": image[i], "label": label[i], "case_id": f"case{i}"} for i in range(IMAGES)]
    trainer = SimpleNamespace(network_def=network, state=SimpleNamespace(device=torch.device("cpu")))
    start = network.student.prototypes.vectors.detach().clone()

    with tempfile.TemporaryDirectory() as folder, torch_threads(threads):
        projection = PrototypeProjection(
            DataLoader(cases, batch_size=BATCH), cases, ["0", "1"], folder, unique="image", refit_passes=0
        )

        def project() -> None:
            network.student.prototypes.vectors.data.copy_(start)
            projection(trainer)

        project()
        projected = network.student.prototypes.vectors.detach().clone()
        network.student.prototypes.vectors.data.copy_(start)
        difference = two_passes(network, image, label) - projected
        seconds = in_turns(
            repeats,
            slow=lambda: two_passes(network, image, label),
            fast=project,
            plain=lambda: plain_pass(network, image),
        )
    median = {name: statistics.median(values) for name, values in seconds.cpu.items()}
    return {
        "name": "projection",
        "slow_s": median["slow"],
        "fast_s": median["fast"],
        "ratio": median["slow"] / median["fast"],
        "target": "ratio 10, over_plain 1.2",
        "max_difference": float(difference.abs().max()),
        "over_plain": median["fast"] / median["plain"],
        "images": IMAGES,
        "prototypes": PROTOTYPES,
        "backbone": BACKBONE,
        "batch": BATCH,
        "repeats": repeats,
        "threads": threads,
        "note": "CPU seconds; the ratio is about 1 + prototypes / images: it falls with more images",
    }
