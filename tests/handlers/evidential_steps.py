"""Batches and outputs as an evidential segmentation network's evaluation shows them to the handlers."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

STRUCTURES = ["background", "rim", "cup"]
CLASSES = ["healthy", "glaucoma"]
SIZE = 16


def eye(cup_rows: int) -> Tensor:
    """A square disc of 10 rows with a cup of so many, values of structures (1,1,16,16)."""
    labels = torch.zeros(1, 1, SIZE, SIZE, dtype=torch.int64)
    labels[..., 2:12, 2:12] = 1
    labels[..., 3 : 3 + cup_rows, 4:8] = 2
    return labels


def logits_of(labels: Tensor) -> Tensor:
    """Logits (B,3,H,W) that are largest at these values."""
    return nn.functional.one_hot(labels[:, 0], len(STRUCTURES)).permute(0, 3, 1, 2).float()


def outputs_of(evidence: Tensor, predicted: Tensor, pixel_uncertainty: Tensor) -> dict[str, Tensor]:
    """Outputs of image evidence (B,2), predicted structures (B,1,H,W) and pixel uncertainty (B,1,H,W)."""
    strength = evidence.sum(1, keepdim=True) + 2
    return {
        "evidence": evidence,
        "probability": (evidence + 1) / strength,
        "uncertainty": 2 / strength,
        "segmentation_logits": logits_of(predicted),
        "pixel_uncertainty": pixel_uncertainty,
    }


def random_steps(count: int = 24, batch_size: int = 5, seed: int = 0) -> list[tuple[dict, dict]]:
    """Steps of cases c0, c1, ... whose evidence is mostly for the true class and whose pixels are partly wrong."""
    generator = torch.Generator().manual_seed(seed)
    label = torch.arange(count) % 2
    evidence = 3 * torch.rand(count, 2, generator=generator) + 2 * nn.functional.one_hot(label, 2)
    truth = torch.cat([eye(4 + 2 * int(one)) for one in label])
    noise = torch.rand(count, 1, SIZE, SIZE, generator=generator)
    predicted = torch.where(noise > 0.9, (truth + 1) % 3, truth)
    uncertainty = 0.1 + 0.8 * (noise > 0.8) * torch.rand(noise.shape, generator=generator)
    outputs = outputs_of(evidence, predicted, uncertainty)
    image = truth.repeat(1, 3, 1, 1).float() / 2
    return [
        step(image, label, truth, outputs, range(at, min(at + batch_size, count))) for at in range(0, count, batch_size)
    ]


def step(
    image: Tensor, label: Tensor, truth: Tensor, outputs: dict[str, Tensor], rows: Sequence[int]
) -> tuple[dict, dict]:
    """One step of these cases."""
    index = list(rows)
    batch = {
        "image": image[index],
        "label": label[index],
        "segmentation": truth[index],
        "case_id": [f"c{row}" for row in index],
    }
    return batch, {name: value[index] for name, value in outputs.items()}


class Dimmed(nn.Module):
    """A network by hand: the brighter the image on average, the more evidence for class 1; noise takes evidence away.

    Evidence is 10 · (1 - mean, mean) / (1 + 40 · roughness), roughness the mean difference of neighbours; a pixel
    belongs to structure 2 from 0.75 on and to structure 1 from 0.25 on.
    """

    def __call__(self, image: Tensor) -> Tensor:
        return self.explain(image)["segmentation_logits"]

    def explain(self, image: Tensor) -> dict[str, Tensor]:
        roughness = (image[..., 1:] - image[..., :-1]).abs().mean((1, 2, 3))[:, None]
        mean = image.mean((1, 2, 3))[:, None]
        evidence = 10 * torch.cat([1 - mean, mean], dim=1) / (1 + 40 * roughness)
        predicted = (image[:, :1] >= 0.25).long() + (image[:, :1] >= 0.75).long()
        pixel_uncertainty = (1 / (1 + evidence.sum(1))).view(-1, 1, 1, 1).expand(-1, 1, *image.shape[-2:])
        return outputs_of(evidence, predicted, pixel_uncertainty)


class Recall:
    """A network that has the outputs of all steps by heart and is told by the image which ones are asked for."""

    def __init__(self, steps: list[tuple[dict, dict]]) -> None:
        self.outputs = [outputs for _, outputs in steps]
        self.batches = [{**batch, "image": torch.tensor(index)} for index, (batch, _) in enumerate(steps)]

    def __call__(self, image: Tensor) -> Tensor:
        raise AssertionError("explain is what is asked for")

    def explain(self, image: Tensor) -> dict[str, Tensor]:
        return self.outputs[int(image)]


def renamed(steps: list[tuple[dict, dict]], prefix: str) -> list[tuple[dict, dict]]:
    return [({**batch, "case_id": [prefix + case for case in batch["case_id"]]}, outputs) for batch, outputs in steps]
