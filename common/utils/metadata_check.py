"""The rules a bundle's metadata must keep: those of MONAI's metadata schema (2024-07-25), and that its claims agree."""

import re
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, requires
from typing import Any

from packaging.requirements import Requirement

import common

__all__ = ["metadata_fields", "metadata_tensors", "metadata_versions"]

PINS = {"monai": "monai_version", "torch": "pytorch_version", "numpy": "numpy_version"}
TEXTS = [
    *("schema", "version", *PINS.values(), "name", "task", "description", "authors", "copyright", "data_source"),
    *("data_type", "image_classes", "label_classes", "pred_classes", "intended_use"),
]
OBJECTS = ["changelog", "required_packages_version", "eval_metrics", "supported_apps", "network_data_format"]
TENSOR_FIELDS: dict[str, type | tuple[type, ...]] = {
    "type": str,
    "format": str,
    "num_channels": int,
    "spatial_shape": list,
    "dtype": str,
    "value_range": list,
    "is_patch_data": bool,
    "channel_def": dict,
}
SCHEMA = re.compile(r"https?://.+/meta_schema_\d{8}\.json")
PLAIN_VERSION = re.compile(r"\d+(\.\d+)+")


def metadata_fields(metadata: dict[str, Any]) -> Iterator[str]:
    """Yield fields of the metadata that are missing or of the wrong kind."""
    for names, kind, word in ((TEXTS, str, "a text"), (OBJECTS, dict, "an object"), (["references"], list, "a list")):
        for name in names:
            if not isinstance(metadata.get(name), kind):
                given = f"is {metadata[name]!r}" if name in metadata else "is missing"
                yield f"{name} {given}; expected {word}"
    if not SCHEMA.fullmatch(str(metadata.get("schema"))):
        yield f"schema {metadata.get('schema')!r} is not the URL of a dated file meta_schema_YYYYMMDD.json"


def metadata_versions(metadata: dict[str, Any]) -> Iterator[str]:
    """Yield versions of the metadata that contradict the changelog, the library or its requirements."""
    version, changelog = str(metadata.get("version")), metadata.get("changelog") or {}
    if not re.fullmatch(r"\d+\.\d+\.\d+", version):
        yield f"version '{version}' is not of the form 1.2.3"
    elif version not in changelog:
        yield f"the changelog has no entry for version {version}"
    elif version != max(changelog, key=lambda v: [int(n) for n in re.findall(r"\d+", v)]):
        yield f"version {version} is not the newest entry of the changelog"
    pins = {package: metadata.get(field) for package, field in PINS.items()}
    pins |= metadata.get("required_packages_version") or {}
    for name, pin in pins.items():
        if not PLAIN_VERSION.fullmatch(str(pin)):
            yield f"{name}: '{pin}' is not a plain version; it is installed as {name}=={pin}"
    if pins.get("common") != common.__version__:
        yield f"required_packages_version: common is {pins.get('common')}, the library is {common.__version__}"
    yield from _broken_requirements({n: str(p) for n, p in pins.items() if PLAIN_VERSION.fullmatch(str(p))})


def _broken_requirements(pins: dict[str, str]) -> Iterator[str]:
    try:
        lines = requires("vitrine") or []
    except PackageNotFoundError:  # a packed bundle carries its code with it
        return
    for requirement in map(Requirement, lines):
        pin = pins.get(requirement.name)
        if pin and requirement.marker is None and pin not in requirement.specifier:
            yield f"{requirement.name}: {pin} contradicts requirements.txt, which asks for {requirement}"


def metadata_tensors(metadata: dict[str, Any]) -> Iterator[str]:
    """Yield tensors of ``network_data_format`` that are described incompletely or wrongly."""
    form = metadata.get("network_data_format") or {}
    for side, first in (("inputs", "image"), ("outputs", "pred")):
        tensors = form.get(side) or {}
        if next(iter(tensors), None) != first:
            yield f"{side}: the first one must be '{first}', which MONAI and its applications read; got {list(tensors)}"
        for name, tensor in tensors.items():
            yield from (f"{side} {name}: {problem}" for problem in _tensor_problems(tensor))


def _tensor_problems(tensor: dict[str, Any]) -> Iterator[str]:
    for field, kind in TENSOR_FIELDS.items():
        if not isinstance(tensor.get(field), kind):
            yield f"{field} is {tensor.get(field)!r}; expected {getattr(kind, '__name__', kind)}"
            return
    if not all(isinstance(size, int | str) for size in tensor["spatial_shape"]):
        yield f"spatial_shape {tensor['spatial_shape']} may hold whole numbers and texts like '*' or '32 * n'"
    if not all(isinstance(bound, int | float) for bound in tensor["value_range"]):
        yield f"value_range {tensor['value_range']} may hold numbers only"
    if tensor["format"] != "segmentation" and len(tensor["channel_def"]) != tensor["num_channels"]:
        yield f"channel_def names {len(tensor['channel_def'])} of {tensor['num_channels']} channels"
