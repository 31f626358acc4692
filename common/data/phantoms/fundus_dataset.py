"""The fundus phantom on disk, in the raw layout of REFUGE, with the datalist that its converter makes.

Training400/{Glaucoma/g0001,Non-Glaucoma/n0001}.jpg
Annotation-Training400/Disc_Cup_Masks/{Glaucoma/g0001,Non-Glaucoma/n0001}.bmp
REFUGE-Validation400/V0001.jpg          REFUGE-Validation400-GT/Disc_Cup_Masks/V0001.bmp, Fovea_locations.csv
REFUGE-Test400/T0001.jpg                REFUGE-Test-GT/Disc_Cup_Masks/{G,N}/T0001.bmp,
                                        Glaucoma_label_and_Fovea_location.csv
datalist.json                           what the bundles read
phantom.json                            the settings; the same settings again do nothing
"""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from PIL import Image
from tqdm import tqdm

from common.data.datalist import load_datalist, write_datalist
from common.data.datalist_checks import SECTIONS
from common.data.phantoms.fundus import FundusSample, fundus_label, make_fundus
from common.data.phantoms.fundus_settings import FundusSettings
from common.data.phantoms.stamped_folder import make_folder
from common.data.sources import refuge
from common.utils.optional import optional_import

__all__ = ["write_fundus"]

GENERATOR_VERSION = 1  # raise it whenever the same settings give other files, so that old folders are made anew
CROP = 2.5  # disc heights; the crop box that the datalist offers
# The label sheet and its column, for validation and test; the two differ in REFUGE too.
SHEETS = {
    1: ("REFUGE-Validation400-GT/Fovea_locations", "Glaucoma Label"),
    2: ("REFUGE-Test-GT/Glaucoma_label_and_Fovea_location", "Label(Glaucoma=1)"),
}


def write_fundus(settings: FundusSettings, folder: str | Path, progress: bool = True) -> bool:
    """Write the data set and its datalist, unless the folder already holds it.

    Args:
        settings: what to make.
        folder: where; made if needed. A folder of other settings is replaced, one of other content is refused.
        progress: show a progress bar.

    Returns:
        True if it was written, False if it was there already.

    Raises:
        ValueError: if a subset would lack a class; the message says what to change.
        FileExistsError: if the folder holds anything else.
        ImportError: if the label sheets are to be spreadsheets and pandas or openpyxl is missing.
    """
    for subset, count in enumerate(settings.count):
        classes = Counter(fundus_label(settings, subset, index) for index in range(count))
        if len(classes) < 2:
            raise ValueError(
                f"count={count} leaves no image of one class for {SECTIONS[subset]}: raise count or change "
                "positive_fraction"
            )
    stamp = {"generator": "fundus", "version": GENERATOR_VERSION, **settings.to_options()}

    def write(target: Path) -> None:
        bar = tqdm(total=sum(settings.count), desc="phantom fundus", unit="image", disable=not progress)
        with bar:
            for subset in range(3):
                _write_subset(settings, subset, target, bar)
        _mark_synthetic(refuge.convert(str(target), crop=CROP), settings)

    return make_folder(folder, stamp, write)


def _write_subset(settings: FundusSettings, subset: int, folder: Path, bar: tqdm) -> None:
    counts: Counter[str] = Counter()
    rows = []
    for index in range(settings.count[subset]):
        sample = make_fundus(settings, subset, index)
        letter = "gn"[1 - sample.label] if subset == 0 else "VT"[subset - 1]
        counts[letter] += 1
        name = f"{letter}{counts[letter]:04d}"
        for path, pixels, options in _files(sample, subset, name):
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(pixels).save(folder / path, **options)
        rows.append({"ID": index + 1, "ImgName": f"{name}.jpg", **_facts(sample, subset)})
        bar.update()
    if subset in SHEETS:
        _write_table(rows, folder / f"{SHEETS[subset][0]}.{settings.table}")


def _files(sample: FundusSample, subset: int, name: str) -> list[tuple[str, Any, dict[str, Any]]]:
    """Return path, pixels and options of the image and of the mask."""
    group = "Glaucoma" if sample.label else "Non-Glaucoma"
    images = (f"Training400/{group}", "REFUGE-Validation400", "REFUGE-Test400")[subset]
    masks = (
        f"Annotation-Training400/{refuge.MASK_FOLDER}/{group}",
        f"REFUGE-Validation400-GT/{refuge.MASK_FOLDER}",
        f"REFUGE-Test-GT/{refuge.MASK_FOLDER}/{group[0]}",
    )[subset]
    quality = {"quality": sample.camera.quality}
    return [(f"{images}/{name}.jpg", sample.image, quality), (f"{masks}/{name}.bmp", sample.mask, {})]


def _facts(sample: FundusSample, subset: int) -> dict[str, Any]:
    """Return the columns of a label sheet beside number and name."""
    x, y = sample.scene.macula
    label = {SHEETS[subset][1]: sample.label} if subset in SHEETS else {}
    return {**label, "Fovea_X": round(x, 2), "Fovea_Y": round(y, 2)}


def _write_table(rows: Sequence[Mapping[str, Any]], path: Path) -> None:
    if path.suffix == ".xlsx":
        optional_import("pandas", "data").DataFrame(rows).to_excel(path, index=False)
        return
    with path.open("w", newline="", encoding="utf-8") as file:
        table = csv.DictWriter(file, list(rows[0]), lineterminator="\n")
        table.writeheader()
        table.writerows(rows)


def _mark_synthetic(datalist: Path, settings: FundusSettings) -> None:
    """Say in the datalist that these are no photographs."""
    content = load_datalist(datalist)
    meta = {
        **content["meta"],
        "name": "fundus",
        "source": "generated by `python -m scripts.phantom fundus`; the settings are in phantom.json",
        "licence": "none needed: computer-generated, contains no data of anyone",
        "split": "by subset, each with its own share of glaucoma",
        "seed": settings.seed,
        "synthetic": True,
    }
    write_datalist(datalist, {name: content[name] for name in SECTIONS}, meta)
