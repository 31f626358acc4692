"""Convert BraTS volumes to axial slices with and without tumour, with masks."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from tqdm import tqdm

from common.data.errors import CaseError, DatalistError
from common.data.sources.files import existing_folder, part_boxes
from common.data.sources.finish import finish, split_items
from common.data.sources.problems import Problems

CLASSES = ["no tumour", "tumour"]
STRUCTURES = [{"name": "background", "values": [0]}, {"name": "tumour", "values": [255]}]
OUTPUT = "brats_slices"
# How the releases call the four contrasts; the last word of a file's name.
MODALITIES = {
    "t1": ("t1", "t1n"),
    "t1ce": ("t1ce", "t1c", "t1gd"),
    "t2": ("t2", "t2w"),
    "flair": ("flair", "t2f"),
}
SEGMENTATION = re.compile(r"(?P<case>.+)[_-]seg\.nii(\.gz)?")
TIME_POINT = re.compile(r"(BraTS-[A-Za-z]+-\d+)-\d+")
DARKEST, BRIGHTEST = -3.0, 4.0  # standard deviations from the mean of the brain that become black and white

Volume = NDArray[np.float32]


def convert(
    root: str,
    out: str | None = None,
    modality: str = "t1",
    every: int = 4,
    min_brain: float = 0.05,
    min_tumour: float = 0.01,
    fractions: Sequence[float] = (0.7, 0.15, 0.15),
    seed: int = 0,
    on_problem: str = "refuse",
) -> Path:
    """BraTS: axial brain MR slices, tumour or no tumour, with masks of the whole tumour.

    Expects the cases in any depth below ROOT, each in a folder with <case>_t1.nii.gz (or t1ce, t2, flair) and
    <case>_seg.nii.gz; the newer names <case>-t1n.nii.gz, t1c, t2w, t2f and -seg are understood too. Writes
    ROOT/brats_slices/<case>/<slice>.png and, for slices with tumour, <slice>_mask.png, as a radiologist would see them.
    Grey values are standard deviations from the mean of the brain of the volume, 8 bits, air black.

    Slices that show little of the brain, and slices that show too little of the tumour to be called either, are left
    out. All slices of a patient stay in one split.

    Example:
        python -m scripts.prepare brats_slices --root BraTS2021 --modality t1

    Args:
        root: the folder.
        out: the datalist to write; default ROOT/brats_slices/datalist.json.
        modality: t1, t1ce, t2 or flair.
        every: take every n-th slice; neighbours show nearly the same.
        min_brain: smallest share of the slice that is brain.
        min_tumour: smallest share of the brain that is tumour, in slices with tumour.
        fractions: shares of training, validation and test.
        seed: seed of the split.
        on_problem: what to do with cases without the contrast, damaged, or whose segmentation has another shape:
            "refuse" the data set or "skip" them with a warning.

    Returns:
        The datalist written.
    """
    _check_options(modality, every, min_brain, min_tumour)
    folder = existing_folder(root, "the folders of the cases")
    problems = Problems(on_problem)
    items: list[dict[str, Any]] = []
    for case, segmentation in tqdm(_cases(folder), desc="writing slices", unit="case", leave=False, disable=None):
        try:
            volume, tumour = _read(segmentation, case, modality)
        except CaseError as error:
            problems.add("cases that cannot be used", str(error))
            continue
        match = TIME_POINT.fullmatch(case)
        patient = match[1] if match else case
        chosen = _slices(volume, tumour, every, min_brain, min_tumour)
        items += [{**_write(folder / OUTPUT, case, *piece), "patient_id": patient} for piece in chosen]
    problems.settle(folder)
    meta = {
        "name": "brats_slices",
        "task": "multiclass",
        "classes": CLASSES,
        "structures": STRUCTURES,
        "source": f"BraTS, {modality}, axial, one slice of {every}",
        "licence": "terms of the BraTS challenge, see synapse.org",
        "split": "stratified by class, grouped by patient",
        "seed": seed,
        "min_brain": min_brain,
        "min_tumour": min_tumour,
    }
    return finish(folder / OUTPUT, out, split_items(items, fractions, seed), meta)


def _check_options(modality: str, every: int, min_brain: float, min_tumour: float) -> None:
    if modality not in MODALITIES:
        raise DatalistError(f"modality is '{modality}', expected {', '.join(MODALITIES)}")
    if every < 1:
        raise DatalistError(f"every is {every}, expected 1 or more slices")
    for name, share in (("min_brain", min_brain), ("min_tumour", min_tumour)):
        if not 0 < share < 1:
            raise DatalistError(f"{name} is {share}, expected a share between 0 and 1")


def _cases(folder: Path) -> list[tuple[str, Path]]:
    """Return name and segmentation of every case; the challenge's validation cases have none."""
    found: dict[str, Path] = {}
    for path in sorted(folder.rglob("*")):
        match = SEGMENTATION.fullmatch(path.name)
        if match and path.is_file():
            if match["case"] in found:
                raise DatalistError(f"'{found[match['case']]}' and '{path}' are the same case; keep one of them")
            found[match["case"]] = path
    if not found:
        raise DatalistError(f"'{folder}' holds no <case>_seg.nii.gz; name the folder of the training cases")
    return list(found.items())


