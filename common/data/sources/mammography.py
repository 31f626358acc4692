"""What the converters of mammograms share: DICOM tags, names of sides and views, masks of regions."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from common.data.errors import CaseError, DatalistError

CLASSES = ["benign", "malignant"]
BIRADS_CLASSES = ["not suspicious", "suspicious"]
SIDES = {"L": "L", "LEFT": "L", "R": "R", "RIGHT": "R"}
# Code values (SNOMED-RT, SNOMED CT) and code meanings of the views, as in DICOM's context group 4014.
VIEWS = {
    "R-10242": "CC", "399162004": "CC", "CRANIO-CAUDAL": "CC", "CRANIOCAUDAL": "CC",
    "R-10226": "MLO", "399368009": "MLO", "MEDIO-LATERAL OBLIQUE": "MLO", "MEDIOLATERAL OBLIQUE": "MLO",
}  # fmt: skip
BOTH = "B"

Box = Sequence[float]


@dataclass(frozen=True)
class MammogramTags:
    """What the header of a mammogram tells.

    Args:
        patient: PatientID, empty if missing.
        laterality: "L", "R", or "B" for both breasts in one image; empty if missing or unknown.
        view: "CC", "MLO", or another short name; empty if missing.
        rows: of the image.
        columns: of the image.
    """

    patient: str
    laterality: str
    view: str
    rows: int
    columns: int


def read_tags(path: Path) -> MammogramTags:
    """Read the header of a DICOM file without its pixels.

    The side is ImageLaterality, or else Laterality; the view is ViewCodeSequence, or else ViewPosition.

    Raises:
        CaseError: if the file is no DICOM image, or damaged.
    """
    import pydicom

    try:
        header = pydicom.dcmread(path, stop_before_pixels=True)
        rows, columns = int(header.Rows), int(header.Columns)
    except Exception as error:  # pydicom raises anything from KeyError to struct.error on damaged files
        reason = (str(error).splitlines() or ["no details"])[0]
        raise CaseError(str(path), f"it is no DICOM image, or damaged ({reason})", "Copy it again") from None
    return MammogramTags(str(header.get("PatientID") or "").strip(), _laterality(header), _view(header), rows, columns)


def side_of(text: str) -> str:
    """Return "L" or "R" for any usual way to write it, empty for others."""
    return SIDES.get(text.strip().upper(), "")


def is_dicom_name(path: Path) -> bool:
    """Return whether a file is to be read as DICOM: by its suffix, or its content where it has none."""
    if path.name.startswith("."):
        return False
    if path.suffix.lower() in {".dcm", ".dicom"}:
        return True
    if path.suffix:
        return False
    with path.open("rb") as file:
        return file.read(132)[128:] == b"DICM"


def write_mask(path: Path, size: tuple[int, int], polygons: Iterable[Sequence[tuple[float, float]]]) -> None:
    """Write a mask, white inside polygons and on their outlines.

    Args:
        path: the PNG file; its folder is made if needed.
        size: rows and columns.
        polygons: corners (x, y) in pixels. One or two corners are drawn as a point or a line.
    """
    from PIL import Image, ImageDraw

    mask = Image.new("1", (size[1], size[0]))
    draw = ImageDraw.Draw(mask)
    for polygon in polygons:
        if len(polygon) > 2:
            draw.polygon(list(polygon), fill=1, outline=1)
        else:
            draw.line([*polygon, polygon[-1]], fill=1)
    path.parent.mkdir(parents=True, exist_ok=True)
    mask.save(path)


def birads_label(text: str, suspicious_from: int) -> int:
    """Return 1 if an assessment is suspicious.

    Args:
        text: such as "BI-RADS 4", "4a" or "5".
        suspicious_from: smallest category that counts as suspicious.

    Raises:
        ValueError: if there is no category from 0 to 6 in the text, or 0 (incomplete).
    """
    category = text.upper().replace("BI-RADS", "").replace("BIRADS", "").strip().rstrip("ABC").strip()
    if category not in {"1", "2", "3", "4", "5", "6"}:
        raise ValueError(f"'{text}' is no finished BI-RADS assessment, expected 1 to 6")
    return int(int(category) >= suspicious_from)


def check_birads(suspicious_from: int) -> None:
    """Refuse a limit that no assessment can be on both sides of.

    Raises:
        DatalistError: if it is not from 2 to 6.
    """
    if suspicious_from not in range(2, 7):
        raise DatalistError(f"suspicious_from is {suspicious_from}, expected a BI-RADS category from 2 to 6")


def _laterality(header: Any) -> str:
    for tag in ("ImageLaterality", "Laterality"):
        value = str(header.get(tag) or "").strip().upper()
        if value:
            return BOTH if value == BOTH else side_of(value)
    return ""


def _view(header: Any) -> str:
    sequence = header.get("ViewCodeSequence")
    if sequence:
        for tag in ("CodeValue", "CodeMeaning"):
            text = str(sequence[0].get(tag) or "").strip().upper()
            if text in VIEWS:
                return VIEWS[text]
    position = str(header.get("ViewPosition") or "").strip().upper()
    return VIEWS.get(position, position)
