"""settings.json beside the weights."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from ignite.engine import Events
from monai.bundle import ConfigParser

from common.handlers import SettingsWriter
from tests.handlers.replay import replay

SETTINGS = {"classes": ["no", "yes"], "image_size": 64, "mean": None}


def test_settings_are_an_overlay_that_monai_reads(tmp_path: Path) -> None:
    replay([SettingsWriter(tmp_path / "models", SETTINGS)], [({}, {})])
    base = tmp_path / "inference.json"
    base.write_text(json.dumps({"classes": ["?"], "image_size": 224, "mean": [0.5], "count": "$len(@classes)"}))
    parser = ConfigParser()
    parser.read_config([str(base), str(tmp_path / "models" / "settings.json")])
    assert {name: parser.get_parsed_content(name) for name in ("classes", "image_size", "mean", "count")} == {
        **SETTINGS,
        "count": 2,
    }


def test_settings_are_written_before_the_first_step(tmp_path: Path) -> None:
    """A training that is killed later leaves weights that can be used."""

    class Look:
        def attach(self, engine: Any) -> None:
            engine.add_event_handler(Events.ITERATION_STARTED, lambda: seen.append(path.exists()))

    seen: list[bool] = []
    path = tmp_path / "settings.json"
    replay([SettingsWriter(tmp_path, SETTINGS), Look()], [({}, {})])
    assert seen == [True]


def test_later_changes_of_the_given_dictionary_do_not_count(tmp_path: Path) -> None:
    settings = {"image_size": 64}
    writer = SettingsWriter(tmp_path, settings)
    settings["image_size"] = 0
    replay([writer], [({}, {})])
    assert json.loads((tmp_path / "settings.json").read_text()) == {"image_size": 64}


def test_only_the_first_process_writes(tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.setattr("common.handlers.settings_writer.is_main_process", lambda: False)
    replay([SettingsWriter(tmp_path / "models", SETTINGS)], [({}, {})])
    assert not (tmp_path / "models").exists()
