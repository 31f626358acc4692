"""Convert CBIS-DDSM, scanned film mammograms with outlined masses and calcifications, in TCIA's layout."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from common.data.errors import CaseError, DatalistError
from common.data.label_reader import LabelReader2D
from common.data.sources.files import existing_folder, part_boxes
from common.data.sources.finish import finish, split_items
from common.data.sources.mammography import CLASSES, is_dicom_name, read_tags, side_of
from common.data.sources.problems import Problems
from common.data.tables import Row, read_table, require_columns

TABLES = {
    ("mass", "training"): "mass_case_description_train_set.csv",
    ("mass", "test"): "mass_case_description_test_set.csv",
    ("calcification", "training"): "calc_case_description_train_set.csv",
    ("calcification", "test"): "calc_case_description_test_set.csv",
}
ABNORMALITIES = ("mass", "calcification", "both")
COLUMNS = ["patient_id", "left or right breast", "image view", "pathology", "image file path", "ROI mask file path"]
# Benign without callback is benign too: it was clear enough that nobody had to come back.
PATHOLOGIES = {"BENIGN": 0, "BENIGN_WITHOUT_CALLBACK": 0, "MALIGNANT": 1}
IMAGES, MASKS = "CBIS-DDSM", "region_masks"

logger = logging.getLogger(__name__)


@dataclass
class _Mammogram:
    """One film with the abnormalities that the tables list on it."""

    patient: str
    side: str
    view: str
    folder: str
    regions: list[tuple[str, int]] = field(default_factory=list)  # folder of the mask, label

    @property
    def name(self) -> str:
        return f"{self.patient}_{self.side}_{self.view}"

    @property
    def label(self) -> int:
        return max(label for _, label in self.regions)


def convert(
    root: str,
    out: str | None = None,
    abnormality: str = "mass",
    benign_regions: bool = False,
    validation: float = 0.15,
    seed: int = 0,
    on_problem: str = "refuse",
) -> Path:
    """CBIS-DDSM: scanned mammograms of 1566 patients as DICOM, benign or malignant, masks of the lesions.

    Expects in ROOT the tables {mass,calc}_case_description_{train,test}_set.csv and the folder CBIS-DDSM as the NBIA
    Data Retriever leaves it: CBIS-DDSM/Mass-Training_P_00001_LEFT_CC/... for a film, and the same name with _1 at its
    end for the cutting and the mask of its first lesion. The names of what is inside these folders do not count.
    A film is malignant if any lesion on it is. The masks of its malignant lesions are joined in ROOT/region_masks, with
    a box for each connected part.

    The official test set stays the test set; the validation set is cut off the official training set, by patient. With
    --abnormality both, patients of both sets occur in different splits of the two; these only test.

    Films have grey air: give CropBreastd and FlipToLeftd a threshold of about 0.1.

    Example:
        python -m scripts.prepare cbis_ddsm --root CBIS --abnormality mass

    Args:
        root: the folder.
        out: the datalist to write; default ROOT/datalist.json.
        abnormality: "mass", "calcification" or "both".
        benign_regions: give benign films the masks of their lesions too.
        validation: share of the official training set for validation, by patient.
        seed: seed of that split.
        on_problem: what to do with films or masks that are missing, damaged or of another size: "refuse" the data set
            or "skip" these films with a warning.

    Returns:
        The datalist written.
    """
    if abnormality not in ABNORMALITIES:
        raise DatalistError(f"abnormality is '{abnormality}', expected {', '.join(ABNORMALITIES)}")
    folder = existing_folder(root, f"the four tables and the folder {IMAGES}")
    problems = Problems(on_problem)
    kinds = ABNORMALITIES[:2] if abnormality == "both" else (abnormality,)
    films = {part: _films([folder / TABLES[kind, part] for kind in kinds]) for part in ("training", "test")}
    _drop_test_patients(films)
    sections: dict[str, list[dict[str, Any]]] = {}
    for part, found in films.items():
        bar = tqdm(found, desc=f"reading masks ({part})", unit="film", leave=False, disable=None)
        items = (_item(folder, film, benign_regions, problems) for film in bar)
        sections[part] = [item for item in items if item is not None]
    problems.settle(folder)
    meta = {
        "name": "cbis_ddsm",
        "task": "multiclass",
        "classes": CLASSES,
        "source": f"CBIS-DDSM ({abnormality}), The Cancer Imaging Archive, doi:10.7937/K9/TCIA.2016.7O02S9CY",
        "licence": "CC BY 3.0 as stated by TCIA",
        "split": "official test set; validation from the official training set, by patient",
        "seed": seed,
        "abnormality": abnormality,
    }
    divided = split_items(sections["training"], (1 - validation, validation, 0), seed)
    return finish(folder, out, {**divided, "test": sections["test"]}, meta)


def _films(tables: Sequence[Path]) -> list[_Mammogram]:
    """Return the films of some tables, each once."""
    films: dict[tuple[str, str, str], _Mammogram] = {}
    for table in tables:
        rows = read_table(table)
        require_columns(rows, COLUMNS, table)
        for row in rows:
            patient, side, view = row["patient_id"], side_of(row["left or right breast"]), row["image view"]
            label = PATHOLOGIES.get(row["pathology"].upper())
            if label is None or not side:
                raise DatalistError(
                    f"'{table}' has pathology '{row['pathology']}' and side '{row['left or right breast']}' for "
                    f"{patient}, expected {', '.join(PATHOLOGIES)}, and LEFT or RIGHT"
                )
            film = _Mammogram(patient, side, view, _top(row, "image file path"))
            film = films.setdefault((patient, side, view), film)
            film.regions.append((_top(row, "ROI mask file path"), label))
    return list(films.values())


def _top(row: Row, column: str) -> str:
    """Return the first folder of a path in the tables; what follows has changed since they were written."""
    return PurePosixPath(row[column].strip().strip('"')).parts[0]


def _drop_test_patients(films: dict[str, list[_Mammogram]]) -> None:
    tested = {film.patient for film in films["test"]}
    kept = [film for film in films["training"] if film.patient not in tested]
    dropped = len(films["training"]) - len(kept)
    if dropped:
        logger.warning("left out of training: %d films of patients who are in the test set too", dropped)
    films["training"] = kept


def _item(folder: Path, film: _Mammogram, benign_regions: bool, problems: Problems) -> dict[str, Any] | None:
    """Return the case of a film, or None after noting why there is none."""
    wanted = [place for place, label in film.regions if label == film.label] if film.label or benign_regions else []
    try:
        image, rows, columns = _film_file(folder / IMAGES / film.folder)
        mask = _mask([folder / IMAGES / place for place in wanted], rows, columns)
    except CaseError as error:
        problems.add("films or masks that cannot be used", str(error))
        return None
    item = {
        "case_id": film.name,
        "image": image.relative_to(folder).as_posix(),
        "label": film.label,
        "patient_id": film.patient,
        "laterality": film.side,
        "view": film.view,
    }
    return item if mask is None else {**item, **_region(folder, film.name, mask)}


def _dicom_files(place: Path) -> list[Path]:
    files = [path for path in sorted(place.rglob("*")) if path.is_file() and is_dicom_name(path)]
    if not files:
        raise CaseError(str(place), "this folder is missing or holds no DICOM file", "Download it again")
    return files


def _film_file(place: Path) -> tuple[Path, int, int]:
    files = _dicom_files(place)
    if len(files) != 1:
        raise CaseError(str(place), f"it holds {len(files)} DICOM files, expected the film alone", "Remove the others")
    tags = read_tags(files[0])
    return files[0], tags.rows, tags.columns


def _mask(places: Sequence[Path], rows: int, columns: int) -> NDArray[np.bool_] | None:
    """Return the union of masks, (rows, columns); None without any."""
    if not places:
        return None
    union = np.zeros((rows, columns), dtype=bool)
    reader = LabelReader2D()
    for place in dict.fromkeys(places):
        # The cutting of the lesion lies beside the mask, in either order; only the mask has the film's size.
        sizes = {path: read_tags(path) for path in _dicom_files(place)}
        masks = [path for path, tags in sizes.items() if (tags.rows, tags.columns) == (rows, columns)]
        if len(masks) != 1:
            found = ", ".join(f"{tags.rows} x {tags.columns}" for tags in sizes.values())
            what = f"{len(masks)} of its files have the film's {rows} x {columns} pixels, expected one (found {found})"
            raise CaseError(str(place), what, "Leave this film out; a mask is not stretched")
        values = reader.get_data(reader.read(masks[0]))[0]
        if not values.any():
            raise CaseError(str(masks[0]), "the mask is empty", "Download it again, or leave this film out")
        union |= values > 0
    return union


def _region(folder: Path, name: str, mask: NDArray[np.bool_]) -> dict[str, Any]:
    from PIL import Image

    path = Path(MASKS, f"{name}.png")
    (folder / MASKS).mkdir(exist_ok=True)
    Image.fromarray(mask).save(folder / path)
    return {"mask": path.as_posix(), "boxes": part_boxes(mask)}
