"""A small staged training, built in Python, for the tests of engines and handlers."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from monai.data import DataLoader
from monai.handlers import ValidationHandler
from monai.utils import set_determinism
from torch import Tensor, nn

from common.engines import ExplainEvaluator, StagedTrainer
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


class TinyNet(nn.Module):
    """The interface of ExplainerClassifier at a thousandth of its size; batch norm and dropout included on purpose."""

    def __init__(self) -> None:
        super().__init__()
        self.explainer = nn.Sequential(
            nn.Conv2d(3, 4, 3, padding=1), nn.BatchNorm2d(4), nn.Conv2d(4, 1, 1), nn.Sigmoid()
        )
        self.classifier = nn.Sequential(
            nn.Conv2d(3, 4, 3, padding=1),
            nn.BatchNorm2d(4),
            nn.ReLU(),
            nn.Dropout(0.2),
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


def build(
    folder: Path,
    epochs: Sequence[int] = (2, 2, 2),
    resume: bool = False,
    patience: int | None = None,
    learning_rate: float = 0.05,
    extra_handlers: Sequence[Any] = (),
    validate_every: int | None = 1,
    **trainer_options: Any,
) -> StagedTrainer:
    """Return a trainer of three stages over 20 images, validated on 10, three of them with a wrong label.

    A network sure of itself is punished for the wrong labels: the validation loss has its minimum early.
    """
    set_determinism(7)
    network = TinyNet()
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
        )
        for i in range(3)
    ]
    train_loader = DataLoader(items(20, seed=1), batch_size=6, shuffle=True)
    evaluator = ExplainEvaluator(
        "cpu",
        DataLoader(items(10, seed=2, wrong_every=4), batch_size=4),
        network,
        val_handlers=[LossTerms(), ClassificationMetrics()],
    )
    handlers = [
        SeedEpoch(7),
        LossTerms(),
        ClassificationMetrics(),
        *([ValidationHandler(validate_every, evaluator)] if validate_every else []),
        HistoryWriter(folder, evaluator),
        StageSwitch(folder / "checkpoints", evaluator if validate_every else None),
        TrainingCheckpointSaver(folder / "checkpoints", resume=resume),
        *extra_handlers,
    ]
    return StagedTrainer("cpu", sum(epochs), train_loader, network, stages, train_handlers=handlers, **trainer_options)
