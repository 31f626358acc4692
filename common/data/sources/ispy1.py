"""Convert I-SPY 1 (ACRIN 6657), contrast-enhanced breast MRI before chemotherapy, with the tumour and the response."""

from __future__ import annotations

import logging
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from tqdm import tqdm

from common.data.errors import CaseError, DatalistError
from common.data.sources.dicom_series import read_dicom_series
from common.data.sources.dynamic_series import CHOICES, DynamicSeries, choose_slices, to_bytes
from common.data.sources.finish import finish
from common.data.sources.nifti_series import read_nifti_series
from common.data.sources.problems import Problems
from common.data.splits import fold_split
from common.data.tables import SPREADSHEETS, read_table, require_columns

CLASSES = ["no complete response", "complete response"]
STRUCTURES = [{"name": "background", "values": [0]}, {"name": "tumour", "values": [255]}]
SUBJECT, RESPONSE = "SUBJECTID", "PCR"
OUTPUT = "ispy1_slices"
PATIENT_FOLDER = re.compile(r"ISPY1?_(\d+)")
PHASE_FILE = re.compile(r"DCEMRI_(\d+)\.nii(\.gz)?")
MASK_FILE = re.compile(r"ISPY1?_(\d+)_tumor_mask\.nii(\.gz)?")

logger = logging.getLogger(__name__)


def convert(
    root: str,
    out: str | None = None,
    table: str | None = None,
    phases: int | Sequence[int] = (1, 2, 3),
    slices: int = 10,
    choose: str = "tumour",
    percentiles: Sequence[float] = (1.0, 99.5),
    series: str | None = None,
    segment: str | None = None,
    ignore_affine: bool = False,
    folds: int = 5,
    fold: int = 0,
    seed: int = 0,
    on_problem: str = "refuse",
) -> Path:
    """I-SPY 1: breast MRI slices, three contrast phases as colours, tumour masks, pathological complete response.

    Expects below ROOT a table with the columns SUBJECTID and PCR (1: complete response) and a folder ISPY_<number> or
    ISPY1_<number> for each patient with either

    - NIfTI: DCEMRI_1.nii, DCEMRI_2.nii, DCEMRI_3.nii, and anywhere below ROOT ISPY_<number>_tumor_mask.nii; or
    - DICOM as from TCIA: the MR series in any sub-folders and a segmentation (DICOM SEG). The earliest study is taken.

    Writes ROOT/ispy1_slices/<patient>/<slice>.png and <slice>_mask.png. Grey values are scaled by two percentiles over
    all slices and phases of a patient and stored with 8 bits. The patients are divided into folds: one tests, the next
    validates, the others train.

    By default slices are chosen round the largest area of the reference tumour mask, as in the published results:
    numbers then hold for somebody who knows where the tumour is. --choose even does without the mask.

    Example:
        python -m scripts.prepare ispy1 --root ISPY1 --slices 10 --fold 0

    Args:
        root: the folder.
        out: the datalist to write; default ROOT/ispy1_slices/datalist.json.
        table: the table; default the only .csv or .xlsx in ROOT.
        phases: which phases become red, green and blue, numbered from 1; a single one makes grey images.
        slices: number of slices of each patient. A patient with fewer is a problem, see on_problem.
        choose: "tumour": neighbours around the largest tumour area; "even": evenly spread over the volume.
        percentiles: what becomes black and white.
        series: DICOM only: part of the SeriesDescription of the contrast series, where several could be it.
        segment: DICOM only: part of the label of the segment to take, where a segmentation has several.
        ignore_affine: NIfTI only: accept images and masks whose headers place them differently.
        folds: number of folds, at least 3.
        fold: the fold to test, from 0.
        seed: seed of the folds.
        on_problem: what to do with patients that cannot be used: "refuse" the data set or "skip" them with a warning.

    Returns:
        The datalist written.
    """
    folder = Path(root)
    numbers = [phases] if isinstance(phases, int) else [int(number) for number in phases]
    _check_options(numbers, slices, choose, percentiles)
    problems = Problems(on_problem)
    patients = _patients(folder)
    responses = _responses(folder, table, problems)
    masks = _masks(folder)
    items: list[dict[str, Any]] = []
    for number, place in tqdm(patients.items(), desc="writing slices", unit="patient", leave=False, disable=None):
        if number not in responses:
            problems.add(f"patients without {RESPONSE} in the table", place.name)
            continue
        try:
            examination = _read(place, masks.get(number), numbers, series, segment, ignore_affine)
            written = _write(examination, folder / OUTPUT, choose_slices(examination, slices, choose), percentiles)
        except CaseError as error:
            problems.add("patients that cannot be used", str(error))
            continue
        items += [{**item, "label": responses[number], "patient_id": place.name} for item in written]
    problems.settle(folder)
    try:
        labels, names = [item["label"] for item in items], [item["patient_id"] for item in items]
        split = fold_split(labels, names, folds, fold, seed)
    except ValueError as error:
        raise DatalistError(f"the patients cannot be divided into folds: {error}") from None
    how = "around the largest area of the reference mask" if choose == "tumour" else "evenly spread, mask not used"
    meta = {
        "name": "ispy1",
        "task": "multiclass",
        "classes": CLASSES,
        "structures": STRUCTURES,
        "source": "I-SPY 1 / ACRIN 6657, The Cancer Imaging Archive",
        "licence": "CC BY 3.0 as stated by TCIA",
        "split": f"fold {fold} of {folds}, stratified by response, grouped by patient",
        "seed": seed,
        "slices": f"{slices} of each patient, {how}",
        "phases": numbers,
        "percentiles": list(percentiles),
    }
    sections = {name: [items[index] for index in indices] for name, indices in split.items()}
    return finish(folder / OUTPUT, out, sections, meta)


