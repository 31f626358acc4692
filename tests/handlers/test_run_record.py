"""run.json and the recorded configuration."""

from __future__ import annotations

import json
import sys
from datetime import datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from ignite.engine import Events
from monai.bundle import ConfigParser

import common
from common.data import CaseError, write_datalist
from common.data.datalist import datalist_hash
from common.handlers import RunRecord
from tests.handlers.replay import player, replay


def read(folder: Path) -> dict[str, Any]:
    return json.loads((folder / "run.json").read_text())


def test_what_when_on_what_and_for_how_long(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["/somewhere/secret/tool.py", "--stage_epochs", "[1, 2]"])
    monkeypatch.setitem(sys.modules, "__main__", SimpleNamespace())
    clock = iter([10.0, 73.46])
    monkeypatch.setattr("common.handlers.run_record.time", SimpleNamespace(perf_counter=lambda: next(clock)))
    before = datetime.now().astimezone().replace(microsecond=0)
    replay([RunRecord(tmp_path, "training", seed=5)], [({}, {})])
    record = read(tmp_path)
    workflow = record["workflows"]["training"]
    assert workflow["command"] == "tool.py --stage_epochs '[1, 2]'", "quoted for a shell, without this machine's paths"
    assert before <= datetime.fromisoformat(workflow["date"]) <= datetime.now().astimezone()
    assert workflow["device"].startswith("cpu (")
    assert workflow["device"].endswith(f"{torch.get_num_threads()} cores)")
    assert (workflow["seed"], workflow["status"], workflow["duration_s"]) == (5, "completed", 63.5)
    assert record["versions"]["vitrine"] == common.__version__
    assert record["versions"]["torch"].split("+")[0] == torch.__version__.split("+")[0]
    assert "datalist" not in workflow


def test_a_module_is_shown_by_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["/x/site-packages/monai/bundle/__main__.py", "run", "--seed", "3"])
    main = SimpleNamespace(__spec__=SimpleNamespace(name="monai.bundle.__main__"))
    monkeypatch.setitem(sys.modules, "__main__", main)
    replay([RunRecord(tmp_path, "evaluation")], [({}, {})])
    assert read(tmp_path)["workflows"]["evaluation"]["command"] == "python -m monai.bundle run --seed 3"


def test_the_data_can_be_recognised(tmp_path: Path) -> None:
    items = {"training": [{"case_id": "a", "image": "a.png", "label": 0}, {"case_id": "b", "image": "b", "label": 1}]}
    path = write_datalist(tmp_path / "datalist.json", items, {"name": "d", "task": "multiclass", "classes": ["0", "1"]})
    replay([RunRecord(tmp_path, "training", datalist=path)], [({}, {})])
    workflow = read(tmp_path)["workflows"]["training"]
    assert (workflow["datalist"], workflow["datalist_hash"]) == (str(path), datalist_hash(path))
    replay([RunRecord(tmp_path, "inference", datalist=tmp_path / "absent.json")], [({}, {})])
    assert "datalist_hash" not in read(tmp_path)["workflows"]["inference"]


def test_skipped_cases_are_named_with_what_to_do(tmp_path: Path) -> None:
    """The keys are those that the report reads; of the path only the file's name is told."""
    failures = [
        CaseError("/data/in/scan1.png", "the image file is cut short", "Copy it again", "scan1"),
        CaseError("b.dcm", "it holds 7 frames", "Choose one", "visit2_b"),
    ]
    replay([RunRecord(tmp_path, "inference", loader=SimpleNamespace(failures=failures))], [({}, {})])
    assert read(tmp_path)["workflows"]["inference"]["failures"] == [
        {"case": "scan1", "message": "scan1.png: the image file is cut short. Copy it again"},
        {"case": "visit2_b", "message": "b.dcm: it holds 7 frames. Choose one"},
    ]


def test_workflows_share_a_folder(tmp_path: Path) -> None:
    replay([RunRecord(tmp_path, "training", seed=1)], [({}, {})])
    replay([RunRecord(tmp_path, "evaluation", seed=2)], [({}, {})])
    assert {name: entry["seed"] for name, entry in read(tmp_path)["workflows"].items()} == {
        "training": 1,
        "evaluation": 2,
    }


def test_a_run_that_breaks_off_does_not_claim_to_be_complete(tmp_path: Path) -> None:
    """Nor does it keep duration and failures of the run before it."""
    failures = [CaseError("a.png", "broken", "Mend it", "a")]
    replay([RunRecord(tmp_path, "inference", loader=SimpleNamespace(failures=failures))], [({}, {})])
    engine = player([RunRecord(tmp_path, "inference")])
    engine.add_event_handler(Events.ITERATION_COMPLETED, lambda: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        engine.run([({}, {})], max_epochs=1)
    workflow = read(tmp_path)["workflows"]["inference"]
    assert (workflow["status"], workflow["duration_s"], workflow["failures"]) == ("started", None, [])


def test_the_configuration_in_force_is_recorded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    parser = ConfigParser({"seed": 1, "twice": "$@seed * 2", "_meta_": {"name": "xML", "version": "0.3.0"}})
    parser["seed"] = 4  # as an override of the command line does
    workflow = SimpleNamespace(parser=parser)
    monkeypatch.setattr("common.handlers.run_record.running_workflow", lambda: workflow)
    replay([RunRecord(tmp_path, "explanation")], [({}, {})])
    recorded = json.loads((tmp_path / "config_explanation.json").read_text())
    assert recorded["seed"] == 4
    assert (read(tmp_path)["name"], read(tmp_path)["bundle_version"]) == ("xML", "0.3.0")


def test_only_the_first_process_writes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("common.handlers.run_record.is_main_process", lambda: False)
    replay([RunRecord(tmp_path / "run", "training")], [({}, {})])
    assert not (tmp_path / "run").exists()
