"""Pack a bundle into one self-contained archive, and prove that it runs where this library is absent."""

import hashlib
import json
import re
import shutil
import tempfile
import zipfile
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from common.utils.bundle import Bundle
from common.utils.bundle_check import config_combinations
from common.utils.config_check import walk
from common.utils.import_closure import ImportClosure
from common.utils.isolated_run import export_torchscript, prove

__all__ = ["pack_bundle", "write_archive"]

PACKAGE = "common"
#: What belongs to a bundle; everything else in its folder is a run product or data.
KEPT = (
    *("configs/**/*.json", "configs/logging.conf", "docs/**/*", "LICENSE", "large_files.yml"),
    *("models/model.pt", "models/text/*.json"),
)
#: Ids of the expressions that a workflow runs.
WORKFLOWS = ("training", "evaluating", "predicting", "explaining", "run")
#: Bytes above which MONAI's model collection wants a file listed in large_files.yml.
LARGE = 25 * 1024 * 1024
#: The earliest time a zip archive can state, so that equal content gives equal bytes.
EPOCH = (1980, 1, 1, 0, 0, 0)


def pack_bundle(
    folder: str | Path, out: str | Path = "dist", weights_url: str | None = None, report: Callable[[str], None] = print
) -> Path:
    """Pack a trained bundle with the part of the library that it needs.

    The code is copied under a package name of the bundle's own and all dotted names are rewritten, so that the archive
    needs no installation of this library and clashes with no other bundle. TorchScript is exported from the packed
    files. The archive is then unpacked in an empty directory and run there, with this library impossible to import.

    Args:
        folder: the bundle's folder, with ``models/model.pt``.
        out: folder to write to.
        weights_url: address under which the large files will be published; adds the ``large_files.yml`` that MONAI's
            model collection asks for. None leaves it as it is.
        report: is told about the steps.

    Returns:
        The archive ``<name>_v<version>.zip``, beside which stands ``<name>_v<version>.zip.sha256``. Equal input gives
        equal bytes. Nothing is written unless the archive was proven to run.

    Raises:
        PlainError: if there is no trained model, or the packed bundle does not run.
    """
    bundle = Bundle(folder)
    bundle.weights_file()
    with tempfile.TemporaryDirectory() as scratch:
        tree = Path(scratch) / bundle.name
        modules = _copy_bundle(bundle, tree)
        report(f"{bundle.name} {bundle.version}: configuration, documents, weights and {modules} modules of code")
        export_torchscript(tree)
        report("TorchScript exported from the packed files")
        if weights_url is not None:
            _write(tree / "large_files.yml", _large_files(tree, weights_url))
        archive = Path(scratch) / f"{bundle.name}_v{bundle.version}.zip"
        write_archive(tree, archive)
        report(prove(archive, bundle.name))
        target = Path(out) / archive.name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.move(archive, target)
    _write(Path(f"{target}.sha256"), f"{_checksum(target)}  {target.name}\n")
    return target


def write_archive(tree: Path, archive: Path) -> None:
    """Zip a folder, itself included, so that equal content gives equal bytes: sorted, with fixed times and rights."""
    with zipfile.ZipFile(archive, "w") as packed:
        for file in sorted(f for f in tree.rglob("*") if f.is_file() and "__pycache__" not in f.parts):
            entry = zipfile.ZipInfo(file.relative_to(tree.parent).as_posix(), EPOCH)
            entry.external_attr = 0o644 << 16
            entry.compress_type = zipfile.ZIP_DEFLATED
            packed.writestr(entry, file.read_bytes())


