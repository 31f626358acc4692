"""Convert optical coherence tomography in class folders, as published by Kermany and by the Noor Eye Hospital."""

from __future__ import annotations

import logging
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from common.data.datalist import IMAGE_SUFFIXES, case_id_from
from common.data.datalist_checks import suggestion
from common.data.errors import DatalistError
from common.data.sources.files import existing_folder
from common.data.sources.finish import finish, split_items

# Folders that divide a data set, and what becomes of them.
PARTS = {"train": "training", "val": "training", "test": "test"}
KERMANY_FILE = re.compile(r"[A-Za-z]+-(\d+)-\d+")
FIRST = "NORMAL"

logger = logging.getLogger(__name__)


def convert(
    root: str,
    out: str | None = None,
    classes: str | Sequence[str] | None = None,
    fractions: Sequence[float] = (0.7, 0.15, 0.15),
    validation: float = 0.15,
    seed: int = 0,
) -> Path:
    """Retinal OCT in folders named by class: Kermany (CNV, DME, DRUSEN, NORMAL) and NEH (CNV, DRUSEN, NORMAL).

    Expects either ROOT/{train,val,test}/<CLASS>/<CLASS>-<patient>-<number>.jpeg (Kermany), or
    ROOT/<CLASS>/<patient>/.../<image> (NEH), or a mixture. The patient is the number in the file's name, or else the
    folder below the class. The same name below two classes is taken for the same patient, which is safe.

    With folders train and test, test stays the test set. Its patients are left out of training if they occur there,
    and the validation set is cut off training by patient: the folder val, 32 images, is too small to choose models on
    and counts as training. Without them, the cases are split by patient.

    Example:
        python -m scripts.prepare oct_folders --root OCT2017
        python -m scripts.prepare oct_folders --root NEH --classes NORMAL,DRUSEN,CNV

    Args:
        root: the folder.
        out: the datalist to write; default ROOT/datalist.json.
        classes: the classes to take, in the wanted order; default all, NORMAL first.
        fractions: shares of training, validation and test where there is no folder test.
        validation: share of the training images for validation where there is a folder test.
        seed: seed of the split.

    Returns:
        The datalist written.
    """
    folder = existing_folder(root, "a folder for each class")
    given = classes.split(",") if isinstance(classes, str) else classes
    parts = [name for name in PARTS if (folder / name).is_dir()]
    names = _classes(folder, parts, given)
    official = "test" in parts
    sections: dict[str, list[dict[str, Any]]] = {"training": [], "test": []}
    for part in parts or [""]:
        for label, name in enumerate(names):
            sections[PARTS.get(part, "training")] += _items(folder, Path(part, name), label)
    unknown = [item["case_id"] for items in sections.values() for item in items if "patient_id" not in item]
    if unknown:
        logger.warning(
            "the patient of %d images is unknown (%s, ...): each counts as its own, so results may look too good",
            len(unknown),
            unknown[0],
        )
    if official:
        _drop_test_patients(sections)
    divided = split_items(sections["training"], (1 - validation, validation, 0) if official else fractions, seed)
    how = "official test set; validation from training, by patient" if official else "stratified, grouped by patient"
    meta = {
        "name": folder.resolve().name,
        "task": "multiclass",
        "classes": names,
        "source": "OCT images in class folders",
        "licence": "as the publisher of the folder says; Kermany: CC BY 4.0",
        "split": how,
        "seed": seed,
    }
    return finish(folder, out, {**divided, "test": sections["test"]} if official else divided, meta)


def _classes(folder: Path, parts: Sequence[str], given: Sequence[str] | None) -> list[str]:
    """Return the class folders, in order."""
    places = [folder / part for part in parts] or [folder]
    inside = {path.name for place in places for path in place.iterdir() if path.is_dir()}
    found = sorted(
        (name for name in inside if not name.startswith(".")), key=lambda name: (name.upper() != FIRST, name)
    )
    if len(found) < 2:
        there = ", ".join(found) or "none"
        raise DatalistError(
            f"'{places[0]}' has the class folders {there}, expected at least two, such as NORMAL and CNV"
        )
    for name in given or []:
        if name not in found:
            raise DatalistError(f"classes has '{name}', but there is no such folder{suggestion(name, found)}")
    return list(given or found)


def _items(folder: Path, place: Path, label: int) -> list[dict[str, Any]]:
    items: list[dict[str, Any]] = []
    for path in sorted((folder / place).rglob("*")):
        if path.name.startswith(".") or not path.name.lower().endswith(IMAGE_SUFFIXES) or not path.is_file():
            continue
        name, patient = path.relative_to(folder), _patient(path, folder / place)
        item: dict[str, Any] = {"case_id": case_id_from(name), "image": name.as_posix(), "label": label}
        items.append(item | ({"patient_id": patient} if patient else {}))
    return items


def _patient(path: Path, class_folder: Path) -> str | None:
    match = KERMANY_FILE.fullmatch(path.stem)
    if match:
        return match[1]
    inside = path.relative_to(class_folder).parts
    return inside[0] if len(inside) > 1 else None


def _drop_test_patients(sections: dict[str, list[dict[str, Any]]]) -> None:
    tested = {item["patient_id"] for item in sections["test"] if "patient_id" in item}
    kept = [item for item in sections["training"] if item.get("patient_id") not in tested]
    dropped = len(sections["training"]) - len(kept)
    if dropped:
        logger.warning("left out of training: %d images of patients who are in the test set too", dropped)
    sections["training"] = kept
