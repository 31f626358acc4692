"""A small training of CIPL's stages, built in Python, for the tests of engines and handlers."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from monai.data import DataLoader
from monai.handlers import ValidationHandler
from monai.transforms import Compose, CopyItemsd, RandFlipd, RandScaleIntensityd
from monai.utils import set_determinism
from torch import nn

from common.data import CaseCacheDataset, PairDataset, PairLoader, PairSampler, TwoViewsd
from common.engines import ExplainEvaluator, PairStep, StagedTrainer
from common.handlers import (
    ClassificationMetrics,
    HistoryWriter,
    LossTerms,
    SeedEpoch,
    StageSwitch,
    TrainingCheckpointSaver,
)
from common.losses import CIPLLoss
from common.networks import CIPLNet
from common.types import Stage

FEATURES = ("trunk", "add_on", "prototypes")


def items(count: int, seed: int) -> list[dict[str, Any]]:
    """Noisy images; a bright square is disease 0, a dark bar disease 1, and some have both or neither."""
    generator = torch.Generator().manual_seed(seed)
    result = []
    for index in range(count):
        image = torch.rand(3, 32, 32, generator=generator) * 0.4 + 0.2
        label = torch.tensor([float(index % 2), float(index // 2 % 2)])
        if label[0]:
            image[:, 8:16, 8:16] += 0.4
        if label[1]:
            image[:, 22:26] -= 0.2
        result.append({"image": image, "case_id": f"case{index}", "label": label.numpy()})
    return result


def small_network(prototypes_per_class: int = 2) -> CIPLNet:
    return CIPLNet("tiny", num_classes=2, prototypes_per_class=prototypes_per_class, prototype_channels=6)


def plain_network() -> CIPLNet:
    """The same without batch norm, so that no image sees another."""
    network = small_network()
    network.trunk = nn.Sequential(nn.Conv2d(3, 6, 3, stride=4, padding=1), nn.Tanh(), nn.Conv2d(6, 6, 1))
    return network


def batch_of(pairs: int = 3, seed: int = 0) -> dict[str, Any]:
    """Return pairs with disease 0 in common, in two views of different brightness."""
    both = items(16, seed)
    having = [item for item in both if item["label"][0]][: 2 * pairs]

    def half(part: Sequence[dict[str, Any]]) -> dict[str, Any]:
        image = torch.stack([item["image"] for item in part])
        label = torch.stack([torch.from_numpy(item["label"]) for item in part])
        return {"image": image, "original": image * 0.9 + 0.05, "label": label}

    return {**half(having[:pairs]), "partner": half(having[pairs:])}


def joint_stage(
    network: CIPLNet,
    rate: float = 0.05,
    trainable: Sequence[str] = FEATURES,
    step: PairStep | None = None,
    optimizer: Any = torch.optim.SGD,
    **weights: Any,
) -> Stage:
    """Return the second stage."""
    loss = CIPLLoss(network.prototypes.class_map, **weights)
    return Stage("joint", 1, trainable, optimizer(network.parameters(), rate), loss, step=step or PairStep())


def trainer_of(network: nn.Module, stage: Stage, **options: Any) -> StagedTrainer:
    """Return a trainer that has entered the stage and begun an epoch; its steps are taken by hand."""
    trainer = StagedTrainer("cpu", 1, [{}], network, [stage], **options)
    trainer.enter(stage)
    stage.step.begin_epoch(trainer)
    return trainer


def build(
    folder: Path, epochs: Sequence[int] = (1, 2, 1), resume: bool = False, extra_handlers: Sequence[Any] = ()
) -> StagedTrainer:
    """Return a trainer of warm-up, joint training and refit of the last layer: twelve images, four a batch."""
    set_determinism(7)
    network = small_network()
    views = [RandScaleIntensityd("image", factors=0.2, prob=1.0)]
    transforms = Compose([RandFlipd("image", 0.5, 1), CopyItemsd("image", names="original"), TwoViewsd("image", views)])
    dataset = CaseCacheDataset(items(12, seed=1), transforms, progress=False)
    pairs = DataLoader(PairDataset(dataset), sampler=PairSampler(dataset), batch_size=4)
    loader = PairLoader(DataLoader(dataset, batch_size=4, shuffle=True), pairs)
    class_map, step, adam = (
        network.prototypes.class_map,
        PairStep(momentum=0.9, teacher_norm="averaged"),
        torch.optim.Adam,
    )
    warm_up = CIPLLoss(class_map, cross=0.0, interpretation=0.0, prediction=0.0)
    features = [parameter for name in FEATURES for parameter in getattr(network, name).parameters()]
    last = network.last_layer.parameters()
    stages = [
        Stage("warm_up", epochs[0], FEATURES, adam(features, 0.01), warm_up),
        Stage("joint", epochs[1], FEATURES, adam(features, 0.01), CIPLLoss(class_map), step=step),
        Stage("last_layer", epochs[2], ["last_layer"], adam(last, 0.01), CIPLLoss(class_map), step=step),
    ]
    evaluator = ExplainEvaluator(
        "cpu", DataLoader(items(8, seed=2), batch_size=4), network, val_handlers=[LossTerms(), ClassificationMetrics()]
    )
    handlers = [
        SeedEpoch(7, dataset),
        LossTerms(),
        ClassificationMetrics(),
        ValidationHandler(1, evaluator),
        HistoryWriter(folder, evaluator),
        StageSwitch(folder / "checkpoints", evaluator),
        TrainingCheckpointSaver(folder / "checkpoints", resume=resume),
        *extra_handlers,
    ]
    return StagedTrainer("cpu", sum(epochs), loader, network, stages, train_handlers=handlers)