def _copy_bundle(bundle: Bundle, tree: Path) -> int:
    """Write the packed tree but for TorchScript; return the number of modules copied."""
    for file in sorted({f for pattern in KEPT for f in bundle.folder.glob(pattern) if f.is_file()}):
        target = tree / file.relative_to(bundle.folder)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(file, target)
    code = f"{bundle.name}_code"
    closure = ImportClosure(PACKAGE, _dotted_names(bundle.configs.values()))
    rename = _renamer(closure.folder, code)
    for module in sorted(closure.modules):
        source = closure.file(module)
        assert source is not None
        _write(tree / code / source.relative_to(closure.folder), rename(closure.source(module)))
    for data in closure.data_files():
        target = tree / code / data.relative_to(closure.folder)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(data, target)
    for names in config_combinations(bundle):
        name, base = names[-1], bundle.configs[names[0]]
        packed = _components_when_running(bundle.trained_config(name), base)
        _write(tree / "configs" / f"{name}.json", rename(_json(packed)))
    _write(tree / "configs" / "metadata.json", _json(_without_library(bundle.metadata)))
    readme = tree / "docs" / "README.md"
    if readme.is_file():  # its commands are now run from inside the bundle's folder
        _write(readme, readme.read_text(encoding="utf-8").replace(f"bundles/{bundle.name}/", ""))
    return len(closure.modules)


def _dotted_names(configs: Iterable[dict[str, Any]]) -> list[str]:
    texts = (item for config in configs for _, item in walk(config) if isinstance(item, str))
    return sorted({name for text in texts for name in re.findall(rf"\b{PACKAGE}(?:\.[A-Za-z_]\w*)+", text)})


def _renamer(folder: Path, code: str) -> Callable[[str], str]:
    """Make a function that rewrites the library's dotted names in a text: imports, configuration and prose alike."""
    parts = "|".join(sorted(p.stem for p in folder.iterdir() if p.suffix == ".py" or p.is_dir()))
    dotted = re.compile(rf"\b{PACKAGE}(?=\.(?:{parts})\b)")

    def rename(text: str) -> str:
        text = re.sub(rf"\bfrom {PACKAGE} import\b", f"from {code} import", text)
        text = re.sub(rf"^(\s*)import {PACKAGE}$", rf"\1import {code} as {PACKAGE}", text, flags=re.M)
        return dotted.sub(code, text)

    return rename


def _components_when_running(config: dict[str, Any], base: dict[str, Any]) -> dict[str, Any]:
    """Move ``initialize``, from its first component on, to the head of the workflow.

    MONAI makes a bundle's own code importable when it runs the workflow, which is after ``initialize``.

    Args:
        config: a configuration.
        base: the one that it overlays, or itself; its workflow is taken where the overlay has none.
    """
    own = [w for w in WORKFLOWS if isinstance(config.get(w), list)]
    if "initialize" not in config and not own:  # an overlay of knobs
        return config
    items = config.get("initialize", base.get("initialize", []))
    first = next((i for i, item in enumerate(items) if isinstance(item, dict)), len(items))
    workflows = own or [w for w in WORKFLOWS if isinstance(base.get(w), list)]
    packed = {**config, **{w: [*items[first:], *(config if own else base)[w]] for w in workflows}}
    return {**packed, "initialize": items[:first]} if "initialize" in config else packed


def _without_library(metadata: dict[str, Any]) -> dict[str, Any]:
    packages = {k: v for k, v in metadata["required_packages_version"].items() if k != PACKAGE}
    return {**metadata, "required_packages_version": packages}


def _large_files(tree: Path, url: str) -> str:
    large = (f for f in sorted(tree.rglob("*")) if f.is_file() and f.stat().st_size > LARGE)
    entries = [
        f"- path: {f.relative_to(tree).as_posix()}\n  url: {url.rstrip('/')}/{f.name}\n"
        f"  hash_val: {_checksum(f)}\n  hash_type: sha256\n"
        for f in large
    ]
    return "large_files:\n" + "".join(entries)


def _checksum(file: Path) -> str:
    return hashlib.sha256(file.read_bytes()).hexdigest()


def _json(content: Any) -> str:
    return json.dumps(content, indent=4, ensure_ascii=False) + "\n"


def _write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
