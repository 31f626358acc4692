"""Keep beside the weights what a later inference has to know about the network."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ignite.engine import Engine, Events

from common.utils.distributed import is_main_process
from common.utils.files import write_json


class SettingsWriter:
    """Write ``settings.json`` beside ``model.pt``: an overlay for inference and explanation.

    It holds the classes and the knobs of the trained network, so that
    ``--config_file "['configs/inference.json', 'models/settings.json']"`` builds the same network again.
    """

    def __init__(self, ckpt_dir: str | Path, settings: Mapping[str, Any]) -> None:
        """Say what to keep.

        Args:
            ckpt_dir: folder of the weights.
            settings: configuration ids and their values, JSON-able.
        """
        self.path = Path(ckpt_dir) / "settings.json"
        self.settings = dict(settings)

    def attach(self, engine: Engine) -> None:
        """Register with a trainer."""
        if is_main_process():
            engine.add_event_handler(Events.STARTED, lambda: write_json(self.path, self.settings))
