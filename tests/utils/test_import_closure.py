import sys
from pathlib import Path

import pytest

from common.utils.import_closure import ImportClosure

FILES = {
    "__init__.py": '"""A toy library."""\n\n__version__ = "1.0"\n',
    "alone.py": "",
    "nets/__init__.py": (
        '"""Networks."""\n\nfrom toylib.nets.big import Big, build as build_big\nfrom .small import Small\n\n'
        '__all__ = ["Big", "Small", "build_big"]\n'
    ),
    "nets/big.py": "from toylib.layers import gate\n\nclass Big: ...\n\ndef build(): ...\n",
    "nets/small.py": "class Small:\n    def lazy(self):\n        from ..tools import late\n        return late\n",
    "layers/__init__.py": "from toylib.layers.gating import gate\nfrom toylib.layers.unused import spare\n",
    "layers/gating.py": "import os\n\ndef gate(): ...\n",
    "layers/unused.py": "spare = 1\n",
    "tools/__init__.py": '"""Does something on import."""\n\nimport toylib.tools.registry\n\nLATE = 3\n',
    "tools/late.py": "",
    "tools/registry.py": "",
    "tools/templates/page.html": "<p>",
    "nets/weights.txt": "x",
}


@pytest.fixture(autouse=True)
def toylib(tmp_path, monkeypatch) -> Path:
    for name, text in FILES.items():
        file = tmp_path / "toylib" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    monkeypatch.syspath_prepend(tmp_path)
    yield tmp_path / "toylib"
    sys.modules.pop("toylib", None)


CLOSURES = {
    "a module": (["alone"], ["alone"]),
    "a class by its module": (["nets.small.Small"], ["nets", "nets.small", "tools", "tools.late", "tools.registry"]),
    "a re-exported class brings its own module only": (["nets.Big"], ["nets", "nets.big", "layers", "layers.gating"]),
    "a renamed re-export": (["nets.build_big"], ["nets", "nets.big", "layers", "layers.gating"]),
    "an attribute of a class": (["nets.Big.forward"], ["nets", "nets.big", "layers", "layers.gating"]),
    "a package as a whole": (
        ["layers"],
        ["layers", "layers.gating", "layers.unused"],
    ),
    "a name defined in __init__": (["tools.LATE"], ["tools", "tools.registry"]),
    "nothing": ([], []),
}


@pytest.mark.parametrize(("names", "expected"), CLOSURES.values(), ids=CLOSURES)
def test_modules(names, expected):
    closure = ImportClosure("toylib", [f"toylib.{n}" for n in names])
    assert closure.modules == {f"toylib.{m}" for m in expected} | ({"toylib"} if names else set())


def test_a_reexporting_init_is_cut_down_and_works(toylib, tmp_path):
    closure = ImportClosure("toylib", ["toylib.nets.build_big", "toylib.nets.Small"])
    text = closure.source("toylib.nets")
    assert text.splitlines() == [
        '"""Networks."""',
        "",
        "from toylib.nets.big import build as build_big",
        "from .small import Small",
        "",
        "__all__ = ['Small', 'build_big']",
    ]


def test_an_init_that_does_something_is_kept_whole():
    closure = ImportClosure("toylib", ["toylib.tools.late"])
    assert closure.source("toylib.tools") == FILES["tools/__init__.py"]
    assert closure.source("toylib") == FILES["__init__.py"]


def test_data_of_needed_packages_comes_along(toylib):
    assert ImportClosure("toylib", ["toylib.tools.late"]).data_files() == [toylib / "tools/templates/page.html"]
    assert ImportClosure("toylib", ["toylib.nets.Big"]).data_files() == [toylib / "nets/weights.txt"]


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("toylib.nets.Bog", "'toylib.nets' has no 'Bog'"),
        ("other.thing", "'other.thing' is not a name of the package 'toylib'"),
    ],
)
def test_unknown_names_are_refused(name, message):
    with pytest.raises(ImportError, match=message):
        ImportClosure("toylib", [name])


def test_nothing_is_executed(toylib):
    (toylib / "alone.py").write_text("raise SystemExit('executed')\n")
    assert "toylib.alone" in ImportClosure("toylib", ["toylib.alone"]).modules


def test_an_absent_package_is_refused():
    with pytest.raises(ImportError, match="'absent_library' is not an importable package"):
        ImportClosure("absent_library", [])
