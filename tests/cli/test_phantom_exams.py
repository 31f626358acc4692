"""The command `python -m scripts.phantom exams`: its options, its help, its answers to mistakes."""

import json

import pytest

from common.data.phantoms import ExamSettings
from scripts.phantom import main

SMALL = ["--count", "30,2,2", "--size", "64", "--seed", "5"]


def settings_in(folder):
    settings = json.loads((folder / "phantom.json").read_text())["settings"]
    return {key: value for key, value in settings.items() if key not in ("generator", "version")}


def test_options_reach_the_data_set_and_a_second_run_does_nothing(tmp_path, capsys):
    given = ["--preset", "hard", "--language", "nl", "--islands", "3"]
    arguments = ["exams", "--out", str(tmp_path / "e"), *SMALL, *given]
    assert main(arguments) == 0
    options = {"count": (30, 2, 2), "size": 64, "seed": 5, "language": "nl", "islands": (3, 3)}
    assert settings_in(tmp_path / "e") == ExamSettings.from_options(options, "hard").to_options()
    assert "34 exams in" in capsys.readouterr().out
    assert main(arguments) == 0
    assert "is up to date: 34 exams" in capsys.readouterr().out
    assert "borst" in (tmp_path / "e" / "exams.csv").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--cuont", "12"], "no setting 'cuont'; did you mean 'count'?"),
        (["--preset", "hrad"], "no preset 'hrad'; did you mean 'hard'?"),
        (["--radius", "0.5"], "a mass above 0.1 fits into no breast"),
        (["--count", "2,1,1"], "leaves no training exam with"),
    ],
)
def test_mistakes_are_answered_in_one_line_and_leave_nothing(tmp_path, capsys, arguments, message):
    assert main(["exams", "--out", str(tmp_path / "e"), *arguments]) == 1
    printed = capsys.readouterr().err.splitlines()
    assert printed[-1].startswith("Error: ")
    assert message in printed[-1]
    assert list(tmp_path.iterdir()) == []


def test_the_help_names_every_setting_with_its_default(capsys):
    assert main(["exams", "--help"]) == 0
    printed = capsys.readouterr()
    text = printed.out + printed.err
    assert "python -m scripts.phantom exams --out data/exams" in text
    for name, value in ExamSettings().to_options().items():
        numbers = value if isinstance(value, list) else [value]
        shown = ",".join(f"{number:g}" if isinstance(number, float) else str(number) for number in numbers)
        assert f"[{shown}]" in text.split(f"--{name}=")[1].split("--")[0], f"--{name} does not say [{shown}]"
