"""The command: its help, its options, and its one-line answers to mistakes."""

import json

import pytest

from common.data.datalist import load_datalist
from common.data.phantoms import FundusSettings, ShapesSettings
from scripts.phantom import main

SETTINGS = {"shapes": ShapesSettings, "fundus": FundusSettings}
SMALL = ["--count", "12", "--size", "48", "--radius", "5,8", "--shapes", "2,3"]


def settings_in(folder):
    settings = json.loads((folder / "phantom.json").read_text())["settings"]
    return {key: value for key, value in settings.items() if key not in ("generator", "version")}


def test_options_reach_the_data_set(tmp_path, capsys):
    out = tmp_path / "shapes"
    options = [
        "--seed",
        "3",
        "--target",
        "5/2",
        "--norotation",
        "--target_colour",
        "0,128,0",
        "--noise",
        "4",
        "--overlap",
    ]
    assert main(["shapes", "--out", str(out), *SMALL, *options]) == 0
    expected = ShapesSettings.from_options(
        {
            "count": 12,
            "size": 48,
            "radius": (5, 8),
            "shapes": (2, 3),
            "seed": 3,
            "target": "5/2",
            "rotation": False,
            "target_colour": (0, 128, 0),
            "noise": 4.0,
            "overlap": True,
        }
    )
    assert settings_in(out) == expected.to_options()
    assert load_datalist(out / "datalist.json")["meta"]["classes"] == ["no pentagram", "pentagram"]
    printed = capsys.readouterr()
    assert "12 images in" in printed.out
    assert str(out / "datalist.json") in printed.out
    assert "12/12" in printed.err, "the progress bar reached its end"


def test_the_second_run_does_nothing(tmp_path, capsys):
    arguments = ["shapes", "--out", str(tmp_path / "shapes"), *SMALL]
    assert main(arguments) == 0
    capsys.readouterr()
    assert main(arguments) == 0
    assert "is up to date: 12 images" in capsys.readouterr().out


def test_a_preset_is_a_start_that_options_change(tmp_path):
    out = tmp_path / "shapes"
    assert main(["shapes", "--out", str(out), "--preset", "encircled", "--count", "8", "--size", "160"]) == 0
    settings = settings_in(out)
    assert (settings["outside"], settings["target"], settings["radius"]) == ("circle", "4/1", [12.0, 30.0])
    assert (settings["count"], settings["size"]) == (8, [160, 160])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--cuont", "12"], "no setting 'cuont'; did you mean 'count'?"),
        (["--preset", "demmo"], "no preset 'demmo'; did you mean 'demo'?"),
        (["--target", "triangle"], "'triangle' is no polygon; write 'circle' or p/q"),
        (["--shapes", "60"], "lower shapes or radius, raise size, or set overlap=True"),
        (["--radius", "60"], "lower radius, raise size, or set keep_inside=False"),
        (["--count", "lots"], "count='lots': expected a whole number"),
    ],
    ids=["option", "preset", "target", "crowded", "too large", "no number"],
)
def test_mistakes_are_answered_in_one_line_and_leave_nothing(tmp_path, capsys, arguments, message):
    assert main(["shapes", "--out", str(tmp_path / "shapes"), *arguments]) == 1
    printed = capsys.readouterr().err.splitlines()
    assert printed[-1].startswith("Error: ")
    assert message in printed[-1]
    assert list(tmp_path.iterdir()) == []


def test_a_folder_with_other_content_is_refused(tmp_path, capsys):
    (tmp_path / "notes.txt").write_text("mine")
    assert main(["shapes", "--out", str(tmp_path), *SMALL]) == 1
    assert "holds notes.txt, which would be lost" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["notes.txt"]


def test_a_fundus_data_set(tmp_path, capsys):
    out = tmp_path / "fundus"
    arguments = ["fundus", "--out", str(out), "--preset", "demo", "--count", "4,2,2", "--size", "64", "--novessels"]
    assert main(arguments) == 0
    settings = settings_in(out)
    assert (settings["count"], settings["disc"], settings["vessels"]) == ([4, 2, 2], [0.36, 0.48], False)
    assert load_datalist(out / "datalist.json")["meta"]["classes"] == ["no glaucoma", "glaucoma"]
    assert "8 images in" in capsys.readouterr().out
    assert main(arguments) == 0
    assert "is up to date: 8 images" in capsys.readouterr().out
    assert main([*arguments, "--hazzy_fraction", "0"]) == 1
    assert "no setting 'hazzy_fraction'; did you mean 'hazy_fraction'?" in capsys.readouterr().err


@pytest.mark.parametrize("phantom", SETTINGS)
def test_help_teaches(phantom, capsys):
    assert main([phantom, "--help"]) == 0
    printed = capsys.readouterr()
    text = printed.out + printed.err
    assert f"python -m scripts.phantom {phantom} --out data/{phantom}" in text
    for setting in SETTINGS[phantom]().to_options():
        assert f"--{setting}=" in text, f"{setting} is missing from the help"


@pytest.mark.parametrize("phantom", SETTINGS)
def test_the_defaults_in_the_help_are_the_defaults(phantom, capsys):
    """The help names each default in square brackets, as the options themselves start empty to let a preset speak."""
    main([phantom, "--help"])
    printed = capsys.readouterr()
    text = printed.out + printed.err
    for name, value in SETTINGS[phantom]().to_options().items():
        if value is None:
            continue
        numbers = value if isinstance(value, list) else [value]
        words = [f"{number:g}" if isinstance(number, float) else str(number) for number in numbers]
        shown = words[0] if len(set(words)) == 1 else ",".join(words)
        section = text.split(f"--{name}=")[1].split("--")[0]
        assert f"[{shown}]" in section, f"--{name} does not say [{shown}]"


def test_a_missing_folder_shows_the_usage(capsys):
    assert main(["shapes"]) == 2
    assert "no value for the required argument: out" in capsys.readouterr().err
