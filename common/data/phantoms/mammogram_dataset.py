"""The mammography phantom on disk, in the layout of CMMD, with the datalist that its converter makes.

CMMD/D1-0001/07-18-2010-NA-NA-00001/1.000000-NA-00001/1-1.dcm      one folder a woman, two files a breast
CMMD_clinicaldata_revision.csv     one row a breast: ID1, LeftRight, Age, number, abnormality, classification, subtype
masks/D1-0001_L_CC.png             255 on a mass and its spicules, where there is one
regions.csv                        one row a mass: image, classification, box, mask
datalist.json                      what the bundles read; only malignant masses are regions of interest there
phantom.json                       the settings; the same settings again do nothing
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
from common.data.phantoms.mammogram import BreastFacts, Mammogram, breast_facts, make_mammogram
from common.data.phantoms.mammogram_dicom import write_dicom
from common.data.phantoms.mammogram_settings import MammogramSettings
from common.data.phantoms.stamped_folder import make_folder
from common.data.sources import cmmd

__all__ = ["write_mammograms"]

GENERATOR_VERSION = 1  # raise it whenever the same settings give other files, so that old folders are made anew
CLASSIFICATIONS = ("Benign", "Malignant")


def write_mammograms(settings: MammogramSettings, folder: str | Path, progress: bool = True) -> bool:
    """Write the data set and its datalist, unless the folder already holds it.

    Args:
        settings: what to make.
        folder: where; made if needed. A folder of other settings is replaced, one of other content is refused.
        progress: show a progress bar.

    Returns:
        True if it was written, False if it was there already.

    Raises:
        ValueError: if a class would be missing; the message says what to change.
        FileExistsError: if the folder holds anything else.
    """
    breasts = [breast_facts(settings, number) for number in range((settings.count + 1) // 2)]
    if len({facts.label for facts in breasts}) < 2:
        raise ValueError(f"count={settings.count} leaves a class without image: raise it or change positive_fraction")
    stamp = {"generator": "mammograms", "version": GENERATOR_VERSION, **settings.to_options()}

    def write(target: Path) -> None:
        instances: Counter[int] = Counter()
        regions = []
        for index in tqdm(range(settings.count), desc="phantom mammograms", unit="image", disable=not progress):
            sample = make_mammogram(settings, index)
            instances[sample.facts.patient] += 1
            regions += _write_image(sample, instances[sample.facts.patient], settings.seed, target)
        _write_table(_sheet(settings, breasts), target / cmmd.SHEETS[1])
        _write_table(regions, target / cmmd.REGIONS)
        shares = settings.validation_fraction, settings.test_fraction
        datalist = cmmd.convert(str(target), fractions=(1 - sum(shares), *shares), seed=settings.seed)
        _mark_synthetic(datalist, settings)

    return make_folder(folder, stamp, write)


def _patient_id(facts: BreastFacts) -> str:
    return f"D1-{facts.patient + 1:04d}"


def _write_image(sample: Mammogram, instance: int, seed: int, folder: Path) -> list[dict[str, Any]]:
    """Write the image and the mask of its mass; return the rows of the mass."""
    patient = _patient_id(sample.facts)
    number = f"{sample.facts.patient + 1:05d}"
    image = Path("CMMD", patient, f"07-18-2010-NA-NA-{number}", f"1.000000-NA-{number}", f"1-{instance}.dcm")
    write_dicom(sample, patient, instance, seed, folder / image)
    if sample.box is None:
        return []
    mask = Path("masks", f"{patient}_{sample.facts.laterality}_{sample.view}.png")
    (folder / "masks").mkdir(exist_ok=True)
    Image.fromarray(sample.mask).save(folder / mask)
    box = dict(zip(("x0", "y0", "x1", "y1"), sample.box, strict=True))
    kind = CLASSIFICATIONS[sample.facts.label]
    return [{"image": image.as_posix(), "classification": kind, **box, "mask": mask.as_posix()}]


def _sheet(settings: MammogramSettings, breasts: Sequence[BreastFacts]) -> list[dict[str, Any]]:
    """Return the rows of the sheet, one a breast."""
    return [
        {
            "ID1": _patient_id(facts),
            "LeftRight": facts.laterality,
            "Age": facts.age,
            "number": min(settings.count - 2 * number, 2),
            "abnormality": {(True, True): "both", (True, False): "mass"}.get(
                (facts.mass, facts.calcifications), "calcification"
            ),
            "classification": CLASSIFICATIONS[facts.label],
            "subtype": "",
        }
        for number, facts in enumerate(breasts)
    ]


def _write_table(rows: Sequence[Mapping[str, Any]], path: Path) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        table = csv.DictWriter(file, list(rows[0]), lineterminator="\n")
        table.writeheader()
        table.writerows(rows)


def _mark_synthetic(datalist: Path, settings: MammogramSettings) -> None:
    """Say in the datalist that these are no images of people."""
    content = load_datalist(datalist)
    meta = {
        **content["meta"],
        "name": "mammograms",
        "source": "generated by `python -m scripts.phantom mammograms`; the settings are in phantom.json",
        "licence": "none needed: computer-generated, contains no data of anyone",
        "seed": settings.seed,
        "synthetic": True,
    }
    write_datalist(datalist, {name: content[name] for name in SECTIONS}, meta)
