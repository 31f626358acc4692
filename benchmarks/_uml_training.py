"""Steps of both forms of UML: the published one and ours, each also alone in a process to see its memory."""

from __future__ import annotations

import copy
import multiprocessing
import resource
from concurrent.futures import ProcessPoolExecutor
from typing import Any

import torch
from torch import Tensor

from benchmarks._published_uml import published_explain, settled_network
from common.losses import UMLLoss
from common.networks import UMLNet

__all__ = ["Training", "make_batch", "peak_memory_mb"]


def make_batch(count: int, size: int) -> dict[str, Tensor]:
    """Make ``image`` (B,3,H,W) of noise, ``label`` (B,) of two classes, ``segmentation`` (B,1,H,W) of three stripes."""
    stripes = (torch.arange(size) * 3 // size).expand(count, 1, size, size)
    image = torch.rand(count, 3, size, size, generator=torch.Generator().manual_seed(0))
    return {"image": image, "label": torch.arange(count) % 2, "segmentation": stripes.clone()}


class Training:
    """One network, its optimiser and the loss; each instance has its own copy.

    Args:
        network: is copied.
        form: ``"published"`` or ``"ours"``.
    """

    def __init__(self, network: UMLNet, form: str) -> None:
        self.network = copy.deepcopy(network)
        self.form = form
        self.loss = UMLLoss()
        self.optimizer = torch.optim.Adam(self.network.parameters(), lr=1e-4, weight_decay=1e-5)

    def outputs(self, image: Tensor) -> dict[str, Tensor]:
        """Compute what a training step needs."""
        return (
            published_explain(self.network, image) if self.form == "published" else self.network.explain_levels(image)
        )

    def step(self, batch: dict[str, Tensor]) -> float:
        """Take a step and return the loss before it."""
        self.network.train()
        self.optimizer.zero_grad(set_to_none=True)
        loss = self.loss(self.outputs(batch["image"]), batch)["loss"]
        loss.backward()
        self.optimizer.step()
        return loss.item()

    def evaluate(self, batch: dict[str, Tensor]) -> dict[str, Tensor]:
        """Predict in evaluation mode; the published code computes all levels then too."""
        self.network.eval()
        with torch.no_grad():
            if self.form == "published":
                return published_explain(self.network, batch["image"])
            return self.network.explain(batch["image"])


def peak_memory_mb(form: str, mode: str, count: int, size: int, threads: int) -> float:
    """Measure the largest resident memory of a process that does one thing once.

    To be called while the calling process is small: Linux counts its memory as the new process's first peak.

    Args:
        form: ``"published"`` or ``"ours"``.
        mode: ``"step"`` or ``"evaluate"``.
        count: images in the batch.
        size: side of the images in pixels.
        threads: torch's intra-operation threads.
    """
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        return pool.submit(_peak, form, mode, count, size, threads).result()


def _peak(form: str, mode: str, count: int, size: int, threads: int) -> float:
    torch.set_num_threads(threads)
    task: Any = getattr(Training(settled_network(), form), mode)
    task(make_batch(count, size))
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
