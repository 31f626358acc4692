"""The contract that every bundle folder keeps, as a list of rules; each rule yields what breaks it.

The rules without network read files only. The network's rules build ``network_def`` and compare it with the metadata.
"""

import configparser
import math
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from monai.bundle.properties import InferProperties, TrainProperties
from monai.utils import BundleProperty, BundlePropertyConfig

from common.utils.bundle import Bundle
from common.utils.config_check import check_config, declared_ids, walk
from common.utils.metadata_check import metadata_fields, metadata_tensors, metadata_versions
from common.utils.network_check import network_exports, network_matches_metadata

__all__ = ["RULES", "Finding", "Rule", "check_bundle", "config_combinations"]

Rule = Callable[[Bundle], Iterator[str]]

FILES = [f"configs/{n}.json" for n in ("train", "evaluate", "inference", "explain", "demo", "multi_gpu_train")]
FILES += ["configs/logging.conf", "docs/README.md", "docs/data_license.txt", "LICENSE"]
KNOBS = [
    *("bundle_root", "dataset_dir", "datalist", "output_dir", "ckpt_dir", "device", "seed", "amp", "image_size"),
    *("batch_size", "num_workers", "max_epochs", "val_interval", "learning_rate", "network_def", "network", "losses"),
    *("optimizers", "stages", "initialize", "run", "finalize", "training"),
]
HEADINGS = ["model description", "data", "performance", "system configuration", "limitations", "references"]
COMMANDS = ["configs/train.json", "configs/evaluate.json", "configs/inference.json", "configs/explain.json"]
LONGEST_EXPRESSION = 120
MACHINE_PATH = re.compile(r"/(home|Users|root|tmp|mnt|media|opt|srv|work|scratch)/|\b[A-Za-z]:\\")
OWN_IMPORT = re.compile(r"^\$\s*(import|from)\s+(common|scripts)\b")


@dataclass(frozen=True)
class Finding:
    """What a rule said.

    Attributes:
        rule: what is asked, in words.
        problems: what breaks it, empty when kept.
    """

    rule: str
    problems: tuple[str, ...]


def check_bundle(folder: str | Path, quick: bool = False) -> list[Finding]:
    """Hold a bundle against every rule.

    Args:
        folder: the bundle's folder.
        quick: leave out the rules that build the network (a second instead of about ten).

    Returns:
        One finding per rule, in order. A rule that itself fails on the bundle is broken by it.
    """
    bundle = Bundle(folder)
    return [_apply(rule, bundle) for rule in RULES if not (quick and rule in NETWORK_RULES)]


def _apply(rule: Rule, bundle: Bundle) -> Finding:
    try:
        problems = list(rule(bundle))
    except Exception as error:
        problems = [f"{type(error).__name__}: {error}"]
    return Finding((rule.__doc__ or rule.__name__).splitlines()[0].rstrip("."), tuple(problems))


def files_present(bundle: Bundle) -> Iterator[str]:
    """The files of a complete bundle are there."""
    yield from (f"{file} is missing" for file in FILES if not (bundle.folder / file).is_file())


def folder_clean(bundle: Bundle) -> Iterator[str]:
    """A bundle is configuration, metadata and prose: no Python, no large files; its name says the task."""
    for file in bundle.folder.rglob("*"):
        name = file.relative_to(bundle.folder)
        if name.parts[0] not in ("models", "data", "run", "eval") and file.is_file():
            if file.suffix in (".py", ".pyc", ".ipynb"):
                yield f"{name}: code belongs to the library"
            if file.stat().st_size > 2_000_000:
                yield f"{name} has {file.stat().st_size / 1e6:.0f} MB; more than 2 MB do not belong here"
    if not re.fullmatch(r"[a-z][a-z0-9]*(_[a-z0-9]+)*_(classification|segmentation|detection)", bundle.name):
        yield f"name '{bundle.name}': expected lower-case words joined by _ with the task as the last one"
    if re.search(r"_v\d", bundle.name):
        yield f"name '{bundle.name}' contains _v<digit>, which separates the version in the packed file's name"


def metadata_complete(bundle: Bundle) -> Iterator[str]:
    """The metadata has every field of the schema."""
    yield from metadata_fields(bundle.metadata)
    yield from metadata_tensors(bundle.metadata)


def versions_agree(bundle: Bundle) -> Iterator[str]:
    """Versions agree with the changelog, the library and its requirements."""
    yield from metadata_versions(bundle.metadata)


