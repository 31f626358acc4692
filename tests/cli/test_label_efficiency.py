"""The label-efficiency command: what it runs, what it writes, what it refuses."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from scripts import label_efficiency as script


@pytest.fixture
def weights(tmp_path):
    (tmp_path / "model.pt").write_bytes(b"weights")
    return str(tmp_path / "model.pt")


@pytest.fixture
def runs(monkeypatch):
    """Replace the commands: "train" and "evaluate" without a process, the better the more labels, and pre-trained."""
    seen = []

    def run(command, **_):
        seen.append(command)
        given = dict(zip(command[5::2], command[6::2], strict=True))
        folder = Path(given["--output_dir"])
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "run.json").write_text("{}")
        if "evaluating" in command:
            value = 0.6 + 0.1 * float(given["--train_pct"]) + 0.2 * ("pretrained" in folder.name)
            value += 0.02 * int(given["--seed"])
            entry = {"value": value, "low": value - 0.05, "high": value + 0.05, "n": 8}
            (folder / "metrics.json").write_text(json.dumps({"test": {"finding_auroc": entry}}))

    monkeypatch.setattr(script.subprocess, "run", run)
    return seen


def test_the_curve_is_written_for_both_kinds_of_weights(runs, weights, tmp_path, capsys):
    output = tmp_path / "out"
    script.label_efficiency(weights, str(output), fractions=(0.1, 1.0), seeds=(0, 1), max_epochs=2)
    found = json.loads((output / "label_efficiency.json").read_text())
    assert (found["metric"], found["fractions"], found["seeds"]) == ("finding_auroc", [0.1, 1.0], [0, 1])
    first = found["pretrained"][0]
    assert first["values"] == pytest.approx([0.81, 0.83])
    assert (first["value"], first["low"], first["high"]) == pytest.approx((0.82, 0.76, 0.88))
    assert [entry["value"] for entry in found["random"]] == pytest.approx([0.62, 0.71])
    printed = capsys.readouterr().out
    assert "10 %  pretrained 0.820 [0.760, 0.880]  random 0.620 [0.560, 0.680]" in printed


def test_both_kinds_of_weights_are_trained_alike(runs, weights, tmp_path):
    script.label_efficiency(weights, str(tmp_path / "out"), fractions=0.1, max_epochs=2)
    assert [command[4] for command in runs] == ["training", "evaluating"] * 2

    def options(command):
        given = dict(zip(command[5::2], command[6::2], strict=True))
        assert given.pop("--output_dir") + "/checkpoints" == given.pop("--ckpt_dir")
        return given

    pretrained, random = options(runs[0]), options(runs[2])
    assert pretrained.pop("--pretrained") == weights
    assert pretrained == random
    assert (random["--train_pct"], random["--max_epochs"], random["--seed"]) == ("0.1", "2", "0")
    assert "train_classification.json" in random["--config_file"]
    assert "evaluate_classification.json" in options(runs[1])["--config_file"]


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"pretrained": "nowhere.pt"}, "there are no weights 'nowhere.pt': pre-train first"),
        ({"fractions": (0.1, 2)}, "expected shares above 0 up to 1"),
        ({"bundle": "xml_explainer_classification"}, "no bundle 'xml_explainer_classification'.*vwyl_report"),
        ({"metric": "finding_aurocc"}, "no metric 'finding_aurocc'; there is: finding_auroc"),
    ],
)
def test_what_cannot_be_run_is_refused(runs, weights, tmp_path, changed, message):
    with pytest.raises(SystemExit, match=message):
        script.label_efficiency(**{"pretrained": weights, "output": str(tmp_path / "out"), **changed})


def test_a_folder_of_something_else_is_left_alone(runs, weights, tmp_path):
    other = tmp_path / "out" / "pretrained_0.1_seed0"
    other.mkdir(parents=True)
    (other / "thesis.tex").write_text("years of work")
    with pytest.raises(SystemExit, match="holds something that is not a run"):
        script.label_efficiency(weights, str(tmp_path / "out"), fractions=(0.1,))
    assert (other / "thesis.tex").read_text() == "years of work"
