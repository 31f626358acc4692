"""A small staged training, built in Python, for the tests of engines and handlers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from monai.data import DataLoader, DistributedSampler
from monai.handlers import ValidationHandler
from monai.utils import set_determinism
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from common.engines import DistributedExplain, ExplainEvaluator, StagedTrainer
from common.handlers import (
    ClassificationMetrics,
    HistoryWriter,
    LossTerms,
    SeedEpoch,
    StageSwitch,
    TrainingCheckpointSaver,
)
from common.losses import ExplainerClassifierLoss
from common.types import Stage
from common.utils.distributed import is_distributed


class TinyNet(nn.Module):
    """The interface of ExplainerClassifier at a thousandth of its size.

    Batch norm and dropout are included on purpose; ``plain`` leaves them out.
    """

    def __init__(self, plain: bool = False) -> None:
        super().__init__()
        norms = [nn.Identity() if plain else nn.BatchNorm2d(4) for _ in range(2)]
        self.explainer = nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), norms[0], nn.Conv2d(4, 1, 1), nn.Sigmoid())
        self.classifier = nn.Sequential(
            nn.Conv2d(3, 4, 3, padding=1),
            norms[1],
            nn.ReLU(),
            nn.Dropout(0.0 if plain else 0.2),
            nn.Flatten(),
            nn.Linear(4 * 64, 2),
        )

    def explain(self, image: Tensor) -> dict[str, Tensor]:
        return self._decide(image, self.explainer(image))

    def explain_constant(self, image: Tensor) -> dict[str, Tensor]:
        return self._decide(image, torch.full_like(image[:, :1], 0.9))

    def _decide(self, image: Tensor, explanation: Tensor) -> dict[str, Tensor]:
        logits = self.classifier(image * explanation)
        return {"logits": logits, "probability": logits.softmax(1), "explanation": explanation}


def items(count: int, seed: int, wrong_every: int = 0) -> list[dict[str, Any]]:
    """Images whose label is whether the left half is brighter than the right; every n-th label may be wrong."""
    generator = torch.Generator().manual_seed(seed)
    result = []
    for index in range(count):
        image = torch.rand(3, 8, 8, generator=generator) * 0.5
        side = slice(0, 4) if index % 2 else slice(4, 8)
        image[:, :, side] += 0.4
        label = (index + int(wrong_every > 0 and index % wrong_every == 0)) % 2
        result.append({"image": image, "label": label, "case_id": f"case{index}", "mask": torch.ones(1, 8, 8)})
    return result


def loader(data: list[dict[str, Any]], batch_size: int, shuffle: bool = False, even: bool = False) -> DataLoader:
    """Return the loader of one process: all data, or its share where several train (padded to ``even`` shares)."""
    if not is_distributed():
        return DataLoader(data, batch_size=batch_size, shuffle=shuffle)
    sampler = DistributedSampler(data, even_divisible=even, shuffle=shuffle)
    return DataLoader(data, batch_size=batch_size, sampler=sampler)


def build(
    folder: Path,
    epochs: Sequence[int] = (2, 2, 2),
    resume: bool = False,
    patience: int | None = None,
    learning_rate: float = 0.05,
    first_handlers: Sequence[Any] = (),
    extra_handlers: Sequence[Any] = (),
    validate_every: int | None = 1,
    batch_size: int = 6,
    plain: bool = False,
    freeze_norm: Sequence[str] = (),
    switch_options: Mapping[str, Any] | None = None,
    **trainer_options: Any,
) -> StagedTrainer:
    """Return a trainer of three stages over 20 images, validated on 10, three of them with a wrong label.

    A network sure of itself is punished for the wrong labels: the validation loss has its minimum early. ``plain`` is a
    training in which nothing is random and no sample depends on another. Called by several processes of a group, it
    gives each its part.
    """
    set_determinism(7)
    network = TinyNet(plain)
    parameters = [network.classifier.parameters(), network.explainer.parameters(), network.parameters()]
    optimizers = [torch.optim.SGD(p, learning_rate, momentum=0.9) for p in parameters]
    names, trained = ("classifier", "explainer", "joint"), (["classifier"], ["explainer"], ["classifier", "explainer"])
    stages = [
        Stage(
            name=names[i],
            epochs=epochs[i],
            trainable=trained[i],
            optimizer=optimizers[i],
            loss=ExplainerClassifierLoss(alpha=(1.0, 0.25, 0.9)[i]),
            scheduler=torch.optim.lr_scheduler.ReduceLROnPlateau(optimizers[i], factor=0.5, patience=0),
            patience=patience,
            method="explain_constant" if i == 0 else "explain",
            freeze_norm=freeze_norm,
        )
        for i in range(3)
    ]
    train_loader = loader(items(20, seed=1), batch_size, shuffle=not plain, even=True)
    evaluator = ExplainEvaluator(
        "cpu",
        loader(items(10, seed=2, wrong_every=4), batch_size=4),
        network,
        val_handlers=[LossTerms(), ClassificationMetrics()],
    )
    handlers = [
        *first_handlers,
        SeedEpoch(7),
        LossTerms(),
        ClassificationMetrics(),
        *([ValidationHandler(validate_every, evaluator)] if validate_every else []),
        HistoryWriter(folder, evaluator),
        StageSwitch(folder / "checkpoints", evaluator if validate_every else None, **(switch_options or {})),
        TrainingCheckpointSaver(folder / "checkpoints", resume=resume),
        *extra_handlers,
    ]
    trained: nn.Module = network
    if is_distributed():
        trained = DistributedDataParallel(DistributedExplain(network), find_unused_parameters=True)
    return StagedTrainer("cpu", sum(epochs), train_loader, trained, stages, train_handlers=handlers, **trainer_options)
