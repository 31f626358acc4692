"""Convert a MedMNIST data set to image files and a datalist, in its official splits."""

from __future__ import annotations

import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from common.data.datalist_checks import suggestion
from common.data.errors import DatalistError
from common.data.sources.finish import finish
from common.data.splits import subset
from common.utils.optional import optional_import

SPLITS = {"training": "train", "validation": "val", "test": "test"}
SIZES = (28, 64, 128, 224)


def convert(
    root: str,
    out: str | None = None,
    name: str = "breastmnist",
    size: int = 64,
    download: bool = False,
    max_per_class: int | None = None,
    seed: int = 0,
) -> Path:
    """A two-dimensional MedMNIST data set (breastmnist, pneumoniamnist, chestmnist ...), in its official splits.

    Reads ROOT/<name>_<size>.npz (<name>.npz for size 28) and writes PNG files and the datalist to ROOT/<name>_<size>/.
    Nothing is fetched unless you say so.

    Example:
        python -m scripts.prepare medmnist --root medmnist --name breastmnist --size 128 --download true

    Args:
        root: the folder with the npz file, or to download it to.
        out: the datalist to write; default ROOT/<name>_<size>/datalist.json.
        name: which data set; see medmnist.com.
        size: 28, 64, 128 or 224 pixels; the bundles' checks refuse images below 32.
        download: fetch the npz file (from Zenodo, by the medmnist package) if it is not there.
        max_per_class: most cases of each class to keep in each split.
        seed: seed of that choice.

    Returns:
        The datalist written.
    """
    info = _info(name)
    if size not in SIZES:
        raise DatalistError(f"size is {size}, expected one of {', '.join(map(str, SIZES))}")
    source = Path(root) / (f"{name}.npz" if size == 28 else f"{name}_{size}.npz")
    if download and not source.is_file():
        _download(info["python_class"], source.parent, size)
    arrays = _load(source, download)
    folder = source.parent / f"{name}_{size}"
    multilabel = "multi-label" in info["task"]
    classes = [info["label"][str(index)] for index in range(len(info["label"]))]
    sections = {section: _items(arrays, section, multilabel) for section in SPLITS}
    try:
        kept = subset(sections, None, max_per_class, seed)
    except ValueError as error:
        raise DatalistError(str(error)) from None
    for section, items in kept.items():
        _export(arrays[f"{SPLITS[section]}_images"], folder, items)
    meta = {
        "name": f"{name}_{size}",
        "task": "multilabel" if multilabel else "multiclass",
        "classes": classes,
        "source": f"MedMNIST v2 {name}, {info['url']}",
        "licence": info["license"],
        "split": "official",
        "seed": seed,
        "max_per_class": max_per_class,
    }
    return finish(folder, out, kept, meta)


def _info(name: str) -> Mapping[str, Any]:
    catalogue = optional_import("medmnist", "data").INFO
    flat = [flag for flag in catalogue if not flag.endswith("3d")]
    if name not in flat:
        raise DatalistError(f"'{name}' is no two-dimensional MedMNIST data set{suggestion(name, flat)}")
    return catalogue[name]


def _download(class_name: str, folder: Path, size: int) -> None:
    package = optional_import("medmnist", "data")
    folder.mkdir(parents=True, exist_ok=True)
    try:
        getattr(package, class_name)(split="test", root=str(folder), size=size, download=True)
    except RuntimeError as error:
        raise DatalistError(f"the download failed: {' '.join(str(error).split())}") from None


def _load(source: Path, download: bool) -> dict[str, np.ndarray]:
    if not source.is_file():
        tried = "" if download else ", or let it be fetched with --download true"
        raise DatalistError(f"'{source}' does not exist; put the npz file of medmnist.com there{tried}")
    try:
        with np.load(source) as archive:
            return {key: archive[key] for split in SPLITS.values() for key in (f"{split}_images", f"{split}_labels")}
    except (zipfile.BadZipFile, ValueError, KeyError, OSError, EOFError) as error:
        raise DatalistError(f"'{source}' is damaged or no MedMNIST file ({error}); fetch it again") from None


def _items(arrays: Mapping[str, np.ndarray], section: str, multilabel: bool) -> list[dict[str, Any]]:
    labels = arrays[f"{SPLITS[section]}_labels"].astype(int)
    return [
        {
            "case_id": f"{section}_{index:06d}",
            "image": f"{section}/{index:06d}.png",
            "label": label.tolist() if multilabel else int(label[0]),
        }
        for index, label in enumerate(labels)
    ]


def _export(images: np.ndarray, folder: Path, items: list[Mapping[str, Any]]) -> None:
    """Write the kept images, uint8 (N, H, W) or (N, H, W, 3), as PNG."""
    for item in items:
        path = folder / item["image"]
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(images[int(path.stem)]).save(path)
