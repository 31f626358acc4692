"""The views of the exam phantom as DICOM files, thousands of them in seconds.

Writing a data set through pydicom takes longer than drawing the image. So the header of each view is made by pydicom
once, with placeholders as long as what replaces them, and a file is that header with its own numbers, then the pixels.
"""

from __future__ import annotations

import hashlib
from functools import lru_cache
from io import BytesIO

import numpy as np
from numpy.typing import NDArray

from common.data.phantoms.exam_description import FIELD
from common.data.phantoms.mammogram_dicom import DATE, ORIENTATIONS, VIEW_CODES

__all__ = ["dicom_bytes"]

# As long as every value that takes their place, and nothing that occurs elsewhere in the header.
INSTANCE, STUDY, SERIES = (f"2.25.{digit}{'0' * 37}" for digit in "123")
PATIENT, AGE = "PATIENT-PATIENT-", "999Y"


def dicom_bytes(image: NDArray[np.uint8], view: str, patient: str, age: int, seed: int) -> bytes:
    """Return a DICOM file of one view; the same arguments give the same bytes.

    Args:
        image: (H, W) uint8, as it is to be shown.
        view: such as left_cc.
        patient: PatientID, of at most 16 characters.
        age: in years.
        seed: of the data set, so that unique identifiers differ between data sets.

    Raises:
        ValueError: if the PatientID is too long.
    """
    if len(patient) > len(PATIENT):
        raise ValueError(f"patient='{patient}': expected at most {len(PATIENT)} characters")
    own = {
        INSTANCE: _uid(seed, patient, view),
        STUDY: _uid(seed, patient, "study"),
        SERIES: _uid(seed, patient, "series"),
        PATIENT: patient.ljust(len(PATIENT)),
        AGE: f"{age:03d}Y",
    }
    header = _header(view, *image.shape)
    for placeholder, value in own.items():
        header = header.replace(placeholder.encode(), value.encode())
    pixels = image.tobytes()
    return header + pixels + b"\0" * (len(pixels) % 2)


def _uid(*parts: object) -> str:
    """Return a unique identifier made from a number of 38 digits, always as long."""
    number = int.from_bytes(hashlib.sha256("/".join(map(str, ("vitrine exam", *parts))).encode()).digest())
    return f"2.25.{10**37 + number % (9 * 10**37)}"


@lru_cache
def _header(view: str, rows: int, columns: int) -> bytes:
    """Return everything before the pixels."""
    from pydicom.dataset import Dataset, FileDataset, FileMetaDataset
    from pydicom.uid import UID, DigitalMammographyXRayImageStorageForPresentation, ExplicitVRLittleEndian

    laterality, position = view[0].upper(), view.split("_")[1].upper()
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = DigitalMammographyXRayImageStorageForPresentation
    meta.MediaStorageSOPInstanceUID = UID(INSTANCE)
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset = FileDataset("", {}, file_meta=meta, preamble=b"\0" * 128)
    dataset.SOPClassUID, dataset.SOPInstanceUID = meta.MediaStorageSOPClassUID, UID(INSTANCE)
    dataset.StudyInstanceUID, dataset.SeriesInstanceUID = UID(STUDY), UID(SERIES)
    dataset.PatientID, dataset.PatientName, dataset.PatientSex = PATIENT, PATIENT, "F"
    dataset.PatientAge, dataset.StudyDate = AGE, DATE
    dataset.InstanceNumber = 1 + [*ORIENTATIONS].index((laterality, position))
    dataset.Modality, dataset.Manufacturer, dataset.BodyPartExamined = "MG", "Vitrine phantom", "BREAST"
    dataset.ImageType, dataset.PresentationIntentType = ["DERIVED", "PRIMARY"], "FOR PRESENTATION"
    dataset.ImageLaterality, dataset.ViewPosition = laterality, position
    code = Dataset()
    code.CodeValue, code.CodeMeaning = VIEW_CODES[position]
    code.CodingSchemeDesignator = "SRT"
    dataset.ViewCodeSequence = [code]
    dataset.PatientOrientation = ORIENTATIONS[laterality, position]
    dataset.Rows, dataset.Columns, dataset.SamplesPerPixel = rows, columns, 1
    dataset.ImagerPixelSpacing = dataset.PixelSpacing = [round(FIELD / rows, 6)] * 2
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit, dataset.PixelRepresentation = 8, 8, 7, 0
    dataset.PhotometricInterpretation, dataset.PresentationLUTShape = "MONOCHROME2", "IDENTITY"
    # The whole range, so that the file shows the values as they were drawn (PS3.3 C.11.2.1.2.1).
    dataset.WindowCenter, dataset.WindowWidth = 128, 256
    dataset.PixelData = b"\0" * (rows * columns + rows * columns % 2)
    dataset["PixelData"].VR = "OB"
    buffer = BytesIO()
    dataset.save_as(buffer, enforce_file_format=True)
    return buffer.getvalue()[: -len(dataset.PixelData)]