def same_ids(bundle: Bundle) -> Iterator[str]:
    """The ids are those that every bundle, MONAI and its applications use."""
    train, inference = bundle.configs["train"], bundle.configs["inference"]
    yield from (f"train: id '{name}' is missing" for name in KNOBS if name not in train)
    for name, properties in (("train", TrainProperties), ("inference", InferProperties)):
        parser = bundle.parser(name)
        for entry in properties.values():
            item_id = str(entry[BundlePropertyConfig.ID])
            if entry[BundleProperty.REQUIRED] and item_id not in parser:
                yield f"{name}: id '{item_id}' is missing"
    if train.get("run") != "@training":
        yield f"train: run is {train.get('run')!r}; expected '@training', so that both `run` and `run training` work"
    for name, config in {"train": train, "inference": inference}.items():
        if not str(config.get("output_dir", "$")).startswith("$"):
            yield f"{name}: output_dir must be a $ expression, MONAI's tracking appends to it"


def names_known(bundle: Bundle) -> Iterator[str]:
    """Every id, class and argument named by a configuration exists."""
    seen: set[str] = set()  # an overlay repeats what is wrong with its base
    for names in sorted(config_combinations(bundle), key=len):
        parser = bundle.parser(*names)
        problems = [p for p in check_config(parser, declared_ids(parser)) if p not in seen]
        yield from (f"{' + '.join(names)}: {p}" for p in problems)
        seen.update(problems)
        targets = [i["_target_"] for i in parser.get().get("initialize", []) if isinstance(i, dict)]
        if not any(t.endswith(".CheckConfig") for t in targets):
            yield f"{' + '.join(names)}: initialize has no CheckConfig, a misspelt override would pass in silence"


def config_combinations(bundle: Bundle) -> list[tuple[str, ...]]:
    """List how the configurations are run: alone if complete, else as an overlay over the one that they fit best."""

    def problems(names: tuple[str, ...]) -> float:
        try:
            parser = bundle.parser(*names)
        except KeyError:  # the overlay changes an id that this base does not have
            return math.inf
        return len(check_config(parser, declared_ids(parser)))

    bases = [n for n in ("train", "inference") if n in bundle.configs]
    return [
        (name,) if "bundle_root" in config else min(((base, name) for base in bases), key=problems)
        for name, config in bundle.configs.items()
    ]


def expressions_short(bundle: Bundle) -> Iterator[str]:
    """Targets are dotted names, expressions fit a line, and nothing names a machine's path or imports our code."""
    for name, config in bundle.configs.items():
        for item_id, item in walk(config):
            if isinstance(item, dict) and str(item.get("_target_", "")).startswith(("$", "@")):
                yield f"{name}: {item_id}: _target_ '{item['_target_']}' must be a plain dotted name"
            if isinstance(item, str):
                yield from (f"{name}: {item_id}: {problem}" for problem in _text_problems(item))
    for item_id, item in walk(bundle.metadata):
        if isinstance(item, str) and MACHINE_PATH.search(item):
            yield f"metadata: {item_id} names a path of one machine: {item}"


def _text_problems(text: str) -> Iterator[str]:
    if MACHINE_PATH.search(text):
        yield f"names a path of one machine: {text}"
    if OWN_IMPORT.match(text):
        yield f"imports our code in an expression: '{text}'; use a dotted _target_"
    if text.startswith("$") and (len(text) > LONGEST_EXPRESSION or "\n" in text):
        yield f"expression of {len(text)} characters; at most {LONGEST_EXPRESSION}, move the logic into the library"


def readme_complete(bundle: Bundle) -> Iterator[str]:
    """The README has its sections, the commands, and figures that exist."""
    file = bundle.folder / "docs" / "README.md"
    text = file.read_text(encoding="utf-8")
    for heading in HEADINGS:
        if not re.search(rf"^#+\s*{heading}", text, re.M | re.I):
            yield f"section '{heading.title()}' is missing"
    if "python -m monai.bundle run" not in text:
        yield "the command `python -m monai.bundle run` is missing"
    yield from (f"no command uses {c}" for c in COMMANDS if c not in text)
    for link in re.findall(r"!\[[^\]]*\]\((?!https?:)([^)\s]+)", text):
        if not (file.parent / link).is_file():
            yield f"figure {link} does not exist"
    if MACHINE_PATH.search(text):
        yield "names a path of one machine"


def logging_safe(bundle: Bundle) -> Iterator[str]:
    """The logging configuration holds nothing but standard handlers and literals."""
    conf = configparser.RawConfigParser()
    conf.read(bundle.folder / "configs" / "logging.conf", encoding="utf-8")
    for section in conf.sections():
        kind = conf.get(section, "class", fallback="StreamHandler")
        if not re.fullmatch(r"(logging\.)?(handlers\.)?[A-Za-z]+", kind):
            yield f"[{section}] class={kind} is not a standard handler"
        arguments = conf.get(section, "args", fallback="()")
        if re.search(r"\w\(", arguments):
            yield f"[{section}] args={arguments} calls something"


NETWORK_RULES: list[Rule] = [network_matches_metadata, network_exports]
RULES: list[Rule] = [
    files_present,
    folder_clean,
    metadata_complete,
    versions_agree,
    same_ids,
    names_known,
    expressions_short,
    readme_complete,
    logging_safe,
    *NETWORK_RULES,
]
