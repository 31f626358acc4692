"""The contract notices what it is there for: a copy of a real bundle is broken in one place at a time."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from common.utils import bundle_check, network_check
from common.utils.bundle import Bundle
from common.utils.bundle_check import check_bundle, config_combinations
from common.utils.messages import PlainError

NAME = "xml_explainer_classification"


@pytest.fixture
def folder(repository: Path, tmp_path: Path) -> Path:
    copied = tmp_path / NAME
    shutil.copytree(repository / "bundles" / NAME, copied, ignore=shutil.ignore_patterns("models", "run", "data"))
    return copied


def edit(name: str, *path: str, value: object = None) -> Callable[[Path], None]:
    """Make a change to a JSON file in configs: set the item at a path, or remove it where no value is given."""

    def change(folder: Path) -> None:
        file = folder / "configs" / f"{name}.json"
        place = content = json.loads(file.read_text())
        for part in path[:-1]:
            place = place[int(part) if isinstance(place, list) else part]
        if value is None:
            del place[path[-1]]
        else:
            place[path[-1]] = value
        file.write_text(json.dumps(content))

    return change


def write(name: str, text: str) -> Callable[[Path], None]:
    return lambda folder: (folder / name).write_text(text)


RULES = bundle_check
BROKEN = {
    "file": (RULES.files_present, lambda f: (f / "configs/logging.conf").unlink(), "configs/logging.conf is missing"),
    "python": (RULES.folder_clean, write("helper.py", ""), "helper.py: code belongs to the library"),
    "large file": (RULES.folder_clean, write("docs/notes.txt", "x" * 2_100_000), "docs/notes.txt has 2 MB"),
    "metadata": (RULES.metadata_complete, edit("metadata", "task"), "task is missing; expected a text"),
    "version": (RULES.versions_agree, edit("metadata", "version", value="9.9.9"), "no entry for version 9.9.9"),
    "knob": (RULES.same_ids, edit("train", "seed"), "train: id 'seed' is missing"),
    "MONAI's id": (RULES.same_ids, edit("inference", "inferer"), "inference: id 'inferer' is missing"),
    "run": (RULES.same_ids, edit("train", "run", value=[]), "run is []; expected '@training'"),
    "output_dir": (RULES.same_ids, edit("train", "output_dir", value="out"), "output_dir must be a $ expression"),
    "dead id": (RULES.names_known, edit("train", "sed", value=1), "train: sed: nothing in the configuration uses this"),
    "class": (
        RULES.names_known,
        edit("inference", "network_def", "_target_", value="common.networks.ExplainrClassifier"),
        "inference: network_def: _target_ 'common.networks.ExplainrClassifier' cannot be found: "
        "common.networks has no 'ExplainrClassifier'; did you mean 'ExplainerClassifier'?",
    ),
    "overlay's id": (RULES.names_known, edit("demo", "batch_sise", value=1), "train + demo: batch_sise: nothing"),
    "unchecked": (RULES.names_known, edit("inference", "initialize", value=[]), "inference: initialize has no Check"),
    "machine path": (
        RULES.expressions_short,
        edit("train", "dataset_dir", value="/home/anna/images"),
        "train: dataset_dir: names a path of one machine",
    ),
    "own import": (
        RULES.expressions_short,
        edit("demo", "imports", value=["$import common.data"]),
        "demo: imports::0: imports our code in an expression",
    ),
    "long expression": (
        RULES.expressions_short,
        edit("demo", "seed", value="$" + " + ".join(["1"] * 50)),
        "demo: seed: expression of 198 characters; at most 120",
    ),
    "computed target": (
        RULES.expressions_short,
        edit("demo", "seed", value={"_target_": "$int"}),
        "demo: seed: _target_ '$int' must be a plain dotted name",
    ),
    "README section": (RULES.readme_complete, write("docs/README.md", "# Data\n"), "section 'Limitations' is missing"),
    "README figure": (
        RULES.readme_complete,
        write("docs/README.md", "![card](figures/absent.png)"),
        "figure figures/absent.png does not exist",
    ),
    "logging class": (
        RULES.logging_safe,
        write("configs/logging.conf", "[handler_x]\nclass=os.system\nargs=()\n"),
        "[handler_x] class=os.system is not a standard handler",
    ),
    "logging arguments": (
        RULES.logging_safe,
        write("configs/logging.conf", "[handler_x]\nclass=StreamHandler\nargs=(open('x'),)\n"),
        "[handler_x] args=(open('x'),) calls something",
    ),
}


@pytest.mark.parametrize(("rule", "change", "expected"), BROKEN.values(), ids=BROKEN)
def test_each_mistake_is_noticed(folder, rule, change, expected):
    change(folder)
    assert any(expected in problem for problem in rule(Bundle(folder)))


def shrink(folder: Path) -> None:
    """Let the network be checked on small images."""
    for side, name in (("inputs", "image"), ("outputs", "explanation")):
        edit("metadata", "network_data_format", side, name, "spatial_shape", value=["*", "*"])(folder)


STATED = ("metadata", "network_data_format", "outputs")
NETWORK = {
    "as stated": (lambda folder: None, []),
    "channels": (
        edit(*STATED, "pred", "num_channels", value=3),
        ["pred: shape is (2, 2), the metadata states (2, 3)"],
    ),
    "type": (
        edit(*STATED, "pred", "dtype", value="float16"),
        ["pred: type is torch.float32, the metadata states float16"],
    ),
    "name": (
        edit(*STATED, "heat", value={"spatial_shape": []}),
        ["heat: described by the metadata, but neither forward nor explain returns it"],
    ),
}


@pytest.mark.parametrize(("change", "expected"), NETWORK.values(), ids=NETWORK)
def test_the_network_is_held_against_the_metadata(folder, change, expected):
    shrink(folder)
    change(folder)
    assert list(network_check.network_matches_metadata(Bundle(folder))) == expected


def test_a_range_that_the_outputs_leave_is_noticed(folder):
    shrink(folder)
    edit(*STATED, "explanation", "value_range", value=[0.0, 0.001])(folder)
    (problem,) = network_check.network_matches_metadata(Bundle(folder))
    assert problem.startswith("explanation: values go from")
    assert problem.endswith("the metadata states 0.0 to 0.001")


@pytest.mark.parametrize(
    ("settings", "problems"),
    [
        ({"classifier": "vgg"}, []),
        ({"classes": ["a", "b", "c"]}, ["pred: shape is (2, 3), the metadata states (2, 2)"]),
    ],
)
def test_the_network_is_built_with_the_settings_of_its_training(folder, settings, problems):
    """As export and packing build it: what has been trained is what the metadata must describe."""
    shrink(folder)
    (folder / "models").mkdir()
    (folder / "models" / "settings.json").write_text(json.dumps({**settings, "unknown_to_inference": 1}))
    network = network_check.build_network(Bundle(folder))
    assert type(network.classifier).__name__ == ("GatedVGG" if "classifier" in settings else "GatedResNet")
    assert list(network_check.network_matches_metadata(Bundle(folder))) == problems


def test_overlays_are_checked_over_their_base(folder):
    combinations = dict(zip(Bundle(folder).configs, config_combinations(Bundle(folder)), strict=True))
    assert combinations["train"] == ("train",)
    assert combinations["inference"] == ("inference",)
    assert combinations["demo"] == ("train", "demo")
    assert combinations["multi_gpu_train"] == ("train", "multi_gpu_train")


def test_a_rule_that_fails_is_broken_by_the_bundle(folder):
    (folder / "configs" / "train.json").write_text("{")
    findings = {f.rule: f.problems for f in check_bundle(folder, quick=True)}
    assert len(findings) == len(bundle_check.RULES) - len(bundle_check.NETWORK_RULES)
    assert "JSONDecodeError" in findings["Every id, class and argument named by a configuration exists"][0]


def test_another_folder_is_no_bundle(repository):
    with pytest.raises(PlainError, match=r"no file configs/metadata\.json; did you mean 'xml_explainer_class"):
        Bundle(repository / "bundles" / "xml_explainer_clasification")
