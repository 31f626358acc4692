"""A small training of all three stages of InterNRL, built in Python, for the tests of engines and handlers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from monai.data import DataLoader
from monai.handlers import ValidationHandler
from monai.transforms import Compose
from monai.utils import set_determinism
from torch import Tensor, nn

from common.data import AffineViewd, CaseCacheDataset, StreamLoader
from common.engines import ExplainEvaluator, PseudoLabelStep, ReciprocalStep, StagedTrainer
from common.handlers import (
    ClassificationMetrics,
    HistoryWriter,
    LossTerms,
    SeedEpoch,
    StageSwitch,
    TrainingCheckpointSaver,
)
from common.losses import StudentLoss, TeacherLoss
from common.networks import InterNRL
from common.types import Stage


def items(count: int, seed: int, labelled: int | None = None) -> list[dict[str, Any]]:
    """Noisy images, those of class 1 with a bright square; only the first ``labelled`` know their class."""
    generator = torch.Generator().manual_seed(seed)
    result = []
    for index in range(count):
        image, given = torch.rand(3, 32, 32, generator=generator) * 0.5, labelled is None or index < labelled
        if index % 2:
            image[:, 8:20, 8:20] += 0.5
        known = {"label": (index % 2) if given else 0, "label_given": torch.tensor(given)}
        result.append({"image": image, "case_id": f"case{index}", **known})
    return result


class Plain(nn.Module):
    """The parts of InterNRL without batch norm and dropout, so that nothing is random and no image sees another."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, 6, 3, stride=4, padding=1), nn.ReLU())
        pooled = [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 2)]
        self.teacher = nn.Sequential(nn.Conv2d(6, 8, 1), nn.Tanh(), *pooled)
        self.student = InterNRL("small", prototypes_per_class=3, prototype_channels=4, shared="trunk").student
        self.student.trunk = nn.Conv2d(6, 8, 1)
        self.student.add_on = nn.Sequential(nn.Conv2d(8, 6, 1), nn.ReLU(), nn.Conv2d(6, 4, 1), nn.Sigmoid())

    def explain_student(self, image: Tensor) -> dict[str, Tensor]:
        return self.student.explain(self.stem(image))


def small_network() -> InterNRL:
    return InterNRL("small", prototypes_per_class=[2, 3], prototype_channels=8, hidden=8)


def reciprocal(
    network: nn.Module, rate: float = 0.05, consistency: float = 10.0, optimizer: Any = torch.optim.SGD, **options: Any
) -> Stage:
    """Return the second stage."""
    step = ReciprocalStep(optimizer(network.teacher.parameters(), rate), **options)
    loss = StudentLoss(network.student.prototypes.class_map, consistency=consistency)
    student = optimizer(network.student.parameters(), rate)
    return Stage("reciprocal", 1, ["teacher", "student"], student, loss, method="explain_student", step=step)


def trainer_of(network: nn.Module, stage: Stage, **options: Any) -> StagedTrainer:
    """Return a trainer that has entered the stage and begun an epoch; its steps are taken by hand."""
    trainer = StagedTrainer("cpu", 1, [{}], network, [stage], **options)
    trainer.enter(stage)
    trainer.network.train()
    stage.step.begin_epoch(trainer)
    return trainer


def batch_of(count: int = 6, seed: int = 0, given: Sequence[int] | None = None) -> dict[str, Any]:
    """Return a labelled batch with an unlabelled one, of which those in ``given`` (None: all) know their label."""
    cases, more = items(count, seed), items(count, seed + 1)
    view = AffineViewd("image").set_random_state(seed)
    moved = [view({"image": item["image"]}) for item in more]
    known = torch.zeros(count, dtype=torch.bool)
    known[list(range(count)) if given is None else list(given)] = True
    label = torch.tensor([item["label"] for item in more])
    unlabelled = {name: torch.stack([item[name] for item in moved]) for name in ("image", "original", "affine")}
    return {
        "image": torch.stack([item["image"] for item in cases]),
        "label": torch.tensor([item["label"] for item in cases]),
        "unlabelled": {**unlabelled, "label": torch.where(known, label, 0), "label_given": known},
    }


def build(
    folder: Path,
    epochs: Sequence[int] = (1, 4, 1),
    resume: bool = False,
    extra_handlers: Sequence[Any] = (),
    labelled: int = 6,
    at_end: Any = None,
    **options: Any,
) -> StagedTrainer:
    """Return a trainer of all stages: six labelled images among sixteen, six to validate with.

    ``at_end`` ends the second stage.
    """
    set_determinism(7)
    network = small_network()
    seen = items(16, seed=1, labelled=labelled)
    few = CaseCacheDataset(seen[:labelled], Compose([]), progress=False)
    many = CaseCacheDataset(seen, Compose([AffineViewd("image")]), progress=False)
    loader = StreamLoader(DataLoader(few, batch_size=4, shuffle=True), DataLoader(many, batch_size=4, shuffle=True))
    cycle = {"features": 2, "last_layer": 1, "joint": 1}
    adam = torch.optim.Adam
    middle = reciprocal(network, 0.01, optimizer=adam, **{"phases": cycle, **options})
    teacher = network.teacher
    first = Stage(
        "global",
        epochs[0],
        ["stem", "teacher"],
        adam([*network.stem.parameters(), *teacher.parameters()], 0.01),
        TeacherLoss(),
        method="explain_teacher",
    )
    stages = [
        first,
        replace(middle, epochs=epochs[1], at_end=at_end),
        Stage(
            "retrain",
            epochs[2],
            ["teacher"],
            adam(teacher.parameters(), 0.01),
            TeacherLoss(),
            method="explain_teacher",
            step=PseudoLabelStep(),
        ),
    ]
    evaluator = ExplainEvaluator(
        "cpu", DataLoader(items(6, seed=2), batch_size=3), network, val_handlers=[LossTerms(), ClassificationMetrics()]
    )
    handlers = [
        SeedEpoch(7, many),
        LossTerms(),
        ClassificationMetrics(),
        ValidationHandler(1, evaluator),
        HistoryWriter(folder, evaluator),
        StageSwitch(folder / "checkpoints", evaluator),
        TrainingCheckpointSaver(folder / "checkpoints", resume=resume),
        *extra_handlers,
    ]
    return StagedTrainer("cpu", sum(epochs), loader, network, stages, train_handlers=handlers)
