"""An epoch's randomness depends on (seed, epoch, process) and on nothing that happened before."""

from __future__ import annotations

import random
from typing import Any

import numpy as np
import pytest
import torch
from ignite.engine import Engine, Events
from monai.data import CacheDataset, DataLoader
from monai.transforms import Compose, RandGaussianNoised, RandScaleIntensityd

from common.handlers import SeedEpoch


def dataset() -> CacheDataset:
    """Ten images of one constant each, scaled and made noisy at random."""
    items = [{"image": torch.full((1, 2, 2), float(index))} for index in range(10)]
    random_transforms = [RandScaleIntensityd("image", factors=0.5, prob=0.5), RandGaussianNoised("image", prob=1.0)]
    return CacheDataset(items, Compose(random_transforms), progress=False)


def epochs(
    seed: int = 7, first: int = 1, last: int = 3, disturbance: int = 0, rank: int = 0, workers: int = 0
) -> dict[int, torch.Tensor]:
    """Return all images in the order in which they are delivered, and one number of each generator, by epoch."""
    torch.manual_seed(disturbance)
    data = dataset()
    loader = DataLoader(data, batch_size=4, shuffle=True, num_workers=workers)
    seen: dict[int, list[torch.Tensor]] = {}

    def look(engine: Engine, batch: dict[str, Any]) -> None:
        seen.setdefault(engine.state.epoch, []).append(batch["image"].as_tensor().flatten().clone())

    engine = Engine(look)
    engine.state.rank = rank
    SeedEpoch(seed, data).attach(engine)

    @engine.on(Events.EPOCH_STARTED)
    def _(engine: Engine) -> None:
        drawn = [random.random(), np.random.rand(), torch.rand(1).item()]
        seen[engine.state.epoch] = [torch.tensor(drawn)]

    engine.add_event_handler(Events.EPOCH_COMPLETED, lambda: torch.rand(disturbance))
    engine.state.epoch, engine.state.iteration = first - 1, (first - 1) * 3
    engine.state.max_epochs, engine.state.epoch_length = last, 3
    engine.run(loader)
    return {epoch: torch.cat(parts) for epoch, parts in seen.items()}


@pytest.mark.parametrize("workers", [0, 1])
def test_an_epoch_is_the_same_whatever_came_before(workers: int) -> None:
    """Resumed after the first epoch, and with generators that others have used."""
    whole = epochs(workers=workers)
    resumed = epochs(first=2, disturbance=13, workers=workers)
    assert set(resumed) == {2, 3}
    assert all(torch.equal(whole[epoch], resumed[epoch]) for epoch in resumed)


def test_epochs_seeds_and_processes_differ() -> None:
    first = epochs(last=2)
    others = [first[2], epochs(seed=8, last=1)[1], epochs(rank=1, last=1)[1]]
    for other in others:
        assert not torch.isclose(first[1][:3], other[:3]).any(), "Python, NumPy and PyTorch all draw something else"
        assert not torch.equal(first[1][3:], other[3:]), "order and augmentation change too"


def test_all_images_are_delivered_once_in_an_epoch() -> None:
    """The seeds change order and noise, never what is in an epoch."""
    noise = epochs(last=1)[1][3:].view(10, 4)
    assert sorted(noise.mean(1).tolist()) == pytest.approx(range(10), abs=5.0)
    assert len({round(float(value), 6) for value in noise.flatten()}) == 40


def test_negative_seed_is_refused() -> None:
    with pytest.raises(ValueError, match="seed is -1, expected 0 or more"):
        SeedEpoch(-1)


def test_a_dataset_is_not_needed() -> None:
    engine = Engine(lambda engine, batch: float(torch.rand(1)))
    engine.state.rank = 0
    SeedEpoch(3).attach(engine)
    first = engine.run([0], max_epochs=1).output
    torch.rand(5)
    assert engine.run([0], max_epochs=1).output == first
