"""Convert IDRiD's segmentation part, fundus photographs with outlined lesions, to boxes of each kind of lesion."""

from __future__ import annotations

import re
from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError
from scipy import ndimage
from tqdm import tqdm

from common.data.errors import CaseError, DatalistError
from common.data.sources import idrid_grading
from common.data.sources.files import existing_folder
from common.data.sources.finish import finish
from common.data.sources.problems import Problems

#: What the masks' names end in, and the lesion; the optic disc (OD) is no lesion.
LESIONS = {"MA": "microaneurysms", "HE": "haemorrhages", "EX": "hard exudates", "SE": "soft exudates"}
CLASSES = list(LESIONS.values())
NAME = re.compile(r"(?:train_|test_)?(IDRiD_\d+)(?:_([A-Z]{2}))?\.(?:jpe?g|png|tiff?)", re.IGNORECASE)
LAST_TRAINING = 54  # of 81
RETINOPATHY = "any_dr"  # what every lesion is a sign of

Found = tuple[dict[str, Path], dict[str, dict[str, Path]]]


def convert(
    root: str, out: str | None = None, join: float = 0.005, as_grading: bool = False, on_problem: str = "refuse"
) -> Path:
    """IDRiD, segmentation: 81 fundus photographs with outlined lesions, as boxes of four kinds of lesion.

    Expects below ROOT, in any depth, the images IDRiD_01.jpg to IDRiD_81.jpg and the masks IDRiD_01_MA.tif (or .png)
    with the endings MA (microaneurysms), HE (haemorrhages), EX (hard exudates), SE (soft exudates); OD, the optic disc,
    is ignored. That is the official part "A. Segmentation"; names may begin with train_ or test_. Images 1 to 54 are
    for training, 55 to 81 for test. An image without a mask of a kind does not have it.

    Each connected part of a mask gives a box with its class. Use it to see where a network that learnt from
    idrid_grading looks: 81 images are too few to learn from, and only soft exudates are missing in many of them.

    Example:
        python -m scripts.prepare idrid_lesions --root "A. Segmentation"
        python -m scripts.prepare idrid_lesions --root "A. Segmentation" --as_grading True --out lesions.json

    Args:
        root: the folder.
        out: the datalist to write; default ROOT/datalist.json.
        join: parts of a mask that are closer than this share of the image's width get one box; 0 joins none.
        as_grading: give the classes of idrid_grading, to see where a network that knows only those looks: every lesion
            is a box of "any_dr". The grades are not known, so the other labels are 0 and say nothing: look at
            localisation only. Images 1 to 54 are for validation, such as to choose thresholds of maps.
        on_problem: what to do with masks without image, of another size, empty or damaged: "refuse" the data set or
            "skip" them with a warning.

    Returns:
        The datalist written.
    """
    folder = existing_folder(root, "images IDRiD_01.jpg and masks IDRiD_01_MA.tif")
    if not 0 <= join < 0.1:
        raise DatalistError(f"join is {join}, expected a share of the image's width from 0 up to, not including, 0.1")
    problems = Problems(on_problem)
    images, masks = _files(folder)
    if not images:
        raise DatalistError(f"'{folder}' holds no image named like IDRiD_01.jpg; unpack the archive there")
    for name in sorted({*masks} - {*images}):
        problems.add("masks without image", name)
    items = [
        _item(folder, images[name], masks.get(name, {}), join, problems)
        for name in tqdm(sorted(images), desc="reading masks", unit="image", leave=False, disable=None)
    ]
    problems.settle(folder)
    if as_grading:
        items = [_as_grading(item) for item in items]
    training = [item for item in items if int(item["case_id"].split("_")[-1]) <= LAST_TRAINING]
    meta = {
        "name": "idrid_lesions",
        "task": "multilabel",
        "classes": idrid_grading.CLASSES if as_grading else CLASSES,
        "source": "IDRiD (Porwal, Pachade, Kokare 2018), segmentation",
        "licence": "CC BY 4.0",
        "split": "official",
        "join": join,
    }
    first = "validation" if as_grading else "training"  # nothing is to be learnt from the one label they all have
    sections = {first: training, "test": [item for item in items if item not in training]}
    return finish(folder, out, sections, meta)


def _as_grading(item: dict[str, Any]) -> dict[str, Any]:
    """Return the case with the one label of the grades that its lesions prove."""
    label = [int(name == RETINOPATHY) for name in idrid_grading.CLASSES]
    return {**item, "label": label, "box_labels": [RETINOPATHY] * len(item["boxes"])}


def _files(folder: Path) -> Found:
    """Return the images by name, and their masks by name and kind."""
    images: dict[str, Path] = {}
    masks: dict[str, dict[str, Path]] = defaultdict(dict)
    for path in sorted(folder.rglob("*")):
        match = NAME.fullmatch(path.name)
        if not match:
            continue
        name, kind = match[1], (match[2] or "").upper()
        place, key = (masks[name], kind) if kind in LESIONS else (images, name)
        if kind and kind not in LESIONS:
            continue
        if key in place:
            raise DatalistError(f"'{place[key]}' and '{path}' have the same name; keep one of them below '{folder}'")
        place[key] = path
    return images, {name: kinds for name, kinds in masks.items() if kinds}


def _item(folder: Path, image: Path, masks: dict[str, Path], join: float, problems: Problems) -> dict[str, Any]:
    """Return the case of an image with the boxes of its lesions; masks that cannot be used are noted."""
    boxes: list[list[float]] = []
    names: list[str] = []
    for kind, lesion in LESIONS.items():
        if kind not in masks:
            continue
        try:
            found = _boxes(image, masks[kind], join)
        except CaseError as error:
            problems.add("masks that cannot be used", str(error))
            continue
        boxes += found
        names += [lesion] * len(found)
    match = NAME.fullmatch(image.name)
    return {
        "case_id": match[1] if match else image.stem,
        "image": image.relative_to(folder).as_posix(),
        "label": [int(lesion in names) for lesion in CLASSES],
        "boxes": boxes,
        "box_labels": names,
    }


def _boxes(image: Path, mask: Path, join: float) -> list[list[float]]:
    """Return the boxes round the parts of a mask; parts that lie close together have one.

    Raises:
        CaseError: if a file cannot be read, the sizes differ, or nothing is marked.
    """
    try:
        with Image.open(image) as file:
            size = file.size
        with Image.open(mask) as file:
            marked = np.asarray(file)
    except (UnidentifiedImageError, OSError) as error:
        raise CaseError(str(mask), f"it or its image cannot be read ({error})", "Unpack the archive again") from None
    inside: NDArray[np.bool_] = (marked[..., :3].max(axis=2) if marked.ndim == 3 else marked) > 0
    if inside.shape != (size[1], size[0]):
        what = f"the mask has {inside.shape[0]} x {inside.shape[1]} pixels, its image {size[1]} x {size[0]}"
        raise CaseError(str(mask), what, "Unpack the archive again")
    if not inside.any():
        raise CaseError(str(mask), "the mask marks nothing", "Remove it if the image has no such lesion")
    reach = round(join * size[0] / 2)
    # Every pixel of the mask grows by half the distance: parts that meet are one.
    grown = ndimage.distance_transform_edt(~inside) <= reach if reach else inside
    parts, count = ndimage.label(grown, structure=np.ones((3, 3)))
    found = ndimage.find_objects(np.where(inside, parts, 0), count)
    return [[float(x.start), float(y.start), float(x.stop), float(y.stop)] for y, x in found]