def _check_options(phases: Sequence[int], slices: int, choose: str, percentiles: Sequence[float]) -> None:
    if len(phases) not in (1, 3) or min(phases) < 1:
        raise DatalistError(f"phases is {list(phases)}, expected one number or three, counted from 1")
    if slices < 1:
        raise DatalistError(f"slices is {slices}, expected 1 or more")
    if choose not in CHOICES:
        raise DatalistError(f"choose is '{choose}', expected {' or '.join(CHOICES)}")
    if len(percentiles) != 2 or not 0 <= percentiles[0] < percentiles[1] <= 100:
        raise DatalistError(f"percentiles is {percentiles}, expected two rising numbers between 0 and 100")


def _patients(folder: Path) -> dict[int, Path]:
    """Return the folder of every patient, by number."""
    if not folder.is_dir():
        raise DatalistError(f"root '{folder}' does not exist; name the folder that holds the patients and the table")
    patients: dict[int, Path] = {}
    for path in sorted(folder.rglob("ISPY*")):
        match = PATIENT_FOLDER.fullmatch(path.name)
        if not match or not path.is_dir() or OUTPUT in path.relative_to(folder).parts:
            continue
        number = int(match[1])
        if number in patients:
            raise DatalistError(f"'{patients[number]}' and '{path}' are the same patient; keep one of them")
        patients[number] = path
    if not patients:
        raise DatalistError(f"'{folder}' holds no folder named like ISPY_1001 or ISPY1_1001; unpack the archive there")
    return patients


def _responses(folder: Path, table: str | None, problems: Problems) -> dict[int, int]:
    """Return each patient's label by number; patients without outcome are left out."""
    if table is None:
        found = [path for path in sorted(folder.iterdir()) if path.suffix.lower() in {*SPREADSHEETS, ".csv"}]
        if len(found) != 1:
            names = ", ".join(path.name for path in found) or "none"
            raise DatalistError(
                f"expected one table with {SUBJECT} and {RESPONSE} in '{folder}', found {names}; name it with --table"
            )
    source = folder / table if table is not None else found[0]
    rows = read_table(source)
    require_columns(rows, [SUBJECT, RESPONSE], source)
    responses: dict[int, int] = {}
    for row in rows:
        number = re.search(r"(\d+)(\.0)?$", row[SUBJECT])
        if number is None or row[RESPONSE] in {"", "."}:
            continue
        if row[RESPONSE] not in {"0", "1", "0.0", "1.0"}:
            problems.add(f"values of {RESPONSE} that are not 0 or 1", f"{row[SUBJECT]} ('{row[RESPONSE]}')")
            continue
        responses[int(number[1])] = int(float(row[RESPONSE]))
    return responses


def _masks(folder: Path) -> dict[int, Path]:
    found = ((MASK_FILE.fullmatch(path.name), path) for path in sorted(folder.rglob("ISPY*_tumor_mask.nii*")))
    return {int(match[1]): path for match, path in found if match}


def _read(
    place: Path, mask: Path | None, phases: Sequence[int], series: str | None, segment: str | None, ignore_affine: bool
) -> DynamicSeries:
    """Read a patient's examination, from NIfTI files if there are any."""
    found = ((PHASE_FILE.fullmatch(path.name), path) for path in sorted(place.rglob("DCEMRI_*")))
    volumes = {int(match[1]): path for match, path in found if match}
    if not volumes:
        return read_dicom_series(place, phases, series, segment)
    if mask is None:
        what = f"there is no tumour mask named {place.name}_tumor_mask.nii"
        raise CaseError(str(place), what, "Put it anywhere below the root, or leave the case out")
    absent = [f"DCEMRI_{number}.nii" for number in phases if number not in volumes]
    if absent:
        what = f"there is no {', '.join(absent)}, only {', '.join(path.name for path in volumes.values())}"
        raise CaseError(str(place), what, "Choose other contrast phases with --phases, or leave the case out")
    return read_nifti_series(place, [volumes[number] for number in phases], mask, ignore_affine)


def _write(
    examination: DynamicSeries, output: Path, slices: Sequence[int], percentiles: Sequence[float]
) -> list[dict[str, Any]]:
    """Write the chosen slices and their masks as PNG; return the items without labels."""
    levels = to_bytes(examination, percentiles)
    patient = examination.source.name
    (output / patient).mkdir(parents=True, exist_ok=True)
    items = []
    for place in slices:
        name = f"{patient}/{place:03d}"
        _save(levels[:, place].transpose(1, 2, 0), output / f"{name}.png")
        _save(examination.tumour[place, ..., None].astype(np.uint8) * 255, output / f"{name}_mask.png")
        case = {"case_id": f"{patient}_{place:03d}", "image": f"{name}.png", "mask": f"{name}_mask.png"}
        items.append(case)
    return items


def _save(pixels: NDArray[np.uint8], path: Path) -> None:
    """Write (H, W, 1) as a grey and (H, W, 3) as a colour picture."""
    Image.fromarray(pixels[..., 0] if pixels.shape[2] == 1 else pixels).save(path)
