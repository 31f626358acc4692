"""``scripts.tokenizer``: the same command makes the same file, reports of a datalist are read, mistakes are told."""

import json
import runpy
import sys

import pytest

from common.text import Tokenizer
from common.utils.messages import PlainError
from scripts.tokenizer import main


def test_the_same_command_makes_the_same_tokenizer(tmp_path, capsys):
    for name in ("one", "two"):
        main(str(tmp_path / f"{name}.json"), reports=20)
    assert (tmp_path / "one.json").read_bytes() == (tmp_path / "two.json").read_bytes()
    fingerprint = Tokenizer.from_file(tmp_path / "one.json").fingerprint
    assert f"from 40 reports, fingerprint {fingerprint}" in capsys.readouterr().out


def test_training_reports_of_a_datalist_are_read(tmp_path):
    items = [{"report": "A hamartoma."}, {"report": ["A hamartoma.", "A lipoma."]}, {"image": "x.png"}]
    content = {"training": items, "test": [{"report": "A lipoma. A lipoma."}]}
    (tmp_path / "datalist.json").write_text(json.dumps(content))
    main(str(tmp_path / "new.json"), datalist=str(tmp_path / "datalist.json"), reports=0)
    tokenizer = Tokenizer.from_file(tmp_path / "new.json")
    tokens = [(tokenizer.encode([text], 16)[0] > 0).sum() for text in ("hamartoma", "lipoma")]
    assert tokens[0] == 3  # seen twice: a word of its own between the marks
    assert tokens[1] > 3


@pytest.mark.parametrize(
    ("content", "message"),
    [(None, "does not exist"), ({"training": [{"label": 1}]}, "no training item of .* has a report")],
)
def test_a_datalist_without_reports_is_refused(content, message, tmp_path):
    if content is not None:
        (tmp_path / "datalist.json").write_text(json.dumps(content))
    with pytest.raises(PlainError, match=message):
        main(str(tmp_path / "new.json"), datalist=str(tmp_path / "datalist.json"), reports=0)


def test_help_shows_a_command_to_copy_and_every_option(monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["tokenizer.py", "--help"])
    monkeypatch.setattr(sys, "excepthook", sys.excepthook)
    sys.modules.pop("scripts.tokenizer", None)
    with pytest.raises(SystemExit) as stop:
        runpy.run_module("scripts.tokenizer", run_name="__main__", alter_sys=True)
    assert not stop.value.code
    text = "".join(capsys.readouterr())
    assert "python -m scripts.tokenizer --out" in text
    for option in ("OUT", "--datalist=", "--reports=", "--size=", "--seed="):
        assert option in text
