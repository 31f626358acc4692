"""The shapes phantom on disk: images, two masks each, a table and a data list.

    images/0000.png            the image
    masks/0000_box.png         255 in the box of each target's circumscribed circle
    masks/0000_shape.png       255 on each target's outline and inside it
    data.csv                   one row an image: paths, label, split, number of targets, boxes, seed
    datalist.json              what the bundles read
    phantom.json               the settings; the same settings again do nothing

Masks of negative images are there and empty. The data list leaves them out, as such an image has no region to look at.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from tqdm import tqdm

from common.data.datalist import write_datalist
from common.data.phantoms.shapes import ShapesSample, label_of, make_sample
from common.data.phantoms.shapes_settings import ShapesSettings
from common.data.phantoms.stamped_folder import make_folder

__all__ = ["assign_splits", "write_shapes"]

GENERATOR_VERSION = 2  # raise it whenever the same settings give other files, so that old folders are made anew
SPLITS = ("training", "validation", "test")


def write_shapes(settings: ShapesSettings, folder: str | Path, progress: bool = True) -> bool:
    """Write the data set, unless the folder already holds it.

    Args:
        settings: what to make.
        folder: where; made if needed. A folder of other settings is replaced, one of other content is refused.
        progress: show a progress bar.

    Returns:
        True if it was written, False if it was there already.

    Raises:
        ValueError: if shapes find no place, or a split would lack a class; the message says what to change.
        FileExistsError: if the folder holds anything else.
    """
    labels = [label_of(settings, index) for index in range(settings.count)]
    splits = assign_splits(labels, settings.validation_fraction, settings.test_fraction)
    _check_splits(labels, splits, settings)
    stamp = {"generator": "shapes", "version": GENERATOR_VERSION, **settings.to_options()}

    def write(target: Path) -> None:
        rows = list(_write_images(settings, splits, target, progress))
        _write_table(rows, target / "data.csv")
        _write_datalist(rows, settings, target / "datalist.json")

    return make_folder(folder, stamp, write)


def assign_splits(labels: Sequence[int], validation_fraction: float, test_fraction: float) -> list[str]:
    """Deal the images of each class out to the splits, each time to the one that is furthest behind its share.

    At every point each split has its share of each class to within two images, and more images never move an earlier
    one to another split. No shuffling is needed, as the images of a class differ by their random content only.

    Returns:
        'training', 'validation' or 'test' for each image.
    """
    fractions = np.array([1 - validation_fraction - test_fraction, validation_fraction, test_fraction])
    behind = {label: np.zeros(3) for label in set(labels)}
    splits = []
    for label in labels:
        behind[label] = behind[label] + fractions
        # Rounded, so that ties go to the first split and not to whichever has the smaller rounding error.
        choice = int(np.argmax(np.round(behind[label], 9)))
        behind[label][choice] -= 1
        splits.append(SPLITS[choice])
    return splits


def _check_splits(labels: Sequence[int], splits: Sequence[str], settings: ShapesSettings) -> None:
    wanted = {"training": 1.0, "validation": settings.validation_fraction, "test": settings.test_fraction}
    present = set(zip(splits, labels, strict=True))
    for split, fraction in wanted.items():
        for label in (0, 1):
            if fraction > 0 and (split, label) not in present:
                kind = "positive" if label else "negative"
                raise ValueError(
                    f"count={settings.count} leaves no {kind} image for {split}: raise count, or change "
                    "positive_fraction, validation_fraction or test_fraction"
                )


def _write_images(
    settings: ShapesSettings, splits: Sequence[str], folder: Path, progress: bool
) -> Iterator[dict[str, Any]]:
    for name in ("images", "masks"):
        (folder / name).mkdir()
    digits = max(4, len(str(settings.count - 1)))
    indices = tqdm(range(settings.count), desc="phantom shapes", unit="image", disable=not progress)
    for index in indices:
        sample = make_sample(settings, index)
        case = f"{index:0{digits}d}"
        paths = {
            "image": f"images/{case}.png",
            "mask_box": f"masks/{case}_box.png",
            "mask_shape": f"masks/{case}_shape.png",
        }
        for key, path in paths.items():
            _write_png(getattr(sample, key), folder / path)
        yield {
            "case_id": case,
            **paths,
            **_facts(sample),
            "split": splits[index],
            "seed": settings.seed,
            "index": index,
        }


def _facts(sample: ShapesSample) -> dict[str, Any]:
    return {"label": sample.label, "count": len(sample.boxes), "boxes": [list(box) for box in sample.boxes]}


def _write_png(pixels: NDArray[np.uint8], path: Path) -> None:
    Image.fromarray(pixels[..., 0] if pixels.ndim == 3 and pixels.shape[2] == 1 else pixels).save(path)


def _write_table(rows: Sequence[dict[str, Any]], path: Path) -> None:
    """Write data.csv; boxes stand in one cell as 'x0 y0 x1 y1; x0 y0 x1 y1'."""
    names = ["image", "mask_box", "mask_shape", "label", "split", "count", "boxes", "seed", "index"]
    with path.open("w", newline="", encoding="utf-8") as file:
        table = csv.DictWriter(file, names, extrasaction="ignore", lineterminator="\n")
        table.writeheader()
        for row in rows:
            table.writerow({**row, "boxes": "; ".join(" ".join(map(str, box)) for box in row["boxes"])})


def _write_datalist(rows: Sequence[dict[str, Any]], settings: ShapesSettings, path: Path) -> None:
    mask = f"mask_{settings.mask}"
    sections: dict[str, list[dict[str, Any]]] = {split: [] for split in SPLITS}
    for row in rows:
        item = {"case_id": row["case_id"], "image": row["image"], "label": row["label"]}
        roi = {"mask": row[mask], "boxes": row["boxes"]} if row["count"] else {}
        sections[row["split"]].append({**item, **roi})
    target = settings.target.name if settings.outside is None else f"{settings.target.name} in {settings.outside.name}"
    meta = {
        "name": "shapes",
        "task": "multiclass",
        "classes": [f"no {target}", target],
        "source": "generated by `python -m scripts.phantom shapes`; the settings are in phantom.json",
        "licence": "none needed: computer-generated, contains no data of anyone",
        "split": "dealt out evenly per class",
        "seed": settings.seed,
        "mask": settings.mask,
        "synthetic": True,
    }
    write_datalist(path, sections, meta)
