import json
import os
import re
import zipfile
from pathlib import Path

import pytest
import torch
from monai.data import load_net_with_metadata

from common.utils import packing
from common.utils.isolated_run import MONAI, run_isolated
from common.utils.messages import PlainError
from common.utils.packing import pack_bundle, write_archive

NAME = "xml_explainer_classification"
CODE = f"{NAME}_code"


def test_equal_folders_give_equal_archives(tmp_path):
    archives = []
    for place, order in (("one", ["b.txt", "a/c.txt"]), ("two", ["a/c.txt", "b.txt"])):
        tree = tmp_path / place / "bundle"
        for age, name in enumerate(order):
            file = tree / name
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(name)
            file.chmod(0o600 if place == "one" else 0o644)
            os.utime(file, (age, 10**9))
        (tree / "__pycache__").mkdir()
        (tree / "__pycache__" / f"{place}.pyc").write_text(place)
        archives.append(tmp_path / f"{place}.zip")
        write_archive(tree, archives[-1])
    assert archives[0].read_bytes() == archives[1].read_bytes()
    with zipfile.ZipFile(archives[0]) as packed:
        assert packed.namelist() == ["bundle/a/c.txt", "bundle/b.txt"]


def test_an_untrained_bundle_is_refused_with_the_way_to_train_it(trained_bundle, tmp_path):
    (tmp_path / "configs").mkdir()
    (tmp_path / "configs" / "metadata.json").write_bytes((trained_bundle / "configs" / "metadata.json").read_bytes())
    with pytest.raises(PlainError, match=r"has no models/model\.pt yet\. Train it with `python -m monai\.bundle run"):
        pack_bundle(tmp_path)


def test_nothing_is_written_unless_the_archive_was_proven(trained_bundle, tmp_path, monkeypatch):
    def fail(archive: Path, name: str) -> str:
        assert zipfile.is_zipfile(archive)
        raise PlainError("it does not run")

    monkeypatch.setattr(packing, "export_torchscript", lambda tree: None)
    monkeypatch.setattr(packing, "prove", fail)
    with pytest.raises(PlainError, match="it does not run"):
        pack_bundle(trained_bundle, tmp_path / "out")
    assert not (tmp_path / "out").exists()


RENAMED = {
    "from": ("from common.data.errors import X", "from own.data.errors import X"),
    "package": ("from common import __version__", "from own import __version__"),
    "bare": ("import common\nprint(common.__version__)", "import own as common\nprint(common.__version__)"),
    "text": ('path = "common.networks.ExplainerClassifier"', 'path = "own.networks.ExplainerClassifier"'),
    "docstring": (":func:`common.explain.schema.write`", ":func:`own.explain.schema.write`"),
    "longer name": ("import uncommon.data, common.database", "import uncommon.data, common.database"),
    "prose": ("what they have in common. Data follow.", "what they have in common. Data follow."),
}


@pytest.mark.parametrize(("text", "expected"), RENAMED.values(), ids=RENAMED)
def test_dotted_names_are_rewritten_and_words_are_not(tmp_path, text, expected):
    for part in ("data", "networks", "explain"):
        (tmp_path / part).mkdir()
    assert packing._renamer(tmp_path, "own")(text) == expected


CHECK, PHANTOM = {"_target_": "own.CheckConfig"}, {"_target_": "own.write_shapes"}
TRAIN = {"initialize": [CHECK, "$seed()"], "training": ["$train()"], "run": "@training"}
MOVED = {
    "complete": (TRAIN, {**TRAIN, "initialize": [], "training": [CHECK, "$seed()", "$train()"]}),
    "overlay that prepares": (
        {"lr": 1, "initialize": [CHECK, PHANTOM, "$seed()"]},
        {"lr": 1, "initialize": [], "training": [CHECK, PHANTOM, "$seed()", "$train()"]},
    ),
    "overlay that starts processes": (
        {"initialize": ["$start()", CHECK, "$seed()"]},
        {"initialize": ["$start()"], "training": [CHECK, "$seed()", "$train()"]},
    ),
    "overlay with a workflow": (
        {"initialize": [CHECK], "evaluating": ["$test()"], "run": "@evaluating"},
        {"initialize": [], "evaluating": [CHECK, "$test()"], "run": "@evaluating"},
    ),
    "overlay with a workflow only": (
        {"evaluating": ["$test()"], "run": "@evaluating"},
        {"evaluating": [CHECK, "$seed()", "$test()"], "run": "@evaluating"},
    ),
    "overlay of knobs": ({"lr": 1}, {"lr": 1}),
    "expressions only": (
        {"initialize": ["$seed()"], "run": ["$go()"]},
        {"initialize": ["$seed()"], "run": ["$go()"]},
    ),
}


