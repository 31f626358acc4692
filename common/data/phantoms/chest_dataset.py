"""The chest phantom on disk, in the layout of ChestX-ray14, with the datalist that its converter makes.

images/00000001_000.png         number of the person from 1, number of the image among theirs from 0
Data_Entry_2017_v2020.csv       one row an image: findings between "|" or "No Finding", person, age, sex, view
BBox_List_2017.csv              one row a finding: x, y, width and height as in an image of 1024 pixels
train_val_list.txt, test_list.txt
datalist.json                   what the bundles read
phantom.json                    the settings; the same settings again do nothing
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image
from tqdm import tqdm

from common.data.datalist import load_datalist, write_datalist
from common.data.datalist_checks import SECTIONS
from common.data.phantoms.chest import ChestFacts, ChestImage, chest_facts, make_chest
from common.data.phantoms.chest_settings import CHEST_FINDINGS, ChestSettings
from common.data.phantoms.stamped_folder import make_folder
from common.data.sources import chestxray14
from common.data.splits import grouped_split

__all__ = ["write_chests"]

GENERATOR_VERSION = 1  # raise it whenever the same settings give other files, so that old folders are made anew
SPACING = 0.143  # mm a pixel of the original images, whose size the table gives
ORIGINAL = 2048
HEADERS = {
    chestxray14.TABLES[0]: "Image Index,Finding Labels,Follow-up #,Patient ID,Patient Age,Patient Gender,View Position,"
    "OriginalImage[Width,Height],OriginalImagePixelSpacing[x,y]",
    chestxray14.BOXES: "Image Index,Finding Label,Bbox [x,y,w,h],,,",
}


def write_chests(settings: ChestSettings, folder: str | Path, progress: bool = True) -> bool:
    """Write the data set and its datalist, unless the folder already holds it.

    Args:
        settings: what to make.
        folder: where; made if needed. A folder of other settings is replaced, one of other content is refused.
        progress: show a progress bar.

    Returns:
        True if it was written, False if it was there already.

    Raises:
        ValueError: if a finding would be missing in the training or the test list; the message says what to change.
        FileExistsError: if the folder holds anything else.
    """
    facts = [chest_facts(settings, index) for index in range(settings.count)]
    tested = _tested(settings, facts)
    for name, part in (("training", set(range(settings.count)) - tested), ("test", tested)):
        missing = set(CHEST_FINDINGS) - {finding for index in part for finding in facts[index].findings}
        if part and missing:
            raise ValueError(
                f"count={settings.count} leaves no image with {', '.join(sorted(missing))} for {name}: raise count"
            )
    stamp = {"generator": "chest", "version": GENERATOR_VERSION, **settings.to_options()}

    def write(target: Path) -> None:
        (target / "images").mkdir()
        rows: dict[str, list[str]] = {name: [header] for name, header in HEADERS.items()}
        for index in tqdm(range(settings.count), desc="phantom chests", unit="image", disable=not progress):
            sample = make_chest(settings, index)
            Image.fromarray(sample.image).save(target / "images" / _file(sample.facts))
            rows[chestxray14.TABLES[0]].append(_row(sample.facts))
            rows[chestxray14.BOXES] += _box_rows(sample, settings.size)
        for part, list_name in chestxray14.LISTS.items():
            chosen = [one for index, one in enumerate(facts) if (index in tested) == (part == "test")]
            rows[list_name] = [_file(one) for one in chosen]
        for name, lines in rows.items():
            (target / name).write_text("\n".join(lines) + "\n", encoding="utf-8")
        share = settings.validation_fraction / (1 - settings.test_fraction)
        path = chestxray14.convert(str(target), classes=CHEST_FINDINGS, validation=share, seed=settings.seed)
        _mark_synthetic(path, settings)

    return make_folder(folder, stamp, write)


def _tested(settings: ChestSettings, facts: Sequence[ChestFacts]) -> set[int]:
    """Return the numbers of the images in the test list; people are in one list only."""
    shares = {"training": 1 - settings.test_fraction, "test": settings.test_fraction}
    labels = [[int(name in one.findings) for name in CHEST_FINDINGS] for one in facts]
    return set(grouped_split(labels, [one.patient for one in facts], shares, settings.seed)["test"])


def _file(facts: ChestFacts) -> str:
    return f"{facts.patient + 1:08d}_{facts.follow_up:03d}.png"


def _row(facts: ChestFacts) -> str:
    findings = "|".join(facts.findings) or chestxray14.BACKGROUND
    person = f"{facts.follow_up},{facts.patient + 1},{facts.age},{facts.sex},{facts.view}"
    return f"{_file(facts)},{findings},{person},{ORIGINAL},{ORIGINAL},{SPACING},{SPACING}"


def _box_rows(sample: ChestImage, size: int) -> list[str]:
    """Return the rows of an image's boxes, with the misspelling that the real table has."""
    spelling = {name: misspelt for misspelt, name in chestxray14.SPELLINGS.items()}
    rows = []
    for name, box in sample.boxes.items():
        x0, y0, x1, y1 = np.array(box) * chestxray14.BOX_SIDE / size
        numbers = ",".join(f"{value:.12g}" for value in (x0, y0, x1 - x0, y1 - y0))
        rows.append(f"{_file(sample.facts)},{spelling.get(name, name)},{numbers}")
    return rows


def _mark_synthetic(datalist: Path, settings: ChestSettings) -> None:
    """Say in the datalist that these are no images of people."""
    content = load_datalist(datalist)
    meta = {
        **content["meta"],
        "name": "chest",
        "source": "generated by `python -m scripts.phantom chest`; the settings are in phantom.json",
        "licence": "none needed: computer-generated, contains no data of anyone",
        "split": "test list and validation by patient",
        "seed": settings.seed,
        "synthetic": True,
    }
    write_datalist(datalist, {name: content[name] for name in SECTIONS}, meta)