def _read(segmentation: Path, case: str, modality: str) -> tuple[Volume, NDArray[np.bool_]]:
    """Return grey values, 0 outside of the brain, and the whole tumour; both (x, y, z) in canonical axes."""
    names = [f"{case}{mark}{word}.nii" for word in MODALITIES[modality] for mark in "_-"]
    there = [segmentation.with_name(name + end) for name in names for end in ("", ".gz")]
    image = next((path for path in there if path.is_file()), None)
    if image is None:
        raise CaseError(
            str(segmentation.parent), f"it has no {modality} volume", "Copy it again, or take another contrast"
        )
    volume, tumour = _load(image), _load(segmentation)
    if volume.shape != tumour.shape or volume.ndim != 3:
        what = f"the segmentation has the shape {tumour.shape}, its volume {volume.shape}"
        raise CaseError(str(segmentation), what, "Copy both again")
    return volume, tumour > 0


def _load(path: Path) -> Volume:
    import nibabel

    try:
        return nibabel.as_closest_canonical(nibabel.load(path)).get_fdata(dtype=np.float32)
    except Exception as error:  # nibabel and zlib raise their own errors on damaged files
        raise CaseError(str(path), f"the NIfTI file is damaged or cut short ({error})", "Copy it again") from None


def _slices(
    volume: Volume, tumour: NDArray[np.bool_], every: int, min_brain: float, min_tumour: float
) -> Iterator[tuple[int, NDArray[np.uint8], NDArray[np.bool_]]]:
    """Yield number, picture and mask of the slices that can be labelled, as radiologists see them."""
    brain = volume != 0
    if not brain.any():
        return
    mean, deviation = float(volume[brain].mean()), max(float(volume[brain].std()), 1e-6)
    for number in range(0, volume.shape[2], every):
        inside, marked = brain[..., number], tumour[..., number]
        if inside.mean() < min_brain or (marked.any() and marked.sum() < min_tumour * inside.sum()):
            continue
        scores = np.clip((volume[..., number] - mean) / deviation, DARKEST, BRIGHTEST)
        grey = np.where(inside, 1 + np.rint((scores - DARKEST) / (BRIGHTEST - DARKEST) * 254), 0).astype(np.uint8)
        # Front at the top, the patient's right at the left.
        yield number, grey[::-1, ::-1].T, marked[::-1, ::-1].T


def _write(folder: Path, case: str, number: int, grey: NDArray[np.uint8], mask: NDArray[np.bool_]) -> dict[str, Any]:
    (folder / case).mkdir(parents=True, exist_ok=True)
    image = Path(case, f"{number:03d}.png")
    Image.fromarray(np.ascontiguousarray(grey)).save(folder / image)
    item = {"case_id": f"{case}_{number:03d}", "image": image.as_posix(), "label": int(mask.any())}
    if not mask.any():
        return item
    path = Path(case, f"{number:03d}_mask.png")
    Image.fromarray(np.ascontiguousarray(mask)).save(folder / path)
    return {**item, "mask": path.as_posix(), "boxes": part_boxes(mask)}
