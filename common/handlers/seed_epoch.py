"""Make every epoch's randomness depend on the seed and the epoch alone."""

from __future__ import annotations

from typing import Any

import numpy as np
from ignite.engine import Engine, Events
from monai.transforms import Randomizable
from monai.utils import set_determinism


class SeedEpoch:
    """Seed all random generators when an epoch starts.

    Order of the samples, augmentation and dropout then depend on (seed, epoch, rank) and on nothing that happened
    before. This is what makes resuming exact: there is no generator state to save.
    """

    def __init__(self, seed: int, dataset: Any = None) -> None:
        """Remember what to seed.

        Args:
            seed: the training's seed, 0 or more.
            dataset: a MONAI dataset whose ``transform`` may be random.

        Raises:
            ValueError: if the seed is negative.
        """
        if seed < 0:
            raise ValueError(f"seed is {seed}, expected 0 or more")
        self.seed = seed
        self.transform = getattr(dataset, "transform", None)

    def attach(self, engine: Engine) -> None:
        """Register the handler's event with a trainer."""
        engine.add_event_handler(Events.EPOCH_STARTED, self)

    def __call__(self, engine: Engine) -> None:
        """Seed Python, NumPy, PyTorch and the data set's random transforms."""
        entropy = [self.seed, engine.state.epoch, engine.state.rank]
        seed = int(np.random.SeedSequence(entropy).generate_state(1)[0])
        set_determinism(seed)
        if isinstance(self.transform, Randomizable):
            self.transform.set_random_state(seed)
