"""Load a network's weights when an evaluation or inference starts."""

from __future__ import annotations

import logging
from pathlib import Path

from ignite.engine import Engine, Events
from torch import nn

from common.utils.checkpoint import load_state, load_weights_only

logger = logging.getLogger(__name__)


class WeightsLoader:
    """Load ``model.pt`` strictly, without executing anything in the file, and say what was loaded."""

    def __init__(self, network: nn.Module, path: str | Path) -> None:
        """Remember what to load.

        Args:
            network: the network itself, without wrappers.
            path: file with its state dict.
        """
        self.network = network
        self.path = Path(path)

    def attach(self, engine: Engine) -> None:
        """Register with an engine; list it first."""
        engine.add_event_handler(Events.STARTED, self)

    def __call__(self, engine: Engine) -> None:
        """Load the weights.

        Raises:
            FileNotFoundError: if there is no such file.
            ValueError: if the file is damaged, holds more than weights, or fits another network.
        """
        logger.info("%s", load_state(self.network, load_weights_only(self.path), str(self.path)))
