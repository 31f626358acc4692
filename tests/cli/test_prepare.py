"""The command `python -m scripts.prepare`: it helps, converts, and explains mistakes in one line."""

import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from common.data import load_datalist
from scripts.prepare import Prepare, main


@pytest.fixture
def folder(tmp_path):
    lines = ["file,diagnosis,patient"]
    for index in range(20):
        Image.fromarray(np.full((8, 8), index, dtype=np.uint8)).save(tmp_path / f"{index}.png")
        lines.append(f"{index}.png,{'benign' if index % 2 else 'malignant'},p{index // 2}")
    (tmp_path / "table.csv").write_text("\n".join(lines))
    return tmp_path


def test_converts_and_prints_numbers_and_place(folder, capsys):
    options = [
        "--image",
        "file",
        "--label=diagnosis",
        "--patient",
        "patient",
        "--fractions",
        "0.6,0.2,0.2",
        "--seed",
        "1",
    ]
    assert main(["csv", "--root", str(folder), *options]) == 0
    rows = [line.rsplit(maxsplit=3) for line in capsys.readouterr().out.splitlines()]
    assert rows[1] == ["cases", "12", "4", "4"]
    assert rows[-1][-1] == str(folder / "datalist.json")
    assert load_datalist(folder / "datalist.json")["meta"]["seed"] == 1


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["cvs", "--root", "x"], "Error: there is no source 'cvs'; did you mean 'csv'?"),
        (
            ["csv", "--root", "{}", "--patint", "patient"],
            "Error: csv has no option '--patint'; did you mean 'patient'?",
        ),
        (["csv", "--root", "{}", "--image", "flie"], "has no column 'flie'; did you mean 'file'?"),
        (["csv", "--root", "{}/gone"], "does not exist; name the folder that holds the images and the table"),
    ],
)
def test_mistakes_end_in_one_line_and_write_nothing(folder, capsys, arguments, words):
    assert main([argument.replace("{}", str(folder)) for argument in arguments]) == 1
    captured = capsys.readouterr()
    assert words in captured.err
    assert len(captured.err.strip().splitlines()) == 1
    assert not (folder / "datalist.json").exists()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (
            ["--help"],
            [
                *("csv", "medmnist", "imagenet_hvz", "nci_cervical", "brain_mr_cheng", "refuge", "ispy1", "isic2017"),
                "scripts.prepare csv --help",
            ],
        ),
        (
            ["csv", "--help"],
            ["--label=LABEL", "python -m scripts.prepare csv --root my_data --image file", "no patient gets"],
        ),
        (["nci_cervical", "--help"], ["code -2 means", "covariate_data.xls"]),
        (["refuge", "--help"], ["Disc_Cup_Masks", "Label(Glaucoma=1)", "--crop 2.5"]),
        (["ispy1", "--help"], ["DCEMRI_1.nii", "DICOM SEG", "where the tumour is"]),
        (["isic2017", "--help"], ["P_Part1_GroundTruth", "neither is a nevus"]),
    ],
)
def test_help_teaches(capsys, arguments, words):
    with pytest.raises(SystemExit) as caught:
        main(arguments)
    captured = capsys.readouterr()
    assert caught.value.code == 0
    assert all(word in captured.out + captured.err for word in words)


def test_every_source_is_in_the_documentation(repository):
    text = (repository / "docs" / "how_to" / "own_data.md").read_text()
    for name in vars(Prepare):
        assert name.startswith("_") or name == "csv" or f"| `{name}` |" in text, f"{name} is not listed"


def test_as_a_command(folder, repository):
    command = [
        sys.executable,
        "-m",
        "scripts.prepare",
        "csv",
        "--root",
        str(folder),
        "--image",
        "file",
        "--label",
        "nothing",
    ]
    done = subprocess.run(command, cwd=repository, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr.strip().endswith("table.csv' has no column 'nothing'; there is: file, diagnosis, patient")
    assert "Traceback" not in done.stderr
