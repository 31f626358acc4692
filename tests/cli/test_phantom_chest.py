"""The command `python -m scripts.phantom chest`: its options, its help, its answers to mistakes."""

import json

import pytest

from common.data import load_datalist
from common.data.phantoms import ChestSettings
from scripts.phantom import main

SMALL = ["--count", "80", "--size", "64", "--nodule", "0.03,0.036", "--seed", "5"]


def settings_in(folder):
    settings = json.loads((folder / "phantom.json").read_text())["settings"]
    return {key: value for key, value in settings.items() if key not in ("generator", "version")}


def test_options_reach_the_data_set_and_a_second_run_does_nothing(tmp_path, capsys):
    arguments = ["chest", "--out", str(tmp_path / "c"), *SMALL, "--preset", "demo", "--co_occurrence", "0.5"]
    assert main(arguments) == 0
    options = {"count": 80, "size": 64, "nodule": (0.03, 0.036), "seed": 5, "co_occurrence": 0.5}
    assert settings_in(tmp_path / "c") == ChestSettings.from_options(options, "demo").to_options()
    assert load_datalist(tmp_path / "c" / "datalist.json")["meta"]["classes"][0] == "Cardiomegaly"
    assert "80 images in" in capsys.readouterr().out
    assert main(arguments) == 0
    assert "is up to date: 80 images" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--cuont", "12"], "no setting 'cuont'; did you mean 'count'?"),
        (["--preset", "demmo"], "no preset 'demmo'; did you mean 'demo'?"),
        (["--mass", "0.5"], "a mass above 0.11 fits into no lung"),
        (["--count", "8"], "count=8 leaves no image with"),
    ],
)
def test_mistakes_are_answered_in_one_line_and_leave_nothing(tmp_path, capsys, arguments, message):
    assert main(["chest", "--out", str(tmp_path / "c"), *arguments]) == 1
    printed = capsys.readouterr().err.splitlines()
    assert printed[-1].startswith("Error: ")
    assert message in printed[-1]
    assert list(tmp_path.iterdir()) == []


def test_the_help_names_every_setting_with_its_default(capsys):
    assert main(["chest", "--help"]) == 0
    printed = capsys.readouterr()
    text = printed.out + printed.err
    assert "python -m scripts.phantom chest --out data/chest" in text
    for name, value in ChestSettings().to_options().items():
        numbers = value if isinstance(value, list) else [value]
        shown = ",".join(f"{number:g}" if isinstance(number, float) else str(number) for number in numbers)
        assert f"[{shown}]" in text.split(f"--{name}=")[1].split("--")[0], f"--{name} does not say [{shown}]"
