"""Convert IDRiD's grading part, fundus photographs with grades of retinopathy and macular oedema, to five labels."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from common.data.duplicates import find_copies
from common.data.errors import DatalistError
from common.data.sources.files import existing_folder
from common.data.sources.finish import finish, split_items
from common.data.sources.problems import Problems
from common.data.tables import read_table, require_columns

CLASSES = ["any_dr", "referable_dr", "severe_dr", "dme", "exudate_near_macula"]
EXPORT = "labels.csv"
EXPORT_COLUMNS = ["image", "dr_grade", "dme_risk", "split"]
#: Split to the official folder of images and the official table.
OFFICIAL = {
    "training": ("a. Training Set", "a. IDRiD_Disease Grading_Training Labels.csv"),
    "test": ("b. Testing Set", "b. IDRiD_Disease Grading_Testing Labels.csv"),
}
IMAGES, TABLES = "1. Original Images", "2. Groundtruths"
OFFICIAL_COLUMNS = ["Image name", "Retinopathy grade", "Risk of macular edema"]
SPLITS = {"train": "training", "test": "test"}
GRADES, RISKS = range(5), range(3)

logger = logging.getLogger(__name__)


def convert(
    root: str, out: str | None = None, validation: float = 0.15, seed: int = 0, on_problem: str = "refuse"
) -> Path:
    """IDRiD, disease grading: 516 fundus photographs, retinopathy 0-4 and risk of macular oedema 0-2, as five labels.

    Expects in ROOT the official folders "1. Original Images" and "2. Groundtruths" of the part "B. Disease Grading"; or
    labels.csv with the columns image, dr_grade, dme_risk, split (train or test) and, where known, duplicate_of.

    The labels: any_dr (grade 1 or more), referable_dr (2 or more), severe_dr (3 or more), dme (risk 1 or more: hard
    exudates), exudate_near_macula (risk 2). They are correlated and ordered by nature. The official test set stays.

    Some photographs are in the data set twice, in part with different grades or in both splits: all images that have a
    copy are left out and named in a warning. Patients are not known.

    Example:
        python -m scripts.prepare idrid_grading --root "B. Disease Grading"

    Args:
        root: the folder.
        out: the datalist to write; default ROOT/datalist.json.
        validation: share of the official training set for validation.
        seed: seed of that split.
        on_problem: what to do with rows without image or with impossible grades: "refuse" the data set or "skip" them
            with a warning.

    Returns:
        The datalist written.
    """
    folder = existing_folder(root, f"'{IMAGES}' and '{TABLES}', or {EXPORT}")
    problems = Problems(on_problem)
    sections: dict[str, list[dict[str, Any]]] = {"training": [], "test": []}
    for split, image, grade, risk, name in _export(folder) if (folder / EXPORT).is_file() else _official(folder):
        if not (folder / image).is_file():
            problems.add("rows whose image is missing", image)
        elif grade not in map(str, GRADES) or risk not in map(str, RISKS):
            problems.add("rows whose grades are not 0 to 4 and 0 to 2", f"{name} ('{grade}', '{risk}')")
        else:
            label = [int(int(grade) >= least) for least in (1, 2, 3)] + [int(int(risk) >= least) for least in (1, 2)]
            sections[split].append({"case_id": name, "image": image, "label": label})
    problems.settle(folder)
    twice = _copies(folder, sections)
    kept = {name: [item for item in items if item["case_id"] not in twice] for name, items in sections.items()}
    meta = {
        "name": "idrid_grading",
        "task": "multilabel",
        "classes": CLASSES,
        "background": "no retinopathy",
        "source": "IDRiD (Porwal, Pachade, Kokare 2018), disease grading",
        "licence": "CC BY 4.0",
        "split": "official test set; validation from the training set by case, as patients are not known",
        "seed": seed,
        "left_out": sorted(twice),
    }
    divided = split_items(kept["training"], (1 - validation, validation, 0), seed)
    return finish(folder, out, {**divided, "test": kept["test"]}, meta)


def _export(folder: Path) -> Iterator[tuple[str, str, str, str, str]]:
    """Yield split, image, grade, risk and name of each row of the single table."""
    rows = read_table(folder / EXPORT)
    require_columns(rows, EXPORT_COLUMNS, folder / EXPORT)
    for row in rows:
        if row["split"] not in SPLITS:
            raise DatalistError(f"'{folder / EXPORT}' has the unknown split '{row['split']}', expected train or test")
        yield SPLITS[row["split"]], row["image"], row["dr_grade"], row["dme_risk"], Path(row["image"]).stem


def _official(folder: Path) -> Iterator[tuple[str, str, str, str, str]]:
    """Yield the same from the official layout, whose numbers begin anew in the test set."""
    name, grade, risk = OFFICIAL_COLUMNS
    for split, (images, table_name) in OFFICIAL.items():
        table = folder / TABLES / table_name
        rows = read_table(table)
        require_columns(rows, OFFICIAL_COLUMNS, table)
        for row in rows:
            image = Path(IMAGES, images, f"{row[name]}.jpg").as_posix()
            yield split, image, row[grade], row[risk], f"{split}_{row[name]}"


def _copies(folder: Path, sections: dict[str, list[dict[str, Any]]]) -> set[str]:
    """Return the names of all images that have a copy, by their content or by the table."""
    names = {folder / item["image"]: item["case_id"] for items in sections.values() for item in items}
    groups = [{names[path] for path in group} for group in find_copies(names)]
    if (folder / EXPORT).is_file():
        rows = [row for row in read_table(folder / EXPORT) if row.get("duplicate_of")]
        groups += [{Path(row["image"]).stem, row["duplicate_of"]} for row in rows]
    twice = set().union(*groups) & set(names.values())
    if twice:
        told = sorted({" = ".join(sorted(group)) for group in groups})
        logger.warning("left out: %d images that are there twice: %s", len(twice), ", ".join(told))
    return twice
