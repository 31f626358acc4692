"""The command `python -m scripts.phantom mammograms`: its options, its help, its answers to mistakes."""

import json

import pytest

from common.data import load_datalist
from common.data.phantoms import MammogramSettings
from scripts.phantom import main

SMALL = ["--count", "16", "--size", "96,48", "--radius", "0.05,0.07"]


def settings_in(folder):
    settings = json.loads((folder / "phantom.json").read_text())["settings"]
    return {key: value for key, value in settings.items() if key not in ("generator", "version")}


def test_options_reach_the_data_set_and_a_second_run_does_nothing(tmp_path, capsys):
    arguments = ["mammograms", "--out", str(tmp_path / "m"), *SMALL, "--seed", "3", "--nomarkers", "--islands", "1"]
    assert main(arguments) == 0
    options = {"count": 16, "size": (96, 48), "radius": (0.05, 0.07), "seed": 3, "markers": False, "islands": 1}
    assert settings_in(tmp_path / "m") == MammogramSettings.from_options(options).to_options()
    assert load_datalist(tmp_path / "m" / "datalist.json")["meta"]["classes"] == ["benign", "malignant"]
    assert "16 images in" in capsys.readouterr().out
    assert main(arguments) == 0
    assert "is up to date: 16 images" in capsys.readouterr().out


def test_a_preset_is_a_start_that_options_change(tmp_path):
    assert main(["mammograms", "--out", str(tmp_path / "m"), "--preset", "demo", "--count", "8"]) == 0
    settings = settings_in(tmp_path / "m")
    assert (settings["count"], settings["size"], settings["contrast"]) == (8, [128, 64], 1.2)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--cuont", "12"], "no setting 'cuont'; did you mean 'count'?"),
        (["--preset", "demmo"], "no preset 'demmo'; did you mean 'demo'?"),
        (["--size", "96"], "size=96: expected two numbers, height and width"),
        (["--radius", "0.5"], "a mass above 0.09 fits into no breast"),
    ],
)
def test_mistakes_are_answered_in_one_line_and_leave_nothing(tmp_path, capsys, arguments, message):
    assert main(["mammograms", "--out", str(tmp_path / "m"), *arguments]) == 1
    printed = capsys.readouterr().err.splitlines()
    assert printed[-1].startswith("Error: ")
    assert message in printed[-1]
    assert list(tmp_path.iterdir()) == []


def test_the_help_names_every_setting_with_its_default(capsys):
    assert main(["mammograms", "--help"]) == 0
    printed = capsys.readouterr()
    text = printed.out + printed.err
    assert "python -m scripts.phantom mammograms --out data/mammograms" in text
    for name, value in MammogramSettings().to_options().items():
        numbers = value if isinstance(value, list) else [value]
        shown = ",".join(f"{number:g}" if isinstance(number, float) else str(number) for number in numbers)
        assert f"[{shown}]" in text.split(f"--{name}=")[1].split("--")[0], f"--{name} does not say [{shown}]"