@pytest.mark.parametrize(("config", "expected"), MOVED.values(), ids=MOVED)
def test_components_are_built_once_the_bundles_code_can_be_imported(config, expected):
    assert packing._components_when_running(config, TRAIN) == expected


def test_an_isolated_run_cannot_import_this_library(tmp_path):
    with pytest.raises(PlainError, match="common was imported by a packed bundle"):
        run_isolated(MONAI.replace("import runpy", "import common; import runpy"), cwd=tmp_path)


@pytest.fixture(scope="module")
def archive(trained_bundle, tmp_path_factory) -> Path:
    return pack_bundle(trained_bundle, tmp_path_factory.mktemp("out"), weights_url="https://example.org/v1/")


@pytest.fixture(scope="module")
def unpacked(archive, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("unpacked")
    with zipfile.ZipFile(archive) as packed:
        packed.extractall(folder)
    return folder / NAME


@pytest.mark.slow
def test_the_archive_is_named_after_bundle_and_version_and_has_its_checksum(archive, trained_bundle):
    version = json.loads((trained_bundle / "configs" / "metadata.json").read_text())["version"]
    assert archive.name == f"{NAME}_v{version}.zip"
    checksum, name = Path(f"{archive}.sha256").read_text().split()
    assert name == archive.name
    assert checksum == packing._checksum(archive)


@pytest.mark.slow
def test_packing_again_gives_the_same_bytes(archive, trained_bundle, tmp_path, monkeypatch):
    monkeypatch.setattr(packing, "prove", lambda archive, name: "")
    again = pack_bundle(trained_bundle, tmp_path, weights_url="https://example.org/v1/")
    assert again.read_bytes() == archive.read_bytes()


@pytest.mark.slow
def test_only_the_bundle_and_its_code_are_inside(unpacked):
    files = {f.relative_to(unpacked).as_posix() for f in unpacked.rglob("*") if f.is_file()}
    assert {"configs/metadata.json", "configs/train.json", "models/model.pt", "models/model.ts"} <= files
    assert {"models/settings.json", "models/checkpoint.pt", "run/a.csv"}.isdisjoint(files)
    assert {f"{CODE}/networks/explainer_classifier.py", f"{CODE}/utils/config_check.py"} <= files
    assert {f"{CODE}/utils/packing.py", f"{CODE}/utils/bundle_check.py"}.isdisjoint(files)


@pytest.mark.slow
def test_nothing_inside_names_the_library(unpacked):
    for file in unpacked.rglob("*"):
        if file.suffix in (".py", ".json"):
            text = file.read_text()
            assert not re.search(r"\bcommon\.(data|networks|utils|handlers|engines|explain)\b", text), file
            assert not re.search(r"^\s*(from|import) common\b", text, re.M), file
    metadata = json.loads((unpacked / "configs" / "metadata.json").read_text())
    assert "common" not in metadata["required_packages_version"]


@pytest.mark.slow
def test_the_settings_of_the_trained_network_are_in_the_configuration(unpacked):
    config = json.loads((unpacked / "configs" / "inference.json").read_text())
    assert (config["classifier"], config["image_size"]) == ("vgg", 32)
    assert "absent_in_inference" not in config


@pytest.mark.slow
def test_a_misspelt_override_is_still_refused(unpacked, tmp_path):
    config = str(unpacked / "configs" / "inference.json")
    with pytest.raises(PlainError, match="did you mean 'image_size'"):
        run_isolated(MONAI, "run", "--config_file", config, "--image_siz", "32", cwd=tmp_path)


@pytest.mark.slow
def test_torchscript_carries_metadata_and_configuration(unpacked):
    scripted, metadata, texts = load_net_with_metadata(
        str(unpacked / "models" / "model.ts"), more_extra_files=("inference.json",)
    )
    assert metadata["version"] == json.loads((unpacked / "configs" / "metadata.json").read_text())["version"]
    assert json.loads(texts["inference.json"])["classifier"] == "vgg"
    assert set(scripted.explain(torch.rand(1, 3, 32, 32))) == {"logits", "probability", "explanation"}


@pytest.mark.slow
def test_large_files_are_listed_where_they_will_be_published(unpacked):
    listed = (unpacked / "large_files.yml").read_text()
    large = [f for f in unpacked.rglob("*") if f.is_file() and f.stat().st_size > packing.LARGE]
    assert listed.startswith("large_files:\n")
    for file in large:
        assert f"url: https://example.org/v1/{file.name}\n  hash_val: {packing._checksum(file)}" in listed
    assert listed.count("path:") == len(large)
