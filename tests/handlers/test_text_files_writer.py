"""Tokenizer and prompts beside the weights, and where later commands look for them."""

from __future__ import annotations

from pathlib import Path

import pytest

from common.handlers import TextFilesWriter
from common.text import text_file
from tests.handlers.replay import replay


@pytest.fixture
def own(tmp_path: Path) -> Path:
    """A folder with a tokenizer and prompts of the user's."""
    folder = tmp_path / "own"
    folder.mkdir()
    (folder / "mine.json").write_text('{"tokens": "é"}', encoding="utf-8")
    (folder / "asked.json").write_text("{}", encoding="utf-8")
    return folder


def test_what_a_training_reads_texts_with_lies_beside_its_weights(own: Path, tmp_path: Path) -> None:
    models = tmp_path / "models"
    assert text_file("prompts.json", models / "model.pt", "configs/text") == "configs/text/prompts.json"
    replay([TextFilesWriter(models, own / "mine.json", own / "asked.json")], [({}, {})])
    assert text_file("prompts.json", models / "model.pt", "configs/text") == str(models / "text" / "prompts.json")
    assert {file.name: file.read_bytes() for file in (models / "text").iterdir()} == {
        "tokenizer.json": (own / "mine.json").read_bytes(),
        "prompts.json": (own / "asked.json").read_bytes(),
    }
    kept = models / "text"
    replay([TextFilesWriter(models, kept / "tokenizer.json", kept / "prompts.json")], [({}, {})])
    assert (kept / "tokenizer.json").read_bytes() == (own / "mine.json").read_bytes(), "copied onto itself"


def test_a_training_that_goes_on_keeps_what_it_began_with(own: Path, tmp_path: Path) -> None:
    replay([TextFilesWriter(tmp_path, own / "mine.json", own / "asked.json")], [({}, {})])
    (tmp_path / "text" / "prompts.json").unlink()
    replay([TextFilesWriter(tmp_path, own / "asked.json", own / "asked.json", resume=True)], [({}, {})])
    assert (tmp_path / "text" / "tokenizer.json").read_bytes() == (own / "mine.json").read_bytes()
    assert (tmp_path / "text" / "prompts.json").read_bytes() == (own / "asked.json").read_bytes(), "it was missing"


def test_only_the_first_process_writes(own: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("common.handlers.text_files_writer.is_main_process", lambda: False)
    replay([TextFilesWriter(tmp_path / "models", own / "mine.json", own / "asked.json")], [({}, {})])
    assert not (tmp_path / "models").exists()
